"""Texts in windows, for every task: pooled logits and gradients are those of a loop written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trials import Trial

from lightune.data.encoding import encode
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.features import watch_texts
from lightune.execution.unpadding import padding_free
from lightune.methods import make_method
from lightune.recipe import SettledTraining
from lightune.tasks import TASKS
from lightune.tasks.columns import LabelColumn, Wishes
from lightune.training.batch_loss import Examples
from lightune.training.forward_backward import recomputing

# Windows of 8 tokens, six of them the text's: 1, 1, 2, 4 and 9 windows. A step takes four texts or windows at a time.
LIMIT, BATCH = 8, 4
WORDS = (2, 6, 10, 18, 42)
FILLER = ["the", "plot", "was", "dull", "and", "my", "lamp", "is", "very", "warm", "with", "this", "clever", "book"]
TEXTS = [(" ".join(FILLER[(at + start) % len(FILLER)] for at in range(words)),) for start, words in enumerate(WORDS)]
CELLS: dict[str, list[Any]] = {
    "classification": ["yes", "no", "yes", "no", "yes"],
    "multi_label": [["a"], ["a", "b"], [], ["b"], ["a"]],
    "regression": [1.0, 2.5, 4.0, 3.0, 0.5],
}
ROWS = [3, 0, 4, 2]


def examples(tokenizer: Any, task: str, limit: int = LIMIT, way: Any = "windows") -> Examples:
    """Return the texts with the targets of a task."""
    made = TASKS[task].of(LabelColumn("label", "made_up.csv", CELLS[task], len(TEXTS)), Wishes(task))
    targets, read = made.targets(len(TEXTS)), made.reader(())
    for row, cell in enumerate(CELLS[task]):
        targets[row] = read(cell)
    return Examples(encode(tokenizer, TEXTS, limit, way), targets)


@pytest.fixture
def make(load_lively: Callable[..., Any], tmp_path: Path) -> Callable[..., Trial]:
    """Return a function that makes a Trial on the long texts; without dropout unless asked for."""

    def trial(
        task: str = "classification", method: str = "lora", architecture: str = "distilbert", **given: Any
    ) -> Trial:
        loaded = load_lively(architecture)
        made = TASKS[task].of(LabelColumn("label", "made_up.csv", CELLS[task], len(TEXTS)), Wishes(task))
        loaded = replace(loaded, task=made)
        if made.outputs != loaded.model.num_labels:
            layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
            layer.weight = torch.nn.Parameter(torch.randn(made.outputs, layer.in_features))
            layer.bias = torch.nn.Parameter(torch.zeros(made.outputs))
        if not given.pop("dropout", False):
            for module in loaded.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        block = SettledTraining(num_train_epochs=2, per_device_train_batch_size=BATCH, learning_rate=1e-3, **given)
        train = examples(loaded.tokenizer, task)
        return Trial(loaded, make_method(method), train, train, block, tmp_path / f"{task}-{method}")

    return trial


def by_hand(trial: Trial, text: int, model: Any) -> torch.Tensor:
    """Return the mean of the logits of a text's windows, each passed alone and padded by nobody."""
    (windows,) = trial.train.encoded.rows_of([text])
    rows = [trial.train.encoded.rows[window] for window in windows]
    found = [model(**{name: torch.tensor([values]) for name, values in row.items()}).logits[0] for row in rows]
    return torch.stack(found).mean(0)


METHODS = ["lora", "prefix", "full", "head"]


@pytest.mark.parametrize("task", CELLS)
@pytest.mark.parametrize("method", METHODS)
def test_logits_of_a_text_are_the_mean_of_its_windows_logits(make: Any, task: str, method: str):
    trial = make(task, method)
    assert [len(own) for own in trial.train.encoded.rows_of(range(5))] == [1, 1, 2, 4, 9]
    found = predict_logits(trial.model, trial.tokenizer, trial.train.encoded, 64)
    with torch.no_grad():
        wanted = torch.stack([by_hand(trial, text, trial.model.eval()) for text in range(5)])
    assert found.shape == (5, trial.loaded.task.outputs)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("task", CELLS)
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_a_loop_by_hand(make: Any, task: str, method: str):
    trial = make(task, method)
    model, passes = trial.model.train(), trial.loop.step.passes

    def gradients() -> list[torch.Tensor]:
        found = [value.grad for value in model.parameters() if value.grad is not None]
        model.zero_grad(set_to_none=True)
        return found

    logits = torch.stack([by_hand(trial, text, model) for text in ROWS])
    targets = trial.loaded.task.collate(trial.train.targets[ROWS], 0)
    loss = trial.loaded.task.mean_loss(logits, targets)
    loss.backward()
    wanted = gradients()
    parts = passes.row_loss.micro_batches(ROWS, BATCH)
    assert parts == [[3], [0], [4], [2]] or parts == [[3], [0, 4], [2]]
    with padding_free(model, logits_only=True):
        plain = sum(float(passes.run(part, 1, len(part) / len(ROWS))) * len(part) for part in parts) / len(ROWS)
    found = gradients()
    assert plain == pytest.approx(loss.item(), rel=1e-5)
    assert len(found) == len(wanted) > 0
    # fp32 rounds by the size of what is summed, and the order of the sums differs.
    largest = max(1.0, *(value.abs().max().item() for value in wanted))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5 * largest, rtol=1e-4)


def test_micro_batches_hold_no_more_windows_than_a_batch_has_texts(make: Any):
    row_loss = make().loop.step.passes.row_loss
    assert row_loss.micro_batches([0, 1, 2, 3, 4], BATCH) == [[0, 1, 2], [3], [4]]
    assert row_loss.micro_batches([4, 0, 2], BATCH) == [[4], [0, 2]]
    assert [len(part) for part in row_loss.windows([4])] == [4, 4, 1]


@pytest.mark.parametrize("architecture", ["distilbert", "mpnet"])
def test_no_call_has_more_windows_than_a_batch_has_texts(make: Any, architecture: str):
    trial, seen = make(architecture=architecture), []
    body = trial.model.get_base_model().base_model
    body.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["input_ids"])), with_kwargs=True
    )
    for part in trial.loop.step.passes.row_loss.micro_batches(range(5), BATCH):
        trial.loop.step.passes.run(part, 1, 0.2)
    assert max(seen) == BATCH
    assert sum(seen) == 4 + 4 + 2 * 9  # the nine windows twice: forward, and again for their gradient


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_computed_again_has_the_same_dropout(make: Any, method: str):
    trial = make(method=method, dropout=True)
    model, passes = trial.model.train(), trial.loop.step.passes
    torch.manual_seed(3)
    passes.run([4], 1, 1.0)
    found = [value.grad for value in model.parameters() if value.grad is not None]
    model.zero_grad(set_to_none=True)
    torch.manual_seed(3)
    row_loss = passes.row_loss
    logits = torch.cat([model(**row_loss.inputs(part, 1)).logits for part in row_loss.windows([4])])
    loss, _ = row_loss.of(row_loss.pooled(logits, [4]), row_loss.targets([4], 0), [4])
    loss.backward()
    wanted = [value.grad for value in model.parameters() if value.grad is not None]
    assert len(found) == len(wanted) > 0
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("method", ["head", "top_layers"])
def test_cached_frozen_layers_change_nothing(make: Any, method: str, lines_of: Any):
    def losses(choice: str) -> list[float]:
        trial = make(method=method, cache_frozen=choice)
        fitted = trial.fit()
        assert fitted.cached.used == (choice == "on")
        return [line["loss"] for line in lines_of(trial) if "grad_norm" in line]

    found, wanted = losses("on"), losses("off")
    assert len(found) == 4
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("limit", [64, 44])
def test_texts_that_fit_are_trained_and_answered_as_ever(make: Any, limit: int):
    def trained(way: Any) -> tuple[Any, Any]:
        trial = make(dropout=True)
        trial.train = trial.validation = examples(trial.tokenizer, "classification", limit, way)
        fitted = trial.fit()
        return fitted.epochs, predict_logits(trial.model, trial.tokenizer, trial.train.encoded, 64)

    (epochs, logits), (same_epochs, same_logits) = trained("windows"), trained("cut")
    assert epochs == same_epochs
    assert np.array_equal(logits, same_logits)


def test_features_are_the_mean_of_the_windows_features(make: Any):
    trial = make()
    encoded, model = trial.train.encoded, trial.loaded.model
    layer = model.get_submodule(trial.loaded.anatomy.output_layer)
    found = watch_texts(model, layer, trial.tokenizer, encoded, 64)
    each = watch_texts(model, layer, trial.tokenizer, replace(encoded, firsts=None), 64)
    np.testing.assert_allclose(found.pooled[3], each.pooled[4:8].mean(0), atol=1e-6)
    # The output layer is linear, so its logits of the mean are the mean of its logits.
    logits = predict_logits(model, trial.tokenizer, encoded, 64)
    by_layer = layer(torch.from_numpy(found.head_inputs)).detach().numpy()
    np.testing.assert_allclose(logits, by_layer, atol=1e-5)


def test_methods_that_start_from_data_see_each_window(make: Any, tmp_path: Path, load_lively: Any):
    loaded = load_lively("distilbert")
    train, block = examples(loaded.tokenizer, "classification"), SettledTraining(per_device_train_batch_size=BATCH)
    trial = Trial(loaded, make_method("lora", {"init_lora_weights": "eva"}), train, train, block, tmp_path / "eva")
    assert trial.fit().steps == 10


def test_gradient_checkpointing_within_parts_gives_the_same_gradients(make: Any):
    found = []
    for is_on in (False, True):
        trial = make(dropout=True)
        trial.model.train()
        torch.manual_seed(3)
        with recomputing(trial.loop.step.passes.plain_model, is_on):
            trial.loop.step.passes.run([4], 1, 1.0)
        found.append([value.grad for value in trial.model.parameters() if value.grad is not None])
    assert len(found[0]) == len(found[1]) > 0
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
