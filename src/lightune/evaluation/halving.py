"""Batches that are answered in smaller parts where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightune import memory
from lightune.errors import ResourceError, is_out_of_memory
from lightune.progress import Reporter

if TYPE_CHECKING:
    import torch


@dataclass
class Halving:
    """Calls a model on rows of tokens, on half as many at a time once memory ran out.

    `lengths` are the rows' numbers of tokens; `tokens` is the most that a call may have, padding included.
    """

    call: Callable[[Sequence[int]], torch.Tensor]
    lengths: Sequence[int]
    device: torch.device
    says: Reporter
    tokens: int | None = None

    def of(self, rows: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the logits of the rows, in their order; ResourceError where memory runs out with one row."""
        waiting = [list(rows)]
        while waiting:
            part = waiting.pop()
            padded = len(part) * max(self.lengths[row] for row in part)
            if len(part) > 1 and self.tokens is not None and padded > self.tokens:
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            found = self._called(part)
            if found is None:
                memory.release(self.device)
                waiting.append(part)
            else:
                yield found

    def _called(self, part: list[int]) -> torch.Tensor | None:
        """Return the logits, or None, with fewer tokens for each further call, where memory ran out."""
        try:
            return self.call(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            longest = max(self.lengths[row] for row in part)
            if len(part) == 1:
                message = f"out of memory with one text of {longest:,} tokens."
                hint = "Close other programs, or lower data.max_length."
                raise ResourceError("MEMORY-004", message, hint) from error
            self.tokens = len(part) * longest // 2
        self.says.note(f"Out of memory with {len(part):,} texts at a time; going on with half as many.")
        return None
