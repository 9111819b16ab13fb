"""The mark of tests that prove a promise: docs/guarantees.md is made of them (tools/guarantees.py)."""

from __future__ import annotations

import pytest


def note_guarantees(items: list[pytest.Item]) -> None:
    """Let the result of each such test carry its promise, and whether only `make faults` runs it."""
    for item in items:
        for mark in item.iter_markers("guarantee"):
            item.user_properties.append(("guarantee", mark.args[0]))
        if item.get_closest_marker("faults"):
            item.user_properties.append(("length", "long"))
