"""Another adapter for each row of a batch: the names of a call, by thread, and how layers divide their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from peft.utils import AuxiliaryTrainingWrapper
from torch import nn

from lightune.execution.execution import keeping_rows

BASE = "__base__"  # PEFT's name for a row without an adapter


@dataclass(frozen=True)
class Named:
    """The adapters of a call's inputs; generation with beams or several answers repeats each input that many times."""

    names: tuple[str, ...]
    repeats: int = 1

    def of(self, rows: int) -> list[str]:
        """Return the name for each row of a layer's input; ValueError where they are not as many."""
        if rows == len(self.names) * self.repeats:
            return [name for name in self.names for _ in range(self.repeats)]
        if rows != len(self.names):  # an encoder sees each input once
            raise ValueError(
                "Length of `adapter_names` should be the same as the number of inputs, but got "
                f"{len(self.names)} and {rows} respectively."
            )
        return list(self.names)

    def groups(self, rows: int) -> dict[str, list[int]]:
        """Return the numbers of the rows of each adapter."""
        found: dict[str, list[int]] = {}
        for row, name in enumerate(self.of(rows)):
            found.setdefault(name, []).append(row)
        return found


_NAMED: ContextVar[Named | None] = ContextVar("lightune_adapter_names", default=None)


def named() -> Named | None:
    """Return the adapters that this call names for its inputs; None where the active ones are for all."""
    return _NAMED.get()


@contextmanager
def naming(model: nn.Module, given: Sequence[str], repeats: int, known: Iterable[str]) -> Iterator[None]:
    """Let each row have its own adapter within the context. Raises ValueError in training and for an unknown name."""
    if model.training:
        raise ValueError("Cannot pass `adapter_names` when the model is in training mode. Call eval() first.")
    unknown = set(given) - {BASE, *known}
    if unknown:
        raise ValueError(f"Trying to infer with non-existing adapter(s): {', '.join(sorted(unknown))}")
    names = Named(tuple(given), repeats)
    wrappers = [module for module in model.modules() if isinstance(module, AuxiliaryTrainingWrapper)]
    hooks = [part.register_forward_pre_hook(partial(_name, names), with_kwargs=True) for part in wrappers]
    token = _NAMED.set(names)
    try:
        with keeping_rows():
            yield
    finally:
        _NAMED.reset(token)
        for hook in hooks:
            hook.remove()


def _name(names: Named, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
    """Tell PEFT's own wrapper of a trained module (a head), which takes the names as an argument.

    Another thread's call of the same module is left alone.
    """
    return (args, {**kwargs, "adapter_names": names.of(len(args[0]))}) if named() is names else None
