"""Whether the disk has room for all that a run will write, asked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lightune.data.dataset import DataSplits
from lightune.durable import free_bytes
from lightune.errors import ResourceError
from lightune.methods import Method
from lightune.models.load import VOCABULARY_FILES, LoadedModel
from lightune.recipe import SettledTraining
from lightune.tensor_files import safetensors_size
from lightune.training.batches import steps_per_epoch
from lightune.training.checkpoint import KEPT
from lightune.training.training_state import trained_parameters

if TYPE_CHECKING:
    from torch import nn

MOMENTS = 2  # of AdamW, for each parameter
LINE = 250  # bytes of a step in metrics.jsonl, and of a test text's answers in predictions.csv
REST = 4_000_000  # states of checkpoints, report with its plots, card, results, configurations


@dataclass(frozen=True)
class Room:
    """The bytes that a run's folder has at most: while training, and after it, when the adapter lies beside them."""

    training: int
    after: int

    @property
    def needed(self) -> int:
        """The larger of the two."""
        return max(self.training, self.after)


def room_of(
    model: nn.Module, method: Method, loaded: LoadedModel, settings: SettledTraining, splits: DataSplits
) -> Room:
    """Return what the folder of a run needs, from a model that has the method attached.

    A new checkpoint is whole before the oldest is removed, so for a moment there is one more than stays.
    """
    trained, kept = safetensors_size(trained_parameters(model)), safetensors_size(method.state(model))
    step = (1 + MOMENTS + bool(settings.weight_averaging) + method.state_copies) * trained
    best = kept if settings.load_best_model_at_end else 0
    steps = steps_per_epoch(len(splits.train), settings) * settings.num_train_epochs
    beside = REST + LINE * steps
    saves = settings.num_train_epochs + (steps // settings.save_steps if settings.save_steps else 0)
    vocabulary = sum(_size(loaded.source.tokenizer_folder / name) for name in VOCABULARY_FILES)
    answers = sum(LINE + 2 * sum(len(part.encode()) for part in text) for text in splits.test.texts)
    training = min(KEPT + 1, saves) * step + min(KEPT + 1, settings.num_train_epochs) * best + beside
    after = min(KEPT, saves) * (step + best) + kept + vocabulary + answers + beside
    return Room(training, after)


def require_room(folder: Path, room: Room) -> None:
    """Raise ResourceError unless the disk has room for a run; what its folder already holds counts as free."""
    free = free_bytes(folder) + sum(_size(path) for path in folder.rglob("*"))
    if free < room.needed:
        message = (
            f"{folder}: the run needs about {room.needed:,} bytes on disk for checkpoints, adapter and report, "
            f"and {free:,} are free."
        )
        hint = "Free some space there, choose another --output, or a method that trains fewer weights (--method lora)."
        raise ResourceError("DISK-007", message, hint)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
