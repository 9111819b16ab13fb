"""Checkpoints: what is read back goes on exactly as the original; damage is refused; a crash leaves the old one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.errors import ArtifactError
from lightune.training import checkpoint
from lightune.training.checkpoint import checkpoint_name, load_checkpoint, load_optimizer, save_checkpoint

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
    state = {"step": 3, "epochs": [{"epoch": 1, "validation_loss": 0.25}]}
    folder = save_checkpoint(tmp_path / "step-000003", model.state_dict(), state, optimizer)
    return folder, model, optimizer


def test_a_restored_state_takes_exactly_the_steps_that_the_original_takes(saved: Any) -> None:
    folder, model, optimizer = saved
    with torch.random.fork_rng():
        again, its_optimizer = model_with_optimizer(2)
    for group in its_optimizer.param_groups:
        group["lr"] = 123.0
    tensors, state = load_checkpoint(folder)
    again.load_state_dict(tensors)
    load_optimizer(folder, its_optimizer)
    assert state["step"] == 3
    assert state["epochs"] == [{"epoch": 1, "validation_loss": 0.25}]
    train(model, optimizer, 4, 5)
    train(again, its_optimizer, 4, 5)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_optimizer_state_matters(saved: Any) -> None:
    """Without it the next step is another one, so that the equality above says something."""
    folder, model, optimizer = saved
    with torch.random.fork_rng():
        again, its_optimizer = model_with_optimizer(2)
    again.load_state_dict(load_checkpoint(folder)[0])
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
    folder, _, optimizer = saved
    raw = bytearray((folder / name).read_bytes())
    raw[round(place * (len(raw) - 1))] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(ArtifactError):
        load_checkpoint(folder)
    with pytest.raises(ArtifactError):
        load_optimizer(folder, optimizer)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(saved: Any, name: str) -> None:
    folder, _, _ = saved
    (folder / name).unlink()
    with pytest.raises(ArtifactError):
        load_checkpoint(folder)


@pytest.mark.parametrize("broken", ["write_manifest", "write_json"])
def test_a_crash_while_saving_leaves_the_old_checkpoint(
    saved: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    folder, model, optimizer = saved
    before = load_checkpoint(folder)

    def crash(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, broken, crash)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(folder, {"other": torch.zeros(1)}, {"step": 4}, optimizer)
    after = load_checkpoint(folder)
    assert after[1] == before[1]
    assert all(torch.equal(after[0][name], value) for name, value in before[0].items())

    save_checkpoint(folder, model.state_dict(), {"step": 5}, optimizer)
    assert load_checkpoint(folder)[1]["step"] == 5
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "the leavings of the crash are still there"


def test_names_sort_by_step() -> None:
    names = [checkpoint_name(step) for step in (1, 20, 300, 123456)]
    assert names == sorted(names)
    assert names[1] == "step-000020"
