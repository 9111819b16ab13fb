"""Stand-ins for the Hugging Face Hub on a loopback port: a small one that works, and some that do not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def environment(cache: Path, endpoint: str, **values: str) -> dict[str, str]:
    """The environment of a process that has this cache and takes this address for the Hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return {**kept, "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache.parent), "HF_ENDPOINT": endpoint, **values}


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


@contextlib.contextmanager
def counting_and_closing() -> Iterator[tuple[str, list[str]]]:
    """A port that hangs up on every caller, and the list of the calls."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.settimeout(5)
                    with contextlib.suppress(OSError):
                        calls.append(connection.recv(200).decode(errors="replace").partition("\r\n")[0])
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)


@dataclass
class Behaviour:
    """What the small Hub serves (one repository, a model or a data set), and what it does wrong.

    `refusal` is a status and an error code for every question about the repository, `file_refusal` for its files
    alone. The first `breaks` answers for `breaking` end in the middle. A `mute` Hub says that it is there, no more.
    """

    folder: Path
    refusal: tuple[int, str] | None = None
    file_refusal: tuple[int, str] | None = None
    breaking: str = ""
    breaks: int = 0
    mute: bool = False
    private: bool = False
    asked: list[str] = field(default_factory=list)


class SmallHub(BaseHTTPRequestHandler):
    """Answers what huggingface_hub asks about one repository, and keeps the paths it was asked for."""

    behaviour: Behaviour

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path, hub = self.path.partition("?")[0], self.behaviour
        hub.asked.append(path)
        if path == "/api/models":
            self.reply(200, b"[]", with_body)
        elif hub.mute:
            time.sleep(60)
        elif hub.refusal is not None:
            self.reply(hub.refusal[0], b"{}", with_body, **{"X-Error-Code": hub.refusal[1]})
        elif "/tree/" in path:
            files = [file for file in hub.folder.iterdir() if file.is_file()]
            tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": COMMIT} for f in files]
            self.reply(200, json.dumps(tree).encode(), with_body)
        elif path.startswith("/api/"):
            files = [{"rfilename": file.name} for file in hub.folder.iterdir()]
            about = {"id": "x/y", "sha": COMMIT, "siblings": files, "private": hub.private, "tags": [], "downloads": 0}
            self.reply(200, json.dumps(about).encode(), with_body)
        elif hub.file_refusal is not None:
            self.reply(hub.file_refusal[0], b"{}", with_body, **{"X-Error-Code": hub.file_refusal[1]})
        elif (hub.folder / path.rpartition("/")[2]).is_file():
            self.send_file(path.rpartition("/")[2], with_body)
        else:
            self.reply(404, b"{}", with_body, **{"X-Error-Code": "EntryNotFound"})

    def send_file(self, name: str, with_body: bool) -> None:
        hub = self.behaviour
        raw = (hub.folder / name).read_bytes()
        about = {"ETag": f'"{hashlib.sha256(raw).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start:
            about["Content-Range"] = f"bytes {start}-{len(raw) - 1}/{len(raw)}"
        if with_body and name == hub.breaking and hub.breaks:
            hub.breaks -= 1
            self.reply(206 if start else 200, raw[start:], False, **about)
            self.wfile.write(raw[start : start + (len(raw) - start) // 2])
            self.close_connection = True
            return
        self.reply(206 if start else 200, raw[start:], with_body, **about)

    def reply(self, status: int, body: bytes, with_body: bool, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


def small_hub(behaviour: Behaviour) -> contextlib.AbstractContextManager[str]:
    """Serve one repository, whatever name it is asked by; yield the address."""
    return serving(type("Handler", (SmallHub,), {"behaviour": behaviour}))


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer requests on this machine as the handler does; yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
