"""Runs that are killed at drawn steps and at drawn calls of the writer go on, and end as if nothing had been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killing import KINDS
from prove_kills import RUNS, SAVE_STEPS

HERE = Path(__file__).parent
Noted = Callable[[str, object], None]


def prove(folder: Path, count: int, runs: int) -> list[dict[str, Any]]:
    paths = [str(HERE.parent), str(HERE), os.environ["PYTHONPATH"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(HERE / "prove_kills.py"), str(folder), str(count), str(runs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads((folder / "kills.json").read_bytes())
    return found


def require_nothing_lost(found: list[dict[str, Any]], count: int) -> None:
    """No more than the steps since a checkpoint is computed again, and the weights are those of the whole run."""
    assert len(found) == count
    for one in found:
        assert one["outcome"] in {"resumed", "finished"} or one["steps_before"] == 0, one
        assert 0 <= one["recomputed"] <= SAVE_STEPS, one
        assert one["equal"], one


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
@pytest.mark.faults
@pytest.mark.guarantee("A killed run goes on: at most `save_steps` steps are computed again, to the same weights")
def test_two_hundred_kills(tmp_path: Path, record_property: Noted) -> None:
    found = prove(tmp_path, 200, len(RUNS))
    require_nothing_lost(found, 200)
    hits = Counter((one["kill"]["kind"], one["kill"]["moment"]) for one in found)
    assert {kind for kind, _ in hits} == {"step", *KINDS}
    assert sum(count for (kind, _), count in hits.items() if kind == "step") == 100
    for kind in ("step", *KINDS):
        moments = [f"{moment} {count}" for (other, moment), count in sorted(hits.items()) if other == kind]
        record_property("figure", f"{kind}: {', '.join(moments)}")
    record_property("figure", f"save_steps {SAVE_STEPS}")
    again = Counter(one["recomputed"] for one in found)
    record_property("figure", "steps again: " + ", ".join(f"{steps} in {again[steps]}" for steps in sorted(again)))
