"""Run the proofs of what lightune promises, and write docs/guarantees.md: each promise, its test and its figure.

python tools/guarantees.py            # runs them all, the long ones too, and writes the page (`make faults`)
python tools/guarantees.py -k damage  # runs some, and writes their rows anew

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


def main(arguments: Sequence[str]) -> int:
    """Run the proofs, and write the rows of those that passed; return the exit status of pytest.

    Where all were asked for and one failed, the page stays as it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        chosen = ["-m", "guarantee or faults", f"--junitxml={results}", "-n", "2", "--dist", "loadfile"]
        command = [sys.executable, "-m", "pytest", *chosen, *arguments]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        found = rows(results) if results.is_file() else {}
    if arguments or not status:
        kept = known() if arguments else {}
        PAGE.write_text(HEAD + "".join(sorted((kept | found).values())), encoding="utf-8")
    return status


def known() -> dict[str, str]:
    """Return the rows of the page, by promise and test."""
    lines = PAGE.read_text(encoding="utf-8").removeprefix(HEAD).splitlines(keepends=True) if PAGE.is_file() else []
    return {line.rpartition(" | ")[0]: line for line in lines}


def rows(results: Path) -> dict[str, str]:
    """Return the row of each promise in a JUnit file all of whose cases passed, by promise and test."""
    figures: defaultdict[str, list[str]] = defaultdict(list)
    failed = set[str]()
    for case in ElementTree.parse(results).iter("testcase"):
        found = [(one.attrib["name"], one.attrib["value"]) for one in case.iter("property")]
        for promise in (value for name, value in found if name == "guarantee"):
            key = f"| {promise} | {_link(case, 'long' if ('length', 'long') in found else '')}"
            figures[key] += [value for name, value in found if name == "figure"] or [""]
            if any(case.find(kind) is not None for kind in ("failure", "error", "skipped")):
                failed.add(key)
    return {key: f"{key} | {_figure(values)} |\n" for key, values in figures.items() if key not in failed}


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
