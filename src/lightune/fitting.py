"""From a recipe and its data to a trained and saved adapter: `experiment.run` measures between these steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lightune import runtime
from lightune.artifact import ArtifactConfig, save_adapter
from lightune.artifact_config import require_readable
from lightune.data.dataset import DataSplits, load_splits
from lightune.data.encoding import Encoded, collate, encode_splits
from lightune.data.long_text_notes import long_text_notes
from lightune.data.sources import Tables
from lightune.data.wishes import wishes_of
from lightune.evaluation.answering import Answering, answering_task
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.features import watch_texts
from lightune.methods import Method, make_method
from lightune.methods.costs import cost_notes
from lightune.methods.sizes import require_reloadable
from lightune.models.load import LoadedModel, find_model, load_model
from lightune.models.quantize import require_precision
from lightune.models.shared_base import copy_on_same_tensors
from lightune.progress import Reporter, Silent
from lightune.recipe import Recipe, SettledTraining
from lightune.run_files import write_recipe
from lightune.tasks import Task, require_task
from lightune.tasks.coverage import Coverage
from lightune.training.accelerate_setup import require_installed
from lightune.training.batch_loss import Examples
from lightune.training.cache_frozen import require_cacheable
from lightune.training.checkpoint import Checkpoint
from lightune.training.feasibility import require_feasible
from lightune.training.head_rate import head_rate_notes
from lightune.training.probe_head import start_from_probe, usual_head_start
from lightune.training.room import require_room, room_of
from lightune.training.train import Surroundings, Texts, Tracked, Trained, learning_rate, train
from lightune.training.usual_settings import UsualTask, settled, usual_notes

if TYPE_CHECKING:
    import torch
    from torch import nn

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """Everything a run starts from: the data, and the base model on its device, before anything is added to it.

    With `start` training goes on from a checkpoint in the folder.
    """

    recipe: Recipe
    settings: SettledTraining
    method: Method
    device: torch.device
    splits: DataSplits
    loaded: LoadedModel
    encoded: dict[str, Encoded]
    folder: Path
    reporter: Reporter
    notes: tuple[str, ...]
    start: Checkpoint | None = None

    @property
    def batch_size(self) -> int:
        """How many texts are evaluated at a time."""
        return self.recipe.evaluation.per_device_eval_batch_size

    @property
    def output_layer(self) -> nn.Module:
        """The layer that gives the logits."""
        return self.loaded.model.get_submodule(self.loaded.anatomy.output_layer)

    def with_task(self, task: Task) -> Prepared:
        """Return the same with another task, the one that was fitted after training."""
        return replace(self, loaded=replace(self.loaded, task=task), splits=replace(self.splits, task=task))


def fit(recipe: Recipe, tables: Tables, folder: Path, reporter: Reporter | None = None) -> tuple[str, ...]:
    """Train on the rows of the tables, save recipe and adapter in the folder, and return the notes.

    Nothing is measured and no test rows are held out: validation rows are the only ones that are not trained on.
    """
    method = require_usable(recipe)
    splits = load_splits(recipe.data, recipe.training.seed, wishes_of(recipe), tables, holds_out=False)
    splits.task.require(wishes_of(recipe))
    run = prepare(recipe, method, splits, folder, reporter or Silent(), tuple(splits.notes))
    write_recipe(run.recipe, run.loaded.source, folder)
    if run.recipe.training.head_start == "probe":
        model, tokenizer, train_texts = run.loaded.model, run.loaded.tokenizer, run.encoded["train"]
        start_head(run, watch_texts(model, run.output_layer, tokenizer, train_texts, run.batch_size).head_inputs)
    trained = train_prepared(run)
    found = answering(run, trained.model)
    save(run.with_task(found.task), trained.model, found.coverage)
    return (*run.notes, *trained.notes, *found.notes)


def require_usable(recipe: Recipe) -> Method:
    """Return the recipe's method; RecipeError for settings that cannot be used, whatever the data."""
    method = make_method(recipe.method.name, recipe.method.options)
    require_readable(recipe.method.name, method)
    require_installed(recipe.training.report_to)
    require_precision(recipe.model_precision, method.base_is_frozen)
    require_task(recipe.task, recipe.training.metric_for_best_model)
    return method


def prepare(
    recipe: Recipe, method: Method, splits: DataSplits, folder: Path, reporter: Reporter, said: tuple[str, ...]
) -> Prepared:
    """Load the model and encode the texts; raise errors for unusable settings before anything is measured."""
    device = runtime.choose_device(recipe.device)
    source = find_model(recipe.model, recipe.model_revision)
    seed, longest, precision = recipe.training.seed, recipe.data.max_length, recipe.model_precision
    loaded = load_model(source, splits.task, seed, longest, precision, method.virtual_tokens)
    settings, chosen = _settings(recipe, splits, loaded)
    recipe = recipe.pinned(source.revision, splits.revision).settled(loaded.task.name, settings)
    require_feasible(settings, loaded.model, loaded.tokenizer)
    loaded.model.to(device)  # type: ignore[arg-type]
    loaded, splits = replace(loaded, long_texts=recipe.data.long_texts), replace(splits, task=loaded.task)
    # Attach the method to a copy, so that one that does not fit the model fails now, not after the baselines.
    attached = method.attach(copy_on_same_tensors(loaded.model), loaded.anatomy, seed).model.to(device)
    require_reloadable(method, loaded, attached)
    if not runtime.rank():  # the others write nothing
        require_room(folder, room_of(attached, method, loaded, settings, splits))
    used = {name: getattr(splits, name) for name in SPLITS if len(getattr(splits, name))}
    encoded = encode_splits(loaded.tokenizer, used, loaded.max_length, loaded.long_texts)
    require_cacheable(settings, attached, collate(loaded.tokenizer, encoded["train"].rows[:1]))
    of_long_texts = long_text_notes(loaded.tokenizer, used, encoded, loaded.max_length, loaded.long_texts)
    of_head = head_rate_notes(attached, settings.learning_rate, method.default_learning_rate)
    notes = (*said, *loaded.notes, *of_long_texts, *chosen, *of_head, *cost_notes(recipe.method.name))
    sizes = ", ".join(f"{len(found)} {name}" for name, found in encoded.items())
    start = f"{source.name}: {loaded.model.num_parameters():,} parameters, {device.type}; {sizes} examples"
    for note in (start, *notes):
        reporter.note(note)
    return Prepared(recipe, settings, method, device, splits, loaded, encoded, folder, reporter, notes)


def _settings(recipe: Recipe, splits: DataSplits, loaded: LoadedModel) -> tuple[SettledTraining, list[str]]:
    """Return the recipe's settings with what it leaves to the data, and notes on that."""
    metric = loaded.task.metric(recipe.training.metric_for_best_model).name
    texts = len(splits.train)
    usual = UsualTask(metric, usual_head_start(loaded, texts), loaded.task.outputs)
    settings = settled(recipe.training, texts, len(splits.validation), usual)
    return settings, usual_notes(recipe.training, settings, len(splits.validation))


def start_head(run: Prepared, inputs: NDArray[Any]) -> None:
    """Start the output layer from a linear model of its inputs for the training texts, (texts, width)."""
    task = run.splits.task
    run.reporter.note(start_from_probe(run.output_layer, inputs, run.splits.train.targets, task))


def train_prepared(run: Prepared) -> Trained:
    """Train the model; the method is attached to it in place."""
    settings, splits = run.settings, run.splits
    texts = Texts(
        Examples(run.encoded["train"], splits.train.targets),
        Examples(run.encoded["validation"], splits.validation.targets),
    )
    run.reporter.phase(f"Training with {run.recipe.method.name}, learning rate {learning_rate(settings, run.method):g}")
    tracked = Tracked(run.recipe.name, run.recipe.model_dump(mode="json"))
    surroundings = Surroundings(run.folder, run.reporter, run.batch_size, tracked, run.start)
    return train(run.loaded, run.method, texts, settings, surroundings)


def answering(run: Prepared, model: Any) -> Answering:
    """Return how the trained model answers: its task with what is fitted on validation texts, and its coverage."""
    encoded, targets = run.encoded["validation"], run.splits.validation.targets
    logits = partial(predict_logits, model, run.loaded.tokenizer, encoded, run.batch_size)
    task, layer, wish = run.splits.task, run.loaded.anatomy.output_layer, run.recipe.training.calibration
    return answering_task(task, model, layer, lambda: (logits(), targets), wish)


def save(run: Prepared, model: nn.Module, coverage: Coverage | None) -> tuple[ArtifactConfig, int]:
    """Save the adapter; return (its configuration, the bytes of its weights file)."""
    config = ArtifactConfig.of(run.recipe, run.loaded, run.method, run.splits, coverage)
    known = run.splits.fingerprints() if run.recipe.data.fingerprints else None
    return config, save_adapter(model, run.method, config, run.folder / "adapter", known, run.loaded.tokenizer)
