"""The reload check: a fresh process must find the same logits, and says so when it does not."""

from __future__ import annotations

import shutil

import pytest

import lightune
from lightune.inference.reload_check import check_reload
from tiny import sentences

TEXTS = [(text,) for text, _ in sentences(8, seed=41)]


def test_a_fresh_process_finds_the_same_logits_and_a_changed_one_is_noticed(tiny_run, tmp_path, monkeypatch):
    """One logit is moved by 0.25: the largest difference is just that, so all the others agree."""
    logits = lightune.load(tiny_run.folder).logits([text for (text,) in TEXTS])
    logits[3, 1] += 0.25
    # A file here that is called like a module of the standard library must not get in the way.
    (tmp_path / "queue.py").write_text("raise SystemExit('the wrong queue')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found, reason = check_reload(tiny_run.folder / "adapter", TEXTS, logits, "cpu")
    assert found.model_dump() == {
        "passed": False,
        "examples": 8,
        "largest_logit_difference": pytest.approx(0.25, abs=1e-4),
    }
    assert reason == "the logits differ by up to 0.25"


def test_the_check_passed_in_the_run_itself(tiny_run):
    check = tiny_run.record.reload_check
    assert check.passed
    assert check.examples == 40
    assert check.largest_logit_difference <= 1e-4


def test_a_changed_adapter_fails_with_a_reason(tiny_run, tmp_path):
    folder = tmp_path / "adapter"
    shutil.copytree(tiny_run.folder / "adapter", folder)
    raw = bytearray((folder / "adapter_model.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "adapter_model.safetensors").write_bytes(raw)
    logits = lightune.load(tiny_run.folder).logits([text for (text,) in TEXTS])
    found, reason = check_reload(folder, TEXTS, logits, "cpu")
    assert found.model_dump() == {"passed": False, "examples": 8, "largest_logit_difference": None}
    assert reason.startswith("the fresh process failed: ")
    assert "damaged" in reason
