"""The precision in which a model's frozen weights are stored: fp32, bf16, or 8 and 4 bit through bitsandbytes.

Only the linear layers of the layer stack are stored in fewer bits. Embeddings, norms, biases, the pooler and the head
stay in fp32, and so do all parameters that a method adds.
"""

from __future__ import annotations

import logging
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError
from lightune.extras import install_command
from lightune.models.architectures import Architecture

if TYPE_CHECKING:
    import torch
    from torch import nn

QUANTIZED = ("int8", "nf4")


def require_precision(precision: str, base_is_frozen: bool = True) -> None:
    """Raise RecipeError unless weights can be stored in this precision here, by a method that keeps them frozen."""
    if precision != "fp32" and not base_is_frozen:
        raise RecipeError(
            "RECIPE-070", f"model_precision: {precision}: this method trains the model's own weights.",
            "They must be in fp32 for that: leave model_precision out, or freeze them, e.g. with --method lora.",
        )  # fmt: skip
    if precision in QUANTIZED and find_spec("bitsandbytes") is None:
        raise RecipeError(
            "RECIPE-071", f"model_precision: {precision}: bitsandbytes is not installed.",
            f"Install it: {install_command('quantized')}. Without it: --set model_precision=bf16",
        )  # fmt: skip


def loading_options(precision: str, architecture: Architecture) -> dict[str, Any]:
    """Return the `from_pretrained` options that quantize weights as they are read, never all in fp32 at once.

    They are always quantized on the CPU, so that the numbers are the same on every device.
    """
    if precision not in QUANTIZED:
        return {}
    from transformers import BitsAndBytesConfig

    # On CUDA bitsandbytes warns at every product of every layer that it casts to fp16, as it always does.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # A pattern for "everything outside the layer stack"; transformers reads these names as regular expressions.
    outside = rf"(?!{re.escape(architecture.layers)}\.).*"
    # Threshold 0: else the columns left in fp32 depend on the other texts of the batch, and so does the output.
    kind = {"load_in_8bit": True, "llm_int8_threshold": 0.0} if precision == "int8" else {"load_in_4bit": True}
    config = BitsAndBytesConfig(**kind, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=[outside])
    return {"quantization_config": config, "device_map": {"": "cpu"}}


def hold(model: nn.Module, precision: str, architecture: Architecture) -> None:
    """Finish a model that was loaded with `loading_options`, in place."""
    if precision == "bf16":
        from lightune.models.bf16_linear import HeldLinear

        for name in _linear_layers(model, architecture):
            layer = model.get_submodule(name)
            model.set_submodule(name, HeldLinear(_upright(layer), layer.bias))  # type: ignore[arg-type]
    if precision == "int8":
        from lightune.models.int8 import keep_activations

        keep_activations(model)
    if precision != "fp32":
        # Parameters that stay in fp32 are still views of the mapped file, and keep all of it in memory.
        for value in model.parameters():
            if value.is_floating_point():
                value.data = value.data.clone()
    # Accelerate refuses to train a model that was put on the CPU by a device map.
    vars(model).pop("hf_device_map", None)


def round_weights(model: nn.Module, precision: str, architecture: Architecture) -> None:
    """Give a stock fp32 model, in place, the values that its weights have when stored in this precision."""
    for name in _linear_layers(model, architecture):
        weight = _upright(model.get_submodule(name))
        weight.copy_(_rounded(weight, precision))


def weight_bytes(model: nn.Module) -> int:
    """Return the bytes of the parameters, including the scales of quantized weights; shared ones count once."""
    values = {id(value): value for value in model.parameters()}.values()
    return sum(_size(part) for value in values for part in (value, *_scales(value)))


def _linear_layers(model: nn.Module, architecture: Architecture) -> list[str]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    inside = f"{architecture.layers}."
    kinds = (nn.Linear, Conv1D)
    return [name for name, part in model.named_modules() if name.startswith(inside) and isinstance(part, kinds)]


def _upright(layer: Any) -> torch.Tensor:
    """Return the weight as (out, in); GPT-2's Conv1D stores it the other way round."""
    from transformers.pytorch_utils import Conv1D

    return layer.weight.detach().T if isinstance(layer, Conv1D) else layer.weight.detach()


def _rounded(weight: torch.Tensor, precision: str) -> torch.Tensor:
    import torch

    if precision == "bf16":
        return weight.to(torch.bfloat16)
    from bitsandbytes import functional

    if precision == "int8":
        numbers, scales, _ = functional.int8_vectorwise_quant(weight.contiguous().to(torch.float16))
        return functional.int8_vectorwise_dequant(numbers, scales)
    return functional.dequantize_4bit(*functional.quantize_4bit(weight.contiguous(), quant_type="nf4"))


def _scales(value: Any) -> list[torch.Tensor]:
    """Return the scales of a quantized weight: one for each row (int8) or block of 64 (nf4)."""
    state = getattr(value, "quant_state", None)
    found = [getattr(value, "SCB", None)] if state is None else [state.absmax, state.code]
    return [scale for scale in found if scale is not None]


def _size(value: torch.Tensor) -> int:
    return value.numel() * value.element_size()
