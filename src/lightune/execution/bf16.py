"""Frozen layers that compute in bf16 temporarily, while trainable parameters stay in fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm, linear
from transformers.pytorch_utils import Conv1D

from lightune.execution.attention_switch import uses_attention
from lightune.execution.execution import execution_of, own_hook
from lightune.execution.page_out import release
from lightune.execution.stack_output import with_hidden_states
from lightune.models.anatomy import layer_runner, layer_stack, stock_classifier
from lightune.models.bf16_linear import HeldLinear
from lightune.models.class_swap import swap_classes

HALF = torch.bfloat16
# oneDNN compiles its bf16 products for each number of rows, which takes as long as seven products and up to a
# megabyte, and it keeps a thousand of them. So a few row numbers are better than exact ones. fp32 products come from
# another library.
ROWS = 32


@contextmanager
def frozen_in_bf16(model: nn.Module) -> Iterator[None]:
    """Let the frozen layers of a classifier compute in bf16 for as long as the context lasts; see `halve`.

    Meanwhile the fp32 weights need no memory where the system can read them again from their file.
    """
    undo = halve(model, released=True)
    try:
        yield
    finally:
        undo()


def halve(model: nn.Module, released: bool = False) -> Callable[[], None]:
    """Let the frozen layers of a classifier, adapted or not, compute in bf16, and return what undoes it.

    Linear layers round their frozen weights and their inputs to bf16 (8 bits of mantissa, products summed in fp32).
    Where attention is lightune's, which takes either type, the hidden states between the layers are bf16 too.
    Embeddings, the head and all trainable parameters stay as they are. With `released`, the fp32 weights are not read
    before the change is undone.
    """
    layers, stack = layer_stack(model), layer_runner(model)
    is_cpu = next(model.parameters()).device.type == "cpu"
    streams = uses_attention(stock_classifier(model))
    values = _rounded(layers, streams)
    with ExitStack() as undoing:
        # A projection after the layers keeps its fp32 weight, and has to accept their bf16 output.
        tolerant = TOLERANT if is_cpu or not streams else TOLERANT | NORMS
        undoing.callback(swap_classes(stack if streams else layers, tolerant))
        for value in values:
            undoing.callback(setattr, value, "data", value.data)
            _round(value, released)
        for handle in _cast_between(stack, layers) if streams else []:
            undoing.callback(handle.remove)
        if is_cpu:
            undoing.callback(execution_of(model).fill_rows, 1)
            execution_of(model).fill_rows(ROWS)
        return undoing.pop_all().close


class HalfLinear(nn.Linear):
    """A linear layer that takes inputs of any type, multiplies in its weight's type, and returns the input's type."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b: (..., in) to (..., out)."""
        return _product(input, self.weight, self.bias)


class HalfConv1D(Conv1D):
    """The same for GPT-2's linear layer, whose weight is (in, out)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x W + b: (..., in) to (..., out)."""
        return _product(x, self.weight.t(), self.bias)


class HalfNorm(nn.LayerNorm):
    """A norm that takes inputs of another type than its weights: a CPU supports this mixture, a GPU does not."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the norm of (..., width) in the input's type."""
        if all(value.dtype == input.dtype for value in self.parameters(recurse=False)):
            return super().forward(input)
        weight, bias = (None if value is None else value.float() for value in (self.weight, self.bias))
        return layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


# Layers with trainable weights keep them in fp32, and compute in fp32.
TOLERANT: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: HalfLinear,
    HeldLinear: HalfLinear,
    Conv1D: HalfConv1D,
}
NORMS: dict[type[nn.Module], type[nn.Module]] = {nn.LayerNorm: HalfNorm}


@own_hook
def narrow(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Round the input of the layers."""
    return (args[0].to(HALF), *args[1:])


@own_hook
def widen(stack: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
    """Return the output of the layers in fp32, as the head expects it."""
    return with_hidden_states(output, output[0].float())


def _round(value: nn.Parameter, released: bool) -> None:
    whole, value.data = value.data, value.data.to(HALF)
    if released:  # at once, so that never more than one weight is in memory twice
        release(whole)


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    if bias is not None and bias.dtype != weight.dtype:
        bias = bias.to(weight.dtype)  # a trainable bias; its gradient has its own type
    return linear(x.to(weight.dtype), weight, bias).to(x.dtype)


def _rounded(layers: nn.Module, streams: bool) -> list[nn.Parameter]:
    """Return the frozen parameters to round: those of linear layers, and of norms where hidden states are bf16."""
    products = [module for module in layers.modules() if type(module) in TOLERANT]
    inside = [value for module in products for value in module.parameters(recurse=False)]
    norms = [value for module in layers.modules() if streams for value in _vectors(module)]
    found = {id(value): value for value in (*inside, *norms)}.values()
    return [value for value in found if value.dtype == torch.float32 and not value.requires_grad]


def _vectors(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a norm; none if one of them is trained, because a norm needs them in one type."""
    if isinstance(module, nn.ParameterDict | nn.ParameterList):  # an adapter's, not a norm
        return []
    own = list(module.parameters(recurse=False))
    return own if all(value.ndim == 1 and not value.requires_grad for value in own) else []


def _cast_between(stack: nn.Module, layers: nn.Module) -> list[Any]:
    """Round the input of the layers, and widen the output of their stack."""
    first: Any = next(iter(layers.children()))
    return [first.register_forward_pre_hook(narrow), stack.register_forward_hook(widen, with_kwargs=True)]
