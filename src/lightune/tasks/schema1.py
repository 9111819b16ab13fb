"""Files of before version 2, when every task was single-label classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def upgraded_config(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lightune.json of format 1 says in the form of format 2; a newer one stays as it is."""
    if value.get("format_version") != 1:
        return dict(value)
    kept = {name: given for name, given in value.items() if name != "labels"}
    return {**kept, "format_version": 2, "task": {"name": "classification", "labels": list(value["labels"])}}
