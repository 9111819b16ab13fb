"""What the settings of a training are where the recipe leaves them to the data: by how many texts there are."""

from __future__ import annotations

from typing import NamedTuple

from lightune.recipe import SettledTraining, TrainingBlock

TEXTS_SEEN, TEXTS_SEEN_FOR_AN_OUTPUT = 4000, 50  # a text counts in each epoch
MOST_EPOCHS = 40
FEWEST_EPOCHS = 5
ENOUGH_TO_CHOOSE = 100  # validation texts by which the better of two epochs can be told


class UsualTask(NamedTuple):
    """The task's metric that selects the best epoch, what its head starts from, and how many outputs it has."""

    metric: str
    head_start: str
    outputs: int


def settled(training: TrainingBlock, texts: int, validation_texts: int, task: UsualTask) -> SettledTraining:
    """Return the settings with everything that the recipe leaves open replaced by what is usual.

    `texts` are those of training. The last epoch is kept, and not the best one, where few validation texts would choose
    it and nothing in the recipe asks to choose; docs/LOG.md has the comparison behind these numbers.
    """
    given = training.model_dump()
    chooses = training.metric_for_best_model is not None or training.early_stopping_patience is not None
    usual = {
        "num_train_epochs": usual_epochs(texts, task.outputs),
        "load_best_model_at_end": chooses or validation_texts >= ENOUGH_TO_CHOOSE,
        "head_start": task.head_start,
    }
    open_ones = {key: value for key, value in usual.items() if given[key] == "auto"}
    return SettledTraining.model_validate(given | open_ones | {"metric_for_best_model": task.metric})


def usual_notes(training: TrainingBlock, found: SettledTraining, validation_texts: int) -> list[str]:
    """Return what the number of texts decided, in words."""
    notes = []
    if training.num_train_epochs == "auto":
        notes.append(f"Epochs by the number of training texts: {found.num_train_epochs} (--epochs states another).")
    keeps_last = not found.load_best_model_at_end and found.num_train_epochs > 1
    if training.load_best_model_at_end == "auto" and keeps_last:
        few = f"{validation_texts} validation texts are too few to choose an epoch by"
        notes.append(f"The last epoch is kept: {few} (--set training.load_best_model_at_end=true chooses).")
    return notes


def usual_epochs(texts: int, outputs: int) -> int:
    """Return (4000 + 50 outputs) / texts, rounded up, at least 5 and at most 40.

    Between these bounds a training sees about as many texts whatever their number, and more of them where there is more
    to tell apart.
    """
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, -(-(TEXTS_SEEN + TEXTS_SEEN_FOR_AN_OUTPUT * outputs) // texts)))
