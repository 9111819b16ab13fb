"""Several processes that train one model, started by torchrun: what they sum, agree on and broadcast.

Gradients are summed once per step, in one call, instead of by DistributedDataParallel: docs/adr/0008-ranks.md.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from lightune import runtime
from lightune.errors import InterruptedRunError, ResourceError, TrainingDivergedError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Longer than rank 0 measures, validates or writes while the others wait. torchrun ends them all when one fails.
PATIENCE = timedelta(days=7)


def join(device: torch.device) -> None:
    """Initialize the process group of the run; does nothing with one process, or if it already exists."""
    import torch
    from torch import distributed

    if runtime.ranks() == 1 or distributed.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _together():
        # The ranks' messages are on the CPU, so that waiting for them keeps no GPU busy.
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    # A group that is still there when the interpreter ends can abort the process, if another rank is gone by then.
    atexit.register(_leave)


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


@dataclass(frozen=True)
class Ranks:
    """The process `rank` (from 0) of `count`; all ranks must call each method, which does nothing for one process."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process prints, validates and writes."""
        return self.rank == 0

    def broadcast_model(self, model: nn.Module) -> None:
        """Give every rank the first one's tensors, since values computed on another machine may differ in a bit."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        for value in [*model.parameters(), *model.buffers()]:
            whole = value.detach().contiguous()
            with _together():
                distributed.broadcast(whole.flatten().view(torch.uint8), 0)
            value.detach().copy_(whole)

    def sum_gradients(self, trained: Sequence[torch.Tensor]) -> None:
        """Replace each gradient by the sum over all ranks; a tensor without gradient on every rank keeps none."""
        if self.count == 1:
            return
        import torch

        grads = [torch.zeros_like(value) if value.grad is None else value.grad for value in trained]
        has_one = torch.tensor([float(value.grad is not None) for value in trained], device=trained[0].device)
        flat = self._sum(torch.cat([has_one, *(grad.flatten().float() for grad in grads)]))
        has_one, *sums = flat.split([len(trained), *(value.numel() for value in trained)])
        for value, found, total in zip(trained, has_one.tolist(), sums, strict=True):
            value.grad = total.view_as(value).to(value.dtype) if found else None

    def sum(self, value: float) -> float:
        """Return the sum of all ranks' values."""
        import torch

        return value if self.count == 1 else float(self._sum(torch.from_numpy(np.array([value], np.float64))))

    def any_signal(self, number: int | None) -> int | None:
        """Return the signal that some rank received, if any."""
        if self.count == 1:
            return number
        import torch
        from torch import distributed

        largest = torch.tensor([number or 0])
        with _together():
            distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return int(largest) or None

    def least(self, number: int | None) -> int | None:
        """Return the smallest number that some rank has, if any."""
        if self.count == 1:
            return number
        import torch
        from torch import distributed

        none = torch.iinfo(torch.int64).max
        smallest = torch.tensor([none if number is None else number])
        with _together():
            distributed.all_reduce(smallest, distributed.ReduceOp.MIN)
        return None if int(smallest) == none else int(smallest)

    def broadcast_text(self, text: str = "") -> str:
        """Return the first rank's text."""
        if self.count == 1:
            return text
        import torch
        from torch import distributed

        sent = torch.tensor(list(text.encode()), dtype=torch.uint8)
        size = torch.tensor([len(sent)])
        with _together():
            distributed.broadcast(size, 0)
            sent = sent if self.is_first else torch.empty(int(size), dtype=torch.uint8)
            distributed.broadcast(sent, 0)
        return bytes(sent.tolist()).decode()

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        from torch import distributed

        with _together():
            distributed.all_reduce(values)
        return values


def all_ranks() -> Ranks:
    """Return this process among those that a launcher started."""
    return Ranks(runtime.rank(), runtime.ranks())


@contextmanager
def ending_together() -> Iterator[None]:
    """Let no rank end with a shared error before the first has handled it: torchrun would end the first one too."""
    try:
        yield
    except (InterruptedRunError, TrainingDivergedError):
        all_ranks().broadcast_text()
        raise


@contextmanager
def _together() -> Iterator[None]:
    """Raise ResourceError when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        message = "another process of this run cannot be reached."
        raise ResourceError("RANK-001", message, "It may have ended; what it printed says why.") from error
