"""Which method works on which architecture: the outcome of the contract tests, recorded by tools/methods.py."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

FILE = "support.json"


@cache
def support() -> dict[str, dict[str, str]]:
    """Return, by method and architecture, why it does not work there; empty where it does."""
    path = resources.files("lightune.methods") / FILE
    found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found
