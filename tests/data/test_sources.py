"""What names a data set: files, patterns, folders, and data sets of the Hub with several configurations."""

from __future__ import annotations

import glob
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from case_table import case
from lightune.data.check import check_data
from lightune.data.dataset import load_splits
from lightune.data.describe import check_and_describe as find_and_check
from lightune.data.patterns import matching
from lightune.data.sources import Tables, find_tables, read_source
from lightune.data.tables import Table
from lightune.errors import DataError
from lightune.faults import Fault
from lightune.recipe import DataBlock, Recipe

Rows = list[tuple[str, str]]


def rows(prefix: str, count: int = 2) -> Rows:
    return [(f"{prefix} {number}", "no" if number % 2 else "yes") for number in range(count)]


def write(path: Path, content: Rows, names: tuple[str, str] = ("text", "label")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in content))
    elif path.suffix == ".parquet":
        columns = dict(zip(names, zip(*content, strict=True), strict=True))
        parquet.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        path.write_text("".join(mark.join(row) + "\n" for row in [names, *content]))
    return path


def find(source: Any, **data: Any) -> Tables:
    return find_tables(DataBlock.model_validate({"source": source, **data}))


def refusal(source: Any, **data: Any) -> str:
    with pytest.raises(DataError) as caught:
        find(source, **data)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_a_pattern_reads_its_files_as_one_in_the_order_of_their_names(tmp_path: Path):
    for name in ("b", "a", "c"):
        write(tmp_path / f"part-{name}.csv", rows(name))
    write(tmp_path / "other.csv", rows("other"))
    tables = find(f"{tmp_path}/part-*.csv")
    assert tables.train.columns["text"] == ["a 0", "a 1", "b 0", "b 1", "c 0", "c 1"]
    assert [tables.train.place(row) for row in (0, 1, 2, 5)] == [
        f"{tmp_path}/part-{place}" for place in ("a.csv:2", "a.csv:3", "b.csv:2", "c.csv:3")
    ]
    assert tables.train.origin == f"{tmp_path}/part-*.csv"
    assert tables.notes == [f"{tmp_path}/part-*.csv: 3 files were read as one: part-a.csv, part-b.csv, part-c.csv."]
    assert (tables.validation, tables.test, tables.validation_was_given) == (None, None, False)


def test_a_relative_pattern_without_an_ending_is_no_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "data" / "train.csv", rows("x"))
    monkeypatch.chdir(tmp_path)
    assert len(find("data/*").train) == len(find("data/t*").train) == 2
    assert refusal("data/u*").startswith("DATA-063 data/u*: no file matches this pattern")


def test_files_of_different_formats_with_the_same_columns_are_one(tmp_path: Path):
    for number, kind in enumerate(("csv", "tsv", "jsonl", "parquet")):
        names = ("text", "label") if number % 2 else ("label", "text")
        write(tmp_path / f"{number}.{kind}", [row if number % 2 else row[::-1] for row in rows(kind)], names)
    table = find(str(tmp_path)).train
    assert table.columns["text"] == [f"{kind} {row}" for kind in ("csv", "tsv", "jsonl", "parquet") for row in (0, 1)]
    assert table.columns["label"] == ["yes", "no"] * 4
    assert (table.place(3), table.place(7)) == (f"{tmp_path}/1.tsv:3", f"{tmp_path}/3.parquet:2")


@pytest.mark.parametrize("validation", ["validation", "valid", "val", "dev"])
def test_a_folder_whose_files_are_called_like_splits_is_its_splits(tmp_path: Path, validation: str):
    for name in ("train-00000-of-00002", "train-00001-of-00002", validation, "TEST_1", "notes", ".hidden", "_trainer"):
        write(tmp_path / f"{name}.csv", rows(name))
    (tmp_path / "README.md").write_text("about")
    tables = find(str(tmp_path))
    assert tables.train.columns["text"] == [f"train-0000{part}-of-00002 {row}" for part in (0, 1) for row in (0, 1)]
    assert tables.validation.columns["text"] == [f"{validation} 0", f"{validation} 1"]
    assert tables.test.columns["text"] == ["TEST_1 0", "TEST_1 1"]
    assert tables.test.place(1) == f"{tmp_path}/TEST_1.csv:3"
    assert not tables.validation_was_given  # as with a data set of the Hub: nobody asked for it
    assert f"{tmp_path}: validation = {validation}.csv." in tables.notes
    assert f"{tmp_path}: left out, not named after a split: notes.csv." in tables.notes


def test_splits_may_be_folders(tmp_path: Path):
    for split in ("train", "dev", "test"):
        for part in ("x", "y"):
            write(tmp_path / split / f"{part}.csv", rows(f"{split} {part}"))
    write(tmp_path / "cache" / "train.csv", rows("not looked at"))
    tables = find(str(tmp_path))
    found = [table.columns["text"][0] for table in (tables.train, tables.validation, tables.test)]
    assert found == ["train x 0", "dev x 0", "test x 0"]
    assert [len(table) for table in (tables.train, tables.validation, tables.test)] == [4, 4, 4]


def test_a_folder_of_other_names_is_all_training_rows(tmp_path: Path):
    for name in ("values", "testimonies", "trains"):  # none of them a split, though they begin like one
        write(tmp_path / f"{name}.csv", rows(name))
    tables = find(str(tmp_path))
    assert (len(tables.train), tables.validation, tables.test) == (6, None, None)


def test_each_split_may_be_a_file_a_pattern_or_a_folder(tmp_path: Path):
    write(tmp_path / "a1.csv", rows("a1"))
    write(tmp_path / "a2.csv", rows("a2"))
    write(tmp_path / "held" / "b.jsonl", rows("b"))
    write(tmp_path / "c.parquet", rows("c"))
    tables = find({"train": f"{tmp_path}/a?.csv", "validation": f"{tmp_path}/held", "test": f"{tmp_path}/c.parquet"})
    assert [len(table) for table in (tables.train, tables.validation, tables.test)] == [4, 2, 2]
    assert tables.validation_was_given


def test_a_folder_given_for_one_split_gives_its_files_of_that_split_alone(tmp_path: Path):
    for name in ("train", "dev", "test", "notes"):
        write(tmp_path / f"{name}.csv", rows(name))
    other = write(tmp_path / "elsewhere" / "x.csv", rows("x"))
    folder = str(tmp_path)
    tables = find({"train": folder, "validation": folder, "test": folder})
    found = [table.columns["text"] for table in (tables.train, tables.validation, tables.test)]
    assert found == [[f"{name} 0", f"{name} 1"] for name in ("train", "dev", "test")]
    assert find({"train": folder, "test": str(other)}).train.columns["text"] == ["train 0", "train 1"]


def test_a_folder_without_a_file_of_the_wanted_split_is_refused(tmp_path: Path):
    folder = write(tmp_path / "data" / "train.csv", rows("train")).parent
    told = refusal({"train": str(folder), "test": str(folder)})
    assert told == f"DATA-011 {folder}: there is no test file in this folder.\nIts files: train.csv."


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path):
    path = write(tmp_path / "reviews [1].csv", rows("x"))
    assert find(str(path)).train.columns["text"] == ["x 0", "x 1"]


def test_a_home_folder_may_be_written_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "x.csv", rows("x"))
    assert len(find("~/x.csv").train) == len(find("~/*.csv").train) == len(read_source("~")) == 2


def test_files_with_other_columns_are_named(tmp_path: Path):
    write(tmp_path / "a.csv", rows("a"))
    write(tmp_path / "b.csv", rows("b"), ("text", "stars"))
    write(tmp_path / "c.csv", rows("c"), ("review", "label"))
    told = refusal(f"{tmp_path}/*.csv")
    assert told.startswith("DATA-064 2 faults:")
    assert f"{tmp_path}/b.csv: the columns are text, stars; those of {tmp_path}/a.csv are text, label" in told
    assert f"{tmp_path}/c.csv: the columns are review, label" in told


def test_files_with_other_label_names_are_named(tmp_path: Path):
    import datasets

    for name, names in (("a", ["neg", "pos"]), ("b", ["pos", "neg"])):
        kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
        data = datasets.Dataset.from_dict({"text": ["x"], "label": [0]}, features=kinds)
        data.to_parquet(str(tmp_path / f"{name}.parquet"))
    assert refusal(str(tmp_path)).startswith(f"DATA-065 {tmp_path}/b.parquet: the label names differ from those of")


def test_faults_of_all_files_are_collected_and_the_rest_is_read(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label\nx,y,z\nfine,yes\n")
    (tmp_path / "b.csv").write_text("text;label\n")
    write(tmp_path / "c.csv", rows("c"))
    faults: list[Fault] = []
    block = DataBlock.model_validate(
        {"source": {"train": f"{tmp_path}/*.csv", "validation": f"{tmp_path}/no*.csv", "test": f"{tmp_path}/no.csv"}}
    )
    tables = find_tables(block, faults)
    assert [(fault.code, fault.place.removeprefix(f"{tmp_path}/")) for fault in faults] == [
        ("DATA-007", "a.csv:2"), ("DATA-004", "b.csv"), ("DATA-063", "no*.csv"), ("DATA-001", "no.csv"),
    ]  # fmt: skip
    assert tables.train.columns["text"] == ["fine", "c 0", "c 1"]
    assert (len(tables.validation), len(tables.test)) == (0, 0)


@pytest.mark.parametrize(
    ("make", "source", "told"),
    [
        ([], "none/*.csv", "DATA-063 {}/none/*.csv: no file matches this pattern"),
        (["a/x.csv"], "*", "DATA-063 {}/*: no file matches this pattern"),
        (["readme.txt", ".hidden.csv"], "", "DATA-063 {}: there are no data files in this folder"),
        (
            ["dev.csv", "test.csv"],
            "",
            "DATA-011 {}: there is no training file in this folder.\nIts files: dev.csv",
        ),
        (["x.doc"], "x.doc", "DATA-002 {}/x.doc: .doc files are not read."),
        ([], "gone", "DATA-001 {}/gone: there is no such file."),
    ],
)
def test_what_names_nothing_is_refused(tmp_path: Path, make: list[str], source: str, told: str):
    for name in make:
        write(tmp_path / name, rows("x"))
    place = str(tmp_path / source)
    assert refusal(place).startswith(told.format(tmp_path))


def test_a_configuration_is_for_data_sets_of_the_hub(tmp_path: Path):
    path = write(tmp_path / "a.csv", rows("x"))
    assert refusal(str(path), name="mrpc").startswith("DATA-066 data.name chooses a configuration of a Hub data set")


@pytest.fixture
def hub_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data set "someone/films" in the Hub's cache; returns its folder."""
    import datasets
    import huggingface_hub.constants as hub

    folder = tmp_path / "hub" / "datasets--someone--films"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return snapshot


def configure(snapshot: Path, *names: str) -> None:
    lines = ["---", "configs:"]
    for name in names:
        write(snapshot / name / "train.csv", rows(f"{name} train"))
        write(snapshot / name / "test.csv", rows(f"{name} test"))
        lines += [f"- config_name: {name}", "  data_files:"]
        lines += [f"  - {{split: {split}, path: {name}/{split}.csv}}" for split in ("train", "test")]
    (snapshot / "README.md").write_text("\n".join([*lines, "---", ""]))


def test_a_configuration_of_a_hub_data_set_is_chosen_by_name(hub_data: Path):
    configure(hub_data, "short", "long")
    assert refusal("someone/films") == (
        "DATA-066 someone/films: this data set has several configurations.\n"
        "Configurations: short, long. Choose one: --set data.name=short"
    )
    told = refusal("someone/films", name="shor")
    assert told.startswith('DATA-066 someone/films: there is no configuration "shor".\nDid you mean "short"?')
    assert find("someone/films", name="long").train.columns["text"] == ["long train 0", "long train 1"]


def test_a_configuration_called_default_is_taken(hub_data: Path):
    configure(hub_data, "other", "default")
    assert find("someone/films").train.columns["text"] == ["default train 0", "default train 1"]


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_a_hub_data_sets_validation_split_may_have_any_of_its_names(hub_data: Path, name: str):
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in ("train", name, "test"):
        write(hub_data / f"{split}.csv", rows(split))
        lines.append(f"  - {{split: {split}, path: {split}.csv}}")
    (hub_data / "README.md").write_text("\n".join([*lines, "---", ""]))
    tables = find("someone/films")
    assert tables.validation.columns["text"] == [f"{name} 0", f"{name} 1"]
    assert tables.validation.place(1) == f"someone/films[{name}]:2"


def test_a_hub_data_set_whose_training_split_is_empty_is_refused(monkeypatch: pytest.MonkeyPatch):
    empty = Table("someone/films[train]", {"text": [], "label": []}, [])
    monkeypatch.setattr("lightune.data.sources.hub_tables", lambda *_: ({"train": empty}, "0" * 40))
    block = DataBlock(source="someone/films")
    found = [(fault.code, fault.place, fault.text) for fault in check_data(block).faults]
    assert found == [("DATA-030", "someone/films[train]", "the train split is empty.")]
    with pytest.raises(DataError, match="DATA-030"):
        load_splits(block, 1)
    assert not find_and_check(Recipe(data=block), None).usable


def test_a_file_without_a_good_row_has_its_own_faults_alone(tmp_path: Path):
    """Its columns and labels cannot be judged."""
    good = write(tmp_path / "good.csv", rows("x", 40))
    bad = tmp_path / "bad.csv"
    bad.write_text("text,label\nalone\n")
    for files in ({"train": bad, "test": good}, {"train": good, "test": bad}):
        block = DataBlock.model_validate({"source": {name: str(path) for name, path in files.items()}})
        assert [(fault.code, fault.place) for fault in check_data(block).faults] == [("DATA-007", f"{bad}:2")]


@case(
    "a folder with sst2-train.csv and sst2-test.csv",
    "both are trained on, in a note",
    "DATA-073",
    "a test file is not for training",
)
@pytest.mark.parametrize("names", [("sst2-train.csv", "sst2-test.csv"), ("my_data.csv", "my_test.csv")])
def test_files_of_different_splits_are_not_read_as_one(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("text,label\na,x\nb,y\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"DATA-073 .*different splits"):
        find_tables(DataBlock(source=str(tmp_path)))


@case("test.csv.bz2 beside train.csv", "left out, no word", "DATA-073 names it", "a person meant it as the test file")
@pytest.mark.parametrize("name", ["test.csv.bz2", "test.xls", "validation.txt"])
def test_a_split_of_a_kind_that_is_not_read_is_told(tmp_path, name):
    (tmp_path / "train.csv").write_text("text,label\na,x\nb,y\n", encoding="utf-8")
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=rf"DATA-073 .*{name}"):
        find_tables(DataBlock(source=str(tmp_path)))


@pytest.mark.parametrize("pattern", ["**/*.csv", "a/**/*.csv", "**/b/*.csv", "*/**/t*.csv", "a/**", "**/.h/*.csv"])
def test_a_pattern_of_folders_names_what_pythons_glob_names(tmp_path: Path, pattern: str):
    for place in ("t.csv", "a/t.csv", "a/b/t.csv", "a/b/.h/t.csv", "a/.h/t.csv", ".h/t.csv", "a/b/.t.csv", "c/b/u.csv"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("text,label\n", encoding="utf-8")
    expected = {Path(name) for name in glob.glob(str(tmp_path / pattern), recursive=True)}
    found = matching(tmp_path / pattern)
    assert {one for one in found if one.is_file()} == {one for one in expected if one.is_file()}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("data/**/*.csv", ["data/linked/d/u.csv", "data/linked/u.csv", "data/own/t.csv"]),
        ("data/**/own/**/*.csv", ["data/own/c/linked/d/u.csv", "data/own/c/linked/u.csv", "data/own/t.csv"]),
        ("data/linked/**/u.csv", ["data/linked/d/u.csv", "data/linked/u.csv"]),
        ("**/*.csv", ["data/own/t.csv", "other/disk/d/u.csv", "other/disk/u.csv"]),
    ],
)
def test_a_pattern_of_folders_goes_into_linked_folders_once(tmp_path: Path, pattern: str, found: list[str]) -> None:
    """A linked folder was left out; two links that lead around have no end."""
    for place in ("data/own/t.csv", "other/disk/u.csv", "other/disk/d/u.csv"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("text,label\n", encoding="utf-8")
    (tmp_path / "data/linked").symlink_to(tmp_path / "other/disk", target_is_directory=True)
    for name, target in {"a": "data", "b": "data/own", "own/c": "data", "gone": "nothing"}.items():
        (tmp_path / "data" / name).symlink_to(tmp_path / target, target_is_directory=True)
    files = [one for one in matching(tmp_path / pattern) if one.is_file()]
    assert sorted(one.relative_to(tmp_path).as_posix() for one in files) == found
