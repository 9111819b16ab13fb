"""What a method is: its options plus how it attaches to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from lightune.errors import ArtifactError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy

WEIGHTS_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class Attachment:
    """What `attach` did: the model to train, and the names of the modules it changed (never empty)."""

    model: nn.Module
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """The base of every method; a subclass's fields are its options.

    `attach` freezes what the method leaves alone and unfreezes what it trains, the head always included.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    default_learning_rate: ClassVar[float]
    mergeable: ClassVar[bool] = False
    base_is_frozen: ClassVar[bool] = True
    reversible: ClassVar[bool] = False
    paper: ClassVar[str] = ""
    aliases: ClassVar[Mapping[str, str]] = {}

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Change the model so that it can be trained; new parameters are drawn from generators keyed by the seed."""
        raise NotImplementedError

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Return the number of parameters the method trains on this untouched model, from its own formula."""
        raise NotImplementedError

    def state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return what has to be saved, by name: the trained parameters."""
        return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}

    def load_state(self, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put saved tensors into an attached model; exactly the expected names and shapes, or ArtifactError."""
        require_same_tensors(self.state(model), tensors)
        for name, value in model.named_parameters():
            if name in tensors:
                value.data.copy_(tensors[name])

    def write_config(self, model: nn.Module, folder: Path) -> None:
        """Write what other tools need to read the adapter; nothing for methods that only we know."""

    def merged(self, model: nn.Module) -> nn.Module | None:
        """Return the stock model with the adapter folded in (the attached one is used up), or None if impossible."""
        return None

    def options(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def freeze_all_but(model: nn.Module, modules: list[str]) -> tuple[str, ...]:
    """Freeze every parameter except those of the named modules; return the names of the modules left trainable."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in modules:
        for parameter in model.get_submodule(name).parameters():
            parameter.requires_grad_(True)
    return tuple(modules)


def count_parameters(model: nn.Module, modules: list[str] | None = None) -> int:
    """Return the number of parameters of the whole model or of the named modules, shared ones once."""
    found = [model] if modules is None else [model.get_submodule(name) for name in modules]
    return sum({id(value): _numbers(value) for module in found for value in module.parameters()}.values())


def _numbers(value: Any) -> int:
    """Return how many numbers a parameter stands for; 4-bit weights are packed in pairs."""
    state = getattr(value, "quant_state", None)
    return int(value.numel() if state is None else state.shape.numel())


def require_same_tensors(expected: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> None:
    """Raise ArtifactError unless both hold exactly the same names with the same shapes."""
    missing, extra = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    shapes = [name for name in expected if name in given and expected[name].shape != given[name].shape]
    faults = [f"missing tensor {name}" for name in missing[:3]] + [f"unexpected tensor {name}" for name in extra[:3]]
    faults += [f"{name} is {tuple(given[name].shape)}, not {tuple(expected[name].shape)}" for name in shapes[:3]]
    if faults:
        raise ArtifactError(
            "ARTIFACT-010",
            f"the adapter does not fit this model: {'; '.join(faults)}.",
            "Was it made for another base?",
        )
