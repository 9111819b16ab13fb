"""Runs of tiny models without what takes longer than they do: drawing figures, and timing the answers to 300 texts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from lightune.inference import speed
from lightune.report import plots

EMPTY = '<svg viewBox="0 0 1 1"></svg>'
SHORT: dict[tuple[Any, str], Any] = {
    (plots, "_rendered"): lambda figure: EMPTY,
    (speed, "WARM_UP"): 1,
    (speed, "SINGLE_TEXTS"): 1,
    (speed, "BULK_TEXTS"): 1,
}
WHOLE = {(module, name): getattr(module, name) for module, name in SHORT}


def short_runs() -> contextlib.AbstractContextManager[None]:
    """Leave figures empty and time three texts: in all tests of this process that do not ask for whole runs.

    The processes that tests start are whole.
    """
    return _with(SHORT)


def whole_runs() -> contextlib.AbstractContextManager[None]:
    """Draw the figures, and time as many texts as a run does."""
    return _with(WHOLE)


@contextlib.contextmanager
def _with(values: dict[tuple[Any, str], Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in values.items():
            patch.setattr(module, name, value)
        yield
