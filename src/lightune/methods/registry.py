"""The table of methods; each method's file registers itself here, and other packages by the entry points of a group."""

from __future__ import annotations

from dataclasses import is_dataclass

from lightune.methods.base import Method
from lightune.registry import Registry


def _check(name: str, kind: type[Method]) -> None:
    """Raise for what is not a method, or has defaults that do not work; another package may register anything."""
    if not (isinstance(kind, type) and issubclass(kind, Method) and is_dataclass(kind)):
        raise TypeError(f"{kind!r} is not a dataclass that derives from lightune.methods.Method")
    float(kind.default_learning_rate)
    kind().options()


METHODS: Registry[type[Method]] = Registry("method", entry_points="lightune.methods", check=_check)
register = METHODS.register
