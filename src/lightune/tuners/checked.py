"""What our tuners guarantee: one adapter per model, attached in full or not at all, and removed without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

from lightune.execution.attention_switch import AttentionBefore


class CheckedLayer(nn.Module, BaseTunerLayer):
    """A tuner's layer that may change other modules (a hook, an attribute), and can undo that."""

    def let_go(self) -> None:
        """Undo the changes outside the layer; a second call does nothing."""

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter; the last one also undoes changes outside the layer, which stays, as LoRA's does."""
        super().delete_adapter(adapter_name)
        if not self._all_available_adapter_names():
            self.let_go()


class CheckedTuner(BaseTuner):
    """A tuner that allows a model one adapter, and leaves the model unchanged when it refuses one.

    A subclass gives the name of such an adapter in messages as `called`.
    """

    called: ClassVar[str]
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
        """Wrap the targets. Raises ValueError, and leaves the model as it was, for a second adapter or a wrong one."""
        layers = [module for module in model.modules() if isinstance(module, self.tuner_layer_cls)]
        known = sorted({name for layer in layers for name in layer._all_available_adapter_names()})
        if known:
            raise ValueError(
                f'a model can have one {self.called}, and this one already has "{known[0]}". '
                "Call delete_adapter or unload first; lightune.load_adapters loads several."
            )
        with whole_or_not_at_all(model):
            super().inject_adapter(model, adapter_name, *args, **kwargs)
            self._check_injected(model, adapter_name)

    def _check_injected(self, model: nn.Module, adapter_name: str) -> None:
        """Raise ValueError where the adapter is not what its configuration asks for."""

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        if isinstance(child, CheckedLayer):  # it is removed; it may belong to another of our tuners
            child.let_go()
            setattr(parent, child_name, new_module)
        else:
            super()._replace_module(parent, child_name, new_module, child)

    def _check_merge_allowed(self) -> None:
        raise ValueError(f"a {self.called} cannot be merged into weights. Keep it, or remove it with unload().")


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module itself without the layers of tuners around it."""
    return module.get_base_layer() if isinstance(module, BaseTunerLayer) else module


@contextmanager
def whole_or_not_at_all(model: nn.Module) -> Iterator[None]:
    """Restore the model when the block inside fails: its modules, what is trainable, its attention."""
    children = [(module, dict(module._modules)) for module in model.modules()]
    trained = [(value, value.requires_grad) for value in model.parameters()]
    attention = AttentionBefore(model)
    known = {id(module) for module, _ in children}
    try:
        yield
    except BaseException:
        for module in list(model.modules()):
            if isinstance(module, CheckedLayer) and id(module) not in known:
                module.let_go()
        for module, own in children:
            module._modules.clear()
            module._modules.update(own)
        for value, is_trained in trained:
            value.requires_grad_(is_trained)
        attention.put_back()
        raise
