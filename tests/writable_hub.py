"""A stand-in for the Hugging Face Hub to which files can be uploaded, by the requests that huggingface_hub makes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from small_hub import COMMIT, Behaviour, SmallHub, serving

TOKEN = "hf_token_of_anna"
READ_TOKEN = "hf_token_that_only_reads"
# Of the Hub's own lists, what the tests need.
LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "other", "unknown"}
PIPELINES = {"text-classification", "token-classification"}
# A Hub id, with or without its owner; no path, and no name that git would not take.
HUB_ID = re.compile(r"(?:[\w.-]+/)?[\w.-]+", re.ASCII)


@dataclass
class Writing(Behaviour):
    """A Hub of Anna, who also belongs to a club; `folder` holds the files of her one repository.

    `exists` is the name of the repository, None before it is created. `commits` are the names of the
    files of each commit, `created` what was asked when a repository was created. With `deaf` it stops answering once it
    is asked who the user is. `fails_at` is a path for which it answers 500. `others` are somebody else's repositories.
    """

    exists: str | None = None
    deaf: bool = False
    fails_at: str = ""
    others: dict[str, Path] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    commits: list[list[str]] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)


class WritableHub(SmallHub):
    """Answers what an upload asks: who, which repository, is the card valid, which files are large, the commit."""

    behaviour: Writing

    def answer(self, with_body: bool) -> None:
        hub, path = self.behaviour, self.path.partition("?")[0]
        if path == "/api/whoami-v2":
            hub.asked.append(path)
            return self.who()
        named = re.match(r"(?:/api/models)?/([\w.-]+/[\w.-]+)", path)
        if named and named.group(1) in hub.others:
            self.behaviour = Behaviour(hub.others[named.group(1)])  # type: ignore[assignment]  # for this request
            return super().answer(with_body)
        if named and path != "/api/models" and named.group(1) != hub.exists:
            hub.asked.append(path)
            return self.refuse(404, "RepoNotFound")
        return super().answer(with_body)

    def who(self) -> None:
        if self.behaviour.deaf:
            time.sleep(60)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in {TOKEN, READ_TOKEN}:
            return self.refuse(401)
        role = {"role": "read" if token == READ_TOKEN else "write"}
        return self.send({"name": "anna", "type": "user", "orgs": [{"name": "club"}], "auth": {"accessToken": role}})

    def do_POST(self) -> None:  # noqa: N802 (the standard library's name)
        path, body = self.path.partition("?")[0], self.body()
        self.behaviour.asked.append(path)
        if self.behaviour.fails_at and self.behaviour.fails_at in path:
            return self.refuse(500)
        if path == "/api/validate-yaml":
            return self.validate(json.loads(body)["content"])
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(403)
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [(file, "lfs" if file["path"].endswith(".safetensors") else "regular") for file in files]
            told = [{"path": file["path"], "uploadMode": mode, "shouldIgnore": False} for file, mode in modes]
            return self.send({"files": told})
        if path.endswith("/info/lfs/objects/batch"):
            return self.send({"objects": [self.place_for(found) for found in json.loads(body)["objects"]]})
        return self.commit([json.loads(line) for line in body.splitlines()])

    def do_PUT(self) -> None:  # noqa: N802
        self.behaviour.asked.append(self.path)
        raw, oid = self.body(), self.path.rpartition("/")[2]
        assert hashlib.sha256(raw).hexdigest() == oid
        self.behaviour.large[oid] = raw
        self.send({})

    def validate(self, card: str) -> None:
        """Check the metadata as the Hub does."""
        self.behaviour.cards.append(card)
        about = yaml.safe_load(card.split("---\n")[1])
        wrong = []
        if about.get("license") not in LICENSES:
            wrong.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}]')
        if about.get("pipeline_tag") not in PIPELINES:
            wrong.append('"pipeline_tag" must be a valid string')
        if not HUB_ID.fullmatch(about.get("base_model", "x")):
            wrong.append(f'"base_model" with value "{about["base_model"]}" is not valid.')
        for name in ("tags", "metrics"):
            if not all(isinstance(value, str) for value in about.get(name, ())):
                wrong.append(f'"{name}" must be a list of strings')
        if wrong and self.headers.get("Accept") == "text/plain":
            self.reply(400, "\n".join(wrong).encode(), True)
        else:
            self.send({"errors": [{"message": text} for text in wrong], "warnings": []}, 400 if wrong else 200)

    def create(self, asked: dict[str, Any]) -> None:
        hub, owner = self.behaviour, asked.get("organization") or "anna"
        hub.created.append(asked)
        if owner not in {"anna", "club"}:
            return self.refuse(403)
        # Versions of the library say it in two ways; it has to be said, since an organisation may have another default.
        assert asked.get("visibility") in {"public", "private"} or isinstance(asked.get("private"), bool)
        hub.exists = f"{owner}/{asked['name']}"
        hub.private = asked.get("visibility") == "private" or asked.get("private") is True
        return self.send({"url": f"{self.address}/{hub.exists}", "name": hub.exists})

    def place_for(self, found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "actions": {"upload": {"href": f"{self.address}/lfs/{found['oid']}"}}}

    def commit(self, lines: list[dict[str, Any]]) -> None:
        """Write the files of a commit, all or none."""
        assert lines[0]["key"] == "header"
        contents: dict[str, bytes] = {}
        for line in lines[1:]:
            value, is_large = line["value"], line["key"] == "lfsFile"
            assert is_large or line["key"] == "file"
            raw = self.behaviour.large[value["oid"]] if is_large else base64.b64decode(value["content"])
            contents[value["path"]] = raw
        for name, raw in contents.items():
            (self.behaviour.folder / name).write_bytes(raw)
        self.behaviour.commits.append(list(contents))
        self.send({"commitUrl": f"{self.address}/{self.behaviour.exists}/commit/{COMMIT}", "commitOid": COMMIT})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def body(self) -> bytes:
        """Return the request's body, which may come in chunks of unknown number."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, value: Any, status: int = 200) -> None:
        self.reply(status, json.dumps(value).encode(), True, **{"Content-Type": "application/json"})

    def refuse(self, status: int, code: str = "") -> None:
        self.reply(status, b"{}", self.command != "HEAD", **({"X-Error-Code": code} if code else {}))


def writable_hub(behaviour: Writing) -> AbstractContextManager[str]:
    """Serve the Hub; yield its address."""
    return serving(type("Handler", (WritableHub,), {"behaviour": behaviour}))
