"""Settings for data of one's own: the headline metric of several settings on the same rows of several data sets.

python -m benchmarks.defaults FOLDER [--sets a,b] [--sizes 100,500,2000] [--seeds 0,1,2] [--model MODEL] [--closing]
                              [--settings NAME=KEY=VALUE,KEY=VALUE ...] [--figures FILE] [--table]

FOLDER has a folder for each data set, with train and validation files. Each cell (data set, number of texts, seed)
draws its texts from the training file, a fifth of them to choose by, and tests on 500 other texts of that file; with
--closing on the texts of the validation file. Every setting sees the same texts. A setting names recipe keys; one
without any is the default. Figures are appended to a file, and what it already has is not measured again. --table
prints the means, and the mean difference to the first setting with a 95% interval over the cells (Student's t).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import lightune
from benchmarks.measuring import figures_file
from lightune.data.sources import find_tables
from lightune.fitting import fit
from lightune.inference.labelled_evaluation import evaluate_file
from lightune.recipes.compose import compose

TESTED = 500
FEW_LABELS = 15  # of a set with many, where 100 texts are drawn: a label needs several


@dataclass(frozen=True)
class DataSet:
    """A folder, the names of its label column, and how many texts it can give."""

    folder: str
    label: str
    ending: str = "csv"
    most: int = 2000
    many_labels: bool = False
    is_number: bool = False


SETS = {
    found.folder: found
    for found in (
        DataSet("rotten_tomatoes", "label"),
        DataSet("sst5", "label"),
        DataSet("subj", "label"),
        DataSet("sms", "label"),
        DataSet("banking77", "category", many_labels=True),
        DataSet("nlupp", "intents", "jsonl", most=1000),
        DataSet("goemotions", "labels", "jsonl"),
        DataSet("emobank", "valence", is_number=True),
        DataSet("stsb", "score", is_number=True),
    )
}


@dataclass(frozen=True)
class Cell:
    """One comparison: a data set, a number of texts, a seed, and the model."""

    data: str
    size: int
    seed: int
    model: str
    closing: bool


def main() -> None:
    """Measure what the file of figures lacks, and print the table if it is asked for."""
    given = arguments()
    settings = dict(parsed(text) for text in given.settings) or {"default": {}}
    path = given.figures
    known = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    done = {key_of(figure) for figure in known}
    with path.open("a", encoding="utf-8") as figures:
        for cell in cells(given):
            for name, keys in settings.items():
                wanted = vars(cell) | {"model": Path(cell.model).name, "setting": name}
                if key_of(wanted) not in done and not given.table:
                    known.append(wanted | measured(given.folder, cell, keys))
                    figures.write(json.dumps(known[-1]) + "\n")
                    figures.flush()
                    print(shown(known[-1]), file=sys.stderr, flush=True)
    if given.table:
        print(table(known, list(settings), list(cells(given))))


def arguments() -> argparse.Namespace:
    """Return the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("folder", type=Path)
    found.add_argument("--sets", default=",".join(SETS))
    found.add_argument("--sizes", default="100,500,2000")
    found.add_argument("--seeds", default="0,1,2")
    found.add_argument("--model", default="minilm")
    found.add_argument("--closing", action="store_true")
    found.add_argument("--settings", nargs="*", default=[])
    found.add_argument("--figures", type=figures_file, default="defaults.jsonl")
    found.add_argument("--table", action="store_true")
    return found.parse_args()


def parsed(text: str) -> tuple[str, dict[str, str]]:
    """Return a setting's name and its recipe keys."""
    name, _, keys = text.partition("=")
    return name, dict(pair.split("=", 1) for pair in keys.split(",") if pair)


def cells(given: argparse.Namespace) -> Iterator[Cell]:
    """Yield the comparisons, all of one size together."""
    for size in map(int, given.sizes.split(",")):
        for seed in map(int, given.seeds.split(",")):
            for data in given.sets.split(","):
                yield Cell(data, size, seed, given.model, given.closing)


def key_of(figure: dict[str, Any]) -> tuple[Any, ...]:
    """Return what distinguishes a figure from others; of a model's folder only the name counts."""
    named = figure | {"model": Path(figure["model"]).name}
    return tuple(named[name] for name in ("data", "size", "seed", "model", "closing", "setting"))


def measured(folder: Path, cell: Cell, keys: dict[str, str]) -> dict[str, Any]:
    """Return the metrics on the test texts of a model trained with these settings, and the seconds of training."""
    data = SETS[cell.data]
    with tempfile.TemporaryDirectory() as place:
        train, test = drawn(folder, data, cell, Path(place))
        flags = {"model": cell.model, "train": str(train), "seed": cell.seed + 1, "label_column": data.label}
        recipe = compose(None, flags, [f"{name}={value}" for name, value in keys.items()]).recipe
        begun = time.perf_counter()
        run = Path(place) / "run"
        run.mkdir()
        fit(recipe, find_tables(recipe.data), run)
        seconds = time.perf_counter() - begun
        classifier = lightune.load(run)
        found = evaluate_file(classifier, test)
        headline = classifier.task.record().headline.name
    return {"headline": headline, "metrics": found.metrics, "seconds": round(seconds, 1)}


def drawn(folder: Path, data: DataSet, cell: Cell, place: Path) -> tuple[Path, Path]:
    """Write the training rows and the test rows of a cell; return both files."""
    rows = read(folder / data.folder / f"train.{data.ending}")
    others = read(folder / data.folder / f"validation.{data.ending}") if cell.closing else []
    draw = random.Random(1000 * cell.seed + cell.size)
    if data.many_labels and cell.size == 100:
        labels = set(sorted({row[data.label] for row in rows})[:FEW_LABELS])
        rows, others = ([row for row in part if row[data.label] in labels] for part in (rows, others))
    draw.shuffle(rows)
    draw.shuffle(others)
    size = min(cell.size, data.most)
    train, test = rows[:size], (others or rows[size:])[: len(others) if cell.closing else TESTED]
    if data.many_labels:  # a label needs two rows
        often = Counter(row[data.label] for row in train)
        train = [row for row in train if often[row[data.label]] > 1]
    if not data.is_number:
        known = set().union(*(labels_of(row, data) for row in train))
        test = [row for row in test if labels_of(row, data) <= known]
    return write(train, place / f"train.{data.ending}"), write(test, place / f"test.{data.ending}")


def labels_of(row: dict[str, Any], data: DataSet) -> set[str]:
    """Return the labels of a row."""
    found = row[data.label]
    return set(found) if isinstance(found, list) else {found}


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [json.loads(line) for line in stream] if path.suffix == ".jsonl" else list(csv.DictReader(stream))


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    """Write rows to a file of the kind that its name says; return its path."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix == ".jsonl":
            stream.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return path


def shown(figure: dict[str, Any]) -> str:
    """Return a figure as a line."""
    reached = figure["metrics"][figure["headline"]]
    where = f"{figure['data']:16}{figure['size']:6} seed {figure['seed']}  {figure['setting']:24}"
    return f"{where} {figure['headline']} {reached:.4f}  {figure['seconds']:.0f} s"


def table(figures: list[dict[str, Any]], settings: list[str], wanted: list[Cell]) -> str:
    """Return the means of each setting by size and data set, and the differences to the first setting."""
    by_key = {key_of(figure): figure for figure in figures}
    lines = ["| texts | data | " + " | ".join(settings) + " |", "| --- " * (len(settings) + 2) + "|"]
    for size in dict.fromkeys(cell.size for cell in wanted):
        of_size = [cell for cell in wanted if cell.size == size]
        for data in dict.fromkeys(cell.data for cell in of_size):
            reached = [values(by_key, setting, [cell for cell in of_size if cell.data == data]) for setting in settings]
            shown_means = (f"{np.mean(found):.3f}" if found else "-" for found in reached)
            lines.append(f"| {size} | {data} | " + " | ".join(shown_means) + " |")
        lines.append(f"| {size} | all, difference | " + " | ".join(differences(by_key, settings, of_size)) + " |")
    return "\n".join(lines)


def values(by_key: dict[tuple[Any, ...], dict[str, Any]], setting: str, wanted: list[Cell]) -> list[float]:
    """Return the headline metrics of a setting in these cells, where they were measured."""
    found = (by_key.get(key_of(vars(cell) | {"setting": setting})) for cell in wanted)
    return [figure["metrics"][figure["headline"]] for figure in found if figure]


def differences(
    by_key: dict[tuple[Any, ...], dict[str, Any]], settings: list[str], wanted: list[Cell]
) -> Iterator[str]:
    """Yield each setting's mean difference to the first one with a 95% interval, over the cells that both have."""
    for setting in settings:
        both = [cell for cell in wanted if all(values(by_key, name, [cell]) for name in (settings[0], setting))]
        gains = np.array(values(by_key, setting, both)) - np.array(values(by_key, settings[0], both))
        if setting == settings[0] or len(gains) < 2:
            yield "0" if setting == settings[0] else "-"
            continue
        half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
        yield f"{gains.mean():+.4f} ({gains.mean() - half:+.4f} to {gains.mean() + half:+.4f}), n = {len(gains)}"


if __name__ == "__main__":
    main()
