"""JSON as it is written, and folders that are read only as their manifest lists them."""

from __future__ import annotations

import errno
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from example_record import example_record
from lightune.errors import ArtifactError
from lightune.safe_files import hashes_of, json_text, manifest_bytes, verify, write_manifest
from lightune.training.checkpoint import newest, save_checkpoint


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        "a",
        [],
        {},
        [[]],
        {"a": []},
        [1, "a", None],
        {"é": [True, 2], "b": [{"c": [0.5]}, "[1,\n 2]"]},
        (1, 2),
    ],
)
def test_the_values_are_those_of_json(value):
    for ensure_ascii in (True, False):
        text = json_text(value, ensure_ascii)
        assert json.loads(text) == json.loads(json.dumps(value))
        assert text.isascii() or not ensure_ascii


def test_it_is_indented_as_jsons_own_but_for_rows_of_numbers():
    record = {"name": "a", "texts": ["b", "c"], "none": {}, "matrix": [[1, 2], [3, 4]]}
    plain = json.dumps({**record, "matrix": ["[1, 2]", "[3, 4]"]}, indent=2)
    assert json_text(record) == plain.replace('"[', "[").replace(']"', "]")


def test_a_matrix_of_many_labels_takes_little_more_than_its_numbers():
    record = example_record().model_dump(mode="json")
    matrix = [[0] * 300] * 300
    record["after"]["confusion_matrix"] = record["after"]["details"]["confusion_matrix"] = matrix
    assert len(json_text(record)) < 2 * 3.2 * 300 * 300 + 20_000


def refused(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        verify(folder)
    return caught.value.code


def test_a_manifest_of_thousands_of_names_is_checked_at_once(tmp_path: Path) -> None:
    names = {f"{number:05d}": "0" * 64 for number in range(12_000)}
    (tmp_path / "MANIFEST.json").write_bytes(manifest_bytes({**names, "MANIFEST.json": "0" * 64}))
    began = time.perf_counter()
    assert refused(tmp_path) == "ARTIFACT-052"
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "MANIFEST.json").write_bytes(manifest_bytes({name: "0" * 64}))
    assert refused(tmp_path) == "ARTIFACT-052"


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_file_that_cannot_be_read_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    run, digest = tmp_path / "run", hashlib.file_digest
    for step in (1, 2):
        save_checkpoint(run / "checkpoints" / f"step-00000{step}", {}, {"best": {"epoch": 0}, "keeps_best": False})

    def failing(file: Any, kind: str) -> Any:
        if Path(file.name).parent.name == "step-000002":
            raise OSError(number, "cannot be read", file.name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", failing)
    assert refused(run / "checkpoints" / "step-000002") == "ARTIFACT-004"
    found = newest(run)
    assert found is not None
    assert (found.folder.name, len(found.passed_over)) == ("step-000001", 1)


def test_a_folder_whose_entries_cannot_be_looked_at_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"a")
    write_manifest(tmp_path)
    assert list(hashes_of(tmp_path)) == ["a"]

    def failing(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_symlink", failing)
    assert refused(tmp_path) == "ARTIFACT-004"
