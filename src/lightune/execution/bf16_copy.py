"""A copy of a classifier that predicts in bf16, beside the model itself."""

from __future__ import annotations

from torch import nn

from lightune.execution.attention_switch import use_attention
from lightune.execution.bf16 import halve
from lightune.execution.fused_gelu import FUSED
from lightune.execution.unpadding import supported
from lightune.models.anatomy import stock_classifier
from lightune.models.class_swap import swap_classes
from lightune.models.shared_base import copy_on_same_tensors


def copy_in_bf16(model: nn.Module) -> nn.Module:
    """Return a copy for inference whose layers compute in bf16; other tensors are shared.

    It has an Execution of its own: contexts that other threads have open on the model are not open on the copy.
    """
    copied = copy_on_same_tensors(model).eval().requires_grad_(False)
    if supported(copied):
        use_attention(stock_classifier(copied))
    swap_classes(copied, FUSED)
    halve(copied)
    return copied
