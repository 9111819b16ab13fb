"""Averaging the weights of the last steps: often better than the weights of any one step, at no cost in time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class WeightAverage:
    """The mean of the trained tensors over the last `share` of `total` steps: mean += (w - mean) / n after each.

    Izmailov et al. 2018, arXiv:1803.05407, with the learning rate still falling, as in Kaddour 2022, arXiv:2209.14981.
    At least the last step counts, so a share above 0 always affects the final weights. Share 0 averages nothing, and
    the weights stay as they are.
    """

    def __init__(self, trained: Sequence[torch.Tensor], share: float, total: int) -> None:
        self._trained = trained
        self._first = total - math.ceil(share * total) + 1
        self._mean: list[torch.Tensor] = []
        self.steps = 0

    def update(self, step: int) -> None:
        """Add the weights after optimizer step `step` (from 1) to the mean, if it is one of the last."""
        import torch

        if step < self._first:
            return
        self.steps += 1
        with torch.no_grad():
            if not self._mean:
                self._mean = [value.detach().clone() for value in self._trained]
            for mean, value in zip(self._mean, self._trained, strict=True):
                mean += (value - mean) / self.steps

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the mean so far by the number of its tensor; nothing before the first of the last steps."""
        return {str(number): value for number, value in enumerate(self._mean)}

    def restore(self, tensors: Mapping[str, torch.Tensor], steps: int) -> None:
        """Go on from a mean over so many steps, as `tensors` returned it."""
        if len(tensors) != (len(self._trained) if steps else 0):
            raise ValueError("its mean of the weights is over other tensors")
        forms = [(one.shape, one.dtype) for one in (tensors[str(number)] for number in range(len(tensors)))]
        if forms != [(own.shape, own.dtype) for own in self._trained[: len(tensors)]]:
            raise ValueError("its mean of the weights has other shapes or types")
        found = [tensors[str(number)].to(own) for number, own in enumerate(self._trained if steps else ())]
        self._mean, self.steps = found, steps

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights within the context: they are what is evaluated and saved."""
        latest = [value.detach().clone() for value in self._trained] if self._mean else []
        self.keep()
        try:
            yield
        finally:
            _copy(latest, self._trained)

    def keep(self) -> None:
        """Give the model the averaged weights for good."""
        _copy(self._mean, self._trained)


def _copy(source: Sequence[torch.Tensor], target: Sequence[torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for value, place in zip(source, target, strict=False):
            place.copy_(value)
