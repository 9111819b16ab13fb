"""The names of a model's parts, found from its configuration only: no weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightune.models import hub
from lightune.models.anatomy import ROLES, Anatomy, anatomy_of
from lightune.models.architectures import ARCHITECTURES
from lightune.models.config import read_config
from lightune.models.derived_head import head_of
from lightune.models.load import find_model
from lightune.models.row_proposal import as_row, propose, skeleton


@dataclass(frozen=True)
class Inspection:
    """The parts of a model. A known architecture has `modules` by role; an unknown one a proposed `row`."""

    model: str
    architecture: str
    model_class: str
    parameters: int
    layers: str
    layer_count: int
    modules: dict[str, list[str]]
    head: list[str]
    row: str | None
    unclear: list[str]

    @property
    def is_known(self) -> bool:
        """Whether the architecture has a row."""
        return self.row is None

    def fields(self) -> dict[str, Any]:
        """Return the inspection as JSON values."""
        return {**vars(self), "known": self.is_known}


def inspect_model(name: str, revision: str | None = None) -> Inspection:
    """Inspect a Hub name, a folder or `minilm`. Raises RecipeError or HubError when there is nothing to inspect."""
    from lightune.progress import quiet_libraries

    quiet_libraries()
    source = find_model(name, revision, patterns=hub.CONFIG_FILES)
    model_type = str(read_config(source.name, source.folder).get("model_type"))
    model = skeleton(source.name, source.folder)
    common = {
        "model": name,
        "architecture": model_type,
        "model_class": type(model).__name__,
        "parameters": model.num_parameters(),
        "head": list(head_of(model).modules),
    }
    found = _known(anatomy_of(model)) if model_type in ARCHITECTURES else _proposed(model_type, model)
    return Inspection(**common, **found)


def _known(anatomy: Anatomy) -> dict[str, Any]:
    return {
        "layers": anatomy.architecture.layers,
        "layer_count": anatomy.layer_count,
        "modules": {role: anatomy.modules([role]) for role in ROLES},
        "row": None,
        "unclear": [],
    }


def _proposed(model_type: str, model: Any) -> dict[str, Any]:
    proposal = propose(model)
    count = len(list(model.get_submodule(proposal.layers).children())) if proposal.layers else 0
    modules = {
        role: [f"{proposal.layers}.{number}.{path}" for number in range(count) for path in paths]
        for role, paths in proposal.roles.items()
    }
    return {
        "layers": proposal.layers,
        "layer_count": count,
        "modules": modules,
        "row": as_row(model_type, proposal),
        "unclear": list(proposal.unclear),
    }
