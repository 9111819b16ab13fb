"""What the reporter is told of the epochs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lightune.progress import Silent
from lightune.sections import Epoch
from lightune.tasks.classification import Classification
from lightune.training.journal import Journal


@pytest.mark.parametrize(
    ("epochs", "told"),
    [
        (1, [1]),
        (12, list(range(1, 13))),
        (13, [1, 2, 4, 6, 8, 10, 12, 13]),
        (40, [1, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40]),
        (95, [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95]),
    ],
)
def test_of_many_epochs_about_ten_are_told(tmp_path, epochs, told):
    notes = []

    class Listener(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    journal = Journal(tmp_path, SimpleNamespace(trackers=[]), Listener(), epochs)
    for number in range(1, epochs + 1):
        found = Epoch(epoch=number, train_loss=0.5, metrics={}, learning_rate=0.1, validation_loss=0.25)
        journal.epoch(found, Classification.metrics[0], number)
    assert notes == [f"epoch {number}: train loss 0.500, validation loss 0.250" for number in told]
