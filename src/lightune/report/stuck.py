"""A training that taught nothing, told from its losses."""

from __future__ import annotations

from lightune.sections import Evaluation, Training

LEAST_FALL = 0.01  # a loss that falls by less than this share has not fallen


def never_moved(before: Evaluation, training: Training, after: Evaluation) -> bool:
    """Say whether the loss stayed where it started: on the test texts, and from the first epoch to the last.

    A loss that rose while the training loss fell is another matter: the model learned its texts by heart.
    """
    start, end = before.loss, after.loss
    if start is None or end is None:
        return False
    losses = [epoch.train_loss for epoch in training.epochs]
    return not has_fallen(start, end) and (len(losses) < 2 or not has_fallen(losses[0], min(losses[1:])))


def has_fallen(start: float, end: float) -> bool:
    """Say whether a loss is lower by more than a hundredth."""
    return start - end > LEAST_FALL * abs(start)


def stuck_sentence(before: Evaluation, training: Training, after: Evaluation) -> list[str]:
    """Return a caution where the loss never moved."""
    if not never_moved(before, training, after):
        return []
    start, end = before.loss, after.loss
    return [f"The loss never moved from its start: {start:.3f} before, {end:.3f} after training. Nothing was learned."]
