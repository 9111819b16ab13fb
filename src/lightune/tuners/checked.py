"""What our tuners keep to: a model takes an adapter whole or stays as it was, takes one, and gets back what it had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

from lightune.execution.attention import AttentionBefore


class CheckedLayer(nn.Module, BaseTunerLayer):
    """A tuner's layer that may reach beyond itself (a hook, a note on another module) and takes that back."""

    def let_go(self) -> None:
        """Take back what reaches beyond the layer; a second time changes nothing."""

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter; after the last one nothing reaches beyond the layer, which stays, as LoRA's does."""
        super().delete_adapter(adapter_name)
        if not self._all_available_adapter_names():
            self.let_go()


class CheckedTuner(BaseTuner):
    """A tuner of which a model takes one adapter, and which leaves the model as it was when it refuses to.

    A subclass says in `called` what such an adapter is, in words.
    """

    called: ClassVar[str]
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  (PEFT declares it so; it stays empty)

    def __init__(self, model: nn.Module, peft_config: Any, adapter_name: str, **options: Any) -> None:
        """Wrap the model; what is refused is not left in its table of adapters, which PEFT fills beforehand."""
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
                f'a model takes one {self.called}, and this one has "{known[0]}". '
                "Call delete_adapter or unload first; lightune.load_adapters serves several."
            )
        with whole_or_not_at_all(model):
            super().inject_adapter(model, adapter_name, *args, **kwargs)
            self._check_injected(model, adapter_name)

    def _check_injected(self, model: nn.Module, adapter_name: str) -> None:
        """Raise ValueError where the adapter is not what its configuration asks for."""

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        if isinstance(child, CheckedLayer):  # it is taken off, and may be another tuner's of ours
            child.let_go()
            setattr(parent, child_name, new_module)
        else:
            super()._replace_module(parent, child_name, new_module, child)

    def _check_merge_allowed(self) -> None:
        raise ValueError(f"a {self.called} cannot be merged into weights. Keep it on, or take it off by unload().")


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module itself without the layers of tuners around it."""
    return module.get_base_layer() if isinstance(module, BaseTunerLayer) else module


@contextmanager
def whole_or_not_at_all(model: nn.Module) -> Iterator[None]:
    """Put the model back as it was when what happens inside fails: its modules, what is trained, its attention."""
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
