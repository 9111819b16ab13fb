"""Say whether the working tree computes exactly the same results as an older commit, to the last byte of an adapter.

python tools/same_results.py COMMIT                          # every case, some minutes on two idle cores
python tools/same_results.py COMMIT --thorough               # every case in both precisions
python tools/same_results.py COMMIT --only lora --only full
python tools/same_results.py COMMIT --added 'data.rows.*'    # keys that the new results.json may have in addition
python tools/same_results.py COMMIT --speed                  # how fast both train and predict, alternating

Both trees run in the same environment, each run in a fresh process by `python -m lightune`, on the CPU; tiny models are
built from configs, so that nothing has to be downloaded (the case `head_start` needs the extra `offline`). LEFT_OUT in
same_figures.py lists the results that are not compared. The exit status is 0 only if everything is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from same_cases import CASES, Case, Place
from same_figures import Found, compare_adapters, compare_figures, compare_json, compare_texts
from same_speed import compare_speed

ROOT = Path(__file__).resolve().parent.parent
TEXTS = ("what a lovely soup", "the waiter was rude again")
# auto measures time, which varies between runs, so the new tree gets this many tries to make the same choice.
TRIES = 3
MINUTES = 15
COLUMNS = ("adapter", "figures", "predictions", "old folder read")


class FailedRunError(Exception):
    """A command of a tree failed; the message is the end of what it said."""


@dataclass(frozen=True)
class Tree:
    """A source folder that runs as `python -m lightune`."""

    name: str
    src: Path
    threads: int = 2

    def environment(self) -> dict[str, str]:
        """Return this process's variables with the tree's package first, a fixed number of threads, and no GPU or Hub.

        Idle threads sleep: otherwise two processes on two cores would slow each other down.
        """
        path = os.pathsep.join(filter(None, [str(self.src), os.environ.get("PYTHONPATH")]))
        fixed = {"PYTHONPATH": path, "OMP_NUM_THREADS": str(self.threads), "CUDA_VISIBLE_DEVICES": ""}
        return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", **fixed}

    def python(self, *arguments: object) -> str:
        """Return what a fresh Python prints; -P prevents importing a file of the current folder instead of a module."""
        command = [sys.executable, "-P", *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, encoding="utf-8", timeout=60 * MINUTES
        )
        if done.returncode != 0:
            said = " / ".join(done.stderr.strip().splitlines()[-2:]) or f"exit status {done.returncode}"
            raise FailedRunError(f"{self.name}: {arguments[2] if len(arguments) > 2 else 'python'} failed: {said}")
        return done.stdout

    def lightune(self, *arguments: object) -> Any:
        """Return the JSON that a command of the tree prints."""
        return json.loads(self.python("-m", "lightune", *arguments, "--json"))

    def require_own_package(self) -> None:
        """Raise FailedRunError if the imported lightune would not be the tree's."""
        there = Path(self.python("-c", "import lightune; print(lightune.__file__)").strip())
        if not there.is_relative_to(self.src):
            raise FailedRunError(f"{self.name}: lightune comes from {there.parent}, not from {self.src}")


@dataclass(frozen=True)
class Row:
    """The result of one case in one precision; None where it was not tried."""

    case: str
    precision: str
    adapter: Found
    figures: Found | None
    predictions: Found | None
    reading: Found | None

    @property
    def cells(self) -> list[str]:
        """Return the row of the table."""
        found = (self.adapter, self.figures, self.predictions, self.reading)
        return [self.case, self.precision, *("-" if part is None else str(part) for part in found)]

    @property
    def differences(self) -> list[str]:
        """Return every difference, with its column."""
        found = dict(zip(COLUMNS, (self.adapter, self.figures, self.predictions, self.reading), strict=True))
        return [f"{name}: {difference}" for name, part in found.items() if part for difference in part.differences]


@dataclass(frozen=True)
class Comparison:
    """Two trees, and the folders of their runs."""

    old: Tree
    new: Tree
    place: Place
    added: Sequence[str] = ()

    def row(self, case: Case, precision: str) -> Row:
        """Run a case in both trees and compare the results; a failed run is a difference."""
        try:
            old, new, chosen = self._run_both(case, precision)
            found = Row(
                case.name,
                precision if precision == chosen else f"{precision}: {chosen}",
                compare_adapters(*(run / "adapter" / "adapter_model.safetensors" for run in (old, new))),
                compare_figures(old, new, self.added),
                compare_texts(old / "predictions.csv", new / "predictions.csv"),
                self._reading(case, old) if case.asks and precision == "fp32" else None,
            )
        except (FailedRunError, subprocess.TimeoutExpired, ValueError) as error:
            found = Row(case.name, precision, Found(0, [f"- {error}"]), None, None, None)
        print(f"{case.name} {precision}: {'DIFFERENT' if found.differences else 'same'}", file=sys.stderr, flush=True)
        return found

    def _run_both(self, case: Case, precision: str) -> tuple[Path, Path, str]:
        """Return the run folders and the old one's precision; a new tree whose `auto` chose another is run again."""
        recipe = self.place.recipe(case, precision)
        folders = [self.place.root / tree.name / f"{case.name}-{precision}" for tree in (self.old, self.new)]
        chosen = self._run(self.old, recipe, folders[0])
        for _ in range(TRIES):
            shutil.rmtree(folders[1], ignore_errors=True)
            if self._run(self.new, recipe, folders[1]) == chosen:
                break
        return folders[0], folders[1], chosen

    @staticmethod
    def _run(tree: Tree, recipe: Path, folder: Path) -> str:
        """Return the precision that the run trained in."""
        return str(tree.lightune("run", recipe, "--output", folder)["training"]["precision"])

    def _reading(self, case: Case, folder: Path) -> Found:
        """Let both trees read the old tree's run folder and compare predictions and figures; the new one reports."""
        by = [] if case.data in ("pairs", "reviews") else ["--by", "first"]
        commands = {
            "predict --file": ("predict", folder, "--file", self.place.test_file(case)),
            "evaluate": ("evaluate", folder, *by),
            "predict": ("predict", folder, *TEXTS),
        }
        found = Found()
        for name in case.asks:
            if name == "report":
                found.add(self._report(folder), "report: ")
                continue
            ours, theirs = (tree.lightune(*commands[name]) for tree in (self.old, self.new))
            found.add(compare_json(ours, theirs, self.added), f"{name}: ")
        return found

    def _report(self, folder: Path) -> Found:
        """Let the new tree write the reports of a copy that has none."""
        copy = folder.with_name(f"{folder.name}-reported")
        shutil.copytree(folder, copy)
        for name in ("report.html", "README.md"):
            (copy / name).unlink()
        self.new.lightune("report", copy)
        missing = [name for name in ("report.html", "README.md") if not (copy / name).is_file()]
        return Found(2, [f"{name} was not written" for name in missing])


def unpack(commit: str, target: Path, repository: Path = ROOT) -> Path:
    """Unpack the src of a commit into a folder and return it."""
    target.mkdir(parents=True)
    archive = target / "src.tar"
    command = ["git", "archive", "--format=tar", f"--output={archive}", commit, "src"]
    subprocess.run(command, cwd=repository, check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    return target / "src"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def compare_results(comparison: Comparison, cases: tuple[Case, ...], options: argparse.Namespace) -> list[Row]:
    """Return a row for each case in each of its precisions, several at a time."""
    comparison.place.prepare(cases)
    todo = [(case, precision) for case in cases for precision in case.precisions(options.thorough)]
    with ThreadPoolExecutor(options.jobs) as pool:
        return list(pool.map(lambda each: comparison.row(*each), todo))


def show(rows: Sequence[Row]) -> int:
    """Print the table and every difference; return the exit status."""
    print(table([["case", "precision", *COLUMNS], *(row.cells for row in rows)]))
    for row in rows:
        for difference in row.differences:
            print(f"{row.case} {row.precision}: {difference}")
    different = sum(bool(row.differences) for row in rows)
    print(f"{different} of {len(rows)} runs are DIFFERENT." if different else f"All {len(rows)} runs are the same.")
    return 1 if different else 0


@contextmanager
def working_folder(kept: Path | None) -> Iterator[Path]:
    """Yield a folder for the runs: a new one that is kept, or a temporary one."""
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="same-results-") as folder:
        yield Path(folder).resolve()


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("commit", help="the older commit to compare with")
    parser.add_argument("--only", nargs="+", action="extend", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--added", nargs="+", action="extend", default=[], metavar="KEY", help="allowed new keys")
    parser.add_argument("--thorough", action="store_true", help="every case in both precisions")
    parser.add_argument("--speed", action="store_true", help="measure speed instead, alternating")
    parser.add_argument("--rounds", type=int, default=5, help="of --speed (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="OMP_NUM_THREADS of every process (default: 2)")
    parser.add_argument("--jobs", type=int, default=2, help="cases run at a time (default: 2)")
    parser.add_argument("--folder", type=Path, help="a new folder that keeps every run")
    return parser.parse_args(given)


def main() -> int:
    """Unpack, run, compare, print."""
    options = arguments()
    cases = tuple(case for case in CASES if options.only is None or case.name in options.only)
    with working_folder(options.folder) as folder:
        old = Tree("old", unpack(options.commit, folder / "commit"), options.threads)
        new = Tree("new", ROOT / "src", options.threads)
        for tree in (old, new):
            tree.require_own_package()
        if options.speed:
            print(table(compare_speed(old, new, folder, options.rounds)))
            return 0
        return show(compare_results(Comparison(old, new, Place(folder), options.added), cases, options))


if __name__ == "__main__":
    sys.exit(main())
