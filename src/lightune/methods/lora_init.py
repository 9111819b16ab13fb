"""Initialisations of LoRA that need more than random numbers: the base weights, or training texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from torch import nn

# At most so many batches of training texts are used, in at most so many passes, until the components converge.
BATCHES = 256
PASSES = 20


def require_rewritable(modules: Mapping[str, Any], rank: int, start: str) -> None:
    """Raise RecipeError unless the initial B A can be subtracted from each of these layers exactly."""
    import torch
    from transformers.pytorch_utils import Conv1D

    for name, module in modules.items():
        reason = ""
        if start == "olora" and isinstance(module, Conv1D):
            reason = "it is a Conv1D layer, which keeps its weight transposed"
        elif module.weight.dtype != torch.float32:
            reason = "its weights are not held in fp32"
        elif rank > min(module.weight.shape):
            reason = f"its weight has only {min(module.weight.shape)} singular values, fewer than the rank {rank}"
        if reason:
            message = f"init_lora_weights: {start} cannot start at {name}: {reason}."
            raise RecipeError("RECIPE-034", message, "Leave init_lora_weights out, or choose other layers by roles.")


def keep_start(model: nn.Module) -> None:
    """Keep a copy of A and B of every layer as buffers, which move to other devices with the model."""
    for module in _layers(model):
        for part in ("lora_A", "lora_B"):
            start = getattr(module, part)["default"].weight.detach().clone()
            module.register_buffer(f"{part}_start", start, persistent=False)


def minus_start(model: nn.Module, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state with [A; A0] for A and [B, -B0] for B, whose product is B A - B0 A0."""
    import torch

    changed = dict(state)
    for name, module in model.named_modules():
        if hasattr(module, "lora_A_start"):
            down, up = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
            changed[down] = torch.cat([state[down], module.lora_A_start], dim=0)
            changed[up] = torch.cat([state[up], -module.lora_B_start], dim=1)
    return changed


def start_from_inputs(model: nn.Module, rank: int, batches: Iterable[dict[str, torch.Tensor]]) -> None:
    """Set every A to the first principal components of its layer's inputs, which PEFT estimates batch by batch.

    Raises RecipeError when no batch has enough tokens, or the components do not settle.
    """
    from peft import initialize_lora_eva_weights

    # PEFT estimates them from twice as many directions, and skips smaller batches for ever.
    usable = [batch for batch in islice(batches, BATCHES) if int(batch["attention_mask"].sum()) >= 2 * rank]
    if not usable:
        message = f"init_lora_weights: eva needs batches of at least {2 * rank} tokens (twice the rank); none has them."
        raise RecipeError("RECIPE-037", message, "Raise training.per_device_train_batch_size or lower method.rank.")
    calls = iter(range(PASSES * len(usable) + PASSES))

    def forward(model: Any, batch: dict[str, torch.Tensor]) -> None:
        if next(calls, None) is None:
            raise RecipeError("RECIPE-037", "init_lora_weights: eva: the components of the inputs do not settle.",
                              "Lower method.rank, or leave init_lora_weights out.")  # fmt: skip
        model(**batch)

    config: Any = model.peft_config["default"]  # type: ignore[index]
    targets = config.target_modules
    initialize_lora_eva_weights(
        model,
        usable,
        forward_fn=forward,
        prepare_model_inputs_fn=lambda batch, _: batch["attention_mask"].bool(),
        prepare_layer_inputs_fn=_without_pads,
        show_progress_bar=False,
    )
    config.target_modules = targets  # PEFT shortens the names


def _without_pads(inputs: Any, mask: torch.Tensor, name: str) -> torch.Tensor:
    """Return a layer's inputs as (tokens, width); what has no row per token (relative positions) is used whole."""
    first = inputs[0] if isinstance(inputs, tuple | list) else inputs
    rows = first.reshape(-1, first.shape[-1])
    return rows[mask.flatten()] if len(rows) == mask.numel() else rows


def _layers(model: nn.Module) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]
