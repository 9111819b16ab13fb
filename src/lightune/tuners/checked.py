"""What our tuners guarantee: several adapters, each attached in full or not at all, and removed without a trace."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

from lightune.tuners.mixed_batches import naming
from lightune.tuners.undo import ModulesBefore

PARTS = ("weight", "bias", "embedding", "hidden", "out")  # of linear layers, and of a prefix's projection


class CheckedLayer(nn.Module, BaseTunerLayer):
    """A tuner's layer that may change other modules (a hook, an attribute), and can undo that."""

    why_apart: ClassVar[str] = "an adapter of this kind is not a change of weights"

    def let_go(self) -> None:
        """Undo the changes outside the layer; a second call does nothing."""

    def forget(self) -> None:
        """Drop what a call of the model left in the layer because it failed before the layer was reached."""

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter; the last one also undoes changes outside the layer, which stays, as LoRA's does."""
        super().delete_adapter(adapter_name)
        if not self._all_available_adapter_names():
            self.let_go()

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Raise ValueError: there is nothing to merge into."""
        raise ValueError(f"{self.why_apart}. Keep it, or remove it with unload().")

    def unmerge(self) -> None:
        """Do nothing, as nothing was merged."""
        warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)


class CheckedTuner(BaseTuner):
    """A tuner that leaves the model unchanged when it refuses an adapter, and takes another adapter for each row."""

    tuner_layer_cls: type[CheckedLayer]
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  (PEFT declares it so; it stays empty)

    def __init__(self, model: nn.Module, peft_config: Any, adapter_name: str, **options: Any) -> None:
        """Wrap the model; a refused adapter is removed from `peft_config`, which PEFT fills beforehand."""
        table = getattr(model, "peft_config", None)
        before = dict(table) if table else {}
        try:
            super().__init__(model, peft_config, adapter_name, **options)
        except BaseException:
            if table is not None:
                table.clear()
                table.update(before)
            raise

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Wrap the targets. Raises ValueError, and leaves the model and this tuner as they were, for a wrong one."""
        _check_name(adapter_name)
        with whole_or_not_at_all(model, self):
            super().inject_adapter(model, adapter_name, *args, **kwargs)
            self._check_injected(model, adapter_name)

    def _check_injected(self, model: nn.Module, adapter_name: str) -> None:
        """Raise ValueError where the adapter is not what its configuration asks for."""

    def undo_outside(self, model: nn.Module) -> None:
        """Undo what a failed injection changed outside modules, once its new layers have let go."""

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        if isinstance(child, CheckedLayer):  # it is removed; it may belong to another of our tuners
            child.let_go()
        if isinstance(child, BaseTunerLayer) and not isinstance(child, CheckedLayer):
            super()._replace_module(parent, child_name, new_module, child)
        else:  # PEFT asks for a weight of its own, which a head of several layers has not
            setattr(parent, child_name, new_module)

    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Return the context in which PEFT calls the model; `adapter_names` names an adapter for each input."""
        given = kwargs.get("adapter_names")
        if given is None:
            return nullcontext()
        for module in self.modules():
            if isinstance(module, BaseTunerLayer) and not isinstance(module, CheckedLayer):
                kind = type(module).__name__
                raise ValueError(f"adapter_names does not reach another tuner's layers ({kind}): set_adapter does.")
        asked = [kwargs, vars(kwargs["generation_config"]) if kwargs.get("generation_config") else {}]
        repeats = [each.get(name) or 1 for each in asked for name in ("num_beams", "num_return_sequences")]
        return naming(self, given, max(repeats), self.peft_config)

    def _check_merge_allowed(self) -> None:
        raise ValueError(f"{self.tuner_layer_cls.why_apart}. Keep it, or remove it with unload().")


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module itself without the layers of tuners around it."""
    return module.get_base_layer() if isinstance(module, BaseTunerLayer) else module


def forget_failed_call(model: nn.Module) -> None:
    """Drop what a call of the model that failed left in layers of ours: tensors that hold on to all it computed."""
    for module in model.modules():
        if isinstance(module, CheckedLayer):
            module.forget()


def _check_name(adapter_name: str) -> None:
    """Raise ValueError for a name that torch cannot keep parameters under, or PEFT cannot save beside others."""
    if "." in adapter_name or not adapter_name or hasattr(nn.ParameterDict(), adapter_name):
        raise ValueError(
            f'"{adapter_name}" cannot be the name of an adapter: torch keeps its tensors under that name. '
            "Give one without a dot that is no attribute of torch.nn.ParameterDict."
        )
    if adapter_name in PARTS:
        raise ValueError(
            f'"{adapter_name}" cannot be the name of an adapter: a part of its layers has that name, and PEFT would '
            "leave that part of the other adapters out when it saves them. Give another one."
        )


@contextmanager
def whole_or_not_at_all(model: nn.Module, tuner: CheckedTuner) -> Iterator[None]:
    """Restore the model when the block inside fails: its modules, trainable and active parts, what is outside."""
    before = ModulesBefore(model, tuner)
    try:
        yield
    except BaseException:
        for module in model.modules():
            if isinstance(module, CheckedLayer) and not before.knows(module):
                module.let_go()
        tuner.undo_outside(model)
        before.put_back()
        raise
