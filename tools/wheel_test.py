"""Build the wheel, install it in an empty environment, and do there what a user without the source does.

python tools/wheel_test.py            # about five minutes; exit status 1 at the first step that fails

The wheel holds every file of src/lightune. The installed package is imported from the environment, passes the whole
quickstart with the Hub switched off, checks a csv of its own, trains on it, and answers a text.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHERE = "import lightune, pathlib; print(pathlib.Path(lightune.__file__).resolve().parent)"
READY = "import json; print(json.load(open('runs/quickstart-1/results.json'))['after']['accuracy'])"
AT_LEAST = 0.80  # accuracy of the quickstart; docs/LOG.md has 0.834


def main() -> int:
    """Build, compare, install, use."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        wheel = built(place / "dist")
        missing = not_inside(wheel)
        if missing:
            sys.exit(f"{wheel.name} lacks {', '.join(missing)}")
        use(installed(wheel, place / "env"), place)
    print("the wheel works without the source")
    return 0


def built(folder: Path) -> Path:
    """Return the wheel, built from this tree."""
    said(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def not_inside(wheel: Path) -> list[str]:
    """Return the files of the package that git tracks and the wheel lacks."""
    found = said("git", "-C", str(ROOT), "ls-files", "src/lightune").splitlines()
    packed = set(zipfile.ZipFile(wheel).namelist())
    return sorted(name for name in found if name.removeprefix("src/") not in packed)


def installed(wheel: Path, folder: Path) -> Path:
    """Return the folder of commands of a new environment that holds the wheel with the extra `offline`."""
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = (str(commands / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    said(*pip, "-c", str(ROOT / "constraints.txt"), f"{wheel}[offline]")
    return commands


def use(commands: Path, place: Path) -> None:
    """Run the quickstart and a csv of our own from an empty folder; nothing there knows of the source."""
    here = place / "work"
    here.mkdir()
    python, lightune = str(commands / "python"), str(commands / "lightune")
    home = Path(said(python, "-c", WHERE, where=here).strip())
    if not home.is_relative_to(commands.parent):
        sys.exit(f"lightune was imported from {home}, not from the new environment")
    write_csv(here / "my.csv")
    if f"version {version()}" not in said(lightune, "--version", where=here):
        sys.exit(f"the wheel is not of version {version()}, which src/lightune/__init__.py states")
    print(said(lightune, "run", "quickstart", where=here), flush=True)
    accuracy = float(said(python, "-c", READY, where=here))
    if accuracy < AT_LEAST:
        sys.exit(f"the quickstart has an accuracy of {accuracy}, less than {AT_LEAST}")
    said(lightune, "check", "my.csv", where=here)
    said(lightune, "run", "--train", "my.csv", "--epochs", "1", "--output", "mine", where=here)
    print(said(lightune, "predict", "mine", "A lovely, warm book.", where=here), flush=True)


def version() -> str:
    """Return the version that the source states."""
    source = (ROOT / "src" / "lightune" / "__init__.py").read_text(encoding="utf-8")
    return source.partition('__version__ = "')[2].partition('"')[0]


def write_csv(path: Path) -> None:
    """Write 80 short texts with a label each."""
    things, words = ("book", "film", "soup", "lamp"), {"good": ("lovely", "fine"), "bad": ("dull", "broken")}
    rows = [
        (f"Number {number}: the {thing} was {word}.", label)
        for number in range(5)
        for thing in things
        for label, found in words.items()
        for word in found
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def said(*command: str, where: Path = ROOT) -> str:
    """Run a command without PYTHONPATH and without the Hub; return what it printed, or end with its exit status."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    print("$", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=where, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        sys.exit(f"{done.stdout}\nstatus {done.returncode}: {' '.join(command)}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
