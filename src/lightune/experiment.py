"""The main job: recipe -> data, model -> evaluate -> adapt -> train -> evaluate -> measure -> record and run folder.

Only this module turns a recipe into objects.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune import runtime
from lightune.artifact import AdaptedModel, ArtifactConfig, save_adapter
from lightune.data.encoding import Encoded, collate, cut_notes, encode, encode_splits
from lightune.data.python_data import NO_SOURCE, python_tables
from lightune.data.task import Task, load_task
from lightune.evaluation.evaluate import evaluate, predict_logits, to_device
from lightune.evaluation.probe import Baseline, baselines
from lightune.evaluation.watch import Watch, watch_texts
from lightune.inference.reload import EXAMPLES, check_reload
from lightune.inference.speed import measure_adapted_speed, measure_speed
from lightune.methods import Attachment, Method, make_method
from lightune.methods.base import count_parameters
from lightune.models.load import LoadedModel, find_model, load_classifier
from lightune.models.quantize import require_precision, weight_bytes
from lightune.models.shared import copy_on_same_tensors
from lightune.outcome import Outcome
from lightune.progress import Reporter, Silent, program_reporter
from lightune.recipe import Recipe
from lightune.recipes.compose import as_recipe
from lightune.record import RunRecord
from lightune.run_folder import RunFolder
from lightune.training.accelerate_setup import make_accelerator, require_installed
from lightune.training.batches import training_batches
from lightune.training.cache_frozen import require_cacheable
from lightune.training.feasibility import require_feasible
from lightune.training.head_start import start_from_probe
from lightune.training.loop import Loop
from lightune.training.precision import holds_layers_in_bf16, training_precision
from lightune.training.ranks import all_ranks, ending_together
from lightune.training.row_loss import Examples

if TYPE_CHECKING:
    import torch
    from torch import nn

SPLITS = ("train", "validation", "test")


@dataclass
class _Experiment:
    """What the steps of a run share."""

    recipe: Recipe
    method: Method
    device: torch.device
    task: Task
    loaded: LoadedModel
    encoded: dict[str, Encoded]
    folder: Path
    reporter: Reporter
    notes: list[str]
    chosen: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the machine; for environment.json

    @property
    def batch_size(self) -> int:
        return self.recipe.evaluation.per_device_eval_batch_size

    @property
    def learning_rate(self) -> float:
        return self.recipe.training.learning_rate or self.method.default_learning_rate

    @property
    def output_layer(self) -> nn.Module:
        return self.loaded.model.get_submodule(self.loaded.anatomy.output_layer)


@dataclass(frozen=True)
class _Untouched:
    """What was seen of the model before anything was added to it, on the test split unless it says otherwise."""

    scores: NDArray[Any]
    baselines: dict[str, Baseline]
    head_inputs: NDArray[Any]  # of the training split
    sections: dict[str, Any]


def run(
    recipe: Recipe | Mapping[str, Any] | str,
    output: Path | str | None = None,
    reporter: Reporter | None = None,
    notes: Sequence[str] = (),
    data: Any = None,
) -> RunRecord:
    """Do what the recipe says and leave a run folder; return its record. In a notebook, progress is shown.

    `recipe` is a Recipe, a mapping of its keys, or the name of a shipped one or of a YAML file.
    `data` takes the place of the recipe's source: rows (dicts, named tuples, (text, label) pairs), columns (a dict, a
    DataFrame, an Arrow table), a datasets.Dataset, or a mapping of split names to these: docs/data.md lists all.
    The folder is `output` (new or empty), or the next free runs/<name>-<n>. Raises LightuneError subclasses; then no
    run folder is left, except that an interrupted run leaves its unfinished folder with a checkpoint. Of several
    processes, started by torchrun, the first does all but the training alone; each returns the record.
    """
    recipe = as_recipe(recipe)
    reporter = Silent() if runtime.rank() else reporter or program_reporter()
    method = make_method(recipe.method.name, recipe.method.options)
    device = runtime.choose_device(recipe.device)
    require_installed(recipe.training.report_to)
    require_precision(recipe.model_precision, method.base_is_frozen)
    folder = RunFolder(recipe.name, output)  # refuses an --output that is in use before anything is read
    reporter.phase("Reading the data and the model")
    tables = None
    if data is not None:
        tables = python_tables(data, recipe.data)
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=NO_SOURCE)})
    task = load_task(recipe.data, recipe.training.seed, recipe.training.class_weights, tables)
    if runtime.rank():
        with ending_together():
            _train(_set_up(recipe, method, device, task, Path(os.devnull), reporter, []))
        return RunRecord.model_validate_json(all_ranks().told())
    with ending_together(), folder as place:
        said = [*notes, *runtime.device_notes(device), *task.notes]
        experiment = _set_up(recipe, method, device, task, place.working, reporter, said)
        record = _carry_out(experiment).write(place.working, place.final)
    all_ranks().told(record.model_dump_json())
    return record


def _set_up(
    recipe: Recipe, method: Method, device: torch.device, task: Task, folder: Path, reporter: Reporter, notes: list[str]
) -> _Experiment:
    source = find_model(recipe.model, recipe.model_revision)
    recipe = recipe.pinned(source.revision, task.revision)
    seed, longest, precision = recipe.training.seed, recipe.data.max_length, recipe.model_precision
    loaded = load_classifier(source, task.labels, seed, longest, precision, method.virtual_tokens)
    require_feasible(recipe.training, loaded.model, loaded.tokenizer)
    loaded.model.to(device)  # type: ignore[arg-type]
    # A method that does not fit the model says so now, on a copy, and not after the baselines were measured.
    attached = method.attach(copy_on_same_tensors(loaded.model), loaded.anatomy, seed).model.to(device)
    notes += loaded.notes
    encoded = encode_splits(loaded.tokenizer, {name: getattr(task, name) for name in SPLITS}, loaded.max_length)
    require_cacheable(recipe.training, attached, collate(loaded.tokenizer, encoded["train"].rows[:1]))
    notes += cut_notes(encoded.values(), loaded.max_length)
    sizes = ", ".join(f"{len(encoded[name])} {name}" for name in SPLITS)
    reporter.note(f"{source.name}: {loaded.model.num_parameters():,} parameters, {device.type}; {sizes} examples")
    for note in notes:
        reporter.note(note)
    return _Experiment(recipe, method, device, task, loaded, encoded, folder, reporter, notes)


def _carry_out(run: _Experiment) -> Outcome:
    """Evaluate, adapt, evaluate again, measure: the main job, in order."""
    untouched = _before(run)
    sections = untouched.sections
    if run.recipe.training.head_start == "probe":
        _start_head(run, untouched.head_inputs)
    run.reporter.phase(f"Training with {run.recipe.method.name}, learning rate {run.learning_rate:g}")
    attachment, sections["training"] = _train(run)
    run.reporter.phase("After: the same test examples again")
    after_scores, sections["after"] = _evaluate(run, attachment.model)
    config = ArtifactConfig.of(run.recipe, run.loaded, run.method, run.task)
    adapted = AdaptedModel(run.loaded, attachment.model, run.method, config)
    known = run.task.fingerprints() if run.recipe.data.fingerprints else None
    adapter_bytes = save_adapter(adapted.model, run.method, config, run.folder / "adapter", known)
    trainable = sum(value.numel() for value in attachment.model.parameters() if value.requires_grad)
    sections["model"] |= {
        "trainable_parameters": trainable,
        "trainable_percent": 100 * trainable / sections["model"]["parameters"],
        "adapter_bytes": adapter_bytes,
        "peft_loadable": run.method.peft_loadable,
        "own_tuner": run.method.own_tuner,
    }
    sections["reload_check"] = _check_reload(run, attachment)
    speeds, notes = measure_adapted_speed(adapted, run.loaded, run.task.test.texts, run.batch_size)
    sections["inference"] |= speeds
    run.notes += notes
    return Outcome(
        recipe=run.recipe,
        task=run.task,
        environment={**runtime.environment(run.device), **run.chosen},
        before=untouched.scores,
        after=after_scores,
        baselines=untouched.baselines,
        sections=sections,
        truncated_examples=sum(encoded.truncated for encoded in run.encoded.values()),
        max_length=run.loaded.max_length,
        notes=run.notes,
    )


def _before(run: _Experiment) -> _Untouched:
    """Measure the baselines and the untouched model; nothing has been added to it yet."""
    whose = "untrained" if run.loaded.head == "new" else "checkpoint's own"
    run.reporter.phase(f"Before: baselines and the {whose} head")
    model, task = run.loaded.model, run.task
    started = time.perf_counter()
    with Watch(model, run.output_layer) as seen:
        scores, before = _evaluate(run, model)
    features = {"test": seen.features(run.encoded["test"], run.batch_size)}
    for name in ("train", "validation"):
        features[name] = watch_texts(model, run.output_layer, run.loaded.tokenizer, run.encoded[name], run.batch_size)
    cheap = baselines({name: found.pooled for name, found in features.items()}, task, started)
    about = {
        "name": run.loaded.source.name,
        "revision": run.loaded.source.revision,
        "architecture": type(model).__name__,
        "head": run.loaded.head,
        "parameters": count_parameters(model),
        "precision": run.recipe.model_precision,
        "weight_bytes": weight_bytes(model),
    }
    sections = {
        "model": about,
        "baselines": {name: found.fields for name, found in cheap.items()},
        "before": before,
        "inference": dict(measure_speed(model, run.loaded, task.test.texts, run.batch_size, "base_")),
    }
    return _Untouched(scores, cheap, features["train"].head_inputs, sections)


def _evaluate(run: _Experiment, model: Any) -> tuple[NDArray[Any], dict[str, Any]]:
    found = evaluate(model, run.loaded.tokenizer, run.encoded["test"], run.task.test, run.batch_size, run.reporter)
    run.reporter.note(f"test accuracy {found[1]['accuracy']:.3f}, loss {found[1]['loss']:.3f}")
    return found


def _train(run: _Experiment) -> tuple[Attachment, dict[str, Any]]:
    attachment = run.method.attach(run.loaded.model, run.loaded.anatomy, run.recipe.training.seed)
    attachment.model.to(run.device)
    if run.method.needs_data:
        batches = training_batches(run.loaded.tokenizer, run.encoded["train"], run.recipe.training)
        run.method.start_from_data(attachment.model, (to_device(batch, run.device) for batch in batches))
    loop = _loop(run, attachment)
    fitted = loop.fit()
    run.chosen["cache_frozen"] = asdict(loop.cached.choice)
    if loop.passes.records:
        run.chosen["cuda_graphs"] = loop.passes.about
    for tracker in loop.accelerator.trackers:
        tracker.finish()
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    fields = {
        **fitted.spent.record(fitted.samples, fitted.steps),
        "steps": fitted.steps,
        "best_epoch": fitted.best_epoch,
        "learning_rate": run.learning_rate,
        "precision": run.chosen["precision"]["training"]["name"],
        "epochs": fitted.epochs,
    }
    return Attachment(loop.model, attachment.changed), fields


def _loop(run: _Experiment, attachment: Attachment) -> Loop:
    settings = run.recipe.training
    tokens = round(np.mean(run.encoded["train"].lengths) * settings.per_device_train_batch_size)
    precision = training_precision(settings.precision, run.device, attachment.model, tokens)
    run.chosen["precision"] = {"training": asdict(precision)}
    in_bf16 = holds_layers_in_bf16(precision, run.device, attachment.model)
    around = "fp32" if in_bf16 else precision.name
    accelerator = make_accelerator(
        run.device, around, settings.report_to, run.folder, run.recipe.name, run.recipe.model_dump(mode="json")
    )
    return Loop(
        model=attachment.model,
        method=run.method,
        tokenizer=run.loaded.tokenizer,
        train=Examples(run.encoded["train"], run.task.train.labels),
        validation=Examples(run.encoded["validation"], run.task.validation.labels),
        settings=settings,
        learning_rate=run.learning_rate,
        eval_batch_size=run.batch_size,
        folder=run.folder,
        accelerator=accelerator,
        reporter=run.reporter,
        in_bf16=in_bf16,
    )


def _start_head(run: _Experiment, inputs: NDArray[Any]) -> None:
    strength = start_from_probe(run.output_layer, inputs, run.task.train.labels)
    run.reporter.note(f"the head starts as a logistic regression on what it receives (C = {strength:g})")


def _check_reload(run: _Experiment, attachment: Attachment) -> dict[str, Any]:
    """Compare with logits of the very same texts in the very same batches."""
    run.reporter.phase("Reloading in a fresh process; measuring inference")
    texts = run.task.test.texts[:EXAMPLES]
    encoded = encode(run.loaded.tokenizer, texts, run.loaded.max_length)
    logits = predict_logits(attachment.model, run.loaded.tokenizer, encoded, 64)
    fields, reason = check_reload(run.folder / "adapter", texts, logits, run.device.type)
    if reason:
        run.notes.append(f"The reload check failed: {reason}.")
    return fields
