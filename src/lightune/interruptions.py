"""The parts of a record about interruptions: where training went on, and the checkpoints that were written."""

from __future__ import annotations

from lightune.measured import Section


class Resumed(Section):
    """Where training went on from a checkpoint, and how many steps after it were computed a second time."""

    from_step: int
    recomputed_steps: int


class Saved(Section):
    """The checkpoints that were written during training: how many, the time that took, and the bytes of the last.

    `skipped` counts the epochs after which none was written, because all of them would have cost over 1% of the
    training.
    """

    count: int
    runtime: float
    bytes: int
    skipped: int = 0
