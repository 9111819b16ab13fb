"""Class weights: n / (k n_c), and a step's loss is torch's own weighted cross-entropy, however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from lightune.data.encoding import encode
from lightune.methods import make_method
from lightune.recipe import SettledTraining
from lightune.tasks import Task
from lightune.tasks.columns import Wishes
from lightune.training.batch_loss import Examples, RowLoss
from tiny import classes

LABELS = [0] * 7 + [1] * 2 + [2] * 3


def weights_of(task: Task, labels: list[int]) -> list[float]:
    found = task.weights(np.array(labels), Wishes(class_weights="auto"))
    assert found is not None
    return found.tolist()


def test_balanced_weights_are_scikit_learns():
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=np.array(LABELS))
    assert weights_of(classes("abc"), LABELS) == pytest.approx([wanted[label] for label in LABELS])


def test_balanced_weights_by_hand():
    """8 rows, 2 labels: 8 / (2 * 6) and 8 / (2 * 2)."""
    assert weights_of(classes("ab"), [0] * 6 + [1] * 2) == [8 / 12] * 6 + [2.0] * 2
    assert classes("ab").weights(np.array([0, 1]), Wishes()) is None


def test_the_weighted_mean_is_torchs_and_the_plain_mean_stays_plain(load_tiny: Callable[..., Any]):
    draw = torch.Generator().manual_seed(2)
    logits, labels = torch.randn(12, 3, generator=draw), torch.tensor(LABELS)
    loaded = load_tiny("bert", labels=["a", "b", "c"])
    train = Examples(encode(loaded.tokenizer, [("the film",)] * 12, 8), np.array(LABELS))
    settings = SettledTraining(class_weights="auto")
    loss, plain = RowLoss(loaded.task, loaded.tokenizer, train, settings).of(logits, labels, range(12))
    by_class = torch.tensor([12 / (3 * LABELS.count(label)) for label in range(3)])
    assert loss.item() == pytest.approx(cross_entropy(logits, labels, weight=by_class).item(), rel=1e-6)
    assert plain == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-6)


@pytest.fixture
def uneven(make_loop: Callable[..., Any], tiny_rows: Any) -> Callable[..., Any]:
    """Return a function that makes a loop whose training rows are 32 negative and 10 positive ones."""
    rows = list(zip(*tiny_rows["train"], strict=True))
    kept = [row for row in rows if row[1] == 0][:32] + [row for row in rows if row[1] == 1][:10]

    def make(**settings: Any) -> tuple[Any, list[str]]:
        loop, texts = make_loop(**settings), [text for text, _ in kept]
        loop.train = Examples(encode(loop.tokenizer, texts, 64), np.array([label for _, label in kept]))
        return loop, [text for (text,) in texts]

    return make


@pytest.mark.parametrize(("batch", "accumulation"), [(42, 1), (14, 3), (10, 5)])
def test_the_gradient_of_a_step_is_that_of_torchs_weighted_mean(
    uneven: Callable[..., Any], batch: int, accumulation: int
):
    """One step over all 42 rows, whole or in micro-batches of unequal make-up: the first gradient norm is the same."""
    settings = {"num_train_epochs": 1, "max_grad_norm": 0.0, "class_weights": "auto", "warmup_steps": 0.0}
    sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    loop, texts = uneven(method="full", dropout=False, **settings, **sizes)
    model, padded = loop.model, loop.tokenizer(texts, padding=True, return_tensors="pt")
    labels = torch.tensor(loop.train.targets.tolist())
    model.eval()
    logits = model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits
    weights = torch.tensor([42 / (2 * 32), 42 / (2 * 10)])
    cross_entropy(logits, labels, weight=weights).backward()
    trained = [value.grad for value in model.parameters() if value.requires_grad and value.grad is not None]
    wanted = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in trained])))
    model.zero_grad()
    step = loop.loop.step
    norms, take = [], step.take
    step.take = lambda *given: norms.append(take(*given)) or norms[-1]
    loop.fit()
    loss, norm = norms[0]
    assert norm == pytest.approx(wanted, rel=1e-4)
    assert loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)  # what is reported is the plain mean


def test_weights_change_what_is_learned_but_not_what_is_reported(uneven: Callable[..., Any], lines_of: Any):
    """The first step's reported loss is the same with and without; the losses after weighted updates are not."""
    plain, weighted = (uneven(class_weights=weights)[0] for weights in ("none", "auto"))
    plain.fit()
    weighted.fit()
    first, second = ([line["loss"] for line in lines_of(loop)] for loop in (plain, weighted))
    assert first[0] == pytest.approx(second[0], rel=1e-6)
    assert first[2:] != pytest.approx(second[2:], rel=1e-6)


def test_what_a_method_adds_to_the_loss_is_trained_on_with_weights_too(uneven: Callable[..., Any]):
    """AdaLoRA's factors come nearer to orthogonal; without the penalty they do not."""
    distances = []
    for weight in (0.0, 5.0):
        kept = {"class_weights": "auto", "num_train_epochs": 3, "load_best_model_at_end": False}
        loop, _ = uneven(method="adalora", learning_rate=2e-2, **kept)
        loop.method = make_method("adalora", {"orthogonality": weight})
        loop.fit()
        distances.append(make_method("adalora", {"orthogonality": 1.0}).penalty(loop.model).item())
    assert distances[1] < 0.7 * distances[0]
