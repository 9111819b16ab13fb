"""Say through which files a recipe, a batch of tokens and an adapter pass in a run, and how often each is entered.

python tools/trips.py                    # this tree
python tools/trips.py COMMIT             # beside it an older commit's

A tiny model is trained by `lightune.run` in a fresh process for each tree, and every call of a function of lightune is
looked at. A file is entered when a function of it is called from another file with the traveller among its arguments:
the recipe or one of its blocks; in training, a batch (a dict with input_ids) or one of its tensors; and, for an adapter
on its way to disk, whatever is called while save_adapter runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from same_cases import CASES, Place
from trips_watch import TRAVELLERS

ROOT = Path(__file__).resolve().parent.parent
LORA = next(case for case in CASES if case.name == "lora")


def counted(src: Path, recipe: Path, folder: Path) -> Mapping[str, Mapping[str, float]]:
    """Return what a fresh process counts with the package of `src`."""
    environment = {**os.environ, "PYTHONPATH": str(src), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-P", str(ROOT / "tools" / "trips_watch.py"), str(recipe), str(folder)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, env=environment)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def shown(trips: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the counts of each traveller as a table: a line a file, a column a tree."""
    lines = []
    for traveller in TRAVELLERS:
        per = " (entries a step)" if traveller == "batch" else ""
        lines += ["", f"{traveller}{per}"]
        for name, found in trips.items():
            files = sorted(found[traveller].items(), key=lambda item: (-item[1], item[0]))
            total = sum(found[traveller].values())
            listed = ", ".join(f"{file} {count:g}" for file, count in files)
            lines.append(f"  {name}: {len(files)} files, entered {total:g} times: {listed}")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="an older commit to compare with")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = Place(folder / "place")
        place.prepare((LORA,))
        trees = {"this tree": ROOT / "src"}
        if given.commit:
            archive = folder / "old.tar"
            subprocess.run(["git", "archive", "-o", archive, given.commit, "src"], cwd=ROOT, check=True)
            with tarfile.open(archive) as packed:
                packed.extractall(folder / "old", filter="data")
            trees = {given.commit: folder / "old" / "src", **trees}
        recipe = place.recipe(LORA, "fp32")
        print(shown({name: counted(src, recipe, folder / name.replace(" ", "-")) for name, src in trees.items()}))


if __name__ == "__main__":
    main()
