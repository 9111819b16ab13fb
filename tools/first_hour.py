"""Take files as people have them to trained and checked models, by nothing but the commands that lightune proposes.

python tools/first_hour.py FOLDER                      # every file: half an hour of two cores
python tools/first_hour.py FOLDER --only tickets.csv   # some of them
python tools/first_hour.py FOLDER --read               # only as far as reading: seconds

More than fifty files are written into FOLDER: made-up texts, in the forms that spreadsheets, scrapers, help desks,
surveys and annotation tools give them. For each of them `lightune check FILE` is the first message. After it at most
two further commands are run: `lightune run --train FILE` with the flags that the message proposed. Only a flag that
stands in the message with its value is taken. Which column is the label, and whether 1,204 is a thousand, the owner of
a file knows; these answers stand beside each file, and are given only if the message offers them.

A file fails unless the model is of the right task with the right number of labels, its reload check passed, no
traceback was seen, and every row of the file is used or counted as dropped, as many as were made unusable. The
transcript is in FOLDER/transcript.txt; the table is printed, and the exit status is 1 if any file failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import first_hour_exports  # noqa: F401  (they register their files)
import first_hour_surveys  # noqa: F401
import first_hour_tables  # noqa: F401
from first_hour_cases import CASES, Case

MOST_COMMANDS = 2  # after the first message
SHOWN_LINES = 14
VALUE = r"""'[^']*'|"[^"]*"|[^\s'"]+"""
PROPOSED = re.compile(rf"(?<![\w-])(--[a-z][a-z-]*[a-z]) ({VALUE})")
# These are no guesses at what the owner of a file means: the first that is proposed is taken.
TAKEN = ("--encoding", "--separator", "--header-row", "--column-names")
ROW_REMEDY = re.compile(r"data\.on_[a-z_]+=(?:drop[a-z_]*|merge)")
FLAGS = ["--model", "minilm", "--json"]


@dataclass
class Trial:
    """What became of a file: its commands, what they said, and what is wrong; `record` is results.json."""

    case: Case
    said: list[str] = field(default_factory=list)
    commands: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def proposals(message: str, case: Case, failed: bool) -> dict[str, list[str]]:
    """Return the values that a message proposes and the owner of the file takes, by flag.

    After a success only what the owner knows better is taken: another label column than the guessed one, for example.
    """
    flat, found = " ".join(message.split()), dict[str, list[str]]()
    for flag, written in PROPOSED.findall(flat):
        value = _unquoted(written)
        known = case.knows.get(flag)
        if known is not None:
            if value == known:
                found[flag] = [value]
        elif not failed:
            continue
        elif (flag in TAKEN and flag not in found) or (flag == "--task" and value == case.task):
            found[flag] = [value]
        elif flag == "--set" and ROW_REMEDY.fullmatch(value) and value not in found.get(flag, ()):
            found.setdefault(flag, []).append(value)
    return found


def _unquoted(written: str) -> str:
    parts = shlex.split(written) if written[0] in "'\"" else [written.rstrip(".,;:)")]
    return parts[0] if parts else ""


def written_out(options: Mapping[str, Sequence[str]]) -> list[str]:
    """Return options as arguments."""
    return [part for flag, values in options.items() for value in values for part in (flag, value)]


def try_file(case: Case, folder: Path, runs: Path) -> Trial:
    """Write the file, and go from its first message to a checked model as its owner would."""
    trial, path, began = Trial(case), folder / case.file, time.monotonic()
    case.write(path)
    done = _command(trial, ["check", case.file], folder)
    options = proposals(done.stdout + done.stderr, case, done.returncode != 0)
    output = runs / case.file
    for number in range(MOST_COMMANDS):
        arguments = ["run", "--train", case.file, *written_out(options), *FLAGS, "-o", str(output)]
        done = _command(trial, arguments, folder)
        trial.commands = number + 1
        if done.returncode == 0:
            trial.record = json.loads(done.stdout)
            break
        more = proposals(done.stdout + done.stderr, case, True)
        options = {**options, **more, "--set": [*options.get("--set", []), *more.get("--set", [])]}
    trial.wrong += faults(case, trial.record)
    trial.seconds = time.monotonic() - began
    return trial


def _command(trial: Trial, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lightune in the folder of the files, and note what it said."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"}
    command = [sys.executable, "-m", "lightune", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", env=environment)
    told = done.stderr if done.returncode and done.stderr else done.stdout
    lines = [] if arguments[0] == "run" and not done.returncode else told.splitlines()
    shown = [line for line in lines if line.strip()]
    more = [f"... and {len(shown) - SHOWN_LINES} more lines"] if len(shown) > SHOWN_LINES else []
    trial.said += [f"$ lightune {shlex.join(arguments)}", *shown[:SHOWN_LINES], *more, f"[status {done.returncode}]"]
    if "Traceback" in done.stdout + done.stderr or "BUG-" in done.stderr:
        trial.wrong.append("a traceback")
    return done


def faults(case: Case, record: Mapping[str, Any]) -> list[str]:
    """Return what a record says otherwise than the file was made."""
    if not record:
        return [f"no model after {MOST_COMMANDS} further commands"]
    task, counts = record["task"], record["data"]["rows"]["train"]
    labels = task["outputs"] if case.task == "regression" else len(task["labels"])
    found = [] if record["reload_check"]["passed"] and record["status"] == "completed" else ["the reload check failed"]
    return found + row_faults(case, task["name"], labels, counts)


def row_faults(case: Case, task: str, labels: int, counts: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the task, its labels and the counts of rows; blank lines are no rows."""
    blank = sum(count for reason, count in counts["dropped"].items() if reason.startswith("blank"))
    dropped, used = sum(counts["dropped"].values()) - blank, sum(counts["used"].values())
    pairs = [
        ("task", task, case.task), ("labels", labels, case.labels), ("rows", used + dropped, case.rows),
        ("rows of its own count", counts["rows_in"], used + dropped + blank), ("dropped", dropped, case.dropped),
    ]  # fmt: skip
    return [f"{name}: {found}, not {wanted}" for name, found, wanted in pairs if found != wanted]


def row_of(trial: Trial) -> list[str]:
    """Return the cells of a file's row in the table."""
    case, record = trial.case, trial.record
    if not record:
        return [case.file, case.task, "-", str(case.rows), "-", "-", str(trial.commands), "-", "; ".join(trial.wrong)]
    counts, best = record["data"]["rows"]["train"], record["comparison"]["best_baseline"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in counts["dropped"].items()) or "0"
    gain = record["comparison"]["gains"].get(best, {})
    return [
        case.file, record["task"]["name"], str(trial.case.labels), str(case.rows), str(sum(counts["used"].values())),
        dropped, str(trial.commands), f"{gain.get('verdict', '-')} ({best})", "; ".join(trial.wrong) or "passed",
    ]  # fmt: skip


def print_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table of text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


HEADER = ["file", "task", "labels", "rows", "used", "dropped", "commands", "against the best baseline", "check"]


def read_only(case: Case, folder: Path) -> list[str]:
    """Write and check a file in this process, with the proposals of two messages; return what is wrong."""
    from click.testing import CliRunner

    from lightune.cli.check import command

    case.write(folder / case.file)
    options: dict[str, list[str]] = {}
    for _ in range(MOST_COMMANDS + 1):
        arguments = [str(folder / case.file), *written_out(options)]
        plain = CliRunner().invoke(command, arguments, standalone_mode=False)
        message = f"{plain.output}{plain.exception or ''}"
        if plain.exception is not None and not hasattr(plain.exception, "hint"):
            return [f"{type(plain.exception).__name__}: {plain.exception}"]
        failed = plain.exception is not None or plain.return_value != 0
        more = proposals(message, case, failed)
        if not failed and all(options.get(flag) == values for flag, values in more.items()):
            break
        options = {**options, **more, "--set": [*options.get("--set", []), *more.get("--set", [])]}
    else:
        return [f"not readable after {MOST_COMMANDS} further commands: {message[:300]}"]
    return _as_read(case, folder, arguments)


def _as_read(case: Case, folder: Path, arguments: list[str]) -> list[str]:
    from click.testing import CliRunner

    from lightune.cli.check import command

    found = json.loads(CliRunner().invoke(command, [*arguments, "--json"], standalone_mode=False).stdout)
    told = next(note for note in found["notes"] if note.startswith("Task: "))
    numbers = len(found["columns"]["label"].split(", ")) if case.task == "regression" else len(found["labels"]["train"])
    return row_faults(case, told.removeprefix("Task: ").split(";")[0], numbers, found["rows"]["train"])


def main() -> int:
    """Try the files, write the transcript and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where files, runs and the transcript are written")
    parser.add_argument("--only", nargs="*", default=[], metavar="FILE", help="these files")
    parser.add_argument("--read", action="store_true", help="read and check, without training")
    given = parser.parse_args()
    chosen = [case for case in CASES if not given.only or case.file in given.only]
    runs = given.folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    if given.read:
        wrong = {case.file: read_only(case, given.folder) for case in chosen}
        print("\n".join(f"{file}: {'; '.join(found) or 'read'}" for file, found in wrong.items()))
        return int(any(wrong.values()))
    trials = []
    for case in chosen:
        trials.append(try_file(case, given.folder, runs))
        print(f"{case.file}: {'; '.join(trials[-1].wrong) or 'passed'} ({trials[-1].seconds:.0f} s)", flush=True)
    shown = print_table([HEADER, *map(row_of, trials)])
    parts = ["\n".join([f"## {trial.case.file}: {trial.case.what}", *trial.said]) for trial in trials]
    (given.folder / "transcript.txt").write_text("\n\n".join([*parts, shown]) + "\n", encoding="utf-8")
    print(shown)
    return int(any(trial.wrong for trial in trials))


if __name__ == "__main__":
    sys.exit(main())
