"""The base of methods that PEFT implements: attach, save and load in PEFT's layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator

from lightune import runtime
from lightune.errors import RecipeError, is_out_of_memory
from lightune.methods.base import Attachment, Method, claimed, count_parameters, released, require_same_tensors
from lightune.methods.registry import METHODS
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy

# What PEFT raises when a configuration does not suit a model.
REFUSALS = (ValueError, TypeError, NotImplementedError, AttributeError, KeyError, IndexError, RuntimeError)
ALL_LINEAR = "all-linear"


def named_targets(given: Any) -> Any:
    """Return PEFT's word for all linear layers as a list of one name, and anything else as it is."""
    return (ALL_LINEAR,) if isinstance(given, str) and given.lower() == ALL_LINEAR else given


def _checked_targets(given: Any) -> Any:
    """Return the same; ValueError for other names beside PEFT's word for all."""
    found = named_targets(given)
    if isinstance(found, list | tuple) and ALL_LINEAR in found and len(found) > 1:
        raise ValueError(f"{ALL_LINEAR} means all of them, so it must be the only name")
    return found


# Modules by PEFT's rules; "all-linear" means the linear layers of all blocks, which are those of all linear roles.
Targets = Annotated[tuple[str, ...] | None, BeforeValidator(_checked_targets)]


@dataclass(frozen=True)
class PeftMethod(Method):
    """A method whose modules come from PEFT; a subclass names its targets, its PeftConfig and its formula."""

    peft_loadable: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The method's name in messages."""
        return next((name for name, kind in METHODS.items() if kind is type(self)), type(self).__name__)

    def targets(self, model: nn.Module, anatomy: Anatomy) -> list[str]:
        """Return the names of the modules to adapt: `target_modules` where given, else those of `roles` in full."""
        given = getattr(self, "target_modules", None)
        if given == (ALL_LINEAR,):
            return anatomy.modules(LINEAR_ROLES)
        return list(given) if given else anatomy.modules(getattr(self, "roles", LINEAR_ROLES))

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return PEFT's configuration for this model; see `configured`."""
        raise NotImplementedError

    def added_parameters(self, module: nn.Module) -> int:
        """Return how many parameters the method adds to one target module."""
        raise NotImplementedError

    def configured(self, kind: type, model: nn.Module, anatomy: Anatomy, **options: Any) -> Any:
        """Return a PeftConfig of this kind for sequence classification, with targets and head by full names.

        Fields that the kind does not have are left out; Conv1D layers (GPT-2) store their weight transposed.
        """
        from peft import TaskType
        from transformers.pytorch_utils import Conv1D

        targets = self.targets(model, anatomy)
        modules = dict(model.named_modules())
        kinds = [modules[name] for name in targets if name in modules]
        given = {
            "task_type": TaskType[anatomy.peft_type],
            "target_modules": targets,
            "exclude_modules": anatomy.head,
            "modules_to_save": anatomy.head,
            "fan_in_fan_out": bool(kinds) and all(isinstance(module, Conv1D) for module in kinds),
            **options,
        }
        known = {field.name for field in fields(kind)}
        return kind(**{name: value for name, value in given.items() if name in known or name in options})

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel; RecipeError when PEFT finds nothing to adapt or cannot adapt it."""
        from peft import get_peft_model

        kinds = {type(module).__name__ for module in self.target_modules_of(model, anatomy)}
        try:
            with claimed(model), runtime.seeded(seed, "adapter"):
                adapted = get_peft_model(model, self.peft_config(model, anatomy))
        except REFUSALS as error:
            if is_out_of_memory(error):
                raise
            raise self._refused(self.targets(model, anatomy), kinds, error) from error
        changed = tuple(getattr(adapted.base_model, "targeted_module_names", ()))
        return Attachment(adapted, (*changed, *anatomy.head))

    def _refused(self, targets: list[str], kinds: set[str], error: Exception) -> RecipeError:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        is_kind = "Conv1D" in kinds and "Conv1D" in said
        those = f"these modules as asked: {', '.join(targets[:6])}"
        what = "Conv1D layers, which keep their weights transposed" if is_kind else those
        message = f"{self.label} cannot adapt {what}."
        return RecipeError("RECIPE-034", message, f"PEFT says: {said}")

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """What the method adds, plus the head."""
        return self.added(model, anatomy) + count_parameters(model, anatomy.head)

    def added(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Return the sum of what each target gets."""
        return sum(map(self.added_parameters, self.target_modules_of(model, anatomy)))

    def full_names(self, model: nn.Module, anatomy: Anatomy) -> list[str]:
        """Return the full names of the target modules; given names are matched as in PEFT, by their ends."""
        endings = tuple(f".{name}" for name in self.targets(model, anatomy))
        head = tuple(f"{name}." for name in anatomy.head)  # trained in full, so never adapted
        named = [name for name, _ in model.named_modules() if f".{name}".endswith(endings)]
        return [name for name in named if not f"{name}.".startswith(head)]

    def target_modules_of(self, model: nn.Module, anatomy: Anatomy) -> list[Any]:
        """Return the target modules themselves."""
        return [model.get_submodule(name) for name in self.full_names(model, anatomy)]

    def state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return the tensors as PEFT saves them: adapter weights and the head."""
        from peft import get_peft_model_state_dict

        return {name: value.detach() for name, value in get_peft_model_state_dict(model).items()}

    def load_state(self, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put saved tensors back, strictly: PEFT itself would only warn about a missing one."""
        from peft import set_peft_model_state_dict

        require_same_tensors(self.state(model), tensors)
        set_peft_model_state_dict(model, dict(tensors))

    def write_config(self, model: nn.Module, folder: Path) -> None:
        """Write PEFT's adapter_config.json, so that PeftModel.from_pretrained reads the folder.

        Its `base_model_name_or_path` is where the base was loaded from; `save_adapter` replaces that by a name.
        """
        self.config_to_save(model).save_pretrained(str(folder))

    def config_to_save(self, model: nn.Module) -> Any:
        """Return a copy of the attached configuration, set for inference."""
        import copy

        config: Any = copy.deepcopy(model.peft_config["default"])  # type: ignore[index]
        config.inference_mode = True
        return config

    def merged(self, model: nn.Module) -> nn.Module | None:
        """Merge the adapter into the base weights and return the stock model."""
        from peft.utils import ModulesToSaveWrapper

        if not self.mergeable:
            return None
        # Most methods of PEFT cannot unwrap a head of more than one layer.
        for name, module in list(model.named_modules()):
            if isinstance(module, ModulesToSaveWrapper):
                model.set_submodule(name, module.modules_to_save["default"])
        return released(model.merge_and_unload())  # type: ignore[operator]


def dividing_block(modules: Iterable[Any], at_most: int) -> int:
    """Return the largest block size, at most this, that divides the input width of every module."""
    common = gcd(*(in_and_out(module)[0] for module in modules))
    return next(size for size in range(at_most, 0, -1) if common % size == 0)
