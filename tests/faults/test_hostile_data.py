"""Data that was made to do harm: nothing in it runs, and it is read or refused within seconds and a gigabyte."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forked import GIGABYTE, SECONDS, ask
from hostile_files import CASES

HERE = Path(__file__).parent
# A second or more each, most of it for making the file.
LARGE = {
    name for name in CASES if re.search(r"million|40 MB|100 MB|600 MB|unpack|20,000|4,096|64 MB|100,000 digits", name)
}


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    paths = [str(HERE.parent), str(HERE), os.environ["PYTHONPATH"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(HERE / "forked.py")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.mark.guarantee("Hostile data and recipes run nothing, fetch nothing, and take at most 5 s and 1 GB")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.faults if name in LARGE else ()) for name in CASES]
)
def test_hostile_data_is_read_or_refused(
    name: str, server: subprocess.Popen[str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _, statuses, says = CASES[name]
    found = ask(server, name, tmp_path)
    assert not (tmp_path / "canary").exists()
    assert found.status in statuses, found.said
    assert "Traceback" not in found.said
    assert "\x1b" not in found.said
    assert re.search(says, " ".join(found.said.split())), found.said[:2000]
    assert found.seconds < SECONDS
    assert found.grown < GIGABYTE
    count = len(LARGE) if name in LARGE else len(CASES) - len(LARGE)
    record_property("figure", f"{count} files, folders and recipes")
