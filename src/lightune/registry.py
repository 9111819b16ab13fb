"""A name -> object table that answers an unknown name with the valid ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from lightune.errors import RecipeError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Named objects of one kind (methods, say), in the order in which they were registered."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._objects: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files the object under `name`; a name can be taken once."""

        def file(obj: T) -> T:
            if name in self._objects:
                raise ValueError(f"{self.kind} {name!r} is registered already")
            self._objects[name] = obj
            return obj

        return file

    def __getitem__(self, name: str) -> T:
        """Return the object called `name`, or raise RecipeError with the valid names."""
        if name not in self._objects:
            hint = f"{did_you_mean(name, self._objects)} Valid: {', '.join(self._objects)}.".strip()
            raise RecipeError("RECIPE-010", f'there is no {self.kind} "{name}".', hint)
        return self._objects[name]

    def __contains__(self, name: str) -> bool:
        return name in self._objects

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def items(self) -> Iterator[tuple[str, T]]:
        """Iterate over (name, object)."""
        return iter(self._objects.items())
