"""The seed's experiment: what is still to measure, and its page from hand-made figures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from benchmarks import seed_experiment
from benchmarks.measuring import figures_file
from benchmarks.seed_experiment import SetUp, alone, flags, measured, missing, opened, require_usable
from benchmarks.seed_page import ARMS, interval, of_ratios, results

MACHINE = {
    "processor": "one", "threads": 2, "bf16": False, "python": "3", "torch": "2", "transformers": "5", "peft": "0",
    "measured": "2026-01-02",
}  # fmt: skip


def figures(accuracy: float, speed: float, memory: float, right: str = "11110000") -> dict[str, Any]:
    """Return the figures of one arm with one seed."""
    return {
        "accuracy": accuracy, "loss": 0.5, "runtime": 100 / speed, "samples_per_second": speed, "trainable": 1234,
        "memory_mb": memory, "right": right,
    }  # fmt: skip


def kept(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return saved figures of LoRA on both sides."""
    arms = {"LoRA": ours, "LoRA, Trainer": theirs}
    setup = {"model": "m", "train": "d/train.csv", "test": "d/test.csv", "examples": 500, "epochs": 5}
    by_seed = {arm: {str(seed): one for seed, one in enumerate(found)} for arm, found in arms.items()}
    return {"setup": setup, "machine": MACHINE, "arms": by_seed}


def test_the_page_has_means_with_their_range_and_paired_intervals() -> None:
    """Accuracies 1, 2 and 3 points apart: mean 2, half width 4.303 / sqrt(3); three times as fast, half the memory."""
    ours = [figures(accuracy, 30.0, 500.0) for accuracy in (0.71, 0.82, 0.93)]
    theirs = [figures(accuracy, 10.0, 1000.0) for accuracy in (0.70, 0.80, 0.90)]
    written = results(kept(ours, theirs))
    assert "| LoRA | 3 | 1,234 | 0.820 (0.710 to 0.930) | 0.500 (0.500 to 0.500) |" in written
    assert "| LoRA | +2.0 (-0.5 to +4.5) | 1 | +0.000 (+0.000 to +0.000) | 3.00 (3.00 to 3.00) |" in written
    assert "The most accurate on average is LoRA, with 0.820." in written
    assert "LoRA trains 3.00 times as fast as the Trainer's, and their accuracies, 2.0 points apart, are not" in written
    assert "Not measured: prefix tuning; adapter layers; full fine-tuning; full fine-tuning, Trainer." in written
    assert all(len(line) <= 120 for line in written.splitlines() if not line.startswith(("|", "LoRA", "*")))


def test_accuracies_are_separated_only_where_seeds_and_texts_both_say_so() -> None:
    """Twenty texts that one side alone has right, twice: p = 2 / 2^40. The same gap with each seed: no spread."""
    ours, theirs = figures(0.9, 10.0, 500.0, "1" * 20), figures(0.8, 10.0, 500.0, "0" * 20)
    assert "and is more accurate by 10.0 points." in results(kept([ours, ours], [theirs, theirs]))
    few, other = figures(0.9, 10.0, 500.0, "11"), figures(0.8, 10.0, 500.0, "00")
    assert "10.0 points apart, are not separated." in results(kept([few, few], [other, other]))  # p = 2 / 2^4


def test_intervals_are_students_and_of_ratios_on_the_logarithm() -> None:
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    assert of_ratios([2.0, 8.0])[0] == pytest.approx(4.0)
    middle, low, high = interval([5.0])
    assert middle == 5.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_an_arm_that_is_saved_is_not_measured_again() -> None:
    found = {"LoRA": {"0": {}, "1": {}}, "prefix tuning": {"1": {}}}
    assert list(missing(found, [1], ARMS)) == [(arm, 1) for arm in list(ARMS)[2:]]
    assert list(missing(found, [1], ["LoRA", "full fine-tuning"])) == [("full fine-tuning", 1)]
    assert next(iter(missing(found, [0, 1], ARMS))) == ("prefix tuning", 0)


def test_an_arm_that_cannot_be_trained_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = str(tmp_path / "none.csv")
    assert alone(SetUp("minilm", nothing, nothing, 60, 1), "LoRA", 0) is None
    assert "LoRA, seed 0: not measured. DATA-001" in capsys.readouterr().err


def test_the_trainer_trains_on_the_validation_texts_too_but_in_one_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def trained(recipe: Any, with_validation: bool) -> dict[str, Any]:
        asked.append((recipe.method.name, with_validation))
        return {"peak": 0.0}

    monkeypatch.setattr(seed_experiment, "trainers", trained)
    setup = SetUp("minilm", "train.csv", "test.csv", 60, 1)
    for arm in ("LoRA, Trainer", "full fine-tuning, Trainer", seed_experiment.FEWER):
        measured(setup, arm, 0)
    assert asked == [("lora", True), ("full", True), ("lora", False)]


def test_an_arm_that_the_page_leaves_out_makes_no_page(tmp_path: Path) -> None:
    saved = kept([figures(0.7, 30.0, 500.0)], [figures(0.7, 10.0, 1000.0)])
    seed_experiment.write_page(saved | {"arms": {seed_experiment.FEWER: saved["arms"]["LoRA"]}}, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
    seed_experiment.write_page(saved, tmp_path / "page.md")
    assert (tmp_path / "page.md").exists()


def test_what_cannot_be_used_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    nothing = str(tmp_path / "none.csv")
    for setup, said in (
        (SetUp(str(tmp_path / "none"), nothing, nothing, 60, 1), "there is no"),
        (SetUp("minilm", nothing, nothing, 60, 1), "DATA-001"),
        (SetUp("minilm", nothing, nothing, 0, 1), "train_examples"),
    ):
        with pytest.raises(SystemExit, match=said):
            require_usable(setup, 0)


def test_a_folder_for_the_figures_is_made(tmp_path: Path) -> None:
    figures_file(str(tmp_path / "new" / "figures.json")).write_text("{}", encoding="utf-8")


def test_figures_of_another_set_up_are_not_mixed_and_no_folder_is_kept(tmp_path: Path) -> None:
    setup = SetUp("/home/me/bases/mpnet", "/home/me/data/rt/train.csv", "/home/me/data/rt/validation.csv", 500, 5)
    path = tmp_path / "figures.json"
    fresh = opened(path, setup)
    assert fresh["setup"] == {
        "model": "mpnet", "train": "rt/train.csv", "test": "rt/validation.csv", "examples": 500, "epochs": 5,
    }  # fmt: skip
    path.write_text(json.dumps(fresh), encoding="utf-8")
    assert opened(path, setup) == fresh
    with pytest.raises(SystemExit, match="another set-up"):
        opened(path, SetUp(setup.model, setup.train, setup.test, 100, 5))


def test_the_page_is_that_of_the_saved_figures() -> None:
    docs = Path(__file__).resolve().parent.parent / "docs"
    saved, page = docs / "seed_experiment.json", docs / "results.md"
    assert saved.is_file() == page.is_file()
    if saved.is_file():
        wanted = results(json.loads(saved.read_text(encoding="utf-8")))
        assert page.read_text(encoding="utf-8") == wanted, "run: python -m benchmarks.seed_experiment ... --page"


def test_right_answers_are_kept_as_one_word() -> None:
    assert flags([True, False, True]) == "101"
