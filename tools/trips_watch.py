"""Counts, in a run of lightune, the calls that enter a file with a recipe, a batch or an adapter; for trips.py.

It knows nothing of the tree that it watches, so that older ones can be watched too.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

TRAVELLERS = ("recipe", "batch", "adapter")


class Watch:
    """Counts, by traveller and file, how often a function of the file is called from another one."""

    def __init__(self, package: Path) -> None:
        self.found: dict[str, Counter[str]] = {name: Counter() for name in TRAVELLERS}
        self._package = f"{package}{os.sep}"
        self._batch: dict[str, Any] = {}
        self._training = self._saving = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Take a call or a return, as sys.setprofile gives it."""
        if event not in ("call", "return"):
            return
        code = frame.f_code
        if not code.co_filename.startswith(self._package):
            return
        change = 1 if event == "call" else -1
        if event == "call":
            self._called(frame)
        self._training += change * (code.co_name == "fit" and "loop" in code.co_filename)
        self._saving += change * (code.co_name == "save_adapter")

    def _called(self, frame: FrameType) -> None:
        here = frame.f_code.co_filename
        caller = frame.f_back.f_code.co_filename if frame.f_back else ""
        if here == caller:
            return
        count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount + 2  # two more for *args and **kwargs
        given = [frame.f_locals.get(name) for name in frame.f_code.co_varnames[:count]]
        place = here.removeprefix(self._package)
        if any(type(value).__module__ == "lightune.recipe" for value in given):
            self.found["recipe"][place] += 1
        if self._training and any(map(self._is_batch, given)):
            self.found["batch"][place] += 1
        if self._saving:
            self.found["adapter"][place] += 1

    def _is_batch(self, value: Any) -> bool:
        if isinstance(value, dict) and "input_ids" in value:
            self._batch = {name: part for name, part in value.items() if type(part).__name__ == "Tensor"}
            return True
        return any(value is part for part in self._batch.values())


def travel(recipe: Path, output: Path) -> None:
    """Run the recipe in this process under watch, and print what was counted as JSON."""
    import lightune
    import lightune.experiment  # what importing calls is not a trip

    watch = Watch(Path(lightune.__file__).parent)
    sys.setprofile(watch)
    try:
        record = lightune.run(str(recipe), output)
    finally:
        sys.setprofile(None)
    steps = record.training.steps
    batch = {name: round(count / steps, 1) for name, count in watch.found["batch"].items()}
    print(json.dumps({**watch.found, "batch": batch}))


if __name__ == "__main__":
    travel(Path(sys.argv[1]), Path(sys.argv[2]))
