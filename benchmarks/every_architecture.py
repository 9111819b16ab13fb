"""Measure every architecture in every setting, save each as soon as it is measured, and write the page.

python -m benchmarks.every_architecture [--bases FOLDER] [--texts FILE] [--only mpnet llama ...] [--rounds N] [--again]

The figures are in docs/architectures.json, by kind of processor. What it has for this one is not measured again unless
--again is given, so a run that was stopped goes on with what is missing. Each combination is measured in a process of
its own. Base models that have only real weights are left out where these are not laid out. `--bases` is a folder with
the folders mpnet, smollm2 and bert-tiny, or some of them. `--figures` keeps the figures in another file, which the page
is not written from.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.__main__ import ARCHITECTURES, figures, write_page
from benchmarks.architectures import STEPS
from benchmarks.measuring import figures_file, in_own_process, kind_of, machine
from benchmarks.usual_sizes import BASES, lacks_weights

Key = tuple[str, str, int]


def main() -> None:
    """Measure what is missing, then write the page, which is that of the usual file."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--bases", type=Path, help="a folder with a folder for each base with real weights")
    found.add_argument("--texts", type=Path, help="a csv with the columns text and label; else the embedded reviews")
    found.add_argument("--only", nargs="*", choices=list(BASES))
    found.add_argument("--rounds", type=int, help="rounds that count, instead of each base's own number")
    found.add_argument("--again", action="store_true", help="measure also what was measured before")
    found.add_argument("--figures", type=figures_file, default=ARCHITECTURES)
    given = found.parse_args()
    every = figures(given.figures)
    kept = every.setdefault(kind_of(machine()), {})
    for key in missing({} if given.again else kept, given.only or list(BASES)):
        if lacks_weights(key[0], given.bases):
            continue
        print(named(key), flush=True)
        one = measured(key, given)
        if one is not None:
            kept[named(key)] = one
            given.figures.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    if given.figures.resolve() == ARCHITECTURES.resolve():
        write_page()


def named(key: Key) -> str:
    """Return the name of a combination: "mpnet, short, 16"."""
    return ", ".join(map(str, key))


def missing(kept: dict[str, Any], names: list[str]) -> Iterator[Key]:
    """Yield the combinations of these base models that are not among the saved figures, short texts of all first."""
    for length, batch in STEPS:
        for name in BASES:
            if name in names and named((name, length, batch)) not in kept:
                yield name, length, batch


def measured(key: Key, given: argparse.Namespace) -> dict[str, Any] | None:
    """Return the figures of one combination, or None with a line that says so where it failed; the others go on."""
    name, length, batch = key
    rounds = given.rounds or BASES[name].rounds
    command = [sys.executable, "-m", "benchmarks.architectures", name, "--json", "--batch", str(batch)]
    command += ["--rounds", str(rounds), *(["--long"] if length == "long" else [])]
    for option in ("bases", "texts"):
        if getattr(given, option) is not None:
            command += [f"--{option}", str(getattr(given, option))]
    found = in_own_process(command)
    if found.returncode:
        print(f"{named(key)}: failed with exit status {found.returncode}; nothing was saved.", file=sys.stderr)
        return None
    result: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
