"""A name -> object table whose error for an unknown name lists the valid ones; other packages can add objects."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar

from lightune.errors import RecipeError, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True)
class BrokenPlugin:
    """An entry point of another package that could not be used, and why."""

    name: str
    package: str
    reason: str


class Registry(Generic[T]):
    """Named objects of one kind (for example methods), in the order in which they were registered.

    With `entry_points`, the objects of other packages follow, from this group of entry points. They are loaded when
    the table is first read. An entry point's value is a module that registers its objects, or an object, which gets
    the entry point's name. `check` raises for an object that cannot be used. A failed entry point is left out, and
    reported when its name is requested; the others are not affected.
    """

    def __init__(self, kind: str, entry_points: str = "", check: Callable[[str, T], None] | None = None) -> None:
        self.kind = kind
        self._group, self._check = entry_points, check
        self._objects: dict[str, T] = {}
        self._packages: dict[str, str] = {}
        self._broken: list[BrokenPlugin] = []
        self._is_read = not entry_points
        self._reading = threading.RLock()

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers the object under `name`; a name can be registered only once."""

        def file(obj: T) -> T:
            if name in self._objects:
                raise ValueError(f"{self.kind} {name!r} is already registered")
            self._objects[name] = obj
            return obj

        return file

    def __getitem__(self, name: str) -> T:
        """Return the object called `name`, or raise RecipeError with the valid names."""
        objects = self._read()
        if name not in objects:
            self.require_sound(name)
            hint = f"{did_you_mean(name, objects)} Valid: {', '.join(objects)}.".strip()
            raise RecipeError("RECIPE-010", f'there is no {self.kind} "{name}".', hint)
        return objects[name]

    def __contains__(self, name: str) -> bool:
        return name in self._read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def items(self) -> Iterator[tuple[str, T]]:
        """Iterate over (name, object)."""
        return iter(self._read().items())

    def package(self, name: str) -> str:
        """Return the name of the package whose entry point added the object, "" without an entry point."""
        self._read()
        return self._packages.get(name, "")

    def package_of_module(self, module: str) -> str:
        """Return the package whose objects the module defines, "" for any other; nothing is loaded to find out."""
        defined = (name for name, obj in self._objects.items() if getattr(obj, "__module__", None) == module)
        return next((self._packages[name] for name in defined if name in self._packages), "")

    def broken(self) -> list[BrokenPlugin]:
        """Return the entry points that could not be used."""
        self._read()
        return list(self._broken)

    def require_sound(self, name: str) -> None:
        """Raise RecipeError when an entry point of this name could not be used, with the package and the reason."""
        for plugin in self.broken():
            if plugin.name == name:
                message = f'the {self.kind} "{name}" of the package {plugin.package} cannot be used: {plugin.reason}.'
                hint = f"Repair that package, or remove it: pip uninstall {plugin.package}."
                raise RecipeError("RECIPE-012", message, hint)

    def _read(self) -> dict[str, T]:
        """Return the table; the first call loads the plugins, which may read the objects so far."""
        with self._reading:
            if not self._is_read:
                self._is_read = True
                for point in _entry_points(self._group):
                    self._take_in(point)
            return self._objects

    def _take_in(self, point: EntryPoint) -> None:
        """Load one plugin, whole or not at all."""
        before = dict(self._objects)
        try:
            self._load(point, before)
            # Its module may have been imported, and have registered its objects, for another table.
            brought = [name for name, obj in self._objects.items() if name not in before or _is_of(obj, point)]
            new = {name: self._objects[name] for name in brought if name not in self._packages}
            for name, obj in new.items():
                if self._check is not None:
                    self._check(name, obj)
        except (Exception, SystemExit) as error:  # another package's code may raise anything
            self._objects = {
                name: obj for name, obj in before.items() if name in self._packages or not _is_of(obj, point)
            }
            said = str(error).strip().partition("\n")[0].rstrip(".")
            reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
            self._broken.append(BrokenPlugin(point.name, _package(point), reason))
        else:
            self._packages |= dict.fromkeys(new, _package(point))

    def _load(self, point: EntryPoint, before: dict[str, T]) -> None:
        """Register the entry point's objects. Raises ValueError for a name that exists, or if nothing is new."""
        was_imported = point.module in sys.modules
        found = point.load()
        if not isinstance(found, ModuleType):
            if self._objects.get(point.name) is not found:  # else its module has registered it
                self.register(point.name)(found)
        elif self._objects == before and not was_imported:
            raise ValueError(f"{point.module} registers no {self.kind}")


def _entry_points(group: str) -> list[EntryPoint]:
    """Return the installed entry points of a group, in an order that does not depend on their location."""
    from importlib.metadata import entry_points  # imported here, because it takes longer than `--help`

    return sorted(entry_points(group=group), key=lambda point: (_package(point), point.name))


def _is_of(obj: object, point: EntryPoint) -> bool:
    """Say whether the module of an entry point defines the object."""
    return getattr(obj, "__module__", None) == point.module


def _package(point: EntryPoint) -> str:
    """Return the name of the package that has the entry point."""
    return point.dist.name if point.dist is not None else point.module.partition(".")[0]
