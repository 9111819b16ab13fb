"""A classification head that the checkpoint contains: used if it has the task's labels, else replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune.tasks import Task, checkpoint_task
from lightune.tasks.checkpoint_labels import label_names

if TYPE_CHECKING:
    from torch import nn

SHOWN = 6
INCOMPLETE = "The checkpoint holds only a part of the head that its labels ask for; the rest was initialized randomly."


@dataclass(frozen=True)
class OwnHead:
    """Whether a checkpoint's own head is used, and a sentence that says so.

    `order` holds, for each of the task's labels, its row in the checkpoint's output layer; None if that head is not
    used.
    """

    order: tuple[int, ...] | None
    note: str

    def arrange(self, output_layer: nn.Module) -> None:
        """Put the rows of the output layer into the order of the task's labels."""
        import torch

        with torch.no_grad():
            for value in output_layer.parameters(recurse=False):
                value.copy_(value[list(self.order or ())].clone())


def own_head(raw: Mapping[str, Any], task: Task) -> OwnHead:
    """Return whether the head of a checkpoint with this config.json is used.

    Label names agree if they are the same except for case and order. Generic names (LABEL_0, LABEL_1, ...) are taken
    in order if there are as many.
    """
    kind = ", ".join(map(str, raw.get("architectures") or ["of an unnamed kind"]))
    labels = list(task.config()["id2label"].values())
    own = checkpoint_task(raw, "the checkpoint")
    if task.head_class not in kind or (own is not None and type(own) is not type(task)):
        return OwnHead(None, f"The checkpoint's own head ({kind}) is for another task; a new one was initialized.")
    names = label_names(raw)
    folded, wanted = [_folded(name) for name in names], [_folded(label) for label in labels]
    if names == list(labels):  # names that differ only by case need their exact spelling
        folded = wanted = names
    if sorted(folded) == sorted(wanted) and len(set(folded)) == len(folded):
        order = tuple(folded.index(label) for label in wanted)
        moved = "" if order == tuple(range(len(order))) else "; its rows were put in the order of the data's labels"
        return OwnHead(order, f"The checkpoint's own head was used: its labels are those of the data{moved}.")
    if len(names) == len(labels) and all(re.fullmatch(r"LABEL_\d+", name) for name in names):
        pairs = _shown([f"{name} = {label}" for name, label in zip(names, labels, strict=True)])
        note = f"The checkpoint's own head was used. Its labels have no names and were taken in order: {pairs}."
        return OwnHead(tuple(range(len(names))), note)
    note = (
        f"The checkpoint's own head was replaced by a new one: its labels ({_shown(names)}) are not those of the data "
        f"({_shown(labels)})."
    )
    return OwnHead(None, note)


def _folded(name: str) -> str:
    return name.strip().casefold()


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
