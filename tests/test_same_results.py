"""tools/same_results.py on made-up trees that run in no time: what is the same, what is not, and what it says of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from lightune.recipe import parse_recipe

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import same_figures
import same_results
import same_speed
from same_cases import CASES, Place

ROOT = Path(__file__).resolve().parent.parent
LORA = next(case for case in CASES if case.name == "lora")
# A package that answers the four commands with files of the right names; each run takes another time.
FAKE = """
import json, sys, time
from pathlib import Path

def written(folder, name, value):
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))

def run(folder):
    import numpy as np
    from safetensors.numpy import save_file
    adapter = folder / "adapter"
    adapter.mkdir(parents=True)
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_file({"a": weights, "b": weights[0]}, adapter / "adapter_model.safetensors")
    results = {"run_folder": str(folder), "environment": {"memory_bytes": 1}, "notes": []}
    results["training"] = {"precision": "fp32", "runtime": time.time(), "steps": 4}
    results["after"] = {"loss": 0.5, "samples_per_second": time.time()}
    written(folder, "results.json", results)
    written(folder, "metrics.jsonl", json.dumps({"step": 1, "loss": 0.25}))
    written(folder, "predictions.csv", "text,prediction\\nfine,good\\n")
    written(adapter, "adapter_config.json", {"r": 8, "target_modules": list({"k", "q"})})
    written(adapter, "lightune.json", {"labels": ["good"]})
    report(folder)
    return results

def report(folder):
    written(folder, "report.html", "")
    written(folder, "README.md", "")
    return {}

def predict(folder):
    return {"predictions": [{"label": "good", "confidence": 0.75}]}

def evaluate(folder):
    return {"loss": 0.5, "runtime": time.time()}

command, first = sys.argv[1], Path(sys.argv[2])
if command == "run":
    first = Path(sys.argv[4])
print(json.dumps(globals()[command](first)))
"""
# What is changed in the made-up package, and what is then said in which column.
CHANGES = {
    "tensor": ("weights[0]}", "weights[0] + np.float32(0.5)}", "adapter: at b, up to 0.5"),
    "tensor's type": ("dtype=np.float32", "dtype=np.float64", "adapter: at b, up to inf"),
    "tensor's name": ('{"a": weights', '{"A": weights', "adapter: at A, which only the new has"),
    "figure": ('"loss": 0.5, "samples', '"loss": 0.5000001, "samples', "figures: after.loss 0.5 -> 0.5000001"),
    "kind of number": ('"steps": 4', '"steps": 4.0', "figures: training.steps 4 -> 4.0"),
    "missing figure": (', "steps": 4', "", "figures: training.steps is missing"),
    "missing time": ('"runtime": time.time(), "steps"', '"steps"', "figures: training.runtime is missing"),
    "new key": ('"steps": 4', '"steps": 4, "more": 1', "figures: training.more is new (--added would allow it)"),
    "step": ('"loss": 0.25', '"loss": 0.125', "figures: metrics.jsonl: line 1.loss 0.25 -> 0.125"),
    "configuration": ('"r": 8', '"r": 4', "figures: adapter_config.json: r 8 -> 4"),
    "labels": ('["good"]', '["bad"]', 'figures: lightune.json: labels.0 "good" -> "bad"'),
    "predictions": ("fine,good", "fine,bad", "predictions: in line 2"),
    "answers": ("0.75", "0.5", "old folder read: predict: predictions.0.confidence 0.75 -> 0.5"),
    "evaluation": ('{"loss": 0.5, "run', '{"loss": 0.25, "run', "old folder read: evaluate: loss 0.5 -> 0.25"),
    "report": ('"README.md", ""', '"README.txt", ""', "old folder read: report: README.md was not written"),
    "failure": ("results = {", "raise SystemExit('no room')\n    results = {", "adapter: - new: run failed: no room"),
}


def _tree(folder: Path, name: str, source: str = FAKE) -> same_results.Tree:
    package = folder / name / "src" / "lightune"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(source)
    return same_results.Tree(name, folder / name / "src", 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("place"))


def _row(folder: Path, place: Place, source: str, added: tuple[str, ...] = ()) -> same_results.Row:
    trees = _tree(folder, "old"), _tree(folder, "new", source)
    here = Place(folder / "place")
    here.models[LORA.model] = place.models[LORA.model]  # built once
    return same_results.Comparison(*trees, here, added).row(LORA, "fp32")


def test_equal_trees_are_the_same_although_each_run_takes_another_time(tmp_path, place, capsys):
    row = _row(tmp_path, place, FAKE)
    assert row.differences == []
    # Of results.json: training.precision, training.steps, after.loss, notes; then a step's two figures, r, two target
    # modules, one label. Of the old folder: a label and a confidence twice, a loss, two reports.
    assert row.cells == ["lora", "fp32", "same (2)", "same (10)", "same (3)", "same (7)"]
    assert same_results.show([row]) == 0
    assert capsys.readouterr().out.endswith("All 1 runs are the same.\n")


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_changed_tree_does_otherwise_is_said(name, tmp_path, place, capsys):
    before, after, said = CHANGES[name]
    assert FAKE.count(before) >= 1
    row = _row(tmp_path, place, FAKE.replace(before, after))
    assert said in row.differences
    assert same_results.show([row]) == 1
    printed = capsys.readouterr().out
    assert "DIFFERENT" in printed
    assert f"lora fp32: {said}" in printed


def test_a_new_key_is_allowed_by_its_path_or_by_one_above(tmp_path, place):
    changed = FAKE.replace('"notes": []', '"notes": [], "extra": {"more": [1, 2]}')
    assert _row(tmp_path, place, changed, ("extra",)).differences == []
    assert same_figures.is_allowed("extra.more.0", ("extra.m*",))
    assert not same_figures.is_allowed("extra.more.0", ("more", "ext"))


@pytest.mark.parametrize(
    ("path", "is_left_out"),
    [
        ("training.runtime", True),
        ("inference.merged_latency_ms_p95", True),
        ("before.samples_per_second", True),
        ("after.peak_cuda_allocated_bytes", True),
        ("environment.memory_bytes", True),
        ("environment.versions.torch", True),
        ("environment.precision.training.why", True),
        ("run_folder", True),
        ("environment.precision.training.name", False),
        ("environment.cache_frozen.bytes", False),
        ("model.adapter_bytes", False),
        ("model.weight_bytes", False),
        ("training.epochs.0.train_loss", False),
        ("recipe.training.seed", False),
    ],
)
def test_times_rates_memory_versions_and_paths_are_left_out_and_nothing_else(path, is_left_out):
    assert same_figures.left_out(path) is is_left_out


def test_only_lists_that_were_sets_may_change_their_order():
    assert same_figures.compare_json({"target_modules": ["q", "k"]}, {"target_modules": ["k", "q"]}).differences == []
    assert same_figures.compare_json({"labels": ["q", "k"]}, {"labels": ["k", "q"]}).differences != []
    assert same_figures.compare_json({"loss": float("nan")}, {"loss": float("nan")}).differences == []


@pytest.mark.parametrize(
    ("new", "metadata", "said"),
    [
        ([0.0, 1.0], {"format": "np"}, ["in the file's header: every tensor is the same"]),
        ([-0.0, 1.0], None, ["at a, up to inf"]),
        ([0.0, float("nan")], None, ["at a, up to inf"]),
        ([0.0, 1.0], None, []),
    ],
)
def test_every_byte_of_an_adapter_counts(new, metadata, said, tmp_path):
    save_file({"a": np.array([0.0, 1.0], np.float32)}, tmp_path / "old")
    save_file({"a": np.array(new, np.float32)}, tmp_path / "new", metadata)
    assert same_figures.compare_adapters(tmp_path / "old", tmp_path / "new").differences == said


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_source_is_that_of_the_commit_and_runs_in_its_own_package(tmp_path):
    repository = _tree(tmp_path, "here").src.parent
    in_it = {"cwd": repository, "check": True, "capture_output": True}
    subprocess.run(["git", "init", "--quiet"], **in_it)
    subprocess.run(["git", "add", "."], **in_it)
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "commit", "--quiet", "-m", "one"], **in_it)
    (repository / "src" / "lightune" / "__main__.py").write_text("changed since")
    src = same_results.unpack("HEAD", tmp_path / "commit", repository)
    assert (src / "lightune" / "__main__.py").read_text() == FAKE
    same_results.Tree("old", src).require_own_package()
    elsewhere = replace(same_results.Tree("old", src), src=tmp_path / "nothing")
    with pytest.raises(same_results.FailedRunError, match="not from"):
        elsewhere.require_own_package()


def test_every_case_is_a_recipe_on_files_that_are_there(place):
    assert len({case.name for case in CASES}) == len(CASES)
    place.prepare(CASES)
    for case in CASES:
        for precision in case.precisions(is_thorough=True):
            described = yaml.safe_load(place.recipe(case, precision).read_text(encoding="utf-8"))
            recipe = parse_recipe(described)
            assert recipe.training.precision == precision
            assert recipe.model == "minilm" or (Path(recipe.model) / "config.json").is_file()
        assert place.test_file(case).is_file()
    labels = [line.rpartition(",")[2] for line in place.test_file(_case("class_weights")).read_text().splitlines()[1:]]
    assert 3.5 <= labels.count("positive") / labels.count("negative") <= 4.5


def _case(name):
    return next(case for case in CASES if case.name == name)


def test_ratios_are_paired_and_the_table_is_aligned():
    rates = {"training samples/s": {"old": [1.0, 10.0, 4.0], "new": [2.0, 10.0, 6.0]}}
    lines = same_results.table(same_speed.rows(rates)).splitlines()
    assert lines[1].split()[2:] == ["4.0", "6.0", "1.500", "1.000", "2.000"]
    assert lines[0].index("new / old") == lines[1].index("1.500")


def test_the_command_line_takes_names_of_cases_once_or_often():
    given = same_results.arguments(["HEAD", "--only", "lora", "full", "--only", "pair", "--added", "a.*"])
    assert (given.only, given.added, given.threads, given.rounds) == (["lora", "full", "pair"], ["a.*"], 2, 5)
    with pytest.raises(SystemExit):
        same_results.arguments(["HEAD", "--only", "nothing"])


@pytest.mark.long
def test_a_loss_that_is_a_thousandth_larger_is_found_in_real_runs(tmp_path):
    """Whatever the tree looks like inside: the copy's command line changes torch's own function first."""
    shutil.copytree(ROOT / "src", tmp_path / "changed")
    start = tmp_path / "changed" / "lightune" / "__main__.py"
    patch = "import torch.nn.functional as F\nreal = F.cross_entropy\n"
    patch += "F.cross_entropy = lambda *given, **named: 1.001 * real(*given, **named)\n"
    start.write_text(f"{patch}{start.read_text(encoding='utf-8')}", encoding="utf-8")
    trees = same_results.Tree("old", ROOT / "src"), same_results.Tree("new", tmp_path / "changed")
    case = _case("class_weights")
    row = same_results.Comparison(*trees, Place(tmp_path / "place")).row(case, "fp32")
    assert any(said.startswith("at base_model.") for said in row.adapter.differences)
    assert any(said.startswith("training.epochs.0.train_loss ") for said in row.figures.differences)
