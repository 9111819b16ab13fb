"""`lightune doctor`: what is here and what is missing."""

from __future__ import annotations

import json
import platform
import shutil
from importlib import metadata

import pytest

from lightune.cli.main import main
from lightune.errors import ArtifactError
from lightune.extras import install_command
from lightune.models import embedded


def _findings(capsys) -> dict[str, dict]:
    assert main(["doctor", "--json"]) == 0
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}


def test_the_findings_are_those_of_this_machine(capsys):
    found = _findings(capsys)
    assert platform.python_version() in found["python"]["detail"]
    for package in ("torch", "transformers", "peft", "accelerate"):
        assert f"{package} {metadata.version(package)}" in found["packages"]["detail"]
    assert {"processor", "device", "memory", "disk", "embedded model", "Hugging Face Hub"} <= set(found)


def test_the_hub_cannot_be_reached_offline_and_that_ends_well(capsys):
    hub = _findings(capsys)["Hugging Face Hub"]
    assert not hub["ok"]
    assert "still work" in hub["detail"]


def test_the_text_marks_what_deserves_a_note(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok    ", "note  ")) for line in lines)
    assert any(line.startswith("note  Hugging Face Hub") for line in lines)
    assert any(line.startswith("ok    python") for line in lines)


def test_a_full_disk_is_noted(capsys, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    disk = _findings(capsys)["disk"]
    assert (disk["ok"], disk["detail"]) == (False, "1.0 GB free here")


def test_a_disk_that_reports_no_size_is_not_called_full(capsys, monkeypatch):
    usage = shutil.disk_usage(".")._replace(total=0, free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    disk = _findings(capsys)["disk"]
    assert (disk["ok"], disk["detail"]) == (True, "this file system does not say what is free")


@pytest.mark.parametrize(
    ("found", "said"),
    [(None, install_command("offline")), (ArtifactError("ARTIFACT-020", "these are not the weights."), "ARTIFACT-020")],
)
def test_an_embedded_model_that_is_missing_or_wrong_is_noted(capsys, monkeypatch, found, said):
    def folder():
        if found:
            raise found

    monkeypatch.setattr(embedded, "folder", folder)
    model = _findings(capsys)["embedded model"]
    assert not model["ok"]
    assert said in model["detail"]
