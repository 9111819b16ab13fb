"""What a method is: its options plus how it attaches to a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from lightune.errors import ArtifactError, RecipeError
from lightune.execution.execution import execution_of

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

    `attach` makes the parameters that the method trains trainable, always including the head, and freezes the others.
    A method describes itself by class variables (or by properties, where they depend on the options):

    - `mergeable`: the adapter can be merged into the base weights, which gives a stock model.
    - `reversible`: `model.disable_adapter()` gives the untouched model back.
    - `starts_unchanged`: until it is trained, the attached model answers like the untouched one.
    - `peft_loadable`: PEFT reads what is saved by itself; `own_tuner`: it does once lightune's tuners are registered.
    - `base_is_frozen`: no weight of the untouched model is trained, except the head.
    - `needs_data`: its initial values are computed from training texts (`start_from_data`).
    - `state_copies`: how many numbers its `training_state` has at most for each trained one.
    - `virtual_tokens`: positions that it puts before each text, which are then not available to the text.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    default_learning_rate: ClassVar[float]
    paper: ClassVar[str] = ""
    aliases: ClassVar[Mapping[str, str]] = {}
    base_is_frozen: ClassVar[bool] = True
    peft_loadable: ClassVar[bool] = False
    own_tuner: ClassVar[bool] = False
    state_copies: ClassVar[int] = 0

    @property
    def mergeable(self) -> bool:
        """Whether the adapter can be merged into the base weights."""
        return False

    @property
    def reversible(self) -> bool:
        """Whether switching the adapter off gives the untouched model back."""
        return False

    @property
    def starts_unchanged(self) -> bool:
        """Whether the attached model answers like the untouched one until it is trained."""
        return True

    @property
    def needs_data(self) -> bool:
        """Whether `start_from_data` has something to do."""
        return False

    @property
    def virtual_tokens(self) -> int:
        """How many of the model's positions the method uses for itself."""
        return 0

    @property
    def by_preset(self) -> Mapping[str, float]:
        """The values that a preset gives to options that are None."""
        return {}

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Change the model so that it can be trained; new parameters are drawn from generators keyed by the seed."""
        raise NotImplementedError

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Return the number of parameters the method trains on this untouched model, from its own formula."""
        raise NotImplementedError

    def start_from_data(self, model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> None:
        """Compute initial values from batches of training texts; called once, after `attach` and before training."""

    def before_training(self, model: nn.Module, total_steps: int) -> None:
        """Receive the number of optimizer steps; called once, before the first step."""

    def after_step(self, model: nn.Module, step: int) -> None:
        """Do what the method does after optimizer step `step` (from 1), while the gradients still exist."""

    def is_settled(self, model: nn.Module, step: int) -> bool:
        """Say whether the weights after this optimizer step may be kept as the best; not before a budget is reached."""
        return True

    def penalty(self, model: nn.Module) -> torch.Tensor | float:
        """Return what is added to the loss of each step, as a regulariser."""
        return 0.0

    def rate_factors(self, model: nn.Module) -> dict[str, float]:
        """Return factors of the learning rate by parameter name; 1 for parameters that are not named."""
        return {}

    def saved_as(self) -> Method:
        """Return the method that a saved adapter belongs to: itself, unless saving turns it into a simpler one."""
        return self

    def state_to_save(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return the tensors of the saved adapter, which fit `saved_as()`; `state` unless that is another method."""
        return self.state(model)

    def state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return all that training changes, by name: what a checkpoint holds."""
        return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}

    def load_state(self, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put saved tensors into an attached model; exactly the expected names and shapes, or ArtifactError."""
        require_same_tensors(self.state(model), tensors)
        for name, value in model.named_parameters():
            if name in tensors:
                value.data.copy_(tensors[name])

    def training_state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return what a method knows in training beside the parameters it trains, to go on with after a pause."""
        return {}

    def restore_training(self, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `training_state` returned; ValueError where it does not fit."""
        if tensors:
            raise ValueError(f"{type(self).__name__} keeps no such state")

    def write_config(self, model: nn.Module, folder: Path) -> None:
        """Write what other tools need to read the adapter; nothing for methods that only lightune knows."""

    def merged(self, model: nn.Module) -> nn.Module | None:
        """Return the stock model with the adapter merged in (the attached one becomes unusable), or None."""
        return None

    def options(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def claim(model: nn.Module) -> None:
    """Mark the model as adapted; RecipeError when it already is: a second adapter would train beside it unnoticed."""
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    execution = execution_of(model)
    has_adapter = isinstance(model, PeftModel) or any(isinstance(module, BaseTunerLayer) for module in model.modules())
    if has_adapter or execution.is_claimed:
        message = "the model already has an adapter; attaching a second one to it is not supported."
        raise RecipeError("RECIPE-035", message, "Load the base model afresh, or merge the first adapter.")
    execution.claim()


@contextmanager
def claimed(model: nn.Module) -> Iterator[None]:
    """Claim the model for the block inside; a failure releases it."""
    claim(model)
    try:
        yield
    except Exception:
        released(model)
        raise


def released(model: nn.Module) -> nn.Module:
    """Return the model without its mark: it is a stock model again."""
    execution_of(model).release()
    return model


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
    """Return how many numbers a parameter holds; 4-bit weights are packed in pairs."""
    state = getattr(value, "quant_state", None)
    return int(value.numel() if state is None else state.shape.numel())


def _kind(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def require_same_tensors(expected: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise ArtifactError unless both hold exactly the same names with the same shapes and types of numbers.

    Arrays of numpy do as well, so that both ways to read an adapter ask this one question.
    """
    missing, extra = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    both = [name for name in expected if name in given]
    shapes = [name for name in both if tuple(expected[name].shape) != tuple(given[name].shape)]
    kinds = [name for name in both if _kind(expected[name]) != _kind(given[name])]
    faults = [f"missing tensor {name}" for name in missing[:3]] + [f"unexpected tensor {name}" for name in extra[:3]]
    faults += [f"{name} is {tuple(given[name].shape)}, not {tuple(expected[name].shape)}" for name in shapes[:3]]
    faults += [f"{name} is {_kind(given[name])}, not {_kind(expected[name])}" for name in kinds[:3]]
    if faults:
        raise ArtifactError(
            "ARTIFACT-010",
            f"the adapter does not fit this model: {'; '.join(faults)}.",
            "Was it made for another base?",
        )
