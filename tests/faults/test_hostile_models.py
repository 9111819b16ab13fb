"""Models and adapters that are made to run code, to fill the memory or to take forever are refused, and do nothing."""

from __future__ import annotations

import json
import pickle
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile import ADAPTERS, CANARY, MODELS, Make, module, pickled

from saved_adapters import make_adapter

READER = Path(__file__).with_name("hostile_reader.py")
SECONDS, MB = 5.0, 1024.0
MANY = 17  # texts, which the path without torch leaves to the usual one
KINDS: dict[str, dict[str, Make]] = {"run": MODELS, "load": MODELS, "predict": ADAPTERS, "predict with torch": ADAPTERS}
ALL = [(kind, name) for kind, makes in KINDS.items() for name in makes]
# Of each sort one or two: code, memory, paths, patterns.
SHORT = {
    "pickled weights alone", "auto_map inside", "attention from the Hub", "an adapter's file that names another model",
    "1e9 layers", "a width of 60,000", "a header of 2^60 bytes", "a manifest that names a file above", "a rank of 1e9",
    "a pattern that takes forever", "a pattern with a rank of 1e9", "a tokenizer with auto_map",
}  # fmt: skip


def arguments(kind: str, folder: Path, data: dict[str, Path], base: Path, place: Path) -> list[str]:
    if kind == "run":
        return ["run", "--model", str(folder), "--train", str(data["train"]), "--output", str(place / "out"),
                "--device", "cpu"]  # fmt: skip
    texts = ["a lovely film"] * (MANY if kind == "predict with torch" else 1)
    return ["predict", str(folder), *texts, *([] if kind == "load" else ["--model", str(base)])]


def outcomes(cases: list[tuple[str, str]], tiny_models: Any, tiny_data: Any, root: Path) -> list[dict[str, Any]]:
    """Return what came of these cases, all in one process."""
    base = tiny_models["distilbert"]
    adapter = make_adapter(base, root / "sound" / "adapter", "lora", ["negative", "positive"], max_length=20)
    sound = {"name": "sound", "arguments": ["predict", str(adapter), "a lovely film", "--model", str(base)]}
    lines = [json.dumps(sound)]
    for number, (kind, name) in enumerate(cases):
        folder = root / str(number) / "folder"
        shutil.copytree(adapter if kind.startswith("predict") else base, folder)
        KINDS[kind][name](folder)
        given = arguments(kind, folder, tiny_data, base, folder.parent)
        lines.append(json.dumps({"name": f"{kind}: {name}", "arguments": given}))
    done = subprocess.run(
        [sys.executable, str(READER)], input="\n".join(lines) + "\n", capture_output=True, text=True, cwd=root,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(cases), done.stderr
    return found


PROMISE = "Hostile models and adapters run no code, and are refused within 5 s and 1 GB, with exit 2 or 4"


@pytest.mark.guarantee(PROMISE)
@pytest.mark.parametrize("is_short", [True, pytest.param(False, marks=pytest.mark.faults)])
def test_hostile_folders_are_refused(
    tiny_models: Any, tiny_data: Any, tmp_path: Path, is_short: bool, record_property: Any
) -> None:
    cases = [(kind, name) for kind, name in ALL if not is_short or (name in SHORT and kind != "load")]
    found = outcomes(cases, tiny_models, tiny_data, tmp_path)
    assert list(tmp_path.rglob(CANARY)) == [], "code ran"
    bad = [one for one in found if one["status"] not in (2, 4) or one["seconds"] > SECONDS or one["mb"] > MB]
    assert bad == []
    slowest, most = max(one["seconds"] for one in found), max(one["mb"] for one in found)
    folders = len({name for _, name in cases})
    record_property(
        "figure", f"{folders} folders read in {len(cases)} ways, all refused; at most {slowest:.1f} s and {most:.0f} MB"
    )


def test_the_canary_sings_where_code_runs(tmp_path: Path) -> None:
    """A canary that cannot sing proves nothing."""
    for number, name in enumerate(("pickle", "module")):
        folder = tmp_path / str(number) / "folder"
        folder.mkdir(parents=True)
        if name == "pickle":
            pickle.loads(pickled(folder))  # noqa: S301
        else:
            module(folder)
            runpy.run_path(str(folder / "modeling_x.py"))
        assert (folder.parent / CANARY).exists(), name
