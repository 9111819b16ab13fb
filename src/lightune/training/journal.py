"""What is logged while a model is trained: metrics.jsonl, trackers, notes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from lightune.measured import Metric
from lightune.progress import Reporter
from lightune.sections import Epoch
from lightune.training.distributed import all_ranks

if TYPE_CHECKING:
    from accelerate import Accelerator


METRICS_FILE = "metrics.jsonl"
MOST_NOTED = 12  # epochs that are all told; of more about every tenth part is


class Journal:
    """metrics.jsonl in the folder, which gets one line per step, the accelerator's trackers, and the reporter.

    The file is open in its context; `begin` empties it. Of several processes only the first has a file and
    trackers. `epochs` is how many there will be: the reporter gets about ten of many.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, reporter: Reporter, epochs: int = 1) -> None:
        self.reporter = reporter
        self._epochs = epochs
        self._accelerator = accelerator
        self._path = folder / METRICS_FILE if all_ranks().is_first else Path(os.devnull)
        self._log: TextIO | None = None
        self.recomputed = 0

    def begin(self, step: int) -> None:
        """Keep the lines of the first steps, and drop later ones, which are `recomputed`."""
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        numbers = [_step_of(line) for line in lines]
        kept = [line for line, number in zip(lines, numbers, strict=True) if 0 < number <= step]
        self.recomputed = max([0, *(number - step for number in numbers)])
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def __enter__(self) -> Journal:
        """Open the file behind the lines that were kept."""
        self._log = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._open.close()
        self._log = None

    @property
    def _open(self) -> TextIO:
        assert self._log, "steps and epochs are logged in the journal's context"
        return self._log

    def step(self, line: dict[str, Any]) -> None:
        """Log a step; `line` has its number as "step"."""
        self._open.write(json.dumps(line) + "\n")
        self._open.flush()  # what was computed when the process is killed can be told
        self._track("train", line, line["step"])

    def epoch(self, found: Epoch, headline: Metric, step: int) -> None:
        """Report the validation after optimizer step `step`, by the loss and the headline metric.

        The steps so far are then on disk.
        """
        self._open.flush()
        self._track("validation", {"train_loss": found.train_loss, **found.beside()}, step)
        if not self._is_noted(found.epoch):
            return
        shown = {"loss": found.validation_loss, headline.title: found.metrics.get(headline.name)}
        known = [(title, value) for title, value in shown.items() if value is not None]
        told = "".join(f", validation {name} {value:.3f}" for name, value in known)
        self.reporter.note(f"epoch {found.epoch}: train loss {found.train_loss:.3f}{told}")

    def _is_noted(self, epoch: int) -> bool:
        every = 1 if self._epochs <= MOST_NOTED else -(-self._epochs // 10)
        return epoch % every == 0 or epoch in (1, self._epochs)

    def finish_trackers(self) -> None:
        """Let the trackers write what they still hold."""
        for tracker in self._accelerator.trackers:
            tracker.finish()

    def _track(self, kind: str, values: dict[str, Any], step: int) -> None:
        if self._accelerator.trackers:
            self._accelerator.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)


def _step_of(line: str) -> int:
    """Return the number of the step that a line is about; 0 for a line that was cut off."""
    try:
        found = json.loads(line)["step"]
        return found if isinstance(found, int) else 0
    except (ValueError, KeyError, TypeError):
        return 0
