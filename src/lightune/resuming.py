"""Going on with an interrupted run: the same recipe, data and model again, and training from the newest checkpoint."""

from __future__ import annotations

import os
from contextlib import chdir, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightune import runtime
from lightune.artifact import RECIPE_FILE
from lightune.data.dataset import load_splits
from lightune.data.python_data import python_tables
from lightune.data.wishes import wishes_of
from lightune.durable import disk
from lightune.experiment import finish, state_of, train_along
from lightune.fitting import Prepared, prepare, require_usable
from lightune.progress import Reporter, Silent, program_reporter
from lightune.recipe import Recipe, parse_recipe
from lightune.recipes.compose import read_recipe
from lightune.record import RunRecord
from lightune.report.without_paths import recipe_at_home
from lightune.run_folder import LOCK_FILE, RunFolder
from lightune.run_state import STATE_FILE, RunState, read_state, require_same
from lightune.training.checkpoint import FOLDER as CHECKPOINTS
from lightune.training.checkpoint import Checkpoint, can_go_on, load_checkpoint, search, set_aside
from lightune.training.distributed import all_ranks, ending_together
from lightune.training.journal import METRICS_FILE
from lightune.values.home import path_at_home, user_path

# Of an unfinished folder, what training goes on from.
STAYS = {CHECKPOINTS, METRICS_FILE, RECIPE_FILE, STATE_FILE, LOCK_FILE}


def resume(name: Path | str, reporter: Reporter | None = None, data: Any = None) -> RunRecord:
    """Go on with a run that was interrupted, from its newest checkpoint that is whole; return its record.

    `name` is the run folder, with or without .partial. Without a checkpoint the run begins again. `data` is what `run`
    was given, where that came from Python. On a CPU in fp32 the result is that of an uninterrupted run, to the bit.
    Raises RecipeError where there is no unfinished run, ArtifactError where what it depends on has changed.
    """
    reporter = Silent() if runtime.rank() else reporter or program_reporter()
    folder = RunFolder.of_unfinished(Path(name), can_go_on)
    then = read_state(folder.working)
    home = Path(then.working_directory)
    inside = os.path.relpath(folder.final.absolute(), home) if home.is_dir() else str(folder.final)
    if inside.startswith(os.pardir):
        inside = str(folder.final.absolute())
    reporter.phase(f"Going on with {folder.final}")
    with chdir(home) if home.is_dir() else nullcontext():
        return _go_on(Path(inside), then, reporter, data)


def _go_on(name: Path, then: RunState, reporter: Reporter, data: Any) -> RunRecord:
    folder = RunFolder.of_unfinished(name, can_go_on)
    with folder.untouched():
        recipe = _recipe(folder.working, then)
        method = require_usable(recipe)
        tables = None if data is None else python_tables(data, recipe.data, recipe.task)
        splits = load_splits(recipe.data, recipe.training.seed, wishes_of(recipe), tables)
    if runtime.rank():
        return train_along(lambda: _started(prepare(recipe, method, splits, Path(os.devnull), reporter, ()), None))
    with ending_together(), folder as place:
        prepared = prepare(recipe, method, splits, place.working, Silent(), ())
        changes = require_same(then, state_of(prepared))
        start, passed_over = search(place.working)
        set_aside(place.working, start)
        remove_leavings(place.working)
        notes = [*then.notes, *passed_over, *changes]
        for note in notes:
            reporter.note(note)
        return finish(_started(replace(prepared, reporter=reporter, notes=tuple(notes)), start), place)


def _started(run: Prepared, start: Checkpoint | None) -> Prepared:
    """Return the run with the first process's checkpoint to start from; further ones read the same folder."""
    ranks = all_ranks()
    place = ranks.broadcast_text("" if start is None else str(start.folder.absolute()))
    if not ranks.is_first and place:
        start = load_checkpoint(Path(place))
    return replace(run, start=start)


def remove_leavings(working: Path) -> None:
    """Remove what was written after training, which is written again."""
    for entry in working.iterdir():
        if entry.name not in STAYS:
            disk.remove(entry)


def _recipe(working: Path, then: RunState) -> Recipe:
    """Return the recipe as the folder's recipe.yaml has it now, with its model and data as they were named."""
    path = str(working / RECIPE_FILE)
    written = parse_recipe(read_recipe(path), path).model_dump(mode="json")
    named, source = then.recipe["model"], then.recipe["data"]["source"]
    if written["model"] in {named, path_at_home(named), path_at_home(str(user_path(named).resolve()))}:
        written["model"] = named
    if written["data"]["source"] == recipe_at_home(then.recipe)["data"]["source"]:
        written["data"]["source"] = source
    return parse_recipe(written, path)
