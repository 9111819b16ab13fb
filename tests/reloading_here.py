"""The reload check of a run without its fresh process, whose imports take longer than the runs of tiny models."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from lightune.inference import reload_check as reload


@contextlib.contextmanager
def reloading_here() -> Iterator[None]:
    """Answer the check's request in this process, from the saved folder, as the fresh one would.

    The fresh process itself: test_reload.py, test_pages.py, test_portability.py, test_rotten_tomatoes_recipe.py, and
    for every method and architecture test_contract.py and test_every_architecture.py.
    """

    def answer(command: list[str], *, input: str, **_: Any) -> subprocess.CompletedProcess[str]:
        with contextlib.redirect_stdout(io.StringIO()) as out, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(input))
            reload.main()
        return subprocess.CompletedProcess(command, 0, out.getvalue(), "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reload, "subprocess", SimpleNamespace(run=answer, TimeoutExpired=subprocess.TimeoutExpired))
        yield
