"""Tasks, one file each. A new task is one file and one line in the import below, or an entry point of a package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lightune.bounded import first_twin
from lightune.errors import ArtifactError, RecipeError, did_you_mean
from lightune.tasks import classification, multi_label, regression  # noqa: F401  (they register themselves)
from lightune.tasks.base import Task
from lightune.tasks.checkpoint_labels import label_names
from lightune.tasks.columns import LabelColumn, Wishes
from lightune.tasks.registry import TASKS

__all__ = [
    "AUTO",
    "TASKS",
    "Chosen",
    "Task",
    "checkpoint_task",
    "describe",
    "find_task",
    "has_twins",
    "label_columns",
    "require_task",
    "task_from_json",
    "task_of_checkpoint",
]

AUTO = "auto"
# The task of a column that no other task claims; its errors say what labels are.
USUAL = "classification"
MOST_OUTPUTS = 100_000


def describe() -> list[dict[str, Any]]:
    """Return what is known of each task without data, for tables and JSON; `package` is empty for lightune's own."""
    return [
        {
            "name": name,
            "summary": (kind.__doc__ or "").strip().splitlines()[0],
            "metrics": [metric.model_dump(mode="json") for metric in kind.metrics],
            "label_columns": list(kind.label_columns),
            "hub_tag": kind.hub_tag,
            "package": TASKS.package(name),
        }
        for name, kind in TASKS.items()
    ]


@dataclass(frozen=True)
class Chosen:
    """A task, and a sentence on why it was chosen; "" where it was known before."""

    task: Task
    why: str = ""


def find_task(column: LabelColumn, wishes: Wishes) -> Chosen:
    """Return the task that a recipe names, or under `auto` the first that claims the column, else classification.

    Raises DataError when the column cannot be used for it.
    """
    if wishes.task != AUTO:
        return Chosen(_sound(TASKS[wishes.task].of(column, wishes)))
    claims = ((name, _claims(name, kind, column, wishes)) for name, kind in TASKS.items())
    name, why = next(((name, why) for name, why in claims if why), (USUAL, ""))
    task = _sound(TASKS[name].of(column, wishes))
    reason = f"{column.named} {why}" if why else f"{column.named} holds {len(task.labels)} labels, one in each row"
    return Chosen(task, f"Task: {name}; {reason}.")


def _claims(name: str, kind: type[Task], column: LabelColumn, wishes: Wishes) -> str:
    """Ask a task whether it claims the column. Raises RecipeError for a task of another package that fails at it."""
    try:
        return kind.claims(column, wishes)
    except Exception as error:
        if not TASKS.package(name):
            raise
        text = f'the task "{name}" of the package {TASKS.package(name)} failed: {type(error).__name__}: {error}.'
        raise RecipeError("RECIPE-012", text, "Name the task you want with --task, or remove that package.") from error


def _sound(task: Task) -> Task:
    """Return the task. Raises RecipeError where a file of answers would have two columns of one name."""
    twice = first_twin(["text", "text_pair", task.target_column, *task.answer_columns])
    if twice is not None:
        text = f'the task {task.name} calls a column of its answers "{twice}", which is the name of another one.'
        raise RecipeError("RECIPE-018", text, "Rename it in answer_columns.")
    return task


def label_columns(task: str = AUTO) -> tuple[str, ...]:
    """Return the usual names of the label column of a task, or of any task, in lower case, the likeliest first."""
    kinds = [kind for _, kind in TASKS.items()] if task == AUTO else [TASKS[task]]
    return tuple(dict.fromkeys(name for kind in kinds for name in kind.label_columns))


def require_task(name: str, metric: str | None = None) -> None:
    """Raise RecipeError unless the task exists (or is auto) and has the metric, where one is named."""
    kinds = dict(TASKS.items()) if name == AUTO else {name: TASKS[name]}
    known = {task: [found.name for found in kind.metrics] for task, kind in kinds.items()}
    if metric is None or any(metric in names for names in known.values()):
        return
    if len(known) == 1:
        next(iter(kinds.values())).metric(metric)
    listed = "; ".join(f"{task}: {', '.join(names)}" for task, names in known.items())
    guess = did_you_mean(metric, [found for names in known.values() for found in names])
    text = f'training.metric_for_best_model: no task has a metric "{metric}".'
    raise RecipeError("RECIPE-015", text, f"{guess} Valid: {listed}.".strip())


def checkpoint_task(config: Mapping[str, Any], where: str) -> Task | None:
    """Return the task of a finished model from its config.json, or None where no task recognizes it.

    A model that lightune saved says which it is. Of the others classification takes what no other task does.
    """
    named = config.get("lightune_task")
    if isinstance(named, Mapping):
        return task_from_json(named, where)
    kinds = [*(kind for name, kind in TASKS.items() if name != USUAL), TASKS[USUAL]]
    return next((found for kind in kinds if (found := kind.of_checkpoint(config)) is not None), None)


def task_of_checkpoint(config: Mapping[str, Any], where: str) -> Task:
    """Return the task of a finished model from its config.json; ArtifactError when lightune does not have it."""
    found = checkpoint_task(config, where)
    if found is not None:
        return found
    known = f"problem_type {config.get('problem_type')!r}, {len(label_names(config))} labels"
    hint = "Models that give each text one label of two or more, several labels, or numbers can be evaluated."
    raise ArtifactError("ARTIFACT-015", f"{where}: no task has such a model ({known}).", hint)


def task_from_json(value: Mapping[str, Any], where: str) -> Task:
    """Return the task stored in lightune.json; ArtifactError when it cannot be understood or is not installed."""
    options = dict(value)
    name = str(options.pop("name", ""))
    if name not in TASKS:
        TASKS.require_sound(name)
        text = f'{where}: trained for the task "{name}", which is not installed here.'
        raise ArtifactError("ARTIFACT-046", text, f"Install the package that has it. Installed: {', '.join(TASKS)}.")
    strange = sorted(set(options) - {field.name for field in fields(TASKS[name])})
    if strange:  # of a newer version: fields that are not understood must not be ignored
        raise ArtifactError("ARTIFACT-005", f"{where}: cannot be understood (task: unknown: {', '.join(strange)}).")
    try:
        return _of_one_size(TypeAdapter(TASKS[name]).validate_json(json.dumps(options), strict=True))
    except ValueError as error:
        said = str(error)
        if isinstance(error, ValidationError):
            fault = error.errors(include_url=False)[0]
            said = f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
        raise ArtifactError("ARTIFACT-005", f"{where}: cannot be understood (task: {said}).") from error


def has_twins(value: Any) -> bool:
    """Say whether a list of names has one of them twice."""
    is_names = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    return is_names and len(set(value)) < len(value)


def _of_one_size(task: Task) -> Task:
    """Return the task. Raises ValueError where a table of it is not as long as the others, or a label occurs twice."""
    twins = [one.name for one in fields(task) if has_twins(getattr(task, one.name))]
    if twins:
        raise ValueError(f"{twins[0]}: a name is there twice")
    for name in task.by_output:
        found = getattr(task, name)
        if found and len(found) != task.outputs:
            raise ValueError(f"{name}: {len(found)} for {task.outputs} outputs")
    if not 0 < task.outputs <= MOST_OUTPUTS:
        raise ValueError(f"{task.outputs:,} outputs; 1 to {MOST_OUTPUTS:,} are possible")
    return task
