"""The main job: recipe -> data, model -> evaluate -> adapt -> train -> evaluate -> measure -> record and run folder.

Only this module and fitting.py turn a recipe into objects.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lightune import runtime
from lightune.artifact import AdaptedModel
from lightune.data.dataset import DataSplits, load_splits
from lightune.data.encoding import encode
from lightune.data.python_data import NO_SOURCE, python_tables
from lightune.data.sources import PYTHON
from lightune.data.wishes import wishes_of
from lightune.errors import RecipeError
from lightune.evaluation.baselines import Fitted
from lightune.evaluation.evaluate import Labelled, evaluate, predict_logits
from lightune.evaluation.every_baseline import all_baselines
from lightune.evaluation.features import FeatureRecorder, watch_texts
from lightune.fitting import SPLITS, Prepared, answering, prepare, require_usable, save, start_head, train_prepared
from lightune.inference.reload_check import EXAMPLES, check_reload
from lightune.inference.speed import measure_adapted_speed, measure_speed
from lightune.methods.base import count_parameters
from lightune.models.load import fingerprint
from lightune.models.quantize import weight_bytes
from lightune.progress import Reporter, Silent, program_reporter
from lightune.recipe import Recipe
from lightune.recipes.compose import compose
from lightune.record import RunRecord
from lightune.run_files import Measured, Outcome, write_recipe
from lightune.run_folder import RunFolder
from lightune.run_state import RunState
from lightune.sections import Evaluation, Inference, ModelRecord, ReloadCheck
from lightune.tasks import Task
from lightune.training.checkpoint import can_go_on
from lightune.training.distributed import all_ranks, ending_together
from lightune.training.train import Trained


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
    recipe: Recipe | Mapping[str, Any] | str | None = None,
    output: Path | str | None = None,
    reporter: Reporter | None = None,
    notes: Sequence[str] = (),
    data: Any = None,
    **flags: Any,
) -> RunRecord:
    """Run the recipe and write a run folder; return its record. In a notebook, progress is shown.

    `recipe` is a Recipe, a mapping of its keys, or the name of a shipped recipe or of a YAML file; without one it is
    the quickstart, or, for another model or other data, the defaults. `flags` are those of the command, with their
    long names: model, method, epochs, batch_size, learning_rate, train, test, ...
    `data` replaces the recipe's source: (texts, labels), rows (dicts, named tuples, (text, label) pairs), columns (a
    dict, a DataFrame, an Arrow table), a datasets.Dataset, or a mapping of split names to these; docs/own_data.md lists
    all. A string is what `--data` takes.
    The folder is `output` (new or empty), or the next free runs/<name>-<n>. Raises LightuneError subclasses; then only
    an unfinished folder is left from whose checkpoint `resume` can go on, or none. If torchrun started several
    processes, all of them train, and only the first does everything else; each returns the record.
    """
    recipe, found, data = _composed(recipe, data, flags)
    reporter = Silent() if runtime.rank() else reporter or program_reporter()
    method, device = require_usable(recipe), runtime.choose_device(recipe.device)
    folder = RunFolder(recipe.name, output, can_go_on)  # refuses an --output that is in use before anything is read
    reporter.phase("Reading the data and the model")
    tables = None
    if data is not None:
        tables = python_tables(data, recipe.data, recipe.task)
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=NO_SOURCE)})
    splits = load_splits(recipe.data, recipe.training.seed, wishes_of(recipe), tables)
    splits.task.require(wishes_of(recipe))
    if runtime.rank():
        return train_along(partial(prepare, recipe, method, splits, Path(os.devnull), reporter, ()))
    with ending_together(), folder as place:
        said = (*notes, *found, *runtime.device_notes(device), *splits.notes)
        prepared = prepare(recipe, method, splits, place.working, reporter, said)
        write_recipe(prepared.recipe, prepared.loaded.source, place.working)
        state_of(prepared).write(place.working)
        return finish(prepared, place)


def train_along(make: Callable[[], Prepared]) -> RunRecord:
    """Do the part of a further process of torchrun: train, and return the first one's record."""
    with ending_together():
        train_prepared(make())
    return RunRecord.model_validate_json(all_ranks().broadcast_text())


def state_of(run: Prepared) -> RunState:
    """Return what a prepared run depends on."""
    recipe, base = run.recipe.model_dump(mode="json"), fingerprint(run.loaded.source)
    return RunState.of(recipe, run.splits.sha256(), base, runtime.environment(run.device), run.notes)


def finish(run: Prepared, place: RunFolder) -> RunRecord:
    """Carry out a prepared run, and write what a finished one holds into its folder."""
    record = _carry_out(run).write(place.working, place.final)
    all_ranks().broadcast_text(record.model_dump_json())
    return record


def _composed(
    recipe: Recipe | Mapping[str, Any] | str | None, data: Any, flags: Mapping[str, Any]
) -> tuple[Recipe, list[str], Any]:
    """Return (the recipe with the flags, notes on it, the data in memory or None)."""
    if isinstance(data, str | os.PathLike):
        flags, data = {**flags, "data": os.fspath(data)}, None
    elif data is not None and {"train", "validation", "test"} & flags.keys():
        raise RecipeError("RECIPE-008", "give the data once: data, or train with its other files.", "Leave one out.")
    elif data is not None and recipe is None:
        flags = {**flags, "data": PYTHON}  # the quickstart's settings are for its own data
    found = compose(recipe, flags)
    return found.recipe, found.notes, data


def _carry_out(run: Prepared) -> Outcome:
    """Evaluate, adapt, evaluate again, measure: the main job, in order."""
    before = _before(run)
    if run.recipe.training.head_start == "probe":
        start_head(run, before.head_inputs)
    trained = train_prepared(run)
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
        windows=[count for encoded in run.encoded.values() for count in encoded.windowed.tolist()],
        max_length=run.loaded.max_length,
        notes=(*run.notes, *trained.notes, *after.notes),
    )


def _before(run: Prepared) -> _Before:
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


def _after(run: Prepared, trained: Trained) -> _After:
    """Evaluate the adapted model, save it, and measure it; merging comes last, since it changes the model."""
    run.reporter.phase("After: the same test examples again")
    task = (found := answering(run, trained.model)).task
    run = run.with_task(task)
    scores, evaluation = _evaluate(run, trained.model, run.splits)
    config, size = save(run, trained.model, found.coverage)
    adapted = AdaptedModel(run.loaded, trained.model, run.method, config)
    trainable = sum(value.numel() for value in trained.model.parameters() if value.requires_grad)
    check, reason = _check_reload(run, trained.model, task)
    speeds, notes = measure_adapted_speed(adapted, run.loaded, run.splits.test.texts, run.batch_size)
    failed = [f"The reload check failed: {reason}."] * bool(reason)
    return _After(task, scores, evaluation, trainable, size, check, speeds, (*failed, *found.notes, *notes))


def _measured(run: Prepared, before: _Before, trained: Trained, after: _After) -> Measured:
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


def _evaluate(run: Prepared, model: Any, splits: DataSplits) -> tuple[NDArray[Any], Evaluation]:
    labelled = Labelled(splits.task, splits.test)
    scores, found = evaluate(model, run.loaded.tokenizer, run.encoded["test"], labelled, run.batch_size, run.reporter)
    known = ((metric, found.metrics[metric.name]) for metric in splits.task.metrics)
    told = ", ".join(f"{metric.title} {metric.shown(value)}" for metric, value in known if value is not None)
    run.reporter.note(f"test {told}")
    return scores, found


def _check_reload(run: Prepared, model: Any, task: Task) -> tuple[ReloadCheck, str]:
    """Check the reload against the logits of the same texts in the same batches."""
    run.reporter.phase("Reloading in a fresh process; measuring inference")
    texts = run.splits.test.texts[:EXAMPLES]
    encoded = encode(run.loaded.tokenizer, texts, run.loaded.max_length, run.loaded.long_texts)
    logits = predict_logits(model, run.loaded.tokenizer, encoded, 64)
    return check_reload(run.folder / "adapter", texts, logits, run.device.type, task.tolerance)
