"""What is wrong with a key of a recipe, in a line that says what would be valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from lightune.errors import did_you_mean, written

OPEN = {"training.num_train_epochs": "a whole number from 1", "training.load_best_model_at_end": "true or false"}
TAGS = ("<name>", "<files>", "<pair>")


def described(fault: Any, blocks: Mapping[str, type[BaseModel]]) -> str:
    """Return one of pydantic's faults as a line; `blocks` are the models by the path of their keys, "" the recipe."""
    # A union (data.source, a number or "auto") adds its branch's name to the path; only real keys are shown.
    path = [str(part) for place, part in enumerate(fault["loc"]) if place != 2 or part not in TAGS]
    if ".".join(path[:2]) in OPEN:
        return f"{'.'.join(path[:2])}: {OPEN['.'.join(path[:2])]}, or auto (given: {written(fault.get('input'))})"
    name = ".".join(path)
    if fault["type"] == "extra_forbidden":
        hint = did_you_mean(path[-1], _keys_beside(path[:-1], blocks))
        return f"{name}: unknown key. {hint or 'Valid: ' + ', '.join(_keys_beside(path[:-1], blocks)) + '.'}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    given = fault.get("input")
    shown = (
        ""
        if isinstance(given, Mapping) or fault["type"] in {"missing", "value_error"}
        else f" (given: {written(given)})"
    )
    meant = (
        did_you_mean(written(given).strip("'"), re.findall(r"'([^']+)'", message))
        if fault["type"] == "literal_error"
        else ""
    )
    return f"{name}: {message}{shown} {meant}".rstrip()


def _keys_beside(path: list[str], blocks: Mapping[str, type[BaseModel]]) -> list[str]:
    return list(blocks.get(".".join(path), blocks[""]).model_fields)
