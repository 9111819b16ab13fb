"""Frozen layers that compute in bf16, for a while, while what is trained beside them stays in fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm, linear
from transformers.pytorch_utils import Conv1D

from lightune.execution.attention import NAME
from lightune.execution.execution import execution_of, own_hook
from lightune.execution.page_out import release
from lightune.models.anatomy import layer_runner, layer_stack, stock_classifier
from lightune.models.bf16_linear import HeldLinear
from lightune.models.class_swap import swap_classes

HALF = torch.bfloat16
# For each number of rows oneDNN compiles its bf16 products anew, which takes as long as seven products and up to a
# megabyte, and keeps a thousand of them. So few numbers are better than exact ones; fp32 products come from elsewhere.
ROWS = 32


@contextmanager
def frozen_in_bf16(model: nn.Module) -> Iterator[None]:
    """Let the frozen layers of a classifier compute in bf16 for as long as the context lasts; see `halve`.

    The weights in fp32 need no memory meanwhile, as far as the system can read them again from their file.
    """
    undo = halve(model, released=True)
    try:
        yield
    finally:
        undo()


def halve(model: nn.Module, released: bool = False) -> Callable[[], None]:
    """Let the frozen layers of a classifier, adapted or not, compute in bf16, and return what undoes it.

    Linear layers round their frozen weights and their inputs to bf16 (8 bits of mantissa, products summed in fp32).
    Where attention is lightune's, which computes in fp32 whatever it is given, all that passes between the layers is
    bf16 too. Embeddings, the head and everything that is trained stay as they are. `released` weights in fp32 are not
    looked at before the undoing.
    """
    layers, stack = layer_stack(model), layer_runner(model)
    is_cpu = next(model.parameters()).device.type == "cpu"
    streams = stock_classifier(model).config._attn_implementation == NAME
    values = _rounded(layers, streams)
    with ExitStack() as undoing:
        # A projection behind the layers keeps its fp32 weight, and has to take what they leave.
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
    """A linear layer that takes inputs of any type, multiplies in its weight's, and answers in the input's."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b: (..., in) to (..., out)."""
        return _product(input, self.weight, self.bias)


class HalfConv1D(Conv1D):
    """The same for GPT-2's linear layer, whose weight is (in, out)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x W + b: (..., in) to (..., out)."""
        return _product(x, self.weight.t(), self.bias)


class HalfNorm(nn.LayerNorm):
    """A norm that takes inputs of another type than its weights: a GPU knows no such mixture, a CPU does."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the norm of (..., width) in the input's type."""
        if all(value.dtype == input.dtype for value in self.parameters(recurse=False)):
            return super().forward(input)
        weight, bias = (None if value is None else value.float() for value in (self.weight, self.bias))
        return layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


# Trained ones among them keep weights in fp32, and compute in it.
TOLERANT: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: HalfLinear,
    HeldLinear: HalfLinear,
    Conv1D: HalfConv1D,
}
NORMS: dict[type[nn.Module], type[nn.Module]] = {nn.LayerNorm: HalfNorm}


@own_hook
def narrow(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Round what enters the layers."""
    return (args[0].to(HALF), *args[1:])


@own_hook
def widen(stack: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
    """Give what the layers answer back in fp32, as the head expects it."""
    if isinstance(output, tuple):
        return (output[0].float(), *output[1:])
    output.last_hidden_state = output.last_hidden_state.float()
    return output


def _round(value: nn.Parameter, released: bool) -> None:
    whole, value.data = value.data, value.data.to(HALF)
    if released:  # at once, so that never more than one stands in memory twice
        release(whole)


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    if bias is not None and bias.dtype != weight.dtype:
        bias = bias.to(weight.dtype)  # a trained one, whose gradient comes back in its own type
    return linear(x.to(weight.dtype), weight, bias).to(x.dtype)


def _rounded(layers: nn.Module, streams: bool) -> list[nn.Parameter]:
    """Return the frozen parameters to round: of the linear layers, and of norms where those meet bf16."""
    products = [module for module in layers.modules() if type(module) in TOLERANT]
    inside = [value for module in products for value in module.parameters(recurse=False)]
    norms = [value for module in layers.modules() if streams for value in _vectors(module)]
    found = {id(value): value for value in (*inside, *norms)}.values()
    return [value for value in found if value.dtype == torch.float32 and not value.requires_grad]


def _vectors(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a norm; none where one of them is trained, for it takes them in one type alone."""
    if isinstance(module, nn.ParameterDict | nn.ParameterList):  # an adapter's, not a norm
        return []
    own = list(module.parameters(recurse=False))
    return own if all(value.ndim == 1 and not value.requires_grad for value in own) else []


def _cast_between(stack: nn.Module, layers: nn.Module) -> list[Any]:
    """Round what enters the layers, and widen what leaves their stack."""
    first: Any = next(iter(layers.children()))
    return [first.register_forward_pre_hook(narrow), stack.register_forward_hook(widen, with_kwargs=True)]
