"""Run the contract tests of methods on every architecture, and write the results: support.json and docs/methods.md.

python tools/methods.py            # runs the tests (a quarter of an hour), writes both
python tools/methods.py --page     # writes the page from the saved results
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lightune.methods import describe
from lightune.methods.costs import DEAR, measured_costs
from lightune.methods.support import support
from lightune.models.architectures import ARCHITECTURES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "methods.md"
TABLE = ROOT / "src" / "lightune" / "methods" / "support.json"

BEFORE = """# Methods

The available methods. Made by `python tools/methods.py` from the methods' own descriptions and from the results of
their contract tests; nothing here is written by hand. `lightune methods NAME` shows a method's options.

"Merges": the trained adapter can be merged into the weights, which gives a stock model. "Switches off": with the
adapter disabled, the base model predicts as before training. "Starts unchanged": before its first step the adapted
model predicts like the base model. "Step" and "memory": how many times LoRA's processor time a step of 16 short texts
takes, and how many times its peak memory, each with default options ({where}; made by
`python -m benchmarks.methods`). A training with a method that takes {dear:g} times either begins by saying so.

| method | what is trained | learning rate | step | memory | merges | switches off | starts unchanged | paper |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

BETWEEN = """
## Method by architecture

A dot means that all contract tests pass: the start, padding, gradients, frozen weights, the number of parameters,
saving, strict loading, merging, switching off. A number refers to the reason why not. A separate test checks that a
fresh process reloads every method (`pytest -m long tests/methods -k fresh_process`).

The table is about one label a text. With several labels, and with numbers far from zero, every method is trained,
saved and loaded strictly on those of distilbert, gpt2 and llama that it works with, and read by PEFT alone where PEFT
has the method; lora on all 17 architectures (`pytest -m "long or not long" tests/methods/test_tasks.py`).

"""

AFTER = """
A PEFT method that is not in this table is used by its PEFT name with PEFT's own options:
`lightune run --method hra --set method.r=4`. To add one of your own: [adding_a_method.md](adding_a_method.md).
"""


def main() -> None:
    """Run the tests unless told not to, and write the page."""
    if "--page" not in sys.argv[1:]:
        record()
        support.cache_clear()
    PAGE.write_text(page(), encoding="utf-8", newline="\n")


def record() -> None:
    """Run the contract tests over all methods and architectures, and save the results."""
    with tempfile.TemporaryDirectory() as place:
        found = Path(place) / "support.json"
        command = [sys.executable, "-m", "pytest", "tests/methods/test_contract.py", "-m", "long or not long",
                   "-k", "not fresh_process and not the_table", "--record-support", str(found)]  # fmt: skip
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode
        TABLE.write_bytes(found.read_bytes())
    if status:
        print("Some tests failed; the table says where.", file=sys.stderr)


def page() -> str:
    """Return the page."""
    rows = describe()
    listed = [_listed(row) for row in rows]
    reasons: dict[str, int] = {}
    kinds = list(ARCHITECTURES)
    marks = [f"| method | {' | '.join(kinds)} |", f"|{' --- |' * (len(kinds) + 1)}"]
    for row in rows:
        said = {kind: row["architectures"][kind] for kind in kinds}
        cells = [_cell(said[kind], row["name"], kind, reasons) for kind in kinds]
        marks.append(f"| {row['name']} | {' | '.join(cells)} |")
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    before = BEFORE.format(where=measured_costs().where, dear=DEAR)
    return before + "\n".join([*listed, BETWEEN, *marks, "", *notes]) + "\n" + AFTER


def _listed(row: dict[str, Any]) -> str:
    rate = f"{row['default_learning_rate']:.0e}".replace("e-0", "e-")
    says = [_yes(row[key]) for key in ("mergeable", "reversible", "starts_unchanged")]
    costs = [f"{row['cost'][key]:.1f}" if row["cost"] else "?" for key in ("time", "memory")]
    return f"| {' | '.join([row['name'], row['summary'].split('.  ')[0], rate, *costs, *says, row['paper']])} |"


def _cell(reason: str | None, method: str, kind: str, reasons: dict[str, int]) -> str:
    """Return a dot, or the number of the reason without the names that the row and the column already give."""
    if not reason:
        return "?" if reason is None else "•"
    told = reason.replace(kind, "this architecture").replace(f"{method} cannot", "this method cannot")
    return str(reasons.setdefault(told, len(reasons) + 1))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    main()
