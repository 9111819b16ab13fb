"""Adaptation methods, one file each. A new method is one file and one line in the import below, or another package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lightune.errors import did_you_mean, written
from lightune.methods import (  # noqa: F401  (each registers itself)
    adalora,
    bitfit,
    boft,
    bottleneck,
    fourierft,
    full,
    head,
    ia3,
    ln_tuning,
    loha,
    lokr,
    lora,
    miss,
    oft,
    p_tuning,
    prefix,
    prompt_tuning,
    randlora,
    top_layers,
    vera,
)
from lightune.methods.any_peft import make_named
from lightune.methods.base import Attachment, Method
from lightune.methods.costs import cost_of
from lightune.methods.option_values import choices, require_no_fault, role_faults, twin_faults
from lightune.methods.registry import METHODS
from lightune.methods.support import support
from lightune.models.architectures import ARCHITECTURES

__all__ = ["METHODS", "Attachment", "Method", "describe", "make_method"]


def make_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """Return the method `name` with these options; RecipeError lists every fault at once.

    PEFT's spellings (`r`, `lora_alpha`, ...) are accepted where the method says so. A name that is not one of ours may
    be one of PEFT's.
    """
    options = {str(key): value for key, value in (options or {}).items()}  # YAML has keys that are numbers, or null
    if name not in METHODS:
        return make_named(name, options)
    kind = METHODS[name]
    valid = [field.name for field in fields(kind)]
    given: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in options.items():
        known = kind.aliases.get(key, key)
        if known not in valid:
            meant = did_you_mean(key, [*valid, *kind.aliases])
            faults.append(" ".join(filter(None, [f"method.{key}: {name} has no such option.", meant, _valid(kind)])))
        elif known in given:
            faults.append(f"method.{known}: given twice ({' and '.join(_names_of(kind, known))} are the same option).")
        elif isinstance(value, bool) and type(getattr(kind, known, None)) in (int, float):
            faults.append(f"method.{key}: a number is needed (given: {written(value)})")
        else:
            given[known] = value
    method = _validated(kind, given, faults)
    require_no_fault(faults)
    assert method is not None  # it is None only with a fault
    return method


def describe() -> list[dict[str, Any]]:
    """Return what is known of each method without loading a model, for tables and JSON.

    `choices` holds the allowed values of options that have only a few, `by_preset` the values that a preset gives to
    options that are None. `architectures` says, for each, why the method does not work there: "" where it does, None
    where the outcome of the contract tests has not been recorded yet (for a new method, say). `cost` is how many times
    LoRA's time and memory a step takes, None where it was not measured. `package` is "lightune", or the other package
    that the method comes from.
    """
    rows = []
    for name, kind in METHODS.items():
        method, cost = kind(), cost_of(name)
        rows.append(
            {
                "name": name,
                "package": METHODS.package(name) or kind.__module__.partition(".")[0],
                "summary": (kind.__doc__ or "").strip().splitlines()[0],
                "default_learning_rate": kind.default_learning_rate,
                "mergeable": method.mergeable,
                "reversible": method.reversible,
                "starts_unchanged": method.starts_unchanged,
                "paper": kind.paper,
                "options": method.options(),
                "choices": choices(kind),
                "by_preset": dict(method.by_preset),
                "cost": cost and asdict(cost),
                "architectures": {known: support().get(name, {}).get(known) for known in ARCHITECTURES},
            }
        )
    return rows


def _validated(kind: type[Method], given: dict[str, Any], faults: list[str]) -> Method | None:
    try:
        method = TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            path = ".".join(["method", *(str(part) for part in fault["loc"])])
            of_one = f" (given: {written(fault.get('input'))})" if fault["loc"] else ""
            said = "a list is needed, [name] for one" if fault["type"] == "tuple_type" else str(fault["msg"])
            faults.append(f"{path}: {said.removeprefix('Value error, ')}{of_one}")
        return None
    faults += role_faults(getattr(method, "roles", ())) + twin_faults(vars(method))
    return method


def _names_of(kind: type[Method], option: str) -> list[str]:
    return [option, *(other for other, meant in kind.aliases.items() if meant == option)]


def _valid(kind: type[Method]) -> str:
    shown = ", ".join(f"{field.name} (default {_as_typed(field.default)})" for field in fields(kind))
    return f"Valid: {shown}." if shown else "It has no options."


def _as_typed(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else "none" if value is None else str(value)
