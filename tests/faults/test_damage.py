"""Damaged and changed folders are refused whole: by both ways to read an adapter, and when a training goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import Damage, bit_flips, changed_names, put, truncations

import lightune
from interrupting import AfterStep
from lightune.artifact import ArtifactConfig, save_adapter
from lightune.data.encoding import encode
from lightune.data.fingerprints import Fingerprints
from lightune.errors import ArtifactError, InterruptedRunError
from lightune.inference.torch_free import quick_logits
from lightune.methods import make_method
from lightune.models.load import ModelSource, fingerprint, load_model
from lightune.models.tokenizer_files import is_tokenizer_file
from lightune.progress import Silent
from lightune.recipe import SettledTraining
from lightune.tasks import TASKS, Task
from lightune.tasks.coverage import Coverage
from lightune.training.batch_loss import Examples
from lightune.training.checkpoint import Checkpoint, load_checkpoint, newest
from lightune.training.checkpoint_state import require_state
from lightune.training.train import Job, Surroundings, Texts, attach, make_loop
from lightune.training.training_state import restore
from tiny import classes, sentences

TEXT = "a fine film"
SECONDS = 2.0
METHODS = ("lora", "prefix", "bottleneck", "full", "bitfit", "ia3")
ENDS = {"spread": (4.0, 9.0), "low": (1.0, 0.0), "high": (5.0, 9.0), "means": (3.0, 4.0), "deviations": (1.0, 2.0)}
TASKS_SAVED: dict[str, Task] = {
    "classification": TASKS["classification"](("no", "so-so", "yes"), temperature=1.7),
    "multi_label": TASKS["multi_label"](("art", "meal", "rest"), thresholds=(0.3, 0.4, 0.6), temperature=0.8),
    "regression": TASKS["regression"](columns=("stars", "length"), is_folded=True, **ENDS),
}
CASES = [(method, task) for method in METHODS for task in TASKS_SAVED]


def saved(base: Path, folder: Path, method: str, task: Task) -> Path:
    """Save an adapter with all files that a run's has, whose trained numbers are drawn at random."""
    loaded = load_model(ModelSource("base", base, None), task, 1, 16)
    made = make_method(method)
    model = made.attach(loaded.model, loaded.anatomy, 1).model
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=draw) * 0.2)
    coverage = None if task.name == "regression" else Coverage(9, (9,) * 101, (8,) * 101)
    config = ArtifactConfig(
        3, "base", None, fingerprint(loaded.source), method, made.options(), task, 16, ["text"], "label", 1,
        coverage=coverage, long_texts="windows",
    )  # fmt: skip
    save_adapter(model, made, config, folder, Fingerprints.of([(TEXT,)], "secret"), loaded.tokenizer)
    return folder


@pytest.fixture(scope="module")
def adapters(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, str]]:
    """Return a function that gives (the folder of an adapter, that of its base); each is made once."""
    made: dict[tuple[str, str], Path] = {}

    def get(method: str = "lora", task: str = "classification") -> tuple[Path, str]:
        base = tiny_models["distilbert"]
        if (method, task) not in made:
            folder = tmp_path_factory.mktemp("damage") / "adapter"
            made[method, task] = saved(base, folder, method, TASKS_SAVED[task])
        return made[method, task], str(base)

    return get


def usual(folder: Path, base: str) -> Any:
    return lightune.load(folder, base_model=base, device="cpu").logits([TEXT])


def without_torch(folder: Path, base: str) -> Any:
    found = quick_logits(str(folder), [TEXT], base)
    return None if found is None else found[1]


def refusal(read: Callable[[], Any]) -> str:
    """Return the code with which reading is refused in time, or what came instead."""
    began, answer = time.perf_counter(), "an answer"
    try:
        answer = "left to the usual path" if read() is None else answer
    except ArtifactError as error:
        answer = error.code
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    return answer if seconds < SECONDS else f"{seconds:.1f} s"


def let_through(folder: Path, base: str, damages: Iterable[Damage], with_manifest: bool) -> tuple[int, list[str]]:
    """Return (how many were tried, those that were not refused with exit 4 on both paths)."""
    tried, passed = 0, []
    for damage in damages:
        before, manifest = put(folder, damage, with_manifest), (folder / "MANIFEST.json")
        answers = [refusal(lambda: without_torch(folder, base)), refusal(lambda: usual(folder, base))]
        (folder / damage.file).write_bytes(before)
        if with_manifest:
            put(folder, replace(damage, content=before), True)
        assert manifest.is_file()
        tried += 1
        # What the quick path leaves is answered, or refused, by the usual one.
        sound = answers[0].startswith("ARTIFACT") or answers[0] == "left to the usual path"
        if not (sound and answers[1].startswith("ARTIFACT")):
            passed.append(f"{damage.file}: {damage.what}: {answers}")
    return tried, passed


def every(found: Iterator[Damage], step: int) -> Iterator[Damage]:
    return (one for number, one in enumerate(found) if number % step == 0)


DAMAGED = "Truncated files and flipped bits of an adapter are detected, with torch or without, each within 2 s"


@pytest.mark.guarantee(DAMAGED)
@pytest.mark.parametrize(("cuts", "flips"), [(5, 30), pytest.param(100, 1000, marks=pytest.mark.faults)])
def test_damage_to_an_adapter_is_detected_on_both_paths(
    adapters: Any, cuts: int, flips: int, record_property: Any
) -> None:
    folder, base = adapters()
    assert np.allclose(usual(folder, base), without_torch(folder, base), atol=1e-5)
    damages = [*truncations(folder, cuts), *bit_flips(folder, flips)]
    assert {damage.file for damage in damages} == {path.name for path in folder.iterdir()}
    tried, passed = let_through(folder, base, damages, with_manifest=False)
    assert passed == []
    record_property("figure", f"{cuts:,} truncations and {tried - cuts:,} bit flips, all detected on both paths")


FILES = ["lightune.json", "adapter_model.safetensors", "adapter_config.json", "fingerprints.safetensors",
         "tokenizer_config.json"]  # fmt: skip
CHANGED = "A name deleted, renamed, added or reshaped in an adapter, its manifest made to fit, is refused with exit 4"


@pytest.mark.guarantee(CHANGED)
def test_a_changed_name_is_refused_though_the_manifest_fits(adapters: Any, record_property: Any) -> None:
    folder, base = adapters()
    tried, passed = let_through(folder, base, every(changed_names(folder, FILES), 29), with_manifest=True)
    assert passed == []
    record_property("figure", f"{tried:,} of the changes of one adapter, all refused on both paths")


@pytest.mark.faults
@pytest.mark.guarantee(CHANGED)
@pytest.mark.parametrize(("method", "task"), CASES)
def test_every_changed_name_is_refused_though_the_manifest_fits(
    adapters: Any, method: str, task: str, record_property: Any
) -> None:
    folder, base = adapters(method, task)
    files = [name for name in [*FILES, "tokenizer.json"] if (folder / name).is_file()]
    tried, passed = let_through(folder, base, changed_names(folder, files), with_manifest=True)
    assert tried > 100
    assert passed == []
    record_property("figure", f"{method}, {task}: {tried:,} changes, all refused on both paths")


def test_what_is_sound_is_answered(adapters: Any) -> None:
    for method, task in [
        *((method, "classification") for method in METHODS),
        *(("lora", task) for task in TASKS_SAVED),
    ]:
        folder, base = adapters(method, task)
        slow, quick = usual(folder, base), without_torch(folder, base)
        assert (quick is None) == (method in {"prefix", "bottleneck", "ia3"})
        assert quick is None or np.allclose(slow, quick, atol=1e-4), (method, task)


def test_files_beside_those_of_the_manifest_are_not_read(adapters: Any, tmp_path: Path) -> None:
    """A tokenizer reads more files than it was saved to, if they lie there."""
    folder, base = adapters()
    for name in (
        "special_tokens_map.json", "added_tokens.json", "config.json", "chat_template.jinja", "vocab.txt", "Vocab.TXT",
        "tokenizer.4.0.json", "spiece.model",
    ):  # fmt: skip
        (folder / name).write_text("{}", encoding="utf-8")
        answers = [refusal(lambda: without_torch(folder, base)), refusal(lambda: usual(folder, base))]
        assert answers == ["ARTIFACT-053"] * 2, name
        (folder / name).unlink()


def test_files_beside_that_nothing_reads_are_left_alone(adapters: Any) -> None:
    """What macOS leaves on other file systems, what backups and people do."""
    folder, base = adapters()
    for name in ("._tokenizer.json", "._special_tokens_map.json", ".vocab.txt", "notes.txt", "scores.json", "a.py"):
        (folder / name).write_bytes(b"\0\5\x16\7")
        assert without_torch(folder, base) is not None, name
        assert usual(folder, base).shape == (1, 3), name
        (folder / name).unlink()


def test_every_name_that_a_tokenizer_looks_for_is_known() -> None:
    """By the source of the installed transformers."""
    models = Path(str(find_spec("transformers").origin)).parent / "models"  # type: ignore[union-attr]
    told = [
        re.search(r"^VOCAB_FILES_NAMES = \{(.*?)\}", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for path in models.glob("*/tokenization_*.py")
    ]
    names = {name for one in told if one for name in re.findall(r': "([^"]+)"', one.group(1))}
    assert len(names) > 15
    assert {name for name in names if not is_tokenizer_file(name)} == set()


Start = tuple[Callable[[], Any], Path]


@pytest.fixture(scope="module", params=["lora", pytest.param("adalora", marks=pytest.mark.faults)])
def interrupted(request: Any, load_tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Return (a function that makes the first step of the same training, the folder that one of them left)."""
    folder = tmp_path_factory.mktemp("interrupted")
    rows = sentences(64, seed=5)
    settings = SettledTraining(
        num_train_epochs=3, seed=1, learning_rate=5e-3, weight_averaging=0.9, precision="fp32",
        load_best_model_at_end=True,
    )  # fmt: skip

    def job(reporter: Any) -> Job:
        loaded = load_tiny("distilbert")
        encoded = encode(loaded.tokenizer, [(text,) for text, _ in rows], 64)
        examples = Examples(encoded, np.array([label == "positive" for _, label in rows], np.int64))
        method = make_method(request.param)
        model = attach(loaded, method, examples, settings).model
        task = classes(["negative", "positive"])
        return Job(
            model, method, task, loaded.tokenizer, Texts(examples, examples), settings, Surroundings(folder, reporter)
        )

    def loop(reporter: Any) -> Any:
        made = job(reporter)
        return make_loop(made, made.precision())

    with pytest.raises(InterruptedRunError):
        loop(AfterStep(7)).fit()
    return lambda: loop(Silent()).step, folder


def going_on(step: Any, folder: Path) -> Checkpoint:
    """Do what going on begins with."""
    found = load_checkpoint(folder)
    require_state(folder / "state.json", ["accuracy", "f1_macro", "loss"])
    restore(step, found)
    return found


LOST = "A damaged checkpoint is passed over for the one before it; a changed one is refused with exit 4"


@pytest.mark.guarantee(LOST)
@pytest.mark.parametrize(("cuts", "flips"), [(5, 30), pytest.param(100, 1000, marks=pytest.mark.faults)])
def test_a_damaged_checkpoint_is_passed_over(interrupted: Start, cuts: int, flips: int, record_property: Any) -> None:
    _, run = interrupted
    last = newest(run)
    assert last is not None
    before = sorted(path for path in (run / "checkpoints").glob("step-*"))[-2]
    for damage in (*truncations(last.folder, cuts), *bit_flips(last.folder, flips)):
        held, began = put(last.folder, damage, with_manifest=False), time.perf_counter()
        found = newest(run)
        assert time.perf_counter() - began < SECONDS
        (last.folder / damage.file).write_bytes(held)
        assert found is not None
        assert (found.folder, len(found.passed_over)) == (before, 1), damage.what
    record_property("figure", f"{cuts:,} truncations and {flips:,} bit flips, all passed over")


@pytest.mark.guarantee(LOST)
@pytest.mark.parametrize("step", [41, pytest.param(1, marks=pytest.mark.faults)])
def test_a_changed_checkpoint_is_refused_though_its_manifest_fits(
    interrupted: Start, step: int, record_property: Any
) -> None:
    start, run = interrupted
    last = newest(run)
    assert last is not None
    first, tried, passed = start(), 0, []
    names = [path.name for path in last.folder.iterdir() if path.name != "MANIFEST.json"]
    for damage in every(changed_names(last.folder, names), step):
        held = put(last.folder, damage, with_manifest=True)
        answer = refusal(lambda: going_on(first, last.folder))
        put(last.folder, replace(damage, content=held), with_manifest=True)
        tried += 1
        if not answer.startswith("ARTIFACT"):
            passed.append(f"{damage.file}: {damage.what}: {answer}")
    assert passed == []
    going_on(start(), last.folder)
    record_property("figure", f"{tried:,} changes to a checkpoint, all refused")
