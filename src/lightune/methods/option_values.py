"""Values of a method's options: the closed set of values of an option, and the error that lists every fault."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lightune.bounded import first_twin
from lightune.errors import RecipeError, written
from lightune.models.anatomy import check_role


def choices(kind: type) -> dict[str, list[Any]]:
    """Return, by option, the allowed values as JSON has them; options without a closed set of values are left out.

    A plain boolean is left out too: its default shows that it is one.
    """
    try:
        hints = get_type_hints(kind, include_extras=True)
    except NameError:  # PEFT's own classes name types that are imported only for type checkers
        return {}
    found = {name: _values(hint) for name, hint in hints.items() if hint is not bool}
    return {name: values for name, values in found.items() if values}


def role_faults(roles: Iterable[str]) -> list[str]:
    """Return a fault for each unknown role."""
    faults = []
    for role in roles:
        try:
            check_role(role)
        except RecipeError as error:
            faults.append(f"method.roles: {error.message} {error.hint}")
    return faults


def twin_faults(options: Mapping[str, Any]) -> list[str]:
    """Return a fault for each list of names that has one of them twice."""
    lists = {key: value for key, value in options.items() if isinstance(value, list | tuple)}
    named = {key: value for key, value in lists.items() if all(isinstance(one, str) for one in value)}
    twins = {key: twin for key, value in named.items() if (twin := first_twin(value)) is not None}
    return [f"method.{key}: {written(twin)} is there twice" for key, twin in twins.items()]


def require_no_fault(faults: Sequence[str]) -> None:
    """Raise RecipeError with every fault of a method's options."""
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise RecipeError("RECIPE-011", f"the method has {len(faults)} fault{'s' * (len(faults) > 1)}:\n{lines}")


def _values(hint: Any) -> list[Any]:
    """Return the values of a type, or none when they are not a closed set."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _values(inside[0])
    if origin is Literal:
        return list(inside)
    if origin in (Union, types.UnionType):
        return _together([_values(part) for part in inside])
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [member.value for member in hint]
    return [True, False] if hint is bool else [None] if hint is type(None) else []


def _together(parts: Sequence[list[Any]]) -> list[Any]:
    values = [value for part in parts for value in part]
    return values if all(parts) and any(isinstance(value, str) for value in values) else []
