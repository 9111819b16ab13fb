"""Subclasses of stock modules that compute the same in fewer passes while a model is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from lightune.models.class_swap import swap_classes

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def lean(model: nn.Module, in_bf16: bool = False) -> Iterator[None]:
    """Let dropout, GELU and some of PEFT's layers run as their lean subclasses for as long as the context lasts.

    Only the random numbers of dropout change, and rates are rounded to 1/65536. With `in_bf16`, frozen layers also
    compute in bf16 (execution/bf16.py). A GPU's own dropout is cheap, so there it stays; other devices keep all
    modules. One context at a time: a model is trained by one loop.
    """
    from lightune.execution.quick_deltas import forget_rounded

    undo = swap_classes(model, _leaner(next(model.parameters()).device.type))
    try:
        with _in_bf16(model) if in_bf16 else nullcontext():
            yield
    finally:
        undo()
        forget_rounded()


def _in_bf16(model: nn.Module) -> AbstractContextManager[None]:
    from lightune.execution.bf16 import frozen_in_bf16

    return frozen_in_bf16(model)


def _leaner(device: str) -> dict[type[nn.Module], type[nn.Module]]:
    """Return the lean class of each class that has one on this kind of device."""
    if device not in ("cpu", "cuda"):
        return {}
    from peft.tuners.lora.layer import Linear
    from torch import nn

    from lightune.execution import quick_deltas
    from lightune.execution.dropout import QuickDropout
    from lightune.execution.fused_gelu import FUSED
    from lightune.execution.fused_lora import FusedLora

    found: dict[type[nn.Module], type[nn.Module]] = {Linear: FusedLora, **FUSED, **quick_deltas.QUICK}
    if device == "cpu":
        found[nn.Dropout] = QuickDropout
    return found
