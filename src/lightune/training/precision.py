"""The precision in which a run trains."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from lightune import runtime
from lightune.execution.precision_probe import Precision, probe_precision, product_shapes
from lightune.execution.unpadding import supported
from lightune.training.distributed import all_ranks, join

if TYPE_CHECKING:
    import torch
    from torch import nn


def training_precision(wanted: str, device: torch.device, model: nn.Module, tokens: int) -> Precision:
    """Return fp32 or bf16 for steps of this many tokens, and why; all processes of a run use the first one's choice.

    `auto` on a CPU runs a probe; elsewhere it depends on the device. Raises RecipeError when bf16 is requested on a Mac
    whose system does not support it.
    """
    name = runtime.choose_precision(wanted, device)
    if wanted != "auto":
        return Precision(name, "asked for")
    if device.type != "cpu":
        return Precision(
            name, "CUDA device that computes in bf16" if name == "bf16" else f"the default on {device.type}"
        )
    join(device)
    ranks = all_ranks()
    found = probe_precision(model, tokens, is_training=True) if ranks.is_first else Precision("", "")
    return Precision(**json.loads(ranks.broadcast_text(json.dumps(asdict(found)))))


def holds_layers_in_bf16(precision: Precision, device: torch.device, model: nn.Module) -> bool:
    """Whether bf16 means that frozen layers compute in it; else it is autocast, which also rounds trained weights."""
    # Except on a CPU, the hidden states between the layers have to be bf16 as well, and attention lightune's.
    can = device.type == "cpu" or (device.type == "cuda" and supported(model))
    return precision.name == "bf16" and can and bool(product_shapes(model, only_frozen=True))
