"""The Hugging Face Hub: a laid-out cache, a Hub that cannot be reached, and a small Hub on a loopback port.

Whatever depends on environment variables runs in a process of its own, since huggingface_hub reads them once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lightune.errors import HubError, ResourceError
from lightune.models import hub
from lightune.models.load import find_model, load_model
from lightune.models.token_counter import FILES
from saved_adapters import make_adapter
from small_hub import (
    COMMIT,
    Behaviour,
    closed_port,
    counting_and_closing,
    environment,
    listening_but_silent,
    small_hub,
)
from tiny import classes

NAME = "somebody/tiny-model"
FIND = """
import json, sys, time
from lightune.errors import LightuneError
from lightune.models.load import find_model
started = time.monotonic()
try:
    source = find_model(*sys.argv[1:])
    answer = {"revision": source.revision, "files": sorted(path.name for path in source.folder.iterdir())}
except LightuneError as error:
    answer = {"code": error.code, "exit_code": error.exit_code, "message": str(error)}
print(json.dumps({**answer, "seconds": time.monotonic() - started}))
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> Path:
    """A cache in the Hub's own layout that holds the tiny model as somebody/tiny-model."""
    folder = tmp_path_factory.mktemp("home") / "hub"
    repository = folder / "models--somebody--tiny-model"
    shutil.copytree(tiny_models["distilbert"], repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return folder


def find_elsewhere(env: dict[str, str], name: str = NAME, *revision: str) -> dict[str, Any]:
    """Find a model in a fresh process and return what came of it."""
    done = subprocess.run(
        [sys.executable, "-c", FIND, name, *revision], env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# From the cache, and without a Hub


def test_a_cached_model_loads_offline_and_its_commit_is_the_revision(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source = find_model(NAME)
    assert (source.name, source.revision) == (NAME, COMMIT)
    assert load_model(source, classes(["no", "yes"]), 1).model.config.id2label == {0: "no", 1: "yes"}
    assert find_model(NAME, COMMIT).folder == source.folder


def test_offline_an_unknown_revision_of_a_cached_model_is_not_replaced_by_another(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError) as caught:
        find_model(NAME, "f" * 40)
    assert caught.value.exit_code == 7


def test_offline_a_process_finds_what_the_environment_says_is_cached(cache: Path) -> None:
    found = find_elsewhere(environment(cache, "http://127.0.0.1:9", HF_HUB_OFFLINE="1"))
    assert found["revision"] == COMMIT
    assert found["seconds"] < 10


@pytest.fixture(scope="module")
def without_a_hub(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    """What comes of looking for the model: {(hub, cache): answer}. All at once, since they mostly wait."""
    caches = {"cached": cache, "absent": tmp_path_factory.mktemp("empty")}
    with closed_port() as closed, listening_but_silent() as silent, ThreadPoolExecutor() as pool:
        hubs = {"closed": closed, "silent": silent}
        # HF_HUB_OFFLINE=0 means online.
        coming = {
            (hub, place): pool.submit(find_elsewhere, environment(caches[place], hubs[hub], HF_HUB_OFFLINE="0"))
            for hub in hubs
            for place in caches
        }
        return {key: future.result() for key, future in coming.items()}


@pytest.mark.parametrize("hub", ["closed", "silent"])
def test_a_cached_model_is_found_when_the_network_is_merely_unreachable(without_a_hub: Any, hub: str) -> None:
    found = without_a_hub[hub, "cached"]
    assert found["revision"] == COMMIT
    assert found["seconds"] < 10


@pytest.mark.parametrize("hub", ["closed", "silent"])
def test_an_unreachable_hub_is_said_within_ten_seconds(without_a_hub: Any, hub: str) -> None:
    found = without_a_hub[hub, "absent"]
    assert (found["code"], found["exit_code"]) == ("HUB-001", 7)
    assert NAME in found["message"]
    assert found["seconds"] < 10


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_nobody_is_asked(tmp_path: Path, variable: str) -> None:
    """With a Hub that never answers, asking it would take seconds."""
    with listening_but_silent() as endpoint:
        found = find_elsewhere(environment(tmp_path / "empty", endpoint, **{variable: "1"}))
    assert (found["code"], found["exit_code"]) == ("HUB-001", 7)
    assert found["seconds"] < 3


@pytest.mark.parametrize("lost", ["tokenizer.json", "MANIFEST.json", "adapter_model.safetensors"])
def test_an_adapter_that_is_only_partly_cached_is_said_offline(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--somebody--adapter"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    make_adapter(tiny_models["distilbert"], folder, "lora", ["no", "yes"])
    patterns = (*hub.MODEL_FILES, *hub.ADAPTER_FILES)
    assert find_model("somebody/adapter", patterns=patterns).folder == folder
    (folder / lost).unlink()
    with pytest.raises(HubError) as caught:
        find_model("somebody/adapter", patterns=patterns)
    assert (caught.value.code, caught.value.exit_code) == ("HUB-007", 7)
    assert f"(no {lost})" in caught.value.message


# A Hub


def test_a_download_takes_safetensors_and_text_and_nothing_else(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "repository"))
    for unwanted in ("pytorch_model.bin", "training_args.bin", "modeling_evil.py", "tf_model.h5", "model.ckpt"):
        (folder / unwanted).write_bytes(b"never")
    behaviour = Behaviour(folder)
    with small_hub(behaviour) as endpoint:
        found = find_elsewhere(environment(tmp_path / "hub", endpoint))
    wanted = sorted(path.name for path in tiny_models["distilbert"].iterdir())
    assert found["revision"] == COMMIT
    assert found["files"] == wanted
    fetched = {path.rpartition("/")[2] for path in behaviour.asked if "/resolve/" in path}
    assert fetched == set(wanted)


@pytest.mark.parametrize(("kind", "kept"), [("model", 0), ("dataset", 4)])
def test_exports_are_left_out_of_models_and_not_of_data_sets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, kept: int
) -> None:
    from huggingface_hub.utils import filter_repo_objects

    files = ["original/train.csv", "onnx/train.csv", "tf_reviews.csv", "flax.csv"]
    fetched: list[str] = []

    def listed(*_: object, allow_patterns: list[str], ignore_patterns: list[str] | None, **__: object) -> str:
        fetched.extend(filter_repo_objects(files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", listed)
    hub._download("someone/it", None, kind, ["*.csv"], True, lambda: None)
    assert len(fetched) == kept


REFUSALS = [
    ("refusal", 404, "RepoNotFound", "HUB-002"),
    ("refusal", 401, "RepoNotFound", "HUB-002"),  # what the Hub says to strangers
    ("refusal", 404, "RevisionNotFound", "HUB-004"),
    ("refusal", 403, "GatedRepo", "HUB-003"),
    ("file_refusal", 403, "GatedRepo", "HUB-003"),  # a gated repository may show its list of files
    ("refusal", 401, "", "HUB-008"),
    ("refusal", 500, "", "HUB-006"),
]


@pytest.mark.parametrize(("where", "status", "said", "code"), REFUSALS)
def test_what_the_hub_refuses_is_explained(
    tmp_path: Path, tiny_models: dict[str, Path], where: str, status: int, said: str, code: str
) -> None:
    with small_hub(Behaviour(tiny_models["distilbert"], **{where: (status, said)})) as endpoint:
        found = find_elsewhere(environment(tmp_path / "hub", endpoint))
    assert (found.get("code"), found.get("exit_code")) == (code, 7)
    assert NAME in found["message"]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    weights = tiny_models["distilbert"] / "model.safetensors"
    behaviour = Behaviour(tiny_models["distilbert"], breaking=weights.name, breaks=2)
    with small_hub(behaviour) as endpoint:
        found = find_elsewhere(environment(tmp_path / "hub", endpoint))
    assert behaviour.breaks == 0
    stored = tmp_path / "hub" / "models--somebody--tiny-model" / "snapshots" / found["revision"] / weights.name
    assert stored.read_bytes() == weights.read_bytes()


def test_a_hub_that_dies_in_the_middle_is_said_and_the_next_run_fetches_the_rest(
    tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    """The first attempt leaves all files but the weights; offline that is called incomplete, online it is completed."""
    cache, model = tmp_path / "hub", tiny_models["distilbert"]
    with small_hub(Behaviour(model, breaking="model.safetensors", breaks=1_000)) as endpoint:
        broken = find_elsewhere(environment(cache, endpoint))
    offline = find_elsewhere(environment(cache, endpoint, HF_HUB_OFFLINE="1"))
    with small_hub(Behaviour(model)) as endpoint:
        whole = find_elsewhere(environment(cache, endpoint))
    assert (broken["code"], broken["exit_code"]) == ("HUB-006", 7)
    assert "Run it again" in broken["message"]
    assert (offline["code"], offline["exit_code"]) == ("HUB-007", 7)
    assert whole["files"] == sorted(path.name for path in model.iterdir())


def test_a_hub_that_falls_silent_is_not_waited_for(tmp_path: Path, cache: Path, tiny_models: dict[str, Path]) -> None:
    with small_hub(Behaviour(tiny_models["distilbert"], mute=True)) as endpoint, ThreadPoolExecutor() as pool:
        places = (cache, tmp_path / "hub")
        cached, absent = pool.map(lambda place: find_elsewhere(environment(place, endpoint)), places)
    assert cached["revision"] == COMMIT
    assert (absent["code"], absent["exit_code"]) == ("HUB-001", 7)
    assert max(cached["seconds"], absent["seconds"]) < 10


# What the cache holds


@pytest.mark.parametrize(
    ("lost", "said"),
    [("model.safetensors", "no weights"), ("config.json", "no config.json"), ("tokenizer.json", "no tokenizer")],
)
def test_a_cached_model_that_lacks_a_file_is_called_incomplete(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, lost: str, said: str
) -> None:
    """As caches of older libraries may be, which keep no list of what belongs to a snapshot."""
    partial = Path(shutil.copytree(cache, tmp_path / "hub"))
    (partial / "models--somebody--tiny-model" / "snapshots" / COMMIT / lost).unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(partial))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for revision in (None, COMMIT):
        with pytest.raises(HubError, match=said) as caught:
            find_model(NAME, revision)
        assert caught.value.code == "HUB-007"


def test_a_missing_shard_and_a_link_to_nothing_make_a_snapshot_incomplete(
    tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    folder = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "model"))
    assert hub._lacking(folder, "model", hub.MODEL_FILES) == ""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}), encoding="utf-8")
    assert hub._lacking(folder, "model", hub.MODEL_FILES) == shards["b"]
    (folder / shards["b"]).symlink_to(tmp_path / "gone")
    assert hub._lacking(folder, "model", hub.MODEL_FILES) == shards["b"]


def test_a_cached_commit_is_loaded_without_asking_anybody(cache: Path) -> None:
    with counting_and_closing() as (endpoint, calls):
        pinned = find_elsewhere(environment(cache, endpoint), NAME, COMMIT)
        assert pinned["revision"] == COMMIT
        assert calls == []
        find_elsewhere(environment(cache, endpoint), NAME)
        assert len(calls) == 1, "the counter should count"


@pytest.mark.parametrize("number", [28, 13, 30])  # no space, no permission, read-only
def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_hub(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(ResourceError, match=os.strerror(number)) as caught:
        find_model(NAME)
    assert (caught.value.exit_code, caught.value.code) == (6, "DISK-003")
    assert "HF_HOME" in caught.value.hint


def test_a_full_disk_that_the_hubs_own_library_meets_is_not_blamed_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library for large files is written in Rust, and its errors are no OSError."""

    def full(*arguments: object, **options: object) -> None:
        raise RuntimeError("Data processing error: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(ResourceError, match="the disk is full") as caught:
        find_model(NAME)
    assert caught.value.code == "DISK-003"


def test_a_name_that_the_hub_could_not_have_is_explained(tmp_path: Path) -> None:
    found = find_elsewhere(environment(tmp_path / "empty", "http://127.0.0.1:9", HF_HUB_OFFLINE="1"), "no such name!")
    assert (found["code"], found["exit_code"]) == ("HUB-005", 7)


# The bar


def test_a_download_shows_a_bar_on_a_terminal_only(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    folder = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "repository"))
    (folder / "vocab.txt").write_bytes(b"x" * 5_000_000)
    with small_hub(Behaviour(folder)) as endpoint:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        command = [sys.executable, "-c", FIND, NAME]
        with subprocess.Popen(command, env=environment(tmp_path / "a", endpoint), stderr=theirs) as process:
            os.close(theirs)
            shown = b"".join(iter(lambda: _read(ours), b"")).decode()
            assert process.wait(60) == 0
        silent = subprocess.run(command, env=environment(tmp_path / "b", endpoint), capture_output=True, text=True)
    assert f"downloading {NAME}" in shown
    assert "5." in shown
    assert "Fetching" not in shown
    assert silent.returncode == 0
    assert silent.stderr == ""


def _read(number: int) -> bytes:
    try:
        return os.read(number, 10_000)
    except OSError:  # the other end was closed
        return b""


@pytest.mark.parametrize(("patterns", "kept"), [(FILES, FILES), (hub.CONFIG_FILES, hub.CONFIG_FILES)])
def test_only_what_was_asked_for_can_be_lacking(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, patterns: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    """What `check --model` and `anatomy` fetch is found again offline, and is no whole model."""
    partial = Path(shutil.copytree(cache, tmp_path / "hub"))
    for path in (partial / "models--somebody--tiny-model" / "snapshots" / COMMIT).iterdir():
        if path.name not in kept:
            path.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(partial))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for revision in (None, COMMIT):
        assert find_model(NAME, revision, patterns).revision == COMMIT
        with pytest.raises(HubError, match="HUB-007"):
            find_model(NAME, revision)
