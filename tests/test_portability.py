"""What must hold on every system: no POSIX-only calls, UTF-8 by name, consoles and names that Windows has."""

from __future__ import annotations

import ast
import contextlib
import csv
import io
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import lightune
from lightune import runtime
from lightune.cli.main import main
from lightune.errors import RecipeError
from lightune.evaluation.cost import Meter
from lightune.models import hub
from lightune.run_folder import RunFolder
from small_hub import counting_and_closing
from tiny import sentences, write_csv

PACKAGE = Path(lightune.__file__).parent

# The source

FORBIDDEN_MODULES = {"fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "posix", "syslog", "crypt"}
FORBIDDEN_CALLS = {
    *("os.fork", "os.forkpty", "os.getuid", "os.geteuid", "os.getgid", "os.setsid", "os.killpg", "os.getpgid"),
    *("os.rename", "os.uname", "os.mkfifo", "os.sysconf", "os.system", "os.popen", "os.getloadavg"),
    *("signal.SIGKILL", "signal.SIGHUP", "signal.SIGUSR1", "signal.SIGALRM", "signal.alarm", "signal.pause"),
    *("torch.float64", "torch.double"),  # mps has no float64
}
TEXT_METHODS = {"read_text", "write_text"}


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _opens_text_without_encoding(call: ast.Call) -> bool:
    """Say whether a call opens, reads or writes text in whatever encoding the system prefers."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    keywords = {keyword.arg for keyword in call.keywords}
    if name in TEXT_METHODS:
        return "encoding" not in keywords
    if name in {"run", "Popen", "check_output"} and _dotted(call.func).startswith("subprocess."):
        return "text" in keywords and "encoding" not in keywords
    if name != "open" or _dotted(call.func) == "os.open":
        return False
    literals = [value.value for value in call.args if isinstance(value, ast.Constant)]
    return not any(isinstance(mode, str) and "b" in mode and len(mode) <= 3 for mode in literals) and (
        "encoding" not in keywords
    )


def faults(tree: ast.AST) -> Iterator[str]:
    """Yield what a source must not do."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.partition(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in FORBIDDEN_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and _dotted(node) in FORBIDDEN_CALLS:
            yield _dotted(node)
        elif isinstance(node, ast.Call) and _opens_text_without_encoding(node):
            yield f"no encoding in line {node.lineno}"


@pytest.mark.parametrize("folder", [PACKAGE, Path(__file__).parents[1] / "examples"], ids=lambda folder: folder.name)
def test_the_source_is_portable(folder: Path):
    found = {path.name: list(faults(ast.parse(path.read_text(encoding="utf-8")))) for path in folder.rglob("*.py")}
    assert {name: listed for name, listed in found.items() if listed} == {}


@pytest.mark.parametrize(
    "code",
    [
        *("import fcntl", "from resource import getrusage", "os.fork()", "os.rename(a, b)", "x = torch.float64"),
        *("open(path)", "open(path, 'w')", "path.open()", "path.read_text()", "path.write_text(text)"),
        *("subprocess.run(command, text=True)", "signal.alarm(3)"),
    ],
)
def test_the_search_finds_what_it_should(code: str):
    assert list(faults(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["path.open('rb')", "open(path, 'r', encoding='utf-8')", "os.open(path, 1)", "path.read_bytes()"]
)
def test_the_search_finds_nothing_else(code: str):
    assert not list(faults(ast.parse(code)))


# Consoles

LABELS = {"negative": "плохо", "positive": "хорошо ✓"}


@contextlib.contextmanager
def console(encoding: str) -> Iterator[io.BytesIO]:
    """Stdout with an encoding of its own; yields the bytes."""
    kept, bytes_ = sys.stdout, io.BytesIO()
    sys.stdout = io.TextIOWrapper(bytes_, encoding=encoding, write_through=True)
    try:
        yield bytes_
    finally:
        sys.stdout.flush()
        sys.stdout.detach()
        sys.stdout = kept


@pytest.fixture(scope="module")
def local_run(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> SimpleNamespace:
    """`lightune run` on local files with Cyrillic labels, on a cp1252 console, with a Hub that notes every call."""
    place = tmp_path_factory.mktemp("local")
    rows = [(text, LABELS[label]) for text, label in sentences(100, seed=8)]
    train, test = write_csv(place / "train.csv", rows[:60]), write_csv(place / "test.csv", rows[60:])
    asked: list[object] = []

    def refuse(*address: object, **options: object) -> None:
        asked.append(address)
        raise OSError("no network in this test")

    with pytest.MonkeyPatch.context() as patch, counting_and_closing() as (endpoint, calls), console("cp1252") as out:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)  # a name is looked up before anything is connected
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        for name, value in {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": endpoint}.items():
            patch.setenv(name, value)  # for the fresh process that reloads the adapter
        files = ["--model", str(tiny_models["distilbert"]), "--train", str(train), "--test", str(test)]
        status = main(["run", *files, "--epochs", "1", "--device", "cpu", "--output", str(place / "run")])
        during = list(asked)
        patch.setattr(hub, "_silent_until", 0.0)
        hub.reachable()
        assert len(asked) > len(during), "what is asked should be noted"
    return SimpleNamespace(
        status=status, out=out.getvalue(), folder=place / "run", test=test, asked=during, calls=calls
    )


def test_a_local_run_asks_no_hub(local_run: SimpleNamespace):
    assert local_run.status == 0
    assert local_run.asked == []
    assert local_run.calls == []


def test_a_summary_is_printed_on_a_console_that_lacks_its_characters(local_run: SimpleNamespace):
    shown = local_run.out.decode("cp1252")
    assert "accuracy" in shown
    assert "\\u043f\\u043b\\u043e\\u0445\\u043e" in shown  # плохо
    results = json.loads((local_run.folder / "results.json").read_text(encoding="utf-8"))
    assert results["data"]["labels"] == sorted(LABELS.values())


def test_predictions_reach_a_cp1252_console_whole(local_run: SimpleNamespace):
    with console("cp1252") as out:
        assert main(["predict", str(local_run.folder), "der Film ✓", "--json"]) == 0
    (answer,) = json.loads(out.getvalue().decode("ascii"))["predictions"]
    assert answer["text"] == "der Film ✓"
    assert answer["label"] in LABELS.values()
    with console("cp1252") as out:
        assert main(["predict", str(local_run.folder), "--file", str(local_run.test)]) == 0
    rows = list(csv.DictReader(io.StringIO(out.getvalue().decode("utf-8"))))
    assert {row["label"] for row in rows} == set(LABELS.values())
    with console("cp1252") as out:
        assert main(["predict", str(local_run.folder), "der Film ✓"]) == 0
    assert b"\\u2713" in out.getvalue()


def test_piped_lines_are_utf8_whatever_the_system_prefers(local_run: SimpleNamespace, monkeypatch, capsys):
    piped = io.TextIOWrapper(io.BytesIO("\ufeffплохой фильм\r\n\r\nжуть\n".encode()), encoding="cp1252")
    monkeypatch.setattr(sys, "stdin", piped)
    assert main(["predict", str(local_run.folder), "--json"]) == 0
    assert [row["text"] for row in json.loads(capsys.readouterr().out)["predictions"]] == ["плохой фильм", "жуть"]


# Names


@pytest.mark.parametrize(
    "name", ["con", "NUL", "aux.txt", "Com1", "lpt9.old.run", "run.", "run ", "x" * 250, "é" * 130]
)
def test_a_name_that_another_system_cannot_hold_is_refused(name: str, tmp_path: Path):
    with pytest.raises(RecipeError) as caught:
        RunFolder("a", tmp_path / name)
    assert (caught.value.code, caught.value.exit_code) == ("RECIPE-063", 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["console", "nullable", "con-1", "a.con", "com", "x" * 247])
def test_other_names_are_fine(name: str, tmp_path: Path):
    with RunFolder("a", tmp_path / name):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_recipe_named_like_a_device_is_refused_where_its_folder_would_be(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="Windows reserves this name"):
        RunFolder("nul.test")
    assert RunFolder("nul").final == Path("runs/nul-1")


def test_a_path_that_is_too_long_is_refused(tmp_path: Path, monkeypatch):
    with pytest.raises(RecipeError, match="cannot be used"):
        RunFolder("a", tmp_path / ("x" * 300) / "run")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(RecipeError, match="more than 259 characters"):
        RunFolder("a", tmp_path / ("x" * 200))


# Devices


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_an_absent_gpu_is_explained():
    with pytest.raises(RecipeError) as caught:
        runtime.choose_device("cuda")
    why = "no NVIDIA GPU or driver was found" if torch.version.cuda else "was built without it"
    assert why in caught.value.message
    assert "Available: cpu" in caught.value.hint


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this is a Mac")
def test_an_absent_mps_is_explained():
    with pytest.raises(RecipeError, match=r"mps.*was built without it"):
        runtime.choose_device("mps")


def test_mps_computes_in_fp32_unless_asked_and_in_bf16_only_where_macos_can(monkeypatch):
    device = torch.device("mps")
    assert runtime.choose_precision("auto", device) == "fp32"
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: (major, minor) <= (13, 0))
    with pytest.raises(RecipeError, match="macOS 14"):
        runtime.choose_precision("bf16", device)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: (major, minor) <= (15, 0))
    assert runtime.choose_precision("bf16", device) == "bf16"


def test_on_mps_the_clock_waits_and_the_missing_memory_has_a_reason(monkeypatch):
    waits: list[str] = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waits.append("mps"))
    with Meter(torch.device("mps")) as meter:
        pass
    assert waits == ["mps", "mps"]
    assert meter.spent.peak_cuda_allocated_bytes is None
    assert "not measured" in runtime.device_notes(torch.device("mps"))[0]
    assert runtime.device_notes(torch.device("cpu")) == []
