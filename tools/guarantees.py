"""Run the proofs of what lightune promises, and write docs/guarantees.md: each promise, its test and its figure.

python tools/guarantees.py            # runs them all, the long ones too, and writes the page (`make faults`)
python tools/guarantees.py -k damage  # runs some, and prints their rows

A proof is a test with the mark `guarantee("...")`; it notes its figure with `record_property("figure", "...")`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "guarantees.md"
HEAD = """# Guarantees

Made by `make faults`, which runs every proof below and writes down the figure it gave.

Each row is a promise, the test that proves it, and what the test counted when this page was made. The default suite
runs those without "long"; `make faults` runs them all. The bits of a resumed run are promised for a CPU in fp32.

| What is promised | Proved by | Figure |
|---|---|---|
"""
Row = tuple[str, str, str]


def main(arguments: Sequence[str]) -> int:
    """Run the proofs, and write the page if all of them passed; return the exit status of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        chosen = ["-m", "guarantee or faults", f"--junitxml={results}", "-n", "2", "--dist", "loadfile"]
        command = [sys.executable, "-m", "pytest", *chosen, *arguments]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        found = rows(results) if results.is_file() else []
    table = "".join(f"| {promise} | {test} | {figure} |\n" for promise, test, figure in found)
    if arguments or status:
        print(table)
    else:
        PAGE.write_text(HEAD + table, encoding="utf-8")
    return status


def rows(results: Path) -> list[Row]:
    """Return a row for each promise of a JUnit file, in the order of the files of tests."""
    figures: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for case in ElementTree.parse(results).iter("testcase"):
        found = [(one.attrib["name"], one.attrib["value"]) for one in case.iter("property")]
        for promise in (value for name, value in found if name == "guarantee"):
            key = (promise, _link(case, "long" if ("length", "long") in found else ""))
            figures[key] += [value for name, value in found if name == "figure"] or [""]
    return sorted((promise, test, _figure(values)) for (promise, test), values in figures.items())


def _link(case: ElementTree.Element, length: str) -> str:
    """Return the test as a link to its file."""
    path = case.attrib["classname"].replace(".", "/") + ".py"
    name = case.attrib["name"].partition("[")[0]
    return f"[`{name}`](../{path}){', long' if length else ''}"


def _figure(values: Sequence[str]) -> str:
    """Return what the cases of a test counted; the number of cases where they counted nothing."""
    said = list(dict.fromkeys(filter(None, values)))
    if said:
        return "; ".join(said)
    return "passed" if len(values) == 1 else f"{len(values)} cases passed"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
