"""Fixtures that all tests share: tiny models and data; no network, nothing outside the clone."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from case_table import note_cases, pytest_addoption, pytest_terminal_summary  # noqa: F401  (hooks of pytest)
from guarantees import note_guarantees
from tiny import TinyModels, classes, sentences, write_csv

# Reproducible, and no failure for being slow: a shared machine may stall anywhere.
settings.register_profile("lightune", deadline=None, derandomize=True, database=None)
settings.load_profile("lightune")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Tiny models gain nothing from more threads, and lose much to waiting ones when the machine has other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Child processes import the very package under test, whatever folder they are started in.
PACKAGE_ROOT = Path(find_spec("lightune").origin).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
CONTRACT = "test_contract.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the many short tests of the methods' contract last, so that two processes end together; note the cases."""
    note_cases(items)
    note_guarantees(items)
    items.sort(key=lambda item: item.path.name == CONTRACT)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under `--dist loadfile` share out the contract by its cases; as one file it would keep one process busy alone.

    Every other file stays in one process, where what its tests share is made once.
    """
    from xdist.scheduler import LoadFileScheduling

    class FilesAndCases(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return test.partition("[")[2] or file if file.endswith(CONTRACT) else file

    return FilesAndCases(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def _short_runs() -> Iterator[None]:
    from short_runs import short_runs

    with short_runs():
        yield


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder per architecture, built when it is first asked for."""
    return TinyModels(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three disjoint csv files: train (64 rows), validation (24), test (40)."""
    root = tmp_path_factory.mktemp("data")
    rows = sentences(128, seed=3)
    splits = {"train": rows[:64], "validation": rows[64:88], "test": rows[88:]}
    return {name: write_csv(root / f"{name}.csv", part) for name, part in splits.items()}


@pytest.fixture(scope="session")
def tiny_recipe(tiny_models: dict[str, Path], tiny_data: dict[str, Path]) -> Callable[..., object]:
    """Return a function that makes a recipe on a tiny model and the tiny data; keywords go into `training`."""
    from lightune.recipe import parse_recipe

    def make(architecture: str = "distilbert", method: object = "lora", **training: object) -> object:
        return parse_recipe(
            {
                "name": "tiny",
                "model": str(tiny_models[architecture]),
                "device": "cpu",
                "data": {"source": {name: str(path) for name, path in tiny_data.items()}},
                "method": method,
                "training": {
                    "num_train_epochs": 2,
                    "learning_rate": 5e-3,
                    "load_best_model_at_end": True,  # whatever the number of validation texts
                    **training,
                },
            }
        )

    return make


@pytest.fixture(scope="session")
def read_tiny(tiny_models: dict[str, Path]) -> Callable[..., object]:
    """Return a function that reads a tiny model as a classifier (a LoadedModel): for tests of reading."""
    from lightune.models.load import ModelSource, load_model

    def read(
        architecture: str = "distilbert", labels: Sequence[str] = ("negative", "positive"), seed: int = 1
    ) -> object:
        return load_model(ModelSource(architecture, tiny_models[architecture], None), classes(labels), seed)

    return read


@pytest.fixture(scope="session")
def load_tiny(read_tiny: Callable[..., object]) -> Callable[..., object]:
    """Return a function that does as read_tiny, but gives copies of what was read once, which is far quicker."""
    from lightune.progress import quiet_libraries

    known: dict[tuple[str, tuple[str, ...], int], object] = {}

    def load(
        architecture: str = "distilbert", labels: Sequence[str] = ("negative", "positive"), seed: int = 1
    ) -> object:
        key = (architecture, tuple(labels), seed)
        if key not in known:
            known[key] = read_tiny(*key)
        quiet_libraries()  # as reading does
        return copy.deepcopy(known[key])

    return load


@pytest.fixture(scope="session")
def folder_of_embedded() -> Callable[[], Path | None]:
    """The function embedded.folder, which hashes 90 MB each time, as one that does so once."""
    from lightune.models import embedded

    return cache(embedded.folder)


@pytest.fixture
def hashed_once(monkeypatch: pytest.MonkeyPatch, folder_of_embedded: Callable[[], Path | None]) -> None:
    """Hash the embedded model once for all tests that ask for this: `check` does so for every file."""
    monkeypatch.setattr("lightune.models.embedded.folder", folder_of_embedded)


@dataclass(frozen=True)
class FinishedRun:
    """A run folder and the record that the run returned."""

    folder: Path
    record: Any


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """One LoRA run of the tiny DistilBERT through the public API, shared by all; do not write into its folder."""
    import lightune
    from reloading_here import reloading_here

    folder = tmp_path_factory.mktemp("runs") / "tiny-1"
    recipe = tiny_recipe("distilbert", "lora", num_train_epochs=8, learning_rate=2e-2)
    with reloading_here():
        return FinishedRun(folder, lightune.run(recipe, folder))


@pytest.fixture(scope="session")
def load_lively(load_tiny: Callable[..., object]) -> Callable[..., Any]:
    """Return a function that loads a tiny classifier with spread-out weights, so that texts get unlike logits."""
    import torch

    def load(architecture: str = "distilbert") -> Any:
        loaded: Any = load_tiny(architecture)
        draw = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for value in loaded.model.parameters():
                if value.dim() == 2:
                    value.copy_(torch.randn(value.shape, generator=draw) * 0.3)
        return loaded

    return load
