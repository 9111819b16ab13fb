"""The Hugging Face Hub: a laid-out cache, a Hub that cannot be reached, and a small Hub on a loopback port.

Whatever depends on environment variables runs in a process of its own, since huggingface_hub reads them once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lightune.errors import HubError
from lightune.models.load import find_model, load_classifier

NAME = "somebody/tiny-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIND = """
import json, sys, time
from lightune.errors import LightuneError
from lightune.models.load import find_model
started = time.monotonic()
try:
    source = find_model(sys.argv[1])
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


@contextlib.contextmanager
def listening_but_silent() -> Iterator[str]:
    """A port whose connections are accepted (by the system) and never answered."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """A port that was free a moment ago: connections are refused at once."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        number = server.getsockname()[1]
    yield f"http://127.0.0.1:{number}"


def environment(cache: Path, endpoint: str, **values: str) -> dict[str, str]:
    """The environment of a process that has this cache and takes this address for the Hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return {**kept, "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache.parent), "HF_ENDPOINT": endpoint, **values}


def find_elsewhere(env: dict[str, str], name: str = NAME) -> dict[str, Any]:
    """Find a model in a fresh process and return what came of it."""
    done = subprocess.run([sys.executable, "-c", FIND, name], env=env, capture_output=True, text=True, timeout=60)
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
    assert load_classifier(source, ["no", "yes"], 1).model.config.id2label == {0: "no", 1: "yes"}
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


def test_the_command_line_ends_with_status_7(tmp_path: Path, tiny_data: dict[str, Path]) -> None:
    with closed_port() as endpoint:
        arguments = ["run", "--model", NAME, "--train", str(tiny_data["train"]), "--output", str(tmp_path / "run")]
        done = subprocess.run(
            [sys.executable, "-m", "lightune", *arguments],
            env=environment(tmp_path / "empty", endpoint),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 7
    assert "HUB-001" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("run*"))


# A Hub


class SmallHub(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks about one repository, and keeps the paths it was asked for."""

    folder: Path
    refusal: tuple[int, str] | None
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path == "/api/models":
            self.reply(200, b"[]", with_body)
        elif self.refusal is not None:
            self.reply(self.refusal[0], b"{}", with_body, **{"X-Error-Code": self.refusal[1]})
        elif "/tree/" in path:
            files = [file for file in self.folder.iterdir() if file.is_file()]
            tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": COMMIT} for f in files]
            self.reply(200, json.dumps(tree).encode(), with_body)
        elif path.startswith("/api/"):
            files = [{"rfilename": file.name} for file in self.folder.iterdir()]
            about = {"id": NAME, "sha": COMMIT, "siblings": files, "private": False, "tags": [], "downloads": 0}
            self.reply(200, json.dumps(about).encode(), with_body)
        else:
            raw = (self.folder / path.rpartition("/")[2]).read_bytes()
            etag = hashlib.sha256(raw).hexdigest()
            self.reply(200, raw, with_body, **{"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def reply(self, status: int, body: bytes, with_body: bool, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@contextlib.contextmanager
def small_hub(folder: Path, refusal: tuple[int, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder as somebody/tiny-model; yield the address and the list of what is asked for."""
    asked: list[str] = []
    handler = type("Handler", (SmallHub,), {"folder": folder, "refusal": refusal, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()


def test_a_download_takes_safetensors_and_text_and_nothing_else(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "repository"))
    for unwanted in ("pytorch_model.bin", "training_args.bin", "modeling_evil.py", "tf_model.h5", "model.ckpt"):
        (folder / unwanted).write_bytes(b"never")
    with small_hub(folder) as (endpoint, asked):
        found = find_elsewhere(environment(tmp_path / "hub", endpoint))
    wanted = sorted(path.name for path in tiny_models["distilbert"].iterdir())
    assert found["revision"] == COMMIT
    assert found["files"] == wanted
    fetched = {path.rpartition("/")[2] for path in asked if "/resolve/" in path}
    assert fetched == set(wanted)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [((404, "RepoNotFound"), "HUB-002"), ((403, "GatedRepo"), "HUB-003"), ((404, "RevisionNotFound"), "HUB-004")],
)
def test_what_the_hub_refuses_is_explained(
    tmp_path: Path, tiny_models: dict[str, Path], refusal: tuple[int, str], code: str
) -> None:
    with small_hub(tiny_models["distilbert"], refusal) as (endpoint, _):
        found = find_elsewhere(environment(tmp_path / "hub", endpoint))
    assert (found.get("code"), found.get("exit_code")) == (code, 7)
    assert NAME in found["message"]


def test_a_full_disk_is_not_blamed_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(OSError, match="No space left"):
        find_model(NAME)


def test_a_name_that_the_hub_could_not_have_is_explained(tmp_path: Path) -> None:
    found = find_elsewhere(environment(tmp_path / "empty", "http://127.0.0.1:9", HF_HUB_OFFLINE="1"), "no such name!")
    assert (found["code"], found["exit_code"]) == ("HUB-005", 7)
