"""The main job: recipe -> data, model -> evaluate -> adapt -> train -> evaluate -> measure -> record and run folder.

Only this module turns a recipe into objects.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lightune import runtime
from lightune.artifact import AdaptedModel, ArtifactConfig, save_adapter
from lightune.data.check import wishes_of
from lightune.data.dataset import DataSplits, load_splits
from lightune.data.encoding import Encoded, collate, cut_notes, encode, encode_splits
from lightune.data.python_data import NO_SOURCE, python_tables
from lightune.evaluation.answering import Answering, answering_task
from lightune.evaluation.baselines import Fitted
from lightune.evaluation.evaluate import Labelled, evaluate, predict_logits
from lightune.evaluation.every_baseline import all_baselines
from lightune.evaluation.features import FeatureRecorder, watch_texts
from lightune.inference.reload_check import EXAMPLES, check_reload
from lightune.inference.speed import measure_adapted_speed, measure_speed
from lightune.methods import Method, make_method
from lightune.methods.base import count_parameters
from lightune.models.load import LoadedModel, find_model, load_model
from lightune.models.quantize import require_precision, weight_bytes
from lightune.models.shared_base import copy_on_same_tensors
from lightune.progress import Reporter, Silent, program_reporter
from lightune.recipe import Recipe
from lightune.recipes.compose import as_recipe
from lightune.record import RunRecord
from lightune.run_files import Measured, Outcome, write_recipe
from lightune.run_folder import RunFolder
from lightune.sections import Evaluation, Inference, ModelRecord, ReloadCheck
from lightune.tasks import Task, require_task
from lightune.training.accelerate_setup import require_installed
from lightune.training.batch_loss import Examples
from lightune.training.cache_frozen import require_cacheable
from lightune.training.distributed import all_ranks, ending_together
from lightune.training.feasibility import require_feasible
from lightune.training.probe_head import start_from_probe, usual_head_start
from lightune.training.train import Surroundings, Texts, Tracked, Trained, learning_rate, train

if TYPE_CHECKING:
    import torch
    from torch import nn

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class _Prepared:
    """Everything a run starts from: the data, and the base model on its device, before anything is added to it."""

    recipe: Recipe
    method: Method
    device: torch.device
    splits: DataSplits
    loaded: LoadedModel
    encoded: dict[str, Encoded]
    folder: Path
    reporter: Reporter
    notes: tuple[str, ...]

    @property
    def batch_size(self) -> int:
        return self.recipe.evaluation.per_device_eval_batch_size

    @property
    def output_layer(self) -> nn.Module:
        return self.loaded.model.get_submodule(self.loaded.anatomy.output_layer)


@dataclass(frozen=True)
class _Before:
    """Measurements of the model before anything was added to it, on the test split unless stated otherwise."""

    scores: NDArray[Any]
    evaluation: Evaluation
    baselines: dict[str, Fitted]
    head_inputs: NDArray[Any]  # of the training split
    speeds: dict[str, float]
    parameters: int
    weight_bytes: int


@dataclass(frozen=True)
class _After:
    """Measurements of the adapted model, which cannot be used any more: measuring the merged model changes it.

    `task` is the one that was fitted after training.
    """

    task: Task
    scores: NDArray[Any]
    evaluation: Evaluation
    trainable: int
    adapter_bytes: int
    reload_check: ReloadCheck
    speeds: dict[str, float]
    notes: tuple[str, ...]


def run(
    recipe: Recipe | Mapping[str, Any] | str,
    output: Path | str | None = None,
    reporter: Reporter | None = None,
    notes: Sequence[str] = (),
    data: Any = None,
) -> RunRecord:
    """Run the recipe and write a run folder; return its record. In a notebook, progress is shown.

    `recipe` is a Recipe, a mapping of its keys, or the name of a shipped recipe or of a YAML file.
    `data` replaces the recipe's source: rows (dicts, named tuples, (text, label) pairs), columns (a dict, a DataFrame,
    an Arrow table), a datasets.Dataset, or a mapping of split names to these; docs/data.md lists all.
    The folder is `output` (new or empty), or the next free runs/<name>-<n>. Raises LightuneError subclasses; then no
    run folder is left, except that an interrupted run leaves its unfinished folder with a checkpoint. If torchrun
    started several processes, all of them train, and only the first does everything else; each returns the record.
    """
    recipe = as_recipe(recipe)
    reporter = Silent() if runtime.rank() else reporter or program_reporter()
    method = make_method(recipe.method.name, recipe.method.options)
    device = runtime.choose_device(recipe.device)
    require_installed(recipe.training.report_to)
    require_precision(recipe.model_precision, method.base_is_frozen)
    require_task(recipe.task, recipe.training.metric_for_best_model)
    folder = RunFolder(recipe.name, output)  # refuses an --output that is in use before anything is read
    reporter.phase("Reading the data and the model")
    tables = None
    if data is not None:
        tables = python_tables(data, recipe.data, recipe.task)
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=NO_SOURCE)})
    splits = load_splits(recipe.data, recipe.training.seed, wishes_of(recipe), tables)
    splits.task.require(wishes_of(recipe))
    if runtime.rank():
        with ending_together():
            _train(_prepare(recipe, method, splits, Path(os.devnull), reporter, ()))
        return RunRecord.model_validate_json(all_ranks().broadcast_text())
    with ending_together(), folder as place:
        said = (*notes, *runtime.device_notes(device), *splits.notes)
        prepared = _prepare(recipe, method, splits, place.working, reporter, said)
        write_recipe(prepared.recipe, prepared.loaded.source, place.working)
        record = _carry_out(prepared).write(place.working, place.final)
    all_ranks().broadcast_text(record.model_dump_json())
    return record


def _prepare(
    recipe: Recipe, method: Method, splits: DataSplits, folder: Path, reporter: Reporter, said: tuple[str, ...]
) -> _Prepared:
    """Load the model and encode the texts; raise errors for unusable settings before anything is measured."""
    device = runtime.choose_device(recipe.device)
    source = find_model(recipe.model, recipe.model_revision)
    seed, longest, precision = recipe.training.seed, recipe.data.max_length, recipe.model_precision
    loaded = load_model(source, splits.task, seed, longest, precision, method.virtual_tokens)
    metric = loaded.task.metric(recipe.training.metric_for_best_model).name
    recipe = recipe.pinned(source.revision, splits.revision)
    recipe = recipe.for_task(loaded.task.name, metric, usual_head_start(loaded))
    require_feasible(recipe.training, loaded.model, loaded.tokenizer)
    loaded.model.to(device)  # type: ignore[arg-type]
    splits = replace(splits, task=loaded.task)
    # Attach the method to a copy, so that one that does not fit the model fails now, not after the baselines.
    attached = method.attach(copy_on_same_tensors(loaded.model), loaded.anatomy, seed).model.to(device)
    encoded = encode_splits(loaded.tokenizer, {name: getattr(splits, name) for name in SPLITS}, loaded.max_length)
    require_cacheable(recipe.training, attached, collate(loaded.tokenizer, encoded["train"].rows[:1]))
    notes = (*said, *loaded.notes, *cut_notes(encoded.values(), loaded.max_length))
    sizes = ", ".join(f"{len(found)} {name}" for name, found in encoded.items())
    start = f"{source.name}: {loaded.model.num_parameters():,} parameters, {device.type}; {sizes} examples"
    for note in (start, *notes):
        reporter.note(note)
    return _Prepared(recipe, method, device, splits, loaded, encoded, folder, reporter, notes)


def _carry_out(run: _Prepared) -> Outcome:
    """Evaluate, adapt, evaluate again, measure: the main job, in order."""
    before = _before(run)
    if run.recipe.training.head_start == "probe":
        targets = run.splits.train.targets
        run.reporter.note(start_from_probe(run.output_layer, before.head_inputs, targets, run.splits.task))
    trained = _train(run)
    after = _after(run, trained)
    return Outcome(
        recipe=run.recipe,
        splits=run.splits,
        task=after.task,
        environment={**runtime.environment(run.device), **trained.choices.as_json()},
        before=before.scores,
        after=after.scores,
        baselines=before.baselines,
        measured=_measured(run, before, trained, after),
        truncated_examples=sum(encoded.truncated for encoded in run.encoded.values()),
        max_length=run.loaded.max_length,
        notes=(*run.notes, *after.notes),
    )


def _before(run: _Prepared) -> _Before:
    """Measure the baselines and the base model, before anything is added to it."""
    whose = "untrained" if run.loaded.head == "new" else "checkpoint's own"
    run.reporter.phase(f"Before: baselines and the {whose} head")
    model, splits = run.loaded.model, run.splits
    started = time.perf_counter()
    with FeatureRecorder(model, run.output_layer) as seen:
        scores, evaluation = _evaluate(run, model, run.splits)
    features = {"test": seen.features(run.encoded["test"], run.batch_size)}
    for name in SPLITS[:2]:
        features[name] = watch_texts(model, run.output_layer, run.loaded.tokenizer, run.encoded[name], run.batch_size)
    pooled = {name: found.pooled for name, found in features.items()}
    return _Before(
        scores=scores,
        evaluation=evaluation,
        baselines=all_baselines(run.loaded, splits, pooled, started, run.batch_size),
        head_inputs=features["train"].head_inputs,
        parameters=count_parameters(model),
        weight_bytes=weight_bytes(model),
        speeds=measure_speed(model, run.loaded, splits.test.texts, run.batch_size, "base_"),
    )


def _train(run: _Prepared) -> Trained:
    settings, splits = run.recipe.training, run.splits
    texts = Texts(
        Examples(run.encoded["train"], splits.train.targets),
        Examples(run.encoded["validation"], splits.validation.targets),
    )
    run.reporter.phase(f"Training with {run.recipe.method.name}, learning rate {learning_rate(settings, run.method):g}")
    tracked = Tracked(run.recipe.name, run.recipe.model_dump(mode="json"))
    surroundings = Surroundings(run.folder, run.reporter, run.batch_size, tracked)
    return train(run.loaded, run.method, texts, settings, surroundings)


def _after(run: _Prepared, trained: Trained) -> _After:
    """Evaluate the adapted model, save it, and measure it; merging comes last, since it changes the model."""
    run.reporter.phase("After: the same test examples again")
    task = (found := _answering(run, trained.model)).task
    loaded, splits = replace(run.loaded, task=task), replace(run.splits, task=task)
    scores, evaluation = _evaluate(run, trained.model, splits)
    config = ArtifactConfig.of(run.recipe, loaded, run.method, splits, found.coverage)
    adapted = AdaptedModel(loaded, trained.model, run.method, config)
    known = run.splits.fingerprints() if run.recipe.data.fingerprints else None
    size = save_adapter(trained.model, run.method, config, run.folder / "adapter", known, loaded.tokenizer)
    trainable = sum(value.numel() for value in trained.model.parameters() if value.requires_grad)
    check, reason = _check_reload(run, trained.model, task)
    speeds, notes = measure_adapted_speed(adapted, loaded, run.splits.test.texts, run.batch_size)
    failed = [f"The reload check failed: {reason}."] * bool(reason)
    return _After(task, scores, evaluation, trainable, size, check, speeds, (*failed, *found.notes, *notes))


def _answering(run: _Prepared, model: Any) -> Answering:
    """Return how the trained model answers."""
    encoded, targets = run.encoded["validation"], run.splits.validation.targets
    logits = partial(predict_logits, model, run.loaded.tokenizer, encoded, run.batch_size)
    task, layer, wish = run.splits.task, run.loaded.anatomy.output_layer, run.recipe.training.calibration
    return answering_task(task, model, layer, lambda: (logits(), targets), wish)


def _measured(run: _Prepared, before: _Before, trained: Trained, after: _After) -> Measured:
    model = ModelRecord(
        name=run.loaded.source.name,
        revision=run.loaded.source.revision,
        architecture=type(run.loaded.model).__name__,
        head=run.loaded.head,
        parameters=before.parameters,
        trainable_parameters=after.trainable,
        trainable_percent=100 * after.trainable / before.parameters,
        adapter_bytes=after.adapter_bytes,
        peft_loadable=run.method.peft_loadable,
        own_tuner=run.method.own_tuner,
        tokenizer_saved=True,
        precision=run.recipe.model_precision,
        weight_bytes=before.weight_bytes,
    )
    inference = Inference.model_validate({**before.speeds, **after.speeds})
    return Measured(model, before.evaluation, trained.section, after.evaluation, inference, after.reload_check)


def _evaluate(run: _Prepared, model: Any, splits: DataSplits) -> tuple[NDArray[Any], Evaluation]:
    labelled = Labelled(splits.task, splits.test)
    scores, found = evaluate(model, run.loaded.tokenizer, run.encoded["test"], labelled, run.batch_size, run.reporter)
    known = ((metric, found.metrics[metric.name]) for metric in splits.task.metrics)
    told = ", ".join(f"{metric.title} {metric.shown(value)}" for metric, value in known if value is not None)
    run.reporter.note(f"test {told}")
    return scores, found


def _check_reload(run: _Prepared, model: Any, task: Task) -> tuple[ReloadCheck, str]:
    """Check the reload against the logits of the same texts in the same batches."""
    run.reporter.phase("Reloading in a fresh process; measuring inference")
    texts = run.splits.test.texts[:EXAMPLES]
    encoded = encode(run.loaded.tokenizer, texts, run.loaded.max_length)
    logits = predict_logits(model, run.loaded.tokenizer, encoded, 64)
    return check_reload(run.folder / "adapter", texts, logits, run.device.type, task.tolerance)
