"""What is logged while a model is trained: metrics.jsonl, trackers, notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.durable import append_to, close_log, write_file
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

    `begin` empties it. Of several processes only the first has a file and trackers. `epochs` is how many there will be:
    the reporter gets about ten of many.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, reporter: Reporter, epochs: int = 1) -> None:
        self.reporter = reporter
        self._epochs = epochs
        self._accelerator = accelerator
        self._path = folder / METRICS_FILE if all_ranks().is_first else None
        self.recomputed = 0

    def begin(self, step: int) -> None:
        """Keep the lines of the first steps, and drop later ones, which are `recomputed`."""
        if self._path is None:
            return
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        numbers = [_step_of(line) for line in lines]
        kept = [line for line, number in zip(lines, numbers, strict=True) if 0 < number <= step]
        self.recomputed = max([0, *(number - step for number in numbers)])
        write_file(self._path, "".join(f"{line}\n" for line in kept).encode())

    def step(self, line: dict[str, Any]) -> None:
        """Log a step; `line` has its number as "step"."""
        if self._path is not None:  # at once: what was computed when the process is killed can be told
            append_to(self._path, f"{json.dumps(line)}\n".encode())
        self._track("train", line, line["step"])

    def epoch(self, found: Epoch, headline: Metric, step: int) -> None:
        """Report the validation after optimizer step `step`, by the loss and the headline metric."""
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

    def close(self) -> None:
        """Close metrics.jsonl."""
        if self._path is not None:
            close_log(self._path)

    def finish_trackers(self) -> None:
        """Let the trackers write what they still hold, and mark the run as finished."""
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
