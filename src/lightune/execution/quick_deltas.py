"""PEFT's LoHa, LoKr, FourierFT and RandLoRA layers without what they keep for the backward pass, for training.

PEFT computes the update of a weight, as large as the weight, in every call, multiplies the inputs with it, and keeps it
until the backward pass: 340 MB for the 72 linear layers of a model of 110 million parameters, once for each call. Here
LoHa, LoKr and FourierFT do without the update unless it costs less, and RandLoRA computes its factors again.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.fourierft.layer import FourierFTLinear
from peft.tuners.loha.layer import Linear as LohaLinear
from peft.tuners.lokr.layer import Linear as LokrLinear
from peft.tuners.randlora.layer import Linear as RandLoraLinear
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear
from torch.utils.weak import WeakIdKeyDictionary

from lightune.execution.bf16 import HalfLinear


def only_adapter(layer: Any, known: Any) -> str | None:
    """Return the name of the one active adapter over an ordinary linear layer; None where PEFT should compute."""
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    if name not in known or type(layer.base_layer) not in (nn.Linear, HalfLinear):
        return None
    device = layer.base_layer.weight.device.type
    return None if torch.is_autocast_enabled(device) or known[name].dtype != torch.float32 else name


def working_type(layer: Any) -> torch.dtype:
    """Return in which type a layer multiplies: frozen layers may be in bf16 while training lasts."""
    frozen = layer.base_layer
    return torch.bfloat16 if type(frozen) is HalfLinear and frozen.weight.dtype == torch.bfloat16 else torch.float32


class QuickLoha(LohaLinear):
    """W x + s ((B1 A1) * (B2 A2)) x by the products of all pairs of factors, rank^2 of them."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (..., out) of (..., in)."""
        name = only_adapter(self, self.hada_w1_a)
        if args or kwargs or name is None or not self._is_plain(name):
            return super().forward(x, *args, **kwargs)
        b1, a1 = self.hada_w1_a[name], self.hada_w1_b[name]
        b2, a2 = self.hada_w2_a[name], self.hada_w2_b[name]
        inner = (a1.unsqueeze(1) * a2.unsqueeze(0)).flatten(0, 1)  # (rank^2, in)
        outer = (b1.unsqueeze(2) * b2.unsqueeze(1)).flatten(1) * self.scaling[name]  # (out, rank^2)
        found = self.base_layer(x)
        return found + linear(linear(x.to(inner.dtype), inner), outer).to(found.dtype)

    def _is_plain(self, name: str) -> bool:
        """Whether the pairs cost less than the matrix, and nothing is dropped."""
        inputs, outputs = self.hada_w1_b[name].shape[1], self.hada_w1_a[name].shape[0]
        pairs = self.hada_w1_b[name].shape[0] ** 2
        drops = self.training and (self.rank_dropout[name] or self.module_dropout[name])
        return name not in self.hada_t1 and not drops and pairs * (inputs + outputs) < inputs * outputs


class QuickLokr(LokrLinear):
    """W x + s (C kron D) x as D X C^T, with x as a matrix X: two small products."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (..., out) of (..., in)."""
        small = self.lokr_w1 if self.lokr_w1 else self.lokr_w1_a
        name = only_adapter(self, small)
        if args or kwargs or name is None or name in self.lokr_t2 or self._drops(name):
            return super().forward(x, *args, **kwargs)
        c = self.lokr_w1[name] if name in self.lokr_w1 else self.lokr_w1_a[name] @ self.lokr_w1_b[name]
        d = self.lokr_w2[name] if name in self.lokr_w2 else self.lokr_w2_a[name] @ self.lokr_w2_b[name]
        found = self.base_layer(x)
        folded = x.to(c.dtype).reshape(-1, c.shape[1], d.shape[1])
        # (rows, in1, in2) to (rows, out2, in1), then to (rows, out2, out1): both are one product of many rows.
        half = linear(folded, d).transpose(1, 2)
        whole = linear(half, c * self.scaling[name]).transpose(1, 2)
        return found + whole.reshape(found.shape).to(found.dtype)

    def _drops(self, name: str) -> bool:
        return self.training and bool(self.rank_dropout[name] or self.module_dropout[name])


class QuickFourier(FourierFTLinear):
    """W x + s Re(IDFT2(F)) x by transforms of the inputs and outputs, without the update, while that costs less.

    A token costs a product for each frequency, the update as much as a product of its size and two transforms of it.
    Measured on one core, both cost about the same when frequencies * tokens = in * out, for 384 to 3,072 inputs; beyond
    that PEFT computes, so what is passed on, (frequencies, tokens), never has more numbers than the weight.
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (..., out) of (..., in)."""
        name = only_adapter(self, self.fourierft_spectrum)
        if args or kwargs or name is None or not self._is_cheaper(name, x.numel() // self.in_features):
            return super().forward(x, *args, **kwargs)
        found = self.base_layer(x)
        spectrum, places = self.fourierft_spectrum[name], self.indices[name].to(x.device)
        added = _Fourier.apply(x, spectrum, places, self.fourierft_scaling[name], self.base_layer.weight.shape)
        return found + added.to(found.dtype)

    def _is_cheaper(self, name: str, tokens: int) -> bool:
        """Whether so many tokens cost less without the update."""
        return self.fourierft_spectrum[name].numel() * tokens <= self.in_features * self.out_features


class _Fourier(torch.autograd.Function):
    """x D^T for D = s Re(IDFT2(F)), F zero but for the values c_k at the places (u_k, v_k).

    D_mn = s / (M N) sum_k c_k cos(2 pi (u_k m / M + v_k n / N)), so with the transform X of an input the output is the
    real part of the inverse transform of Z, where Z at u_k receives c_k X at v_k.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, values: torch.Tensor, places: torch.Tensor, scale: float, shape: torch.Size
    ) -> torch.Tensor:
        """Return (..., out); x (..., in), values (count), places (2, count) in D of this shape."""
        ctx.scale, ctx.shape = scale, shape
        ctx.save_for_backward(x, values, places)
        (outputs, inputs), (at_output, at_input) = shape, places
        passed = _passed(_transform(x, inputs), values, at_input, at_output, outputs)
        return passed.mul_(scale / inputs).view(*x.shape[:-1], outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of x and of the values."""
        x, values, places = ctx.saved_tensors
        (outputs, inputs), (at_output, at_input) = ctx.shape, places
        outer = _transform(gradient, outputs)
        both = (outer[at_output] * _transform(x, inputs)[at_input]).sum(1).real
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = _passed(outer, values, at_output, at_input, inputs).mul_(ctx.scale / outputs)
            to_x = to_x.to(x.dtype).view(x.shape)
        return to_x, both.mul_(ctx.scale / (outputs * inputs)), None, None, None


def _transform(x: torch.Tensor, width: int) -> torch.Tensor:
    """Return sum_n x_n exp(2 pi i v n / width) of each row, (width, rows)."""
    return torch.fft.fft(x.reshape(-1, width).float()).conj().t()


def _passed(
    spectrum: torch.Tensor, values: torch.Tensor, source: torch.Tensor, target: torch.Tensor, width: int
) -> torch.Tensor:
    """Return the real inverse transform, (rows, width), of what the values pass on from one frequency to another."""
    found = spectrum.new_zeros(width, spectrum.shape[1])
    found.index_add_(0, target, spectrum[source] * values.unsqueeze(1))
    return torch.fft.ifft(found.t()).real.contiguous()


class QuickRandLora(RandLoraLinear):
    """W x + s B M x with M_kj = l_k A_k g_j, computed again for the backward pass; in the frozen layer's type."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:  # type: ignore[override]
        """Return (..., out) of (..., in)."""
        name = only_adapter(self, self.randlora_lambda)
        bases: Any = (self.randlora_A, self.randlora_B)
        if args or kwargs or name is None or any(base[name].dtype != torch.float32 for base in bases):
            return super().forward(x, *args, **kwargs)
        narrow, wide = sorted((self.in_features, self.out_features))
        a, b = bases[0][name][:, 0, :narrow], _rounded(bases[1][name], working_type(self))[:wide, : self.num_bases]
        found = self.base_layer(x)
        sizes = self.randlora_lambda[name], self.randlora_gamma[name]
        given = self.randlora_dropout[name](x)
        added = _RandLora.apply(given, *sizes, a, b.flatten(1), self.scaling[name], narrow == self.in_features)
        return found + added.to(found.dtype)


class _RandLora(torch.autograd.Function):
    """s x M^T B^T where the inputs are the narrow side, and s x B M where the outputs are."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        lengths: torch.Tensor,
        gains: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
        narrow_in: bool,
    ) -> torch.Tensor:
        """Return (..., out); lengths (rank, bases), gains (bases, narrow), A (rank, narrow), B (wide, bases * rank)."""
        rows = x.reshape(-1, x.shape[-1]).to(b.dtype)
        inner = rows @ (_scaled(lengths, gains, a).to(b.dtype).t() if narrow_in else b)
        ctx.save_for_backward(rows, inner, lengths, gains, a, b)
        ctx.scale, ctx.narrow_in, ctx.like = scale, narrow_in, (x.dtype, x.shape)
        found = inner @ (b.t() if narrow_in else _scaled(lengths, gains, a).to(b.dtype))
        return found.mul_(scale).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of x, of the lengths and of the gains."""
        rows, inner, lengths, gains, a, b = ctx.saved_tensors
        outer = gradient.reshape(-1, gradient.shape[-1]).to(b.dtype)
        matrix = _scaled(lengths, gains, a).to(b.dtype)
        to_inner = (outer @ (b if ctx.narrow_in else matrix.t())).mul_(ctx.scale)
        to_matrix = to_inner.t() @ rows if ctx.narrow_in else (inner.t() @ outer).mul_(ctx.scale)
        spread = to_matrix.to(lengths.dtype).view(*lengths.shape, -1).mul(a.unsqueeze(1))
        to_lengths = torch.einsum("kbj,bj->kb", spread, gains)
        to_gains = torch.einsum("kbj,kb->bj", spread, lengths)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = _as(to_inner @ (matrix if ctx.narrow_in else b.t()), *ctx.like)
        return to_x, to_lengths, to_gains, None, None, None, None


def _as(found: torch.Tensor, dtype: torch.dtype, shape: torch.Size) -> torch.Tensor:
    return found.to(dtype).view(shape)


def _scaled(lengths: torch.Tensor, gains: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Return M, (rank * bases, narrow)."""
    return ((lengths.unsqueeze(2) * gains).mul_(a.unsqueeze(1))).flatten(0, 1)


_known_rounded: WeakIdKeyDictionary = WeakIdKeyDictionary()


def _rounded(frozen: torch.Tensor, work: torch.dtype) -> torch.Tensor:
    """Return a frozen matrix in another type; all layers share it, so it is rounded once, until it is changed.

    What is written through `.data` has no version, and is seen from the next training on.
    """
    if frozen.dtype == work:
        return frozen
    version, source, found = _known_rounded.get(frozen, (None, None, None))
    # Assigning `.data` leaves the version. The old memory is kept, so nothing else can come to stand at its place.
    if found is None or version != frozen._version or not source.is_set_to(frozen):
        with torch.inference_mode(False):  # a tensor of inference could not be used in training afterwards
            found = frozen.detach().to(work)
        _known_rounded[frozen] = frozen._version, frozen.data, found
    return found


def forget_rounded() -> None:
    """Give back the memory of rounded matrices."""
    _known_rounded.clear()


QUICK: dict[type[nn.Module], type[nn.Module]] = {
    LohaLinear: QuickLoha,
    LokrLinear: QuickLokr,
    FourierFTLinear: QuickFourier,
    RandLoraLinear: QuickRandLora,
}
