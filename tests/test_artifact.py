"""The adapter folder: it reloads to the same logits, and nothing that is damaged or belongs elsewhere is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.artifact import ArtifactConfig, load_adapter, read_config, save_adapter
from lightune.cli.main import main
from lightune.errors import ArtifactError
from lightune.methods import make_method
from lightune.models.load import LoadedModel, ModelSource, fingerprint, load_model
from lightune.safe_files import write_json, write_manifest
from tiny import classes

TEXTS = ["a lovely film", "the soup was dreadful and cold", "quite clever", "my chair is dull and limp"]
LABELS = ["negative", "positive"]
SEED = 5
ARCHITECTURES = ("distilbert", "bert", "gpt2")
TOKENIZER = ["tokenizer.json", "tokenizer_config.json"]
FILES = {
    "lora": ["MANIFEST.json", "adapter_config.json", "adapter_model.safetensors", "lightune.json", *TOKENIZER],
    "full": ["MANIFEST.json", "adapter_model.safetensors", "lightune.json", *TOKENIZER],
    "head": ["MANIFEST.json", "adapter_model.safetensors", "lightune.json", *TOKENIZER],
}
EVERY_FILE = [(method, name) for method, names in FILES.items() for name in names]


def logits_of(model: torch.nn.Module, tokenizer: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


@dataclass
class Saved:
    """A saved adapter, its base model, and the logits before anything was saved."""

    folder: Path
    base: Path
    logits: torch.Tensor
    untrained: torch.Tensor


def train_and_save(loaded: LoadedModel, name: str, folder: Path) -> Saved:
    method = make_method(name, {"rank": 4} if name == "lora" else {})
    untrained = logits_of(loaded.model, loaded.tokenizer)
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=2e-2)
    batch = loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")
    for _ in range(4):
        model(**batch, labels=torch.tensor([1, 0, 1, 0])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    config = ArtifactConfig(
        format_version=2,
        base_model=str(loaded.source.folder),
        base_revision=None,
        base_sha256=fingerprint(loaded.source),
        method=name,
        method_options=method.options(),
        task=loaded.task,
        max_length=32,
        text_columns=["text"],
        label_column="label",
        seed=SEED,
    )
    logits = logits_of(model, loaded.tokenizer)
    written = save_adapter(model, method, config, folder, tokenizer=loaded.tokenizer)
    assert written == (folder / "adapter_model.safetensors").stat().st_size
    return Saved(folder, loaded.source.folder, logits, untrained)


@pytest.fixture(scope="module")
def all_saved(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Saved]:
    """Every method of FILES on these architectures, saved once; copy before you spoil."""
    root = tmp_path_factory.mktemp("adapters")
    found = {}
    for name in FILES:
        for architecture in ARCHITECTURES:
            loaded = load_model(ModelSource(architecture, tiny_models[architecture], None), classes(LABELS), SEED)
            found[name, architecture] = train_and_save(loaded, name, root / f"{name}-{architecture}")
    return found


@pytest.fixture
def copied(all_saved: Any, tmp_path: Path) -> Callable[..., Saved]:
    """Return a function that copies a saved adapter, so that a test may spoil it."""

    def copy(method: str = "lora", architecture: str = "distilbert") -> Saved:
        saved = all_saved[method, architecture]
        return replace(saved, folder=Path(shutil.copytree(saved.folder, tmp_path / "adapter")))

    return copy


def refused(folder: Path, **options: Any) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        load_adapter(folder, **options)
    assert caught.value.exit_code == 4
    return caught.value


# What is saved comes back


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", FILES)
def test_a_reloaded_adapter_gives_the_same_logits(all_saved: Any, method: str, architecture: str) -> None:
    saved = all_saved[method, architecture]
    assert float((saved.logits - saved.untrained).abs().max()) > 1e-3
    torch.manual_seed(77)  # whatever the global generator is at
    adapted = load_adapter(saved.folder)
    assert not adapted.model.training
    assert torch.equal(logits_of(adapted.model, adapted.loaded.tokenizer), saved.logits)
    assert adapted.loaded.model.config.id2label == {0: "negative", 1: "positive"}
    assert adapted.loaded.max_length == 32


@pytest.mark.parametrize("method", FILES)
def test_the_folder_holds_safetensors_and_json_and_nothing_else(all_saved: Any, method: str) -> None:
    folder = all_saved[method, "bert"].folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES[method])
    for path in folder.glob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    header = (folder / "adapter_model.safetensors").read_bytes()[:9]
    assert header[8:] == b"{"
    assert int.from_bytes(header[:8], "little") < (folder / "adapter_model.safetensors").stat().st_size


def test_a_run_folder_stands_for_the_adapter_in_it(copied: Callable[..., Saved], tmp_path: Path) -> None:
    saved = copied("head", "gpt2")
    assert torch.equal(load_adapter(tmp_path).model.score.weight, load_adapter(saved.folder).model.score.weight)


def test_a_saved_adapter_is_never_overwritten(all_saved: Any, load_tiny: Callable[..., LoadedModel]) -> None:
    folder = all_saved["head", "bert"].folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError):
        train_and_save(load_tiny("bert"), "head", folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


# Damage


@pytest.mark.parametrize(("method", "name"), EVERY_FILE)
def test_a_changed_byte_is_refused(copied: Callable[..., Saved], method: str, name: str) -> None:
    """The first, the middle and the last byte of each file; every single one of the manifest."""
    folder = copied(method).folder
    intact = (folder / name).read_bytes()
    everywhere = range(len(intact))
    places = everywhere if name == "MANIFEST.json" else (0, len(intact) // 2, len(intact) - 1)
    masks = (0x01, 0x80) if name == "MANIFEST.json" else (0x01, 0x20, 0x80, 0xFF)
    for place in places:
        for mask in masks:
            raw = bytearray(intact)
            raw[place] ^= mask
            (folder / name).write_bytes(raw)
            assert name in refused(folder).message
    (folder / name).write_bytes(intact)
    load_adapter(folder)


@pytest.mark.parametrize(("method", "name"), EVERY_FILE)
@pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + b"\n", lambda raw: b""])
def test_a_file_cut_short_or_with_something_added_is_refused(
    copied: Callable[..., Saved], method: str, name: str, change: Callable[[bytes], bytes]
) -> None:
    folder = copied(method).folder
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    assert name in refused(folder).message


@pytest.mark.parametrize(("method", "name"), EVERY_FILE)
def test_a_deleted_file_is_noticed(copied: Callable[..., Saved], method: str, name: str) -> None:
    folder = copied(method).folder
    (folder / name).unlink()
    assert name in refused(folder).message


def test_the_command_line_ends_with_status_4(copied: Callable[..., Saved], capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied().folder
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert main(["predict", str(folder), "a lovely film"]) == 4
    said = capsys.readouterr()
    assert "adapter_model.safetensors: this file is damaged" in said.err
    assert said.out == ""


def test_a_folder_that_is_not_there_or_holds_no_adapter_is_refused(tmp_path: Path) -> None:
    assert "there is no such folder" in refused(tmp_path / "nowhere").message
    assert "not a saved adapter" in refused(tmp_path).message


# The base model


@pytest.fixture
def moved_base(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    """The base model of the DistilBERT adapters, somewhere else."""
    return Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "moved"))


def test_a_base_model_that_moved_can_be_named(copied: Callable[..., Saved], moved_base: Path) -> None:
    saved = copied()
    write_json(
        saved.folder / "lightune.json",
        {**json.loads((saved.folder / "lightune.json").read_text()), "base_model": str(moved_base.parent / "gone")},
    )
    write_manifest(saved.folder)
    adapted = load_adapter(saved.folder, base_model=str(moved_base))
    assert torch.equal(logits_of(adapted.model, adapted.loaded.tokenizer), saved.logits)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_base_model_with_a_changed_byte_is_refused(copied: Callable[..., Saved], moved_base: Path, name: str) -> None:
    raw = (moved_base / name).read_bytes()
    place = raw.rindex(b"0") if name == "config.json" else len(raw) - 1
    (moved_base / name).write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    assert "is not the base model" in refused(copied().folder, base_model=str(moved_base)).message


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_base_model_that_lacks_a_file_is_refused(copied: Callable[..., Saved], moved_base: Path, name: str) -> None:
    (moved_base / name).unlink()
    assert "is not the base model" in refused(copied().folder, base_model=str(moved_base)).message


def test_another_architecture_is_refused(copied: Callable[..., Saved], tiny_models: dict[str, Path]) -> None:
    assert "is not the base model" in refused(copied().folder, base_model=str(tiny_models["bert"])).message


# A folder that is whole, and wrong all the same


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"format_version": 4}, "ARTIFACT-006"),
        ({"format_version": "2"}, "ARTIFACT-006"),
        ({"format_version": None}, "ARTIFACT-006"),
        ({"format_version": 4, "no_such_key": 1}, "ARTIFACT-006"),
        ({"format_version": True}, "ARTIFACT-006"),
        ({"format_version": 2}, "ARTIFACT-005"),
        ({"method": "no-such-method"}, "ARTIFACT-008"),
        ({"method_options": {"rank": 4, "no_such_option": 1}}, "ARTIFACT-008"),
        ({"method_options": {"rank": 5}}, "ARTIFACT-005"),
        ({"method_options": {**make_method("lora", {"rank": 5}).options()}}, "ARTIFACT-010"),
        ({"task": {"name": "classification", "labels": ["a", "b", "c"]}, "labels": ["a", "b", "c"]}, "ARTIFACT-005"),
        ({"task": classes(["a", "b", "c"]).as_json(), "labels": ["a", "b", "c"]}, "ARTIFACT-010"),
        ({"max_length": 0}, "ARTIFACT-005"),
        ({"max_length": -1}, "ARTIFACT-005"),
        ({"max_length": 10**18}, "ARTIFACT-005"),
        ({"max_length": 65}, "ARTIFACT-005"),  # the tiny models have 64 positions
        ({"max_length": float("nan")}, "ARTIFACT-005"),
        ({"max_length": True}, "ARTIFACT-005"),
        ({"task": {**classes(LABELS).as_json(), "temperature": 0}}, "ARTIFACT-005"),
        ({"task": {**classes(LABELS).as_json(), "temperature": float("inf")}}, "ARTIFACT-005"),
        ({"task": {**classes(LABELS).as_json(), "temperature": "1"}}, "ARTIFACT-005"),
        ({"task": classes(["a", "a"]).as_json(), "labels": ["a", "a"]}, "ARTIFACT-005"),
        ({"task": {"name": "classification", "labels": ["a", "b"]}}, "ARTIFACT-005"),
        ({"task": {"name": "no-such-task", "labels": ["a", "b"]}}, "ARTIFACT-046"),
        ({"task": {"labels": ["a", "b"]}}, "ARTIFACT-046"),
        ({"task": {"name": "classification", "labels": "ab"}}, "ARTIFACT-005"),
        ({"task": {"name": "classification", "labels": ["a", 2]}}, "ARTIFACT-005"),
        ({"task": {"name": "classification", "labels": ["a", "b"], "no_such_key": 1}}, "ARTIFACT-005"),
        ({"task": ["a", "b"]}, "ARTIFACT-005"),
        ({"task": None}, "ARTIFACT-005"),
        ({"labels": ["a", "b"]}, "ARTIFACT-005"),
        ({"method": "head", "method_options": {}}, "ARTIFACT-010"),
        ({"no_such_key": 1}, "ARTIFACT-005"),
    ],
)
def test_a_configuration_that_does_not_fit_the_tensors_is_refused(
    copied: Callable[..., Saved], change: dict[str, Any], code: str
) -> None:
    folder = copied().folder
    write_json(folder / "lightune.json", {**json.loads((folder / "lightune.json").read_text()), **change})
    write_manifest(folder)
    assert refused(folder).code == code


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"null", b"\xff\xfe"])
def test_a_configuration_that_is_none_is_refused(copied: Callable[..., Saved], raw: bytes) -> None:
    folder = copied().folder
    (folder / "lightune.json").write_bytes(raw)
    write_manifest(folder)
    assert refused(folder).code == "ARTIFACT-005"


def test_weights_that_are_no_safetensors_are_refused(copied: Callable[..., Saved]) -> None:
    folder = copied().folder
    torch.save({"weight": torch.zeros(1)}, folder / "adapter_model.safetensors")
    write_manifest(folder)
    assert refused(folder).code == "ARTIFACT-011"


# Folders of the first format


def in_format_1(folder: Path) -> dict[str, Any]:
    """Rewrite lightune.json by hand as the first format had it: `labels` beside the other keys, and no task."""
    written = json.loads((folder / "lightune.json").read_text(encoding="utf-8"))
    assert written["format_version"] == 3
    assert written.pop("files").keys() >= {"tokenizer.json", "tokenizer_config.json"}
    task = written.pop("task")
    assert task == {"name": "classification", "labels": LABELS, "temperature": 1.0}
    assert written.pop("coverage") is None
    older = {**written, "format_version": 1, "labels": LABELS}
    write_json(folder / "lightune.json", older)
    write_manifest(folder)
    return older


@pytest.mark.parametrize("method", FILES)
def test_a_folder_of_the_first_format_is_read_as_one_of_the_second(copied: Callable[..., Saved], method: str) -> None:
    saved = copied(method)
    config = read_config(saved.folder)
    in_format_1(saved.folder)
    assert read_config(saved.folder) == config
    adapted = load_adapter(saved.folder)
    assert adapted.config.task == classes(LABELS)
    assert torch.equal(logits_of(adapted.model, adapted.loaded.tokenizer), saved.logits)


def test_one_from_before_there_were_precisions_is_read_too(copied: Callable[..., Saved]) -> None:
    saved = copied()
    older = in_format_1(saved.folder)
    assert older.pop("model_precision") == "fp32"
    write_json(saved.folder / "lightune.json", older)
    write_manifest(saved.folder)
    assert read_config(saved.folder).model_precision == "fp32"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"labels": ["a", "b", "c"]}, "ARTIFACT-010"),
        ({"labels": "ab"}, "ARTIFACT-005"),
        ({"labels": [["a"], ["b"]]}, "ARTIFACT-005"),
        ({"labels": None}, "ARTIFACT-005"),
        ({"no_such_key": 1}, "ARTIFACT-005"),
        ({"seed": ...}, "ARTIFACT-005"),
        ({"labels": ...}, "ARTIFACT-005"),
    ],
)
def test_one_that_does_not_fit_is_refused(copied: Callable[..., Saved], change: dict[str, Any], code: str) -> None:
    """An ellipsis leaves the key out."""
    folder = copied().folder
    changed = {**in_format_1(folder), **change}
    write_json(folder / "lightune.json", {key: value for key, value in changed.items() if value is not ...})
    write_manifest(folder)
    assert refused(folder).code == code
