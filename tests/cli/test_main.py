"""The entry point: commands, help, exit codes, and what an error looks like."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lightune
import lightune.methods
from lightune.cli.main import COMMANDS, Terminated, main
from lightune.errors import InterruptedRunError
from lightune.recipes.compose import compose
from lightune.report.wrapping import wrapped
from tiny import sentences, write_csv


@pytest.fixture
def failing(monkeypatch):
    """Return a function that makes `lightune methods` fail with an error, and gives its exit status."""

    def run(error: BaseException, *options: str) -> int:
        def fail():
            raise error

        monkeypatch.setattr(lightune.methods, "describe", fail)
        return main(["methods", *options])

    return run


def _tiny(tiny_models, tmp_path: Path, *more: str) -> list[str]:
    """Return a `run` command on a tiny model and 60 rows."""
    train = write_csv(tmp_path / "train.csv", sentences(60, seed=2))
    place = ["--model", str(tiny_models["distilbert"]), "--train", str(train), "--output", str(tmp_path / "out")]
    return ["run", *place, "--device", "cpu", *more]


def _expect_error(capsys, status: int, expected: int, code: str, hint: str) -> None:
    """An error stands on stderr with its code and hint, without a traceback, and stdout stays empty."""
    printed = capsys.readouterr()
    assert status == expected
    assert printed.out == ""
    last = printed.err[printed.err.index(code) :]
    assert re.match(rf"{code} \S", last)
    assert hint in last
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("arguments", "status", "code", "hint"),
    [
        (["run", "--method", "lorra"], 2, "RECIPE-010", 'Did you mean "lora"?'),
        (["run", "quikstart"], 2, "RECIPE-003", 'Did you mean "quickstart"?'),
        (["run", "--set", "training.sede=7"], 2, "RECIPE-001", 'Did you mean "seed"?'),
        (["run", "--train", "nowhere.csv"], 3, "DATA-001", "Check the path."),
        (["predict", "nowhere", "a text"], 4, "ARTIFACT-009", "Give a run folder"),
        (["report", "nowhere"], 4, "ARTIFACT-030", "Give a run folder"),
        (["evaluate", "nowhere"], 4, "ARTIFACT-009", "Give a run folder"),
    ],
)
def test_an_error_has_its_familys_exit_code_and_says_what_to_do(
    arguments, status, code, hint, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    _expect_error(capsys, main(arguments), status, code, hint)
    assert list(tmp_path.iterdir()) == []


def _on_a_terminal(columns: int, *arguments: str) -> list[str]:
    """Return the lines that the command writes on stderr when that is a terminal of this width."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "lightune", *arguments]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environment)
        return os.read(ours, 100_000).decode().splitlines()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("arguments", [["methods", "lroa"], ["runn"], ["run", "--set", "training.lr=1"]])
def test_an_error_is_wrapped_to_the_width_of_the_terminal(arguments, capfd):
    assert main(arguments) == 2
    printed = capfd.readouterr().err
    assert max(map(len, printed.splitlines())) > 80, "nothing to wrap"
    lines = _on_a_terminal(80, *arguments)
    assert 40 < max(map(len, lines)) <= 80
    assert " ".join(lines).split() == printed.split()


def test_what_a_reader_copies_is_never_broken():
    """Each of these would end beyond column 30; the path alone is wider than that."""
    path = "/data/a-folder-with/a-very-long-name/that-goes-on/train.csv"
    whole = [
        "`hf auth login`", "--set data.max_length=128", '"a label of words"', "pip install 'openpyxl>=3.1'", path,
        "lightune run --train train.csv --test test.csv", "'it is so'",
    ]  # fmt: skip
    for part in whole:
        for filler in range(31):
            text = f"  {'x' * filler} then {part} and then go on, well-known as it is."
            found = wrapped(text, 30)
            assert part in found
            assert found.split() == text.split()
            assert all(line.startswith("  ") for line in found.split("\n"))
            assert all(len(line) <= 30 for line in found.split("\n") if part not in line and "xxx" not in line)


def test_lines_that_fit_stay_as_they_are():
    text = "RECIPE-001 one\n\n  two   three\t.\n"
    assert wrapped(text, 16) == text


def test_diverged_training_ends_with_5(tiny_models, tmp_path, capsys):
    command = _tiny(tiny_models, tmp_path, "--method", "full", "--learning-rate", "1e30")
    _expect_error(capsys, main(command), 5, "TRAIN-001", "default is 0.0001): --learning-rate 0.0001")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_created_ends_with_6(tiny_models, tmp_path, capsys):
    (tmp_path / "file").touch()
    command = _tiny(tiny_models, tmp_path, "--output", str(tmp_path / "file" / "run"))
    _expect_error(capsys, main(command), 6, "DISK-001", "cannot be created")


def test_a_model_that_is_neither_here_nor_reachable_ends_with_7(tiny_models, tmp_path, capsys):
    command = _tiny(tiny_models, tmp_path, "--model", "nobody/nothing")
    _expect_error(capsys, main(command), 7, "HUB-001", "Connect to the network")


@pytest.mark.parametrize(
    ("error", "status", "code", "hint"),
    [
        (MemoryError(), 6, "MEMORY-001", "per_device_train_batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 6, "MEMORY-001", "data.max_length"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 6, "MEMORY-001", "gradient_checkpointing"),
        (torch.OutOfMemoryError("Allocation on device"), 6, "MEMORY-001", "model_precision"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 6, "MEMORY-001", "accumulation"),
        (OSError(errno.ENOSPC, "No space left on device"), 6, "DISK-002", "Free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 6, "DISK-002", "Free some space"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 6, "DISK-002", "Free some space"),
        (InterruptedRunError("RUN-001", "interrupted.", "Go on.", 15), 143, "RUN-001", "Go on."),
        (InterruptedRunError("RUN-001", "interrupted.", "Go on.", 2), 130, "RUN-001", "Go on."),
        (ZeroDivisionError("division by zero"), 1, "BUG-001", "--debug"),
    ],
)
def test_what_goes_wrong_outside_our_own_errors(failing, error, status, code, hint, capsys):
    _expect_error(capsys, failing(error), status, code, hint)


def test_torch_without_memory_is_no_fault_of_ours_and_the_advice_can_be_taken(failing, capsys):
    """The real error of an allocation that no machine can serve; each advised key is one that `run` takes."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert failing(caught.value) == 6
    advised = re.findall(r"--set ([\w.]+=\w+)", capsys.readouterr().err)
    assert len(advised) == 6
    compose(None, {}, advised)


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_a_signal_is_no_fault(failing, error, status, capsys):
    assert failing(error) == status
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--debug", "report", "nowhere"], ["report", "nowhere", "--debug"]])
def test_debug_shows_the_traceback_before_or_after_the_command(arguments, capsys):
    assert main(arguments) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" in printed.err
    assert "ARTIFACT-030" in printed.err.splitlines()[-2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runn"], 'Did you mean "run"? Valid: run, resume, check'),
        (["trian"], 'Did you mean "train"?'),
        (["run", "--modle", "x"], "--model"),
        (["run", "--epochs", "many"], "not a valid integer"),
        (["predict"], "Missing argument 'MODEL'"),
        ([], "Usage: lightune"),
    ],
)
def test_a_usage_error_ends_with_2_and_says_what_would_be_valid(arguments, said, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err


def test_every_file_in_cli_is_a_listed_command():
    files = {path.stem for path in (Path(lightune.__file__).parent / "cli").glob("*.py")}
    assert set(COMMANDS) == files - {"__init__", "main", "options"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_worked_examples(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    examples = text.split("Examples:\n", 1)[1].splitlines()
    assert examples
    assert all(line.startswith("    ") and "lightune" in line for line in examples), "an example was wrapped"
    # Each example starts with this very command, or pipes into it.
    assert all(re.search(rf"lightune {command}\b", line) for line in examples)


def test_the_main_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", text, flags=re.MULTILINE)
    assert not re.search(r"^  train ", text, flags=re.MULTILINE), "run is listed once"


def test_the_help_of_train_is_that_of_run(capsys):
    assert main(["train", "--help"]) == main(["run", "--help"]) == 0
    first, second = capsys.readouterr().out.split("Usage: ")[1:]
    assert first == second
    assert first.startswith("lightune run ")


def test_the_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert lightune.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["methods"], ["recipes", "rotten-tomatoes"], ["--help"]])
def test_a_reader_that_goes_away_is_no_fault(arguments):
    """As in `lightune methods | true`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lightune", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_a_reader_that_goes_away_before_the_last_flush_is_no_fault_either():
    """Rows written without a flush, as `predict --file` does, fail only when the process ends."""
    script = """
import sys, types, click
from lightune.cli.main import main

@click.command()
def command():
    sys.stdout.write("text,prediction")

sys.modules["lightune.cli.doctor"] = types.SimpleNamespace(command=command)
sys.exit(main(["doctor"]))
"""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=buffered, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()
