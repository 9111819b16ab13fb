"""Two processes under torchrun, held against one: gradients, weights, results, and how they end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fits_of_ranks as fits
import pytest
import torch
from safetensors.torch import load_file

from lightune import runtime
from lightune.errors import RecipeError
from lightune.recipe import SettledTraining
from lightune.training.batches import balanced_shares, shared_steps
from tiny import TinyModels

SCRIPT = Path(fits.__file__)
ENDED = {"code": "TRAIN-001", "status": 5, "signal": None, "steps": 1}
STOPPED = {"code": "RUN-001", "status": 130, "signal": 15, "steps": 3}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models without dropout, which differs from one rank to the next."""
    made = TinyModels(tmp_path_factory.mktemp("rank-models"))
    for architecture in {case[0] for case in fits.CASES.values()}:
        path = made[architecture] / "config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps({name: 0.0 if "dropout" in name else value for name, value in config.items()}))
    return made.root


@pytest.fixture(scope="module")
def data(tiny_data: dict[str, Path]) -> list[str]:
    return [part for name, path in tiny_data.items() for part in (f"--{name}", str(path))]


@pytest.fixture(scope="module")
def two(models: Path, data: list[str], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What two processes did; they are launched once."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = os.pathsep.join([str(SCRIPT.parent.parent), os.environ["PYTHONPATH"]])
    given = [*command, str(SCRIPT), str(folder), str(models), *data]
    ended = subprocess.run(
        given, env={**os.environ, "PYTHONPATH": paths}, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    found = [json.loads((folder / f"rank-{rank}" / "found.json").read_text()) for rank in (0, 1)]
    return SimpleNamespace(folder=folder, found=found, printed=ended.stdout)


def _tensors(two: SimpleNamespace, rank: int, name: str) -> dict[str, torch.Tensor]:
    return load_file(two.folder / f"rank-{rank}" / f"{name}.safetensors")


def _apart(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """The distance of all values, relative to the length of the wanted ones."""
    assert found.keys() == wanted.keys()
    first, second = (torch.cat([part[name].flatten() for name in sorted(part)]) for part in (found, wanted))
    return float((first - second).norm() / second.norm())


@pytest.mark.parametrize("case", list(fits.CASES))
def test_two_processes_compute_what_one_does_with_the_same_effective_batch(case, two, models, tmp_path):
    alone, about = fits.fit_case(case, tmp_path / case, models, processes=1), two.found[0][case]
    gradients, weights = _tensors(two, 0, f"{case}-gradients"), _tensors(two, 0, f"{case}-weights")
    assert about["seed"] == alone["about"]["seed"], "the first rank draws as one process would"
    assert "unused" not in gradients
    assert torch.equal(weights["unused"], torch.ones(3)), "no decay either"
    assert _apart(gradients, alone["gradients"]) <= 1e-5
    # A key's bias cancels in the softmax: its gradient is rounding alone, which Adam makes full steps of.
    weights, wanted = (
        {name: value for name, value in part.items() if not name.endswith("k_lin.bias")}
        for part in (weights, alone["weights"])
    )
    assert _apart(weights, wanted) <= 1e-5
    assert (about["steps"], about["samples"]) == (alone["about"]["steps"], 2 * 61) == (12, 122)
    lines = [(path / "metrics.jsonl").read_text() for path in (two.folder / "rank-0" / case, tmp_path / case)]
    together, single = ([json.loads(line) for line in text.splitlines()] for text in lines)
    assert [line["samples"] for line in together] == [line["samples"] for line in single]
    for name in ("loss", "grad_norm"):
        assert [line[name] for line in together] == pytest.approx([line[name] for line in single], rel=1e-4)


@pytest.mark.parametrize("case", list(fits.CASES))
def test_the_ranks_hold_the_same_and_draw_different_dropout(case, two):
    first, second = (_tensors(two, rank, f"{case}-gradients") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    first, second = (found[case] for found in two.found)
    assert first["seed"] != second["seed"]
    assert {**first, "seed": 0} == {**second, "seed": 0}
    assert not list((two.folder / "rank-1" / case).iterdir()), "only the first rank writes"


def test_a_run_leaves_one_folder_and_the_results_of_one_process(two, models, data, tmp_path):
    alone = fits.run_command(tmp_path / "alone", models / "distilbert", 16, data)
    first, second = (found["run"] for found in two.found)
    assert (alone["status"], first["status"], second["status"]) == (0, 0, 0)
    assert (second["out"], second["err"]) == ("", "")
    assert [path.name for path in (two.folder / "runs").iterdir()] == ["together"]
    files = [
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        for folder in (two.folder / "runs" / "together", tmp_path / "alone")
    ]
    assert files[0] == files[1]
    found, wanted = json.loads(first["out"]), json.loads(alone["out"])
    assert found["training"]["steps"] == wanted["training"]["steps"] == 8
    assert found["training"]["best_epoch"] == wanted["training"]["best_epoch"]
    for section in ("before", "after"):
        assert found[section]["confusion_matrix"] == wanted[section]["confusion_matrix"]
        assert found[section]["loss"] == pytest.approx(wanted[section]["loss"], rel=1e-4)
    for together, single in zip(found["training"]["epochs"], wanted["training"]["epochs"], strict=True):
        assert together.pop("metrics") == pytest.approx(single.pop("metrics"), rel=1e-4)
        assert together == pytest.approx(single, rel=1e-4)


def test_a_signal_or_a_lost_number_on_one_rank_ends_all_alike(two):
    for found in two.found:
        assert found["interrupted"] == STOPPED
        assert found["diverged"] == ENDED
        assert found["told"] == "from 0: ä"
    checkpoints = [(two.folder / f"rank-{rank}" / "interrupted" / "checkpoints") for rank in (0, 1)]
    assert list(checkpoints[0].glob("step-*"))
    assert not checkpoints[1].exists()


@pytest.mark.guarantee("Two processes of torchrun, stopped and gone on with: the same bits")
def test_ranks_that_were_interrupted_go_on_to_the_same_bits(two):
    for rank in (0, 1):
        found, wanted = _tensors(two, rank, "resumed-weights"), _tensors(two, rank, "plain-weights")
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_one_rank_that_is_short_of_memory_changes_no_step(two):
    """It cuts its own share; at the first checkpoint, after an epoch of six steps, the other does so too."""
    for rank, smaller in enumerate(([[7, 1]], [[1, 3], [1, 1]])):
        found, wanted = _tensors(two, rank, "short-weights"), _tensors(two, rank, "plain-weights")
        assert _apart(found, wanted) < 1e-5
        assert two.found[rank]["short"] == {"steps": two.found[rank]["plain"]["steps"], "smaller": smaller}


def test_a_rank_that_is_gone_is_said(two):
    assert two.found[0]["lost"] == {"code": "RANK-001"}


# Which texts each rank takes


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_ranks_get_about_as_many_tokens_and_none_more_rows_than_its_share(ranks: int) -> None:
    """Sixteen texts a rank of 3 to 200 tokens: the worst rank has at most 3% more than the mean; dealt in turn, 20%."""
    draw, dealt = random.Random(0), []
    for _ in range(50):
        lengths = [draw.randint(3, 60) if draw.random() < 0.8 else draw.randint(60, 200) for _ in range(16 * ranks)]
        shares = balanced_shares(range(16 * ranks), lengths, ranks)
        assert sorted(row for share in shares for row in share) == list(range(16 * ranks))
        assert all(len(share) == 16 and share == sorted(share) for share in shares)
        assert _worst(shares, lengths) <= 1.03
        dealt.append(_worst([list(range(rank, 16 * ranks, ranks)) for rank in range(ranks)], lengths))
    assert sum(dealt) / len(dealt) > 1.1


def _worst(shares: list[list[int]], lengths: list[int]) -> float:
    tokens = [sum(lengths[row] for row in share) for share in shares]
    return max(tokens) * len(tokens) / sum(tokens)


def test_a_hand_dealt_step() -> None:
    """9 | 8 7 | 7 6 goes on with 2: the first has 9, then 9 + 2; of four rows and three ranks none gets three."""
    assert balanced_shares([10, 11, 12, 13], {10: 2, 11: 9, 12: 8, 13: 7}, 2) == [[10, 11], [12, 13]]
    assert balanced_shares([0], [5], 3) == [[0], [], []]
    assert balanced_shares([3, 1, 2], [0, 1, 9, 4], 1) == [[3, 1, 2]]


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_a_step_takes_the_same_rows_however_many_ranks_share_them(strategy: str) -> None:
    lengths: list[Any] = random.Random(1).choices(range(3, 60), k=101)
    rows = []
    for size, accumulation, ranks in ((24, 1, 1), (12, 2, 1), (4, 3, 2), (8, 1, 3)):
        settings = SettledTraining(
            per_device_train_batch_size=size, gradient_accumulation_steps=accumulation, train_sampling_strategy=strategy
        )
        steps = list(shared_steps(lengths, settings, 1, ranks))
        assert all(len(batch) <= size for step in steps for share in step for batch in share)
        assert all(len(share) <= accumulation for step in steps for share in step)
        rows.append([sorted(row for share in step for batch in share for row in batch) for step in steps])
    assert all(each == rows[0] for each in rows)


# Which device a process takes


def test_a_process_takes_the_device_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runtime.choose_device("cuda") == torch.device("cuda", 1)
    assert runtime.choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RecipeError, match="2 processes on a machine with 1 GPU"):
        runtime.choose_device("cuda")
