"""Smaller micro-batches where memory does not suffice: a step takes the same texts, in more passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lightune.errors import ResourceError, is_out_of_memory
from lightune.interruptions import SmallerMicroBatch
from lightune.training.batch_loss import RowLoss
from lightune.training.distributed import Ranks
from lightune.training.step_memory import StepMemory

Found = TypeVar("Found")
Rows = list[int]
LESS = (
    "Try --set data.max_length=128 (or less), --set training.gradient_checkpointing=true, --set model_precision=bf16, "
    "or a method that trains fewer weights; or close other programs."
)


@dataclass
class MicroBatches:
    """Cuts the micro-batches of a step, once memory did not suffice for one; until then they stay as they are.

    The sum of the parts' gradients is the step's gradient, because each is weighted by its rows' share of the step.
    `ahead` estimates on a CPU what a micro-batch needs; where that is None only failures count. `smaller` is what was
    found, in order.
    """

    row_loss: RowLoss
    ahead: StepMemory | None = None
    smaller: list[SmallerMicroBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._given = self.row_loss.most_windows

    def run(
        self,
        given: Sequence[Sequence[int]],
        step: int,
        passes: Callable[[int, Sequence[int]], Found],
        undo: Callable[[], None],
    ) -> tuple[list[Rows], list[Found]]:
        """Call `passes` with the number and the rows of each micro-batch; return the rows and what they gave.

        Where memory runs out, what was done is undone, and all begins again with at most half as many texts at a time.
        Raises ResourceError where it runs out with one.
        """
        while True:
            self._look_ahead(given, step)
            batches, found = self.cut(given, step), list[Found]()
            try:
                for number, rows in enumerate(batches):
                    found.append(passes(number, rows))
                return batches, found
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(batches[len(found)], step, error)
            found.clear()
            undo()  # only here, since the error refers to everything that the passes had in memory

    def cut(self, given: Sequence[Sequence[int]], step: int) -> list[Rows]:
        """Return the micro-batches of a step as they were, or will be, cut."""
        texts = self.texts_at(step)
        self.row_loss.most_windows = texts or self._given
        if texts is None:
            return [list(rows) for rows in given]
        return [part for rows in given for part in self.row_loss.micro_batches(rows, texts)]

    def texts_at(self, step: int) -> int | None:
        """Return how many texts a micro-batch has at most in a step, counted from 1; None for as many as were given."""
        known = [one.texts for one in self.smaller if one.from_step <= step]
        return known[-1] if known else None

    def restore(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Go on with what a checkpoint says."""
        self.smaller = [SmallerMicroBatch.model_validate(one) for one in found]

    def agree(self, ranks: Ranks, step: int) -> None:
        """Let all ranks go on with the smallest micro-batch of any, so that the first one's checkpoint says it."""
        own = self.texts_at(step)
        least = ranks.least(own)
        if least is not None and least != own:
            self.smaller.append(SmallerMicroBatch(from_step=step + 1, texts=least, measured="failed"))

    def _look_ahead(self, given: Sequence[Sequence[int]], step: int) -> None:
        if self.ahead is None:
            return
        texts = self.ahead.fitting(self.cut(given, step), step)
        if texts is not None:
            self.smaller.append(SmallerMicroBatch(from_step=step, texts=texts, measured="ahead"))

    def _halve(self, rows: Sequence[int], step: int, error: BaseException) -> None:
        parts, lengths = self.row_loss.windows(rows), self.row_loss.window_lengths
        texts = max(map(len, parts))
        if texts == 1:
            longest = max(lengths[window] for part in parts for window in part)
            message = f"step {step}: out of memory with one text of {longest:,} tokens in a micro-batch."
            raise ResourceError("MEMORY-002", message, LESS) from error
        self.smaller.append(SmallerMicroBatch(from_step=step, texts=texts // 2, measured="failed"))
