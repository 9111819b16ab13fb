"""A Hub that refuses connections, and one that never answers: the real command line says so within ten seconds."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from small_hub import closed_port, environment, listening_but_silent

# A refusal and a silence at a time: what a busy machine adds, it adds to both.
CASES = [(hub, kind) for kind in ("model", "dataset") for hub in ("closed", "silent")]


def _run(place: Path, endpoint: str, arguments: list[str]) -> SimpleNamespace:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lightune", "run", *arguments, "--output", str(place / "run")],
        env=environment(place / "hub", endpoint, HF_HUB_OFFLINE="0"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return SimpleNamespace(status=done.returncode, said=done.stderr, place=place, seconds=time.monotonic() - started)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, tiny_data: dict[str, Path]) -> dict[tuple[str, str], Any]:
    """What came of each case."""
    wanted = {
        "model": ["--model", "somebody/model", "--train", str(tiny_data["train"])],
        "dataset": ["--data", "somebody/dataset"],
    }
    with closed_port() as closed, listening_but_silent() as silent, ThreadPoolExecutor(2) as pool:
        hubs = {"closed": closed, "silent": silent}
        coming = {
            (hub, kind): pool.submit(_run, tmp_path_factory.mktemp(f"{hub}-{kind}"), hubs[hub], wanted[kind])
            for hub, kind in CASES
        }
        return {case: future.result() for case, future in coming.items()}


@pytest.mark.parametrize("case", CASES)
def test_status_7_and_what_to_do(outcomes: dict[tuple[str, str], Any], case: tuple[str, str]) -> None:
    found = outcomes[case]
    assert found.status == 7
    assert f'HUB-001 the {case[1]} "somebody/{case[1]}" is not in the local cache' in found.said
    assert "Connect to the network, or give a local folder or files." in found.said
    assert "Traceback" not in found.said
    assert not list(found.place.glob("run*"))


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_within_ten_seconds(outcomes: dict[tuple[str, str], Any], kind: str) -> None:
    """Where a refusal at once takes over three seconds, other work slows the imports; there only the waiting counts."""
    closed, silent = outcomes["closed", kind].seconds, outcomes["silent", kind].seconds
    assert silent - closed < 7
    if closed < 3:
        assert silent < 10
