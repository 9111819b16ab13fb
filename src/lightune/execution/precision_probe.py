"""The precision in which frozen layers compute on a CPU, chosen by timing the workload's own products briefly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

# Casting between products costs time too; a smaller speed-up than this is not worth the rounding.
WORTH = 1.3
# If the products take less than this in all, in seconds, the model spends its time on something else.
NOTICEABLE = 0.005
TIMES = 5
# Enough rows for a product to run at its full speed; larger workloads are scaled from here.
MOST_ROWS = 512
# Where bf16 is emulated, products are up to 500 times slower: one small product is enough to see it.
SMALL = Counter({(768, 768): 1})
FEW_ROWS = 8


@dataclass(frozen=True)
class Precision:
    """fp32 or bf16, and why."""

    name: str
    why: str


def probe_precision(model: nn.Module, tokens: int, is_training: bool) -> Precision:
    """Time the products of a model's linear layers over this many tokens in fp32 and in bf16, and choose.

    For training, only the frozen layers count, forward and backward; for inference all layers count, forward only. bf16
    is chosen where it is at least 1.3 times faster, unless the products take under 5 ms in all.
    """
    import torch

    shapes = product_shapes(model, only_frozen=is_training)
    if not shapes:
        return Precision("fp32", "no frozen linear layer computes in the model's layers")
    if emulates_bf16():
        return Precision("fp32", "this processor emulates bf16")
    rows = max(1, min(tokens, MOST_ROWS))
    scale = tokens / rows
    wide, half = (scale * _seconds(shapes, rows, dtype, is_training) for dtype in (torch.float32, torch.bfloat16))
    passes = "forward and backward" if is_training else "once"
    why = f"products of {tokens} tokens, {passes}: {wide * 1000:.1f} ms in fp32, {half * 1000:.1f} ms in bf16"
    return Precision("bf16" if wide >= NOTICEABLE and wide >= WORTH * half else "fp32", why)


@cache
def emulates_bf16() -> bool:
    """Whether this processor multiplies far slower in bf16 than in fp32, because it has no bf16 instructions."""
    import torch

    wide, half = (_seconds(SMALL, FEW_ROWS, dtype, True) for dtype in (torch.float32, torch.bfloat16))
    return half > 4 * wide


def product_shapes(model: nn.Module, only_frozen: bool) -> Counter[tuple[int, int]]:
    """Count the linear layers within a classifier's layer stack by the sides of their weights, the smaller first."""
    from lightune.execution.bf16 import TOLERANT
    from lightune.models.anatomy import layer_stack

    found: list[Any] = [module for module in layer_stack(model).modules() if type(module) in TOLERANT]
    return Counter(
        tuple(sorted(module.weight.shape)) for module in found if not (only_frozen and module.weight.requires_grad)
    )


def _seconds(shapes: Counter[tuple[int, int]], rows: int, dtype: torch.dtype, is_training: bool) -> float:
    import torch

    total = 0.0
    for (out, into), count in shapes.items():
        x, weight, back = (torch.ones(size, dtype=dtype) for size in ((rows, into), (out, into), (rows, out)))
        total += count * _best(partial(torch.nn.functional.linear, x, weight))
        if is_training:
            total += count * _best(partial(torch.mm, back, weight))
    return total


def _best(product: Callable[[], Any]) -> float:
    """Return the shortest of a few times, after one warm-up call: any disturbance makes a time longer."""
    product()
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
