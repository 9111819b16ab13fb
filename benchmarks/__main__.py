"""Run every row in its own process, save the figures and write docs/performance.md.

python -m benchmarks [--texts FILE] [--only ROW ...]      # measure, then write the page
python -m benchmarks --device cuda [...]                  # likewise the rows for a GPU, beside the others
python -m benchmarks --page                               # write the page from the saved figures
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.architecture_table import architectures
from benchmarks.measuring import Row, conditions, in_own_process
from benchmarks.overview import overview, plot

ROWS = (
    "training_dynamic",
    "training_expert",
    "training_max_length",
    "accuracy",
    "bulk",
    "one_text",
    "cold",
    "peak_memory",
    "gradients",
)
WITHOUT_TEXTS = ("cold",)
ON_GPU = tuple(name for name in ROWS if name not in ("cold", "peak_memory"))
DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES = {"cpu": DOCS / "performance.json", "cuda": DOCS / "performance.cuda.json"}
ARCHITECTURES = DOCS / "architectures.json"
PAGE = DOCS / "performance.md"
PLOT = DOCS / "performance.svg"
HEAD = """# Performance

How many times faster lightune is than what people would use instead, on the same texts with the same batches: the
median of pairs of rounds, in brackets their quartiles, or the lowest and highest of fewer than four pairs. For memory
it is how many times less. "Training" is over four methods (LoRA on query and value, LoRA on all roles, prefix,
bottleneck); padded to 512 on the GPU it is LoRA on query and value alone. `auto` computes frozen layers in bf16 where
that is faster, and is the default of training; answers are in fp32, which is exact, unless `--precision auto` is given.
"""
BELOW = """
![The ratios of this table as dots with their spread, on a logarithmic axis](performance.svg)

Above 1 lightune is faster. Few rounds on shared machines: in single rows below, two equal arms differ by up to half, so
a row alone says little; this table pools the methods. The code has changed since the days that stand below each
table ([CHANGELOG](../CHANGELOG.md)). What was tried and did not help is in [LOG.md](LOG.md), and why it is faster in
[how_it_works.md](how_it_works.md).

Measure it on your machine with `make benchmark`. That is `python -m benchmarks`, which writes docs/performance.json and
this page; `python -m benchmarks --device cuda` writes docs/performance.cuda.json, each row can be measured alone, e.g.
`python -m benchmarks.bulk --json`, and `python -m benchmarks --page` writes page and plot from the saved figures.
`python -m benchmarks.every_architecture` measures each architecture at its usual size, into docs/architectures.json.
"""
ROW_HEAD = """## Every row

All arms of a row alternate in one process, A B A B. "Times" is how many times faster (or smaller) an arm is than the
first one: the median of the pairs, in brackets their quartiles, or the lowest and highest of fewer than four. An arm
that is listed twice shows how much two equal arms differ.
"""


def main() -> None:
    """Measure the requested rows, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--only", nargs="*", choices=ROWS)
    parser.add_argument("--rounds", type=int, help="rounds that count, instead of each row's own number")
    parser.add_argument("--device", choices=list(FIGURES), default="cpu")
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    kept = figures(FIGURES[given.device])
    names = given.only or (ROWS if given.device == "cpu" else ON_GPU)
    for name in [] if given.page else names:
        print(name, flush=True)
        kept[name] = measured(name, given)
        FIGURES[given.device].write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    write_page()


def write_page() -> None:
    """Write page and plot from the saved figures."""
    every = {device: figures(path) for device, path in FIGURES.items()}
    PAGE.write_text(page(every, figures(ARCHITECTURES)), encoding="utf-8", newline="\n")
    PLOT.write_text(plot(every), encoding="utf-8", newline="\n")


def figures(path: Path) -> dict[str, Any]:
    """Return the saved figures, if there are any."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def measured(name: str, given: argparse.Namespace) -> Any:
    """Return the output of one row. Threads are bound to cores, for all arms."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    if given.device != "cpu":
        command += ["--device", given.device]
    if given.texts is not None and name not in WITHOUT_TEXTS:
        command += ["--texts", str(given.texts)]
    if given.rounds is not None:
        command += ["--rounds", str(given.rounds)]
    found = in_own_process(command)
    found.check_returncode()
    return json.loads(found.stdout.splitlines()[-1])


def page(kept: Mapping[str, dict[str, Any]], every_architecture: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Return the page: one table of all ratios and their plot, one of architectures, then a table for each row."""
    lines = [HEAD, *overview(kept), BELOW, *architectures(every_architecture or {}), ROW_HEAD]
    for device, name in product(kept, ROWS):
        found = kept[device].get(name)
        if found is None:
            continue
        for given in found["rows"]:
            row = Row(**given)
            title = f"{row.name[0].upper()}{row.name[1:]}{' (GPU)' if device == 'cuda' else ''}"
            lines += [f"## {title}", "", *table(row), ""]
        lines += [conditions(found["machine"]), ""]
    return "\n".join(lines)


def table(row: Row) -> list[str]:
    """Return a table of the arms, and the notes below it."""
    if row.kind == "difference":
        found = [f"| {arm} | {row.speed(arm):.0e} |" for arm in row.seconds]
        return [f"| {row.texts} | relative difference |", "| --- | --- |", *found]
    unit = row.unit if row.kind == "memory" else f"{row.unit}/s"
    first = next(iter(row.seconds))
    rounds = len(row.seconds[first])
    lines = [f"| {row.texts}, {rounds} round{'s'[: rounds != 1]} | {unit} | times |", "| --- | --- | --- |"]
    for arm in row.seconds:
        middle, low, high = row.ratio(arm, first)
        times = "1" if arm == first else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {arm} | {row.speed(arm):.3g} | {times} |")
    notes = [
        f"{name}: {value:.2g}" if isinstance(value, float) else f"{name}: {value}" for name, value in row.notes.items()
    ]
    return [*lines, "", *(f"{note[0].upper()}{note[1:]}." for note in notes)]


if __name__ == "__main__":
    main()
