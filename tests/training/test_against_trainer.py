"""The loop against transformers.Trainer: the same model, data and order give the same loss at every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from lightune.training.batches import epoch_order

EPOCHS = 3
SEED = 1


class OurOrder(torch.utils.data.Sampler[int]):
    """The rows in the order in which the loop takes them, epoch after epoch."""

    def __init__(self, rows: int) -> None:
        self.rows, self.epoch = rows, 0

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(epoch_order(self.rows, SEED, self.epoch))


class Recorder(hf.Trainer):
    """Trainer, with our order and its unrounded losses kept."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.losses: list[float] = []
        # Trainer believes that every model whose forward takes **kwargs divides its loss by the whole step's items. A
        # classifier takes the mean over its micro-batch, so that this must be said, or the gradients add up.
        self.loss_is_scaled_for_ga = False

    def _get_train_sampler(self, train_dataset: Any = None) -> OurOrder:
        return OurOrder(len(self.train_dataset))

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        found = super().compute_loss(*arguments, **options)
        self.losses.append((found[0] if isinstance(found, tuple) else found).item())
        return found


def train_with_trainer(loop: Any, folder: Path) -> Recorder:
    """Train the loop's model and data with Trainer, told the same settings in Trainer's own words."""
    settings = loop.settings
    arguments = hf.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.num_train_epochs,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=loop.learning_rate,
        weight_decay=0.01,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=SEED,
    )
    rows = [
        {**row, "labels": label}
        for row, label in zip(loop.train.encoded.rows, loop.train.targets.tolist(), strict=True)
    ]
    trainer = Recorder(
        model=loop.model,
        args=arguments,
        train_dataset=rows,
        data_collator=hf.DataCollatorWithPadding(loop.tokenizer),
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(("micro_batch", "accumulation"), [(16, 1), (8, 2)])
def test_the_loss_of_every_step_is_trainers(
    make_loop: Callable[..., Any], lines_of: Any, tmp_path: Path, method: str, micro_batch: int, accumulation: int
) -> None:
    options = {
        "method": method,
        "learning_rate": 2e-3,
        "dropout": False,
        "num_train_epochs": EPOCHS,
        "seed": SEED,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulation,
    }
    ours, theirs = make_loop(**options), make_loop(**options)
    trainer = train_with_trainer(theirs, tmp_path / "trainer")
    ours.fit()

    lines = lines_of(ours)
    grouped = torch.tensor(trainer.losses).reshape(-1, accumulation).mean(1)
    assert len(lines) == len(grouped) == EPOCHS * 64 // 16
    found = torch.tensor([line["loss"] for line in lines])
    torch.testing.assert_close(found, grouped, rtol=1e-4, atol=0)
    assert found[-1] < found[0] * 0.9, "nothing was learned, so equal losses say nothing"

    logged = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    norms = [line["grad_norm"] for line in lines]
    assert norms == pytest.approx([entry["grad_norm"] for entry in logged], rel=1e-3)
    assert max(norms) > 1.0, "nothing was clipped"
