"""The training loop: what it writes, which weights it keeps, and how it stops."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lightune.cli.main import main
from lightune.errors import InterruptedRunError, TrainingDivergedError
from lightune.evaluation.evaluate import predict_logits
from lightune.progress import Silent
from lightune.training.checkpoint import load_checkpoint, newest
from lightune.training.optimizer import Schedule, make_optimizer
from lightune.training.training_state import load_optimizer, trained_parameters
from lightune.training.validation import Validated, Validation

MakeLoop = Callable[..., Any]
Weights = dict[str, torch.Tensor]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Watcher(Silent):
    """A reporter that calls `after_step(number)` after each step and `after_epoch(number)` after each validation."""

    def __init__(self, after_step: Callable[[int], None] | None = None, after_epoch: Any = None) -> None:
        self.after_step, self.after_epoch = after_step, after_epoch
        self.steps_done = self.epochs_done = 0

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Any]:
        def advance(detail: str = "") -> None:
            self.steps_done += 1
            if self.after_step:
                self.after_step(self.steps_done)

        yield advance if title == "training" else lambda detail="": None

    def note(self, text: str) -> None:
        if text.startswith("epoch "):
            self.epochs_done += 1
            if self.after_epoch:
                self.after_epoch(self.epochs_done)


def weights_of(loop: Any) -> Weights:
    return {name: value.detach().clone() for name, value in loop.method.state(loop.model).items()}


def same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def losses_of(lines: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in lines]


# What is written


@pytest.fixture
def finished(make_loop: MakeLoop) -> Any:
    loop = make_loop(save_steps=3, learning_rate=1e-2)
    return loop, loop.fit()


def test_metrics_have_one_line_for_each_step(finished: Any, lines_of: Any) -> None:
    loop, fitted = finished
    lines = lines_of(loop)
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert [line["epoch"] for line in lines] == [1] * 4 + [2] * 4
    assert {tuple(line) for line in lines} == {("step", "epoch", "loss", "learning_rate", "grad_norm", "samples")}
    assert {line["samples"] for line in lines} == {16}
    # Linear, warm-up ceil(0.1 * 8) = 1 step: 0, then the peak, then down to peak / 7.
    wanted = [0.0, *(1e-2 * (8 - step) / 7 for step in range(1, 8))]
    assert [line["learning_rate"] for line in lines] == pytest.approx(wanted)
    assert (fitted.steps, fitted.samples) == (8, 128)


def test_an_epoch_says_its_losses_and_the_kept_model_has_the_best_ones(finished: Any, lines_of: Any) -> None:
    loop, fitted = finished
    assert [epoch.epoch for epoch in fitted.epochs] == [1, 2]
    losses = losses_of(lines_of(loop))
    means = [sum(losses[:4]) / 4, sum(losses[4:]) / 4]
    assert [epoch.train_loss for epoch in fitted.epochs] == pytest.approx(means)
    logits = predict_logits(loop.model, loop.tokenizer, loop.validation.encoded, 8)
    again = loop.loaded.task.measure(logits, loop.validation.targets)
    best = fitted.epochs[fitted.best_epoch - 1]
    assert again["loss"] == pytest.approx(best.validation_loss, rel=1e-5)
    assert again["accuracy"] == best.validation_accuracy
    assert not loop.model.training


def scheduled_optimizer(loop: Any) -> Any:
    """Return a new optimizer of the loop's model; its groups have what the schedule notes in them."""
    optimizer = make_optimizer(loop.model, loop.settings, loop.learning_rate)
    Schedule(optimizer, loop.settings, loop.loop.step.schedule.total)
    return optimizer


def test_save_steps_leaves_complete_checkpoints_and_nothing_half_done(finished: Any) -> None:
    loop, fitted = finished
    folder = loop.folder / "checkpoints"
    newest = {6: "step-000006", 8: "step-000008-epoch-002"}  # the two newest, and what they need
    assert sorted(path.name for path in folder.iterdir()) == [f"best-{fitted.best_epoch:03d}", *newest.values()]
    for step, name in newest.items():
        found = load_checkpoint(folder / name)
        assert found.state["step"] == step
        assert found.tensors("parameters").keys() == trained_parameters(loop.model).keys()
        optimizer = scheduled_optimizer(loop)
        load_optimizer(optimizer, found.tensors("optimizer"), found.state["optimizer"])
        assert {int(entry["step"]) for entry in optimizer.state_dict()["state"].values()} == {step}


def test_a_loop_that_is_not_used_makes_no_file(make_loop: MakeLoop) -> None:
    loop = make_loop()
    assert loop.loop.journal.reporter is loop.reporter
    assert not (loop.folder / "metrics.jsonl").exists()
    loop.loop.journal.step({"step": 1})
    assert (loop.folder / "metrics.jsonl").read_text() == '{"step": 1}\n'


def read_events(path: Path) -> Any:
    """TensorBoard's own reading of one of its files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(path)).Reload()


def test_tensorboard_gets_every_step(make_loop: MakeLoop, lines_of: Any) -> None:
    loop = make_loop(report_to=["tensorboard"], num_train_epochs=1)
    loop.fit()
    loop.accelerator.end_training()
    files = list((loop.folder / "trackers").rglob("events.out.tfevents.*"))
    (read,) = [one for one in map(read_events, files) if "train/loss" in one.Tags()["scalars"]]
    seen = [(event.step, event.value) for event in read.Scalars("train/loss")]
    lines = lines_of(loop)
    assert [step for step, _ in seen] == [1, 2, 3, 4]
    assert [value for _, value in seen] == pytest.approx(losses_of(lines))
    assert [event.step for event in read.Scalars("validation/validation_loss")] == [4]


# The same experiment, whatever the machine makes of it


def test_the_same_seed_gives_exactly_the_same_losses_and_weights(make_loop: MakeLoop, lines_of: Any) -> None:
    """With dropout, and whatever the global generator was at."""
    torch.manual_seed(1)
    first = make_loop()
    first.fit()
    torch.manual_seed(2)
    second, other = make_loop(), make_loop(seed=2)
    second.fit()
    other.fit()
    assert losses_of(lines_of(first)) == losses_of(lines_of(second))
    assert same(weights_of(first), weights_of(second))
    assert losses_of(lines_of(first)) != losses_of(lines_of(other))


def test_training_leaves_the_global_generator_alone(make_loop: MakeLoop) -> None:
    loop = make_loop(num_train_epochs=1)
    before = torch.get_rng_state()
    loop.fit()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_four_micro_batches_of_four_are_a_batch_of_sixteen(make_loop: MakeLoop, lines_of: Any, method: str) -> None:
    options = {"method": method, "dropout": False, "learning_rate": 1e-3}
    whole = make_loop(**options)
    parts = make_loop(per_device_train_batch_size=4, gradient_accumulation_steps=4, **options)
    whole.fit()
    parts.fit()
    assert losses_of(lines_of(parts)) == pytest.approx(losses_of(lines_of(whole)), rel=1e-6, abs=1e-6)
    assert len(set(losses_of(lines_of(whole)))) == 8


def test_a_short_last_step_weighs_each_example_alike(make_loop: MakeLoop, lines_of: Any) -> None:
    """64 rows in steps of 24 leave 16, which micro-batches of 12 split into 12 and 4."""
    options = {"dropout": False, "num_train_epochs": 1}
    whole = make_loop(per_device_train_batch_size=24, **options)
    parts = make_loop(per_device_train_batch_size=12, gradient_accumulation_steps=2, **options)
    fitted = whole.fit(), parts.fit()
    lines = lines_of(whole)
    assert [line["samples"] for line in lines_of(parts)] == [24, 24, 16]
    assert losses_of(lines_of(parts)) == pytest.approx(losses_of(lines), rel=1e-6, abs=1e-6)
    assert [line["grad_norm"] for line in lines_of(parts)] == pytest.approx(
        [line["grad_norm"] for line in lines], rel=1e-4
    )
    by_hand = sum(line["loss"] * line["samples"] for line in lines) / 64
    assert [fit.epochs[0].train_loss for fit in fitted] == pytest.approx([by_hand, by_hand])


def test_gradient_checkpointing_gives_the_same_losses(make_loop: MakeLoop, lines_of: Any) -> None:
    """With dropout: what is computed twice must be dropped alike. It is on while training, and off afterwards."""
    seen: list[bool] = []
    plain = make_loop()
    saving = make_loop(gradient_checkpointing=True)
    saving.reporter = Watcher(lambda step: seen.append(saving.model.base_model.model.is_gradient_checkpointing))
    plain.fit()
    saving.fit()
    assert losses_of(lines_of(saving)) == pytest.approx(losses_of(lines_of(plain)), rel=1e-6)
    assert set(seen) == {True}
    assert not saving.model.base_model.model.is_gradient_checkpointing


@pytest.mark.parametrize("method", ["lora", "full"])
def test_bf16_computes_in_bf16_and_keeps_the_weights_in_fp32(make_loop: MakeLoop, lines_of: Any, method: str) -> None:
    """Frozen layers compute in it where there are any; else Accelerate's autocast does all of the model."""
    options = {"method": method, "dropout": False, "learning_rate": 1e-3}
    half, full = make_loop(precision="bf16", **options), make_loop(**options)
    assert half.accelerator.mixed_precision == ("bf16" if method == "full" else "no")
    half.fit()
    full.fit()
    losses = losses_of(lines_of(half))
    assert losses != losses_of(lines_of(full))
    assert losses == pytest.approx(losses_of(lines_of(full)), rel=0.1)
    assert {value.dtype for value in half.model.parameters()} == {torch.float32}
    batch = half.tokenizer(["a lovely film"], return_tensors="pt")
    assert not torch.is_autocast_enabled("cpu")
    with torch.no_grad():
        assert half.model(**batch).logits.dtype == torch.float32


def test_a_plateau_schedule_hears_each_validation_of_the_loop(make_loop: MakeLoop, lines_of: Any) -> None:
    """Halved after each epoch whose validation loss is no better than the best so far (by a ten-thousandth)."""
    loop = make_loop(
        contrary=True, num_train_epochs=8, learning_rate=1e-2, lr_scheduler_type="reduce_lr_on_plateau", warmup_steps=0
    )
    rate, best, wanted = 1e-2, math.inf, []
    for epoch in loop.fit().epochs:
        wanted += [rate] * 4
        better = epoch.validation_loss < best * (1 - 1e-4)
        rate, best = (rate, epoch.validation_loss) if better else (rate / 2, best)
    assert len(set(wanted)) > 1
    assert [line["learning_rate"] for line in lines_of(loop)] == pytest.approx(wanted)


# Which epoch is kept


def test_the_weights_kept_are_those_of_the_best_epoch(make_loop: MakeLoop) -> None:
    """With contrary validation labels an early epoch is the best one by loss."""
    after: dict[int, Weights] = {}
    loop = make_loop(contrary=True, num_train_epochs=8, learning_rate=2e-2, metric_for_best_model="loss")
    loop.reporter = Watcher(after_epoch=lambda epoch: after.update({epoch: weights_of(loop)}))
    fitted = loop.fit()
    losses = [epoch.validation_loss for epoch in fitted.epochs]
    assert losses.index(min(losses)) + 1 == fitted.best_epoch < 8
    assert same(weights_of(loop), after[fitted.best_epoch])
    assert not same(weights_of(loop), after[8])


def test_the_last_epoch_is_kept_if_so_set(make_loop: MakeLoop) -> None:
    after: dict[int, Weights] = {}
    options = {"metric_for_best_model": "loss", "load_best_model_at_end": False}
    loop = make_loop(contrary=True, num_train_epochs=3, learning_rate=2e-2, **options)
    loop.reporter = Watcher(after_epoch=lambda epoch: after.update({epoch: weights_of(loop)}))
    assert loop.fit().best_epoch == 3
    assert same(weights_of(loop), after[3])
    assert not loop.model.training


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "loss"])
def test_the_best_epoch_is_the_one_with_the_best_metric(make_loop: MakeLoop, metric: str) -> None:
    fitted = make_loop(num_train_epochs=5, learning_rate=2e-2, metric_for_best_model=metric).fit()
    name = f"validation_{metric}"
    values = [(-1 if metric == "loss" else 1) * getattr(epoch, name) for epoch in fitted.epochs]
    assert len(set(values)) > 1
    assert values[fitted.best_epoch - 1] == max(values)


def test_of_epochs_with_equal_accuracy_the_one_with_the_lower_loss_is_kept(make_loop: MakeLoop) -> None:
    """At a rate near 0 no answer changes, while the loss still does."""
    fitted = make_loop(num_train_epochs=4, learning_rate=1e-6, dropout=False).fit()
    losses = [epoch.validation_loss for epoch in fitted.epochs]
    assert len({epoch.validation_accuracy for epoch in fitted.epochs}) == 1
    assert len(set(losses)) == 4
    assert fitted.best_epoch == losses.index(min(losses)) + 1


def test_training_stops_early_when_validation_gets_no_better(make_loop: MakeLoop) -> None:
    loop = make_loop(
        contrary=True, num_train_epochs=20, learning_rate=2e-2, metric_for_best_model="loss", early_stopping_patience=2
    )
    fitted = loop.fit()
    assert len(fitted.epochs) == fitted.best_epoch + 2 < 20
    assert fitted.steps == 4 * len(fitted.epochs)


# Divergence


@pytest.mark.parametrize(
    ("method", "rate", "advised"),
    [("lora", 0.5, "0.001"), ("full", 0.001, "0.0001"), ("full", 1e-4, "1e-05"), ("full", 5e-5, "5e-06")],
)
def test_the_advice_is_the_methods_default_rate_or_a_tenth_below_it(
    make_loop: MakeLoop, method: str, rate: float, advised: str
) -> None:
    """docs/methods.md: 1e-3 for lora, 1e-4 for full."""
    hint = make_loop(method=method, learning_rate=rate).loop.step.diverged("the loss is nan").hint
    usual = {"lora": "0.001", "full": "0.0001"}[method]
    assert f"this method's default is {usual}): --learning-rate {advised}" in hint


def assert_stopped_untouched(loop: Any, before: Weights, said: str) -> None:
    with pytest.raises(TrainingDivergedError, match=said) as caught:
        loop.fit()
    assert caught.value.exit_code == 5
    assert "--learning-rate" in caught.value.hint
    assert same(weights_of(loop), before)


@pytest.mark.parametrize("keep_best", [True, False])
def test_adalora_keeps_no_epoch_that_has_more_ranks_than_its_budget(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, keep_best: bool
) -> None:
    """Each epoch is worse than the one before; after the seventh of ten, 12 layers have 8 entries each. Patience counts
    from there."""
    losses = (float(number) for number in range(1, 11))
    measure = Validation.measure

    def worse(self: Validation, around: Any) -> Validated:
        loss = next(losses)
        return Validated({**measure(self, around).metrics, "loss": loss}, loss)

    monkeypatch.setattr(Validation, "measure", worse)
    options = {"num_train_epochs": 10, "metric_for_best_model": "loss", "early_stopping_patience": 2}
    loop = make_loop(method="adalora", learning_rate=2e-2, load_best_model_at_end=keep_best, **options)
    fitted = loop.fit()
    assert len(fitted.epochs) == 9
    assert fitted.best_epoch == (7 if keep_best else 9)
    entries = [value for name, value in loop.model.named_parameters() if ".lora_E." in name]
    assert sum(int((value != 0).sum()) for value in entries) == 12 * 8


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_before_the_weights_are_touched(make_loop: MakeLoop, value: float) -> None:
    loop = make_loop("bert")
    with torch.no_grad():
        loop.model.get_submodule("base_model.model.bert.embeddings.LayerNorm").bias.fill_(value)
    assert_stopped_untouched(loop, weights_of(loop), "step 1: the loss is nan")


@pytest.mark.parametrize("clipping", [1.0, 0.0])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_stops_before_the_weights_are_touched(
    make_loop: MakeLoop, value: float, clipping: float
) -> None:
    """At the third step; the loss itself is fine."""
    snapshots: list[Weights] = []
    loop = make_loop(max_grad_norm=clipping)
    loop.reporter = Watcher(lambda step: snapshots.append(weights_of(loop)))
    spoilt = next(parameter for parameter in loop.model.parameters() if parameter.requires_grad)
    spoilt.register_hook(lambda gradient: gradient * value if len(snapshots) == 2 else gradient)
    with pytest.raises(TrainingDivergedError, match="step 3: the gradient norm is"):
        loop.fit()
    assert len(snapshots) == 2
    assert same(weights_of(loop), snapshots[-1])


def test_a_rate_far_too_high_ends_in_divergence_before_the_step_that_would_spoil_the_weights(
    make_loop: MakeLoop,
) -> None:
    snapshots: list[Weights] = []
    loop = make_loop(method="full", learning_rate=1e30, warmup_steps=0)
    loop.reporter = Watcher(lambda step: snapshots.append(weights_of(loop)))
    with pytest.raises(TrainingDivergedError):
        loop.fit()
    assert 1 <= len(snapshots) < 8
    assert same(weights_of(loop), snapshots[-1])


def test_an_epoch_that_ends_in_no_number_is_divergence_and_not_the_best_epoch(make_loop: MakeLoop) -> None:
    """The last step of an epoch may spoil the weights; only validation sees it."""
    loop = make_loop(
        method="full", learning_rate=1e30, warmup_steps=0, per_device_train_batch_size=64, num_train_epochs=1
    )
    with pytest.raises(TrainingDivergedError, match="epoch 1: the validation loss is"):
        loop.fit()
    assert not (loop.folder / "checkpoints").exists()


# Interruption


def send_at_step(number: int, wanted: int) -> Watcher:
    return Watcher(lambda step: os.kill(os.getpid(), number) if step == wanted else None)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_training_after_the_step_with_a_checkpoint(
    make_loop: MakeLoop, lines_of: Any, number: int
) -> None:
    handlers = [signal.getsignal(one) for one in SIGNALS]
    loop = make_loop(reporter=send_at_step(number, 2))
    with pytest.raises(InterruptedRunError, match="after step 2; a checkpoint was written") as caught:
        loop.fit()
    assert caught.value.signal_number == number
    assert [signal.getsignal(one) for one in SIGNALS] == handlers
    assert len(lines_of(loop)) == 2
    folder = loop.folder / "checkpoints" / "step-000002"
    found = load_checkpoint(folder)
    assert same(found.tensors("parameters"), trained_parameters(loop.model))
    assert found.state["step"] == 2
    optimizer = scheduled_optimizer(loop)
    load_optimizer(optimizer, found.tensors("optimizer"), found.state["optimizer"])
    wanted = loop.loop.step.optimizer.state_dict()["state"]
    assert all(
        torch.equal(entry["exp_avg"], wanted[index]["exp_avg"]) and int(entry["step"]) == 2
        for index, entry in optimizer.state_dict()["state"].items()
    )


def test_a_signal_during_the_last_validation_is_not_lost(make_loop: MakeLoop) -> None:
    watcher = Watcher(after_epoch=lambda epoch: os.kill(os.getpid(), signal.SIGTERM) if epoch == 2 else None)
    with pytest.raises(InterruptedRunError, match="after step 8"):
        make_loop(reporter=watcher).fit()


def test_a_second_signal_ends_at_once(make_loop: MakeLoop) -> None:
    def twice(step: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make_loop(reporter=Watcher(twice)).fit()


def test_a_loop_in_another_thread_trains_without_taking_signals(make_loop: MakeLoop) -> None:
    loop, found = make_loop(num_train_epochs=1), []
    worker = threading.Thread(target=lambda: found.append(loop.fit()))
    worker.start()
    worker.join()
    assert [fitted.steps for fitted in found] == [4]


@pytest.fixture
def endless_recipe(tiny_recipe: Callable[..., Any], tmp_path: Path) -> Path:
    """A recipe whose training nobody waits for."""
    recipe = tiny_recipe("distilbert", "lora", num_train_epochs=100_000).model_dump(mode="json")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_told_to_stop_ends_with_the_signals_status_and_leaves_its_checkpoint(
    endless_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    working = tmp_path / "out.partial"

    def send_once_it_trains() -> None:
        while not (working / "metrics.jsonl").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=send_once_it_trains, daemon=True).start()
    try:
        found = main(["run", str(endless_recipe), "--output", str(tmp_path / "out")])
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().err
    assert found == status
    assert "RUN-001" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
    for checkpoint in (working / "checkpoints").glob("step-*"):
        assert load_checkpoint(checkpoint).state["step"] == int(checkpoint.name.removeprefix("step-"))
    assert newest(working) is not None


@pytest.mark.parametrize(("save_steps", "skipped"), [(None, 1), (2, 0), (3, 2)])
def test_an_epoch_counts_as_without_a_checkpoint_only_where_no_other_is_of_its_last_step(
    make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, save_steps: int | None, skipped: int
) -> None:
    """Three epochs of four steps where every checkpoint is too dear; those of the first and the last are written."""
    monkeypatch.setattr("lightune.training.epochs.MOST_SHARE", 0)
    fitted = make_loop(save_steps=save_steps, num_train_epochs=3).fit()
    assert fitted.saved.skipped == skipped
