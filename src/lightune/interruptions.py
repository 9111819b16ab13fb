"""The parts of a record about what came between: interruptions, checkpoints, and too little memory."""

from __future__ import annotations

from typing import Literal

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


class SmallerMicroBatch(Section):
    """From which step on a micro-batch had at most so many texts, because memory did not suffice for more.

    `measured` says how that was found: "failed" where the passes ran out of memory and were taken again, "ahead" where
    the available memory was too little for the estimate. A step has the same texts as before, in more micro-batches.
    """

    from_step: int
    texts: int
    measured: Literal["failed", "ahead"]

    @property
    def note(self) -> str:
        """What is said of it."""
        noun = "text" if self.texts == 1 else "texts"
        why = "memory ran out" if self.measured == "failed" else "little memory is available"
        return (
            f"step {self.from_step}: {why}; from here on a micro-batch has at most {self.texts:,} {noun}. "
            "Each step still takes the same texts."
        )
