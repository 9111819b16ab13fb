"""The precision in which a classifier predicts: fp32, or bf16 through a copy whose layers compute in bf16."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

from lightune.errors import RecipeError
from lightune.execution.precision_probe import Precision, probe_precision

if TYPE_CHECKING:
    from torch import nn

    from lightune.data.encoding import Encoded

PRECISIONS = ("fp32", "bf16", "auto")
# The most tokens in a batch of many texts; see data/encoding.py.
BATCH_TOKENS = 64 * 64


class AnsweringPrecision:
    """Chooses what predicts, separately for one text and for many: the model, or its bf16 copy, made when needed.

    The copy shares all tensors except those of the layers, which take half of their memory again. `chosen` says what
    was chosen for "one text" and "many texts", and why.
    """

    def __init__(self, wanted: str, device_type: str) -> None:
        if wanted not in PRECISIONS:
            raise RecipeError("RECIPE-022", f'precision: there is no "{wanted}".', f"Valid: {', '.join(PRECISIONS)}.")
        can = device_type in ("cpu", "cuda")
        if wanted == "bf16" and not can:
            message = f"precision bf16: predictions in bf16 need a CPU or CUDA, and this is {device_type}."
            raise RecipeError("RECIPE-022", message, "Leave the precision out.")
        self._wanted = wanted if can else "fp32"
        self._source: nn.Module | None = None
        self._copy: nn.Module | None = None
        self._copying = threading.Lock()
        self.chosen: dict[str, Precision] = {}

    def choose(self, model: nn.Module, encoded: Encoded) -> nn.Module:
        """Return the module that predicts these texts."""
        if self._wanted == "fp32":
            return model
        kind: Literal["one text", "many texts"] = "one text" if len(encoded) == 1 else "many texts"
        with self._copying:
            if kind not in self.chosen:
                self.chosen[kind] = self._found(model, sum(encoded.lengths))
            if self.chosen[kind].name == "fp32":
                return model
            if self._source is not model or self._copy is None:
                from lightune.execution.bf16_copy import copy_in_bf16

                self._source, self._copy = model, copy_in_bf16(model)
            return self._copy

    def stop(self) -> None:
        """Drop the copy and make no other: from now on, others may change the model."""
        with self._copying:
            self._wanted = "fp32"
            self._source = self._copy = None

    def _found(self, model: nn.Module, tokens: int) -> Precision:
        if self._wanted != "auto":
            return Precision(self._wanted, "asked for")
        if next(model.parameters()).device.type != "cpu":
            return Precision("fp32", "no gain was seen on a GPU")
        return probe_precision(model, min(tokens, BATCH_TOKENS), is_training=False)
