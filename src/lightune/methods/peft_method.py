"""The base of methods that PEFT carries out: attach, save and load in PEFT's layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune import runtime
from lightune.errors import RecipeError
from lightune.methods.base import Attachment, Method, require_same_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy


@dataclass(frozen=True)
class PeftMethod(Method):
    """A method whose modules come from PEFT; a subclass names its targets and its PeftConfig."""

    def targets(self, anatomy: Anatomy) -> list[str]:
        """Return the full names of the modules to adapt."""
        raise NotImplementedError

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return PEFT's configuration for these targets; the head goes into `modules_to_save`."""
        raise NotImplementedError

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel; RecipeError when PEFT finds nothing to adapt or cannot adapt it."""
        from peft import get_peft_model

        config = self.peft_config(model, anatomy)
        try:
            with runtime.seeded(seed, "adapter"):
                adapted = get_peft_model(model, config)
        except ValueError as error:
            message = f"the method cannot adapt these modules: {', '.join(self.targets(anatomy)[:6])}."
            raise RecipeError("RECIPE-034", message, f"PEFT says: {str(error).splitlines()[0]}") from error
        changed = tuple(adapted.base_model.targeted_module_names)
        return Attachment(adapted, (*changed, *anatomy.head))

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
        """Write PEFT's adapter_config.json, so that PeftModel.from_pretrained reads the folder."""
        config: Any = model.peft_config["default"]  # type: ignore[index]
        training, config.inference_mode = config.inference_mode, True
        config.save_pretrained(str(folder))
        config.inference_mode = training

    def merged(self, model: nn.Module) -> nn.Module | None:
        """Fold the adapter into the base weights and return the stock model."""
        return model.merge_and_unload() if self.mergeable else None  # type: ignore[operator]
