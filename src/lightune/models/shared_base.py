"""One base model in memory and its classifiers: they share frozen tensors; modules and head are their own.

Imported only where a model is loaded, since it needs torch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lightune.models.checkpoint_head import own_head
from lightune.models.config import read_config
from lightune.models.drawing import draw_anew
from lightune.models.load import (
    LoadedModel,
    ModelSource,
    load_model,
    same_tokenizer,
    text_limit,
    tokenizer_for,
    with_own_head,
)
from lightune.models.weight_files import holds
from lightune.tasks.base import Task

BNB_STATE = "MatmulLtState"  # by its name, since bitsandbytes may not be installed


@dataclass(frozen=True)
class SharedBase:
    """A stock model that is never run and never changed; `model_for` makes others that share its tensors.

    `raw` is the checkpoint's config.json, `holds_head` says whether the checkpoint has an output layer.
    """

    loaded: LoadedModel
    raw: Mapping[str, Any]
    holds_head: bool
    precision: str

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.loaded.model.device

    def model_for(
        self, task: Task, seed: int, max_length: int | None = None, tokenizer: Path | None = None
    ) -> LoadedModel:
        """Return what `load_model` gives for these arguments, tensor by tensor, without reading any weights.

        All tensors share the base model's memory, except the output layer and parameters drawn from the seed. Call
        `give_own_storage` before training them or loading values into them. `tokenizer` is the folder of the tokenizer
        where that is not the base model's; the one in memory is shared if its files are the same.
        """
        base = self.loaded
        model: Any = copy_on_same_tensors(base.model)
        for name, value in task.config().items():
            setattr(model.config, name, value)
        model.num_labels = task.outputs
        found = own_head(self.raw, task)
        output_layer = base.anatomy.output_layer
        give_own_storage(model.get_submodule(output_layer).parameters())
        new = {*base.anatomy.new_modules, *([output_layer] if found.order is None else [])}
        if output_layer in new:
            _resize(model.get_submodule(output_layer), task.outputs)
        draw_anew(model, new, seed)
        anatomy = replace(base.anatomy, new_modules=tuple(sorted(new)))
        source = replace(base.source, tokenizer=tokenizer)
        own = base.tokenizer if same_tokenizer(source, base.source) else tokenizer_for(model, source)
        limit = text_limit(model, own, max_length)
        task = task.for_head(model.get_submodule(output_layer).bias is not None)
        made = LoadedModel(source, model.eval(), own, anatomy, limit, task)
        return with_own_head(found, made) if self.holds_head else made


def load_base(
    source: ModelSource, task: Task, precision: str = "fp32", device: torch.device | None = None
) -> SharedBase:
    """Load a base model to be shared by tasks with the same kind of head as the given one.

    It has the head of its checkpoint, if there is one. Raises the same errors as `load_model`.
    """
    raw = read_config(source.name, source.folder)
    own = type(task).of_checkpoint(raw)
    loaded = load_model(source, own or task, seed=0, precision=precision)
    loaded.model.to(device)  # type: ignore[arg-type]  # None leaves it where it is
    return SharedBase(loaded, raw, holds(source.folder, loaded.anatomy.output_layer), precision)


def copy_on_same_tensors(model: nn.Module) -> nn.Module:
    """Return a copy with its own modules, parameters and configuration, whose tensors share the same memory.

    A parameter of the copy can be frozen, trained or replaced independently; only a write into its values changes both.
    Quantized weights, which are never trained, are the same objects: their scales are attributes of them, and on CUDA
    move to the layer's `state` with the first product.
    """
    same: list[Any] = list(model.buffers())
    memo: dict[int, Any] = {}
    for value in model.parameters():
        if value.is_floating_point():
            memo[id(value)] = nn.Parameter(value.detach(), requires_grad=value.requires_grad)
        else:
            same.append(value)
    same += [layer.state for layer in model.modules() if type(getattr(layer, "state", None)).__name__ == BNB_STATE]
    return copy.deepcopy(model, memo | {id(part): part for part in same})


def give_own_storage(parameters: Iterable[nn.Parameter]) -> None:
    """Copy the values of parameters into memory of their own, so that writing them does not change others."""
    for value in parameters:
        value.data = value.data.clone()


def _resize(layer: Any, rows: int) -> None:
    """Give a linear layer another number of outputs; its values are to be drawn."""
    layer.out_features = rows
    layer.weight = nn.Parameter(layer.weight.new_zeros(rows, layer.in_features))
    if layer.bias is not None:
        layer.bias = nn.Parameter(layer.bias.new_zeros(rows))
