"""A folder of .txt files for each label, as text collections are handed out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sklearn.datasets import load_files

from lightune.data.check import Checked, check_data
from lightune.data.sources import read_source
from lightune.errors import DataError
from lightune.recipe import DataBlock


def put(folder: Path, **texts: list[str]) -> Path:
    for label, written in texts.items():
        (folder / label).mkdir(parents=True)
        for number, text in enumerate(written):
            (folder / label / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def texts(word: str, count: int) -> list[str]:
    return [f"{word} film, number {number} of the list\nand a second line" for number in range(count)]


def checked(source: object, **stated: str) -> Checked:
    return check_data(DataBlock.model_validate({"source": source, **stated}))


def test_each_folder_is_a_label_as_scikit_learn_reads_it(tmp_path: Path):
    put(tmp_path, neg=texts("dull", 12), pos=texts("fine", 9))
    table = read_source(str(tmp_path))
    wanted = load_files(str(tmp_path), encoding="utf-8", shuffle=False)
    labels = [wanted.target_names[index] for index in wanted.target]
    found = sorted(zip(table.columns["text"], table.columns["label"], strict=True))
    assert found == sorted(zip(wanted.data, labels, strict=True))
    assert table.place(12) == f"{tmp_path}/pos/0.txt:1"
    assert table.notes == [f"{tmp_path}: each folder of .txt files was read as a label: neg (12), pos (9)."]


def test_train_and_test_are_found_inside_and_texts_without_a_label_are_counted(tmp_path: Path):
    put(tmp_path / "train", neg=texts("dull", 12), pos=texts("fine", 12), unsup=texts("some", 5))
    put(tmp_path / "test", neg=texts("limp", 4), pos=texts("bright", 4))
    (tmp_path / "README").write_text("about")
    found = checked(str(tmp_path))
    assert found.faults == []
    assert found.task.labels == ("neg", "pos")
    assert (found.rows["train"].rows_in, found.rows["train"].dropped) == (29, {"without a label": 5})
    assert found.rows["test"].used == {"test": 8}
    split = found.scans["test"]
    assert Counter(split.targets[split.rows].tolist()) == {0: 4, 1: 4}
    stated = checked({"train": str(tmp_path / "train"), "test": str(tmp_path / "test")})
    assert stated.rows == found.rows
    assert checked({"train": str(tmp_path), "test": str(tmp_path)}).rows == found.rows


def test_a_bad_file_is_named_and_an_empty_one_is_a_row_without_text(tmp_path: Path):
    put(tmp_path, neg=[*texts("dull", 12), ""], pos=texts("fine", 12))
    (tmp_path / "pos" / "latin.txt").write_bytes("très joli, déjà vu à Besançon, une leçon".encode("latin-1"))
    latin, empty = checked(str(tmp_path)).faults
    assert (latin.code, latin.place) == ("DATA-003", f"{tmp_path}/pos/latin.txt:1")
    assert "--encoding" in latin.hint
    assert (empty.code, empty.place) == ("DATA-013", f"{tmp_path}/neg/12.txt:1")
    (fault,) = checked(str(tmp_path), encoding="cp1252").faults
    assert (fault.code, fault.place) == ("DATA-013", f"{tmp_path}/neg/12.txt:1")
    found = checked(str(tmp_path), encoding="cp1252", on_missing="drop")
    assert found.faults == []
    assert "très joli, déjà vu à Besançon, une leçon" in list(found.tables.train.columns["text"])


@pytest.mark.parametrize("labels", [[], ["only"]])
def test_other_folders_hold_no_data(tmp_path: Path, labels: list[str]):
    put(tmp_path, **{label: ["a text"] for label in labels})
    with pytest.raises(DataError, match="DATA-063"):
        read_source(str(tmp_path))


def test_a_table_in_the_folder_goes_before_the_folders_inside(tmp_path: Path):
    put(tmp_path, neg=["dull"], pos=["fine"])
    (tmp_path / "a.csv").write_text("text,label\nwarm,pos\ncold,neg\n", encoding="utf-8")
    assert len(read_source(str(tmp_path))) == 2


def test_aclimdb_is_read_as_it_is_handed_out(tmp_path: Path):
    """Beside the folders of its labels each split has lists of URLs, and training texts without a label."""
    put(tmp_path / "train", neg=texts("dull", 12), pos=texts("fine", 12), unsup=texts("some", 5))
    put(tmp_path / "test", neg=texts("limp", 4), pos=texts("bright", 4))
    for split in ("train", "test"):
        for name in ("neg", "pos"):
            (tmp_path / split / f"urls_{name}.txt").write_text("http://a\nhttp://b\n")
    (tmp_path / "imdbEr.txt").write_text("1.2\n")
    (tmp_path / "train" / "pos" / "._0.txt").write_bytes(b"\0\0")  # as macOS packs it
    for source in (str(tmp_path), {"train": str(tmp_path), "test": str(tmp_path)}):
        found = checked(source)
        assert (found.faults, found.task.labels) == ([], ("neg", "pos"))
        assert (found.rows["train"].rows_in, found.rows["test"].rows_in) == (29, 8)
    assert len(read_source(str(tmp_path), split="test")) == 8


def test_texts_without_labels_in_train_and_test_are_no_labels(tmp_path: Path):
    put(tmp_path, train=["one", "two"], test=["three"])
    with pytest.raises(DataError, match="DATA-063"):
        read_source(str(tmp_path))


def test_two_folders_of_one_split_and_a_split_that_is_not_there_are_said(tmp_path: Path):
    put(tmp_path / "train", neg=["dull"], pos=["fine"])
    with pytest.raises(DataError, match=r"DATA-011 .*there is no test file in this folder") as caught:
        read_source(str(tmp_path), split="test")
    assert "train" in caught.value.hint
    put(tmp_path / "train_extra", neg=["limp"], pos=["bright"])
    (fault,) = checked(str(tmp_path)).faults
    assert (fault.code, "train and train_extra" in fault.text) == ("DATA-073", True)


def test_folders_of_texts_beside_a_table_are_said_to_be_left_out(tmp_path: Path):
    put(tmp_path, neg=["dull"], pos=["fine"])
    rows = "".join(f"text {number},{('good', 'bad')[number % 2]}\n" for number in range(20))
    (tmp_path / "a.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    told = f"{tmp_path}: left out, folders of .txt files beside data files: neg, pos."
    assert told in checked(str(tmp_path)).notes
    (tmp_path / "a.csv").rename(tmp_path / "train.csv")
    assert told in checked(str(tmp_path)).notes
    assert told in checked({"train": str(tmp_path)}).notes


def test_the_lock_of_an_open_workbook_is_no_data(tmp_path: Path):
    put(tmp_path, neg=texts("dull", 4), pos=texts("fine", 4))
    (tmp_path / "~$book.xlsx").write_bytes(b"lock")
    assert len(read_source(str(tmp_path))) == 8


def test_a_folder_of_texts_alone_points_to_the_folder_above(tmp_path: Path):
    put(tmp_path, neg=["dull"], pos=["fine"])
    with pytest.raises(DataError, match="DATA-063") as caught:
        read_source(str(tmp_path / "pos"))
    assert "give the folder above" in caught.value.hint
