"""Checkpoints: what is read back goes on exactly as the original; damage is refused; a crash leaves the old one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.errors import ArtifactError
from lightune.training import checkpoint
from lightune.training.checkpoint import checkpoint_name, load_checkpoint, newest, save_checkpoint
from lightune.training.training_state import load_optimizer, split_optimizer_state

FILES = ["MANIFEST.json", "optimizer.safetensors", "state.json", "weights.safetensors"]


def model_with_optimizer(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A small network and AdamW with two groups at different rates."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    weights = [value for value in model.parameters() if value.dim() == 2]
    biases = [value for value in model.parameters() if value.dim() == 1]
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0, "lr": 3e-2}]
    return model, torch.optim.AdamW(groups, lr=1e-2, betas=(0.8, 0.95))


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, *steps: int) -> None:
    for step in steps:
        inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, torch.nn.Module, torch.optim.Optimizer]:
    """A checkpoint after three steps, with the model and the optimizer it was taken of."""
    with torch.random.fork_rng():
        model, optimizer = model_with_optimizer(1)
    train(model, optimizer, 1, 2, 3)
    folder = tmp_path / "checkpoints" / "step-000003"
    return put(folder, model, optimizer, 3), model, optimizer


def put(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> Path:
    """Save both as they are."""
    moments, numbers = split_optimizer_state(optimizer)
    state = {"step": step, "epochs": [{"epoch": 1, "validation_loss": 0.25}], "optimizer": numbers}
    state |= {"best": {"epoch": 0}, "keeps_best": True}
    return save_checkpoint(folder, {"weights": model.state_dict(), "optimizer": moments}, state)


def test_a_restored_state_takes_exactly_the_steps_that_the_original_takes(saved: Any) -> None:
    folder, model, optimizer = saved
    with torch.random.fork_rng():
        again, its_optimizer = model_with_optimizer(2)
    for group in its_optimizer.param_groups:
        group["lr"] = 123.0
    found = load_checkpoint(folder)
    again.load_state_dict(found.tensors("weights"))
    load_optimizer(its_optimizer, found.tensors("optimizer"), found.state["optimizer"])
    assert found.state["step"] == 3
    assert found.state["epochs"] == [{"epoch": 1, "validation_loss": 0.25}]
    train(model, optimizer, 4, 5)
    train(again, its_optimizer, 4, 5)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_optimizer_state_matters(saved: Any) -> None:
    """Without it the next step is another one, so that the equality above says something."""
    folder, model, optimizer = saved
    with torch.random.fork_rng():
        again, its_optimizer = model_with_optimizer(2)
    again.load_state_dict(load_checkpoint(folder).tensors("weights"))
    train(model, optimizer, 4)
    train(again, its_optimizer, 4)
    assert not torch.equal(again.state_dict()["0.weight"], model.state_dict()["0.weight"])


def test_a_checkpoint_holds_safetensors_and_json_only(saved: Any) -> None:
    folder, _, _ = saved
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert (folder / "optimizer.safetensors").read_bytes()[8:9] == b"{"
    assert json.loads((folder / "state.json").read_text())["step"] == 3


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_changed_byte_is_refused(saved: Any, name: str, place: float) -> None:
    folder, _, _ = saved
    raw = bytearray((folder / name).read_bytes())
    raw[round(place * (len(raw) - 1))] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(ArtifactError):
        load_checkpoint(folder)
    assert newest(folder.parent.parent) is None


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(saved: Any, name: str) -> None:
    folder, _, _ = saved
    (folder / name).unlink()
    with pytest.raises(ArtifactError):
        load_checkpoint(folder)


@pytest.mark.parametrize("broken", ["write_manifest", "write_json", "write_file"])
def test_a_crash_while_saving_leaves_the_checkpoint_before(
    saved: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    folder, model, optimizer = saved
    later = folder.with_name("step-000004")

    def crash(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, broken, crash)
        with pytest.raises(OSError, match="Input/output error"):
            put(later, model, optimizer, 4)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "the leavings of the crash are still there"
    found = newest(folder.parent.parent)
    assert found is not None
    assert found.state["step"] == 3
    put(later, model, optimizer, 4)
    assert load_checkpoint(later).state["step"] == 4


def test_the_newest_that_is_whole_is_found_by_content_and_the_others_are_named(saved: Any) -> None:
    folder, model, optimizer = saved
    run = folder.parent.parent
    for step in (6, 9, 12):
        put(folder.with_name(checkpoint_name(step)), model, optimizer, step)
    (folder.with_name("step-000012") / "MANIFEST.json").unlink()
    raw = folder.with_name("step-000009") / "optimizer.safetensors"
    raw.write_bytes(raw.read_bytes()[:-1])
    folder.with_name(".step-000015.partial").mkdir()
    found = newest(run)
    assert found is not None
    assert found.folder.name == "step-000006"
    assert [told.partition(" ")[0] for told in found.passed_over] == ["step-000012", "step-000009"]


def test_one_whose_best_epoch_is_lost_is_not_whole(saved: Any) -> None:
    folder, model, optimizer = saved
    moments, numbers = split_optimizer_state(optimizer)
    state = {"step": 5, "optimizer": numbers, "best": {"epoch": 1}, "keeps_best": True}
    save_checkpoint(folder.with_name("step-000005"), {"optimizer": moments}, state)
    found = newest(folder.parent.parent)
    assert found is not None
    assert (found.state["step"], len(found.passed_over)) == (3, 1)
    save_checkpoint(folder.with_name("best-001"), {"weights": model.state_dict()}, {"epoch": 1})
    again = newest(folder.parent.parent)
    assert again is not None
    assert again.state["step"] == 5


def test_a_folder_without_checkpoints_has_no_newest(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    assert newest(tmp_path) is None
