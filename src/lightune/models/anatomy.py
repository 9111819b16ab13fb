"""The parts of a loaded model by role; their names come from the table of architectures and from the model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from lightune.errors import RecipeError, did_you_mean
from lightune.models.architectures import ARCHITECTURES, Architecture
from lightune.models.derived_head import head_of

if TYPE_CHECKING:
    from torch import nn

Role = Literal["query", "key", "value", "attention_out", "ffn_in", "ffn_out", "attention"]
ROLES: tuple[str, ...] = get_args(Role)
LINEAR_ROLES: tuple[str, ...] = tuple(role for role in ROLES if role != "attention")


@dataclass(frozen=True)
class Anatomy:
    """The parts of one loaded model.

    `head_modules` are outside its base model. `output_layer`, whose outputs are the logits, is their last layer (""
    where there is none). `new_modules` own parameters that the checkpoint did not hold. `peft_type` is PEFT's name of
    the task that the head is for.
    """

    model_type: str
    architecture: Architecture
    layer_count: int
    head_modules: tuple[str, ...]
    output_layer: str
    new_modules: tuple[str, ...] = ()
    peft_type: str = "SEQ_CLS"

    def modules(self, roles: Iterable[str]) -> list[str]:
        """Return the full names of the modules that play the roles, layer by layer, each once.

        Raises RecipeError for an unknown role and for an empty selection.
        """
        names: list[str] = []
        for index in range(self.layer_count):
            for role in roles:
                paths = self.architecture.paths(check_role(role))
                names += [f"{self.architecture.layers}.{index}.{path}" for path in paths]
        if not names:
            raise RecipeError("RECIPE-031", "no role was given, so nothing would be adapted.", f"Valid: {_listed()}.")
        return list(dict.fromkeys(names))

    @property
    def head(self) -> list[str]:
        """The modules that must be trained and saved: the head, and whatever else the checkpoint did not hold.

        No module is inside another: PEFT would save it twice, and train the copy that is not used.
        """
        head = self.head_modules
        inside = tuple(f"{module}." for module in head)
        return [*(name for name in self.new_modules if name not in head and not name.startswith(inside)), *head]


def stock_classifier(model: nn.Module) -> Any:
    """Return the transformers model inside all that wraps it, or None."""
    from transformers import PreTrainedModel

    return next((module for module in model.modules() if isinstance(module, PreTrainedModel)), None)


def layer_stack(model: nn.Module) -> nn.ModuleList:
    """Return the layers of a classifier, adapted or not; KeyError for an architecture that is not known."""
    stock = stock_classifier(model)
    found: nn.ModuleList = stock.get_submodule(ARCHITECTURES[stock.config.model_type].layers)
    return found


def layer_runner(model: nn.Module) -> nn.Module:
    """Return the module that calls the layers one after the other: the parent of `layer_stack`."""
    stock = stock_classifier(model)
    found: nn.Module = stock.get_submodule(ARCHITECTURES[stock.config.model_type].layers.rpartition(".")[0])
    return found


def modules_within(layer: nn.Module, paths: Iterable[str]) -> list[nn.Module]:
    """Return the modules at these paths inside a layer, adapted or not, as far as they are found."""
    named = {name.replace(".base_layer", ""): module for name, module in reversed([*layer.named_modules()])}
    return [named[path] for path in paths if path in named]


def is_stock_sequence_classifier(model: nn.Module) -> bool:
    """Say whether transformers itself defines the model's class, with a head that classifies whole texts."""
    kind = type(model)
    return kind.__module__.startswith("transformers.") and kind.__name__.endswith("ForSequenceClassification")


def check_role(role: str) -> str:
    """Return the role, or raise RecipeError with the valid ones."""
    if role not in ROLES:
        raise RecipeError(
            "RECIPE-030", f'there is no role "{role}".', f"{did_you_mean(role, ROLES)} Valid: {_listed()}."
        )
    return role


def architecture_of(model_type: str, advice: str = "") -> Architecture:
    """Return the row for a model type, or raise RecipeError; `advice` says how its row would look."""
    if model_type not in ARCHITECTURES:
        raise RecipeError(
            "RECIPE-032",
            f'the architecture "{model_type}" is not known yet.',
            f"Known: {', '.join(ARCHITECTURES)}. A new one is one row in lightune/models/architectures.py: the path "
            f"of its layers and the module of each role ({_listed()}).{advice}",
        )
    return ARCHITECTURES[model_type]


def anatomy_of(model: nn.Module, missing: Iterable[str] = (), peft_type: str = "SEQ_CLS") -> Anatomy:
    """Return the anatomy of a stock model.

    `missing` names the parameters that the checkpoint did not hold; their modules count as part of the head.
    Raises RecipeError when the architecture is unknown or its row does not fit the model.
    """
    model_type = str(model.config.model_type)  # type: ignore[union-attr]
    architecture = architecture_of(model_type)
    names = dict(model.named_modules())
    count = len(list(names[architecture.layers].children())) if architecture.layers in names else 0
    owners = dict.fromkeys(name.rpartition(".")[0] for name in missing)
    new, head = tuple(sorted(owner for owner in owners if owner)), head_of(model)
    anatomy = Anatomy(model_type, architecture, count, head.modules, head.output_layer, new, peft_type)
    wanted = (*anatomy.modules(ROLES), *anatomy.head) if count else ("layers",)
    absent = [name for name in wanted if name not in names]
    if absent:
        raise RecipeError("RECIPE-033", f"the row for {model_type} does not fit this model: no module {absent[0]}.")
    return anatomy


def _listed() -> str:
    return ", ".join(ROLES)
