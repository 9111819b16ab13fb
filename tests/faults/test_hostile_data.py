"""Data that was made to do harm: nothing in it runs, and it is read or refused within seconds and a gigabyte."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import GIGABYTE, SECONDS, forked, made
from hostile_files import CASES
from mutations import VALID

from lightune.cli.main import main

# A second or more each, most of it for making the file.
LARGE = {
    name for name in CASES if re.search(r"million|40 MB|100 MB|600 MB|unpack|20,000|4,096|64 MB|100,000 digits", name)
}


@pytest.fixture(scope="module", autouse=True)
def everything_is_imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Read one file of each kind, so that no child has to import anything."""
    for number, (kind, content) in enumerate(VALID):
        path = tmp_path_factory.mktemp("valid") / f"{number}.{kind}"
        path.write_bytes(content)
        assert main(["check", str(path)]) in {0, 3}


@pytest.mark.guarantee("Hostile data and recipes run nothing, fetch nothing, and take at most 5 s and 1 GB")
@pytest.mark.usefixtures("hashed_once")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.faults if name in LARGE else ()) for name in CASES]
)
def test_hostile_data_is_read_or_refused(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    build, statuses, says = CASES[name]
    canary = tmp_path / "canary"
    (tmp_path / "given").mkdir()
    answer = tmp_path / "answer.json"
    found = forked(made(lambda: build(tmp_path / "given", canary), answer), answer)
    assert not canary.exists()
    assert found.status in statuses, found.said
    assert "Traceback" not in found.said
    assert "\x1b" not in found.said
    assert re.search(says, " ".join(found.said.split())), found.said[:2000]
    assert found.seconds < SECONDS
    assert found.grown < GIGABYTE
    count = len(LARGE) if name in LARGE else len(CASES) - len(LARGE)
    record_property("figure", f"{count} files, folders and recipes")
