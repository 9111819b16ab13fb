"""The features from which a classifier computes its logits, taken from an ordinary forward pass over the texts."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.encoding import Encoded, length_sorted_batches
from lightune.evaluation.evaluate import predict_logits

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Features:
    """One row per text: the base model's last hidden states averaged over real tokens, and the output layer's inputs.

    Both are (texts, width), fp32; those of a text in windows are the mean of theirs.
    """

    pooled: NDArray[Any]
    head_inputs: NDArray[Any]


class FeatureRecorder:
    """A context that records the features of every batch of a stock sequence classifier.

    A decoder's output layer sees every position; the stock models take the last one that is not a pad token.
    """

    def __init__(self, model: nn.Module, output_layer: nn.Module) -> None:
        self._model = model
        self._output_layer = output_layer
        self._pooled: list[NDArray[Any]] = []
        self._inputs: list[NDArray[Any]] = []

    def __enter__(self) -> FeatureRecorder:
        """Register the hooks."""
        backbone: Any = self._model.base_model
        self._hooks = [
            self._model.register_forward_pre_hook(self._entered, with_kwargs=True),
            backbone.register_forward_hook(self._left_the_backbone),
            self._output_layer.register_forward_pre_hook(self._reached_the_output_layer),
            self._model.register_forward_hook(self._left),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()

    def features(self, encoded: Encoded, batch_size: int) -> Features:
        """Return the features in the order of the texts, which were passed in length-sorted batches."""
        order = np.concatenate([np.asarray(rows) for rows in length_sorted_batches(encoded, batch_size)])
        found = []
        for parts in (self._pooled, self._inputs):
            seen = np.concatenate(parts)
            placed = np.empty_like(seen)
            placed[order] = seen
            found.append(encoded.pooled(placed))
        return Features(*found)

    def _entered(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        self._mask, self._ids = kwargs["attention_mask"], kwargs["input_ids"]
        self._seen: list[NDArray[Any]] = []

    def _left(self, module: nn.Module, args: Any, output: Any) -> None:
        """Keep what was seen, only now: a call for which memory does not suffice is made again in parts."""
        pooled, inputs = self._seen
        self._pooled.append(pooled)
        self._inputs.append(inputs)

    def _left_the_backbone(self, module: nn.Module, args: Any, output: Any) -> None:
        hidden = output[0].float()
        weight = self._mask.unsqueeze(-1).to(hidden.dtype)
        self._seen.append(((hidden * weight).sum(1) / weight.sum(1)).cpu().numpy())

    def _reached_the_output_layer(self, module: nn.Module, args: Any) -> None:
        import torch

        hidden = args[0].detach()
        if hidden.dim() == 3:
            is_real = self._ids != self._model.config.pad_token_id  # type: ignore[union-attr]
            positions = torch.arange(hidden.shape[1], device=hidden.device) * is_real
            hidden = hidden[torch.arange(len(hidden), device=hidden.device), positions.argmax(1)]
        self._seen.append(hidden.float().cpu().numpy())


def watch_texts(
    model: nn.Module, output_layer: nn.Module, tokenizer: PreTrainedTokenizerBase, encoded: Encoded, batch_size: int
) -> Features:
    """Pass the texts through the classifier and return their features."""
    with FeatureRecorder(model, output_layer) as seen:
        predict_logits(model, tokenizer, encoded, batch_size)
    return seen.features(encoded, batch_size)
