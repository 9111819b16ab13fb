"""Where data sets come from: the embedded reviews, local files, the Hub. All become tables, one per split."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import TypeVar

from lightune.data.hub_data import hub_tables
from lightune.data.label_folders import label_folders, labelled_splits, read_label_folders, unread_folders
from lightune.data.patterns import matching
from lightune.data.split_names import SPLITS, split_named
from lightune.data.tables import AS_IT_IS, READERS, Table, join, read_table, report, unfit
from lightune.data.text_file import TextFormat, kind_of
from lightune.errors import shortlist
from lightune.faults import Fault, data_error
from lightune.recipe import DataBlock, Files
from lightune.values.home import user_path

EMBEDDED = "reviews"
PYTHON = "<python>"
# A .txt or .json in a folder is more often a licence or a description.
IN_FOLDERS = tuple(kind for kind in READERS if kind not in ("txt", "json"))
IGNORED = (".", "_", "~$")  # hidden files, and the lock of a workbook that is open
FIRST_SHOWN = 5

T = TypeVar("T")


@dataclass
class Tables:
    """The tables of a data set. `validation_was_given` says that the user named a validation file."""

    name: str
    revision: str | None
    train: Table
    validation: Table | None
    test: Table | None
    validation_was_given: bool = False
    notes: list[str] = field(default_factory=list)


def find_tables(block: DataBlock, faults: list[Fault] | None = None) -> Tables:
    """Return the tables that the recipe's data block names; DataError or HubError when they cannot be loaded.

    With a list of faults, those of the files are added to it, and what can be read is returned.
    """
    found: list[Fault] = []
    tables = _find(block, found)
    if block.name is not None and tables.revision is None:
        text = f"data.name chooses a configuration of a Hub data set, and {tables.name} is not one."
        raise data_error("DATA-066", "", text, "Leave it out.")
    report(found, faults)
    return tables


def stated_format(block: DataBlock) -> TextFormat:
    """Return what a recipe states about how files are written."""
    return TextFormat(**{one.name: getattr(block, one.name) for one in fields(TextFormat)})


def _find(block: DataBlock, faults: list[Fault]) -> Tables:
    source, stated = block.source, stated_format(block)
    if isinstance(source, Files):
        return _from_files(source, faults, stated)
    if source == EMBEDDED:
        return embedded_reviews()
    if source == PYTHON:
        hint = "Pass it again: lightune.run(recipe, data=...); or name files: --train FILE --test FILE."
        raise data_error("DATA-067", "", "this data came from a Python program and is not on disk.", hint)
    path = user_path(source)
    if path.is_dir():
        return _from_folder(source, path, faults, stated)
    if path.exists() or _is_local(source) or glob.has_magic(source):
        notes: list[str] = []
        return Tables(source, None, read_source(source, faults, notes, None, stated), None, None, notes=notes)
    tables, commit = hub_tables(source, block.revision, block.name)
    train, validation, test = (pick(tables, split) for split in SPLITS)
    if train is None:
        raise data_error("DATA-011", source, "there is no split called train.", f"Splits: {', '.join(tables)}.")
    return Tables(source, commit, train, validation, test)


def require_files(block: DataBlock) -> None:
    """Raise DataError for files that a recipe names and that are not there; nothing is read, and no folder opened."""
    source = block.source
    if isinstance(source, Files):
        require_paths(source.train, source.validation, source.test)
    elif _is_local(source):
        require_paths(source)


def require_paths(*names: str | None) -> None:
    """Raise DataError where there is no file or folder of one of these names, as far as they are given."""
    paths = [user_path(name) for name in names if name and not glob.has_magic(name)]
    faults = [unfit(path) for path in paths if not path.exists()]
    report([fault for fault in faults if fault is not None], None)


def _is_local(source: str) -> bool:
    """Whether a name that may be one of the Hub's is that of a file or folder of this machine."""
    return kind_of(user_path(source)) in READERS or source.startswith((".", "/", "~"))


def read_source(
    source: str,
    faults: list[Fault] | None = None,
    notes: list[str] | None = None,
    split: str | None = None,
    stated: TextFormat = AS_IT_IS,
) -> Table:
    """Read the rows of one split from a file, a pattern such as data/*.csv, or a folder of files.

    When `split` is given and files of a folder are named after splits, only those of `split` are read.
    """
    path = user_path(source)
    if path.is_dir():
        files = _data_files(path)
        labelled = None if files else _labelled(path, split)
        if isinstance(labelled, Fault):
            return _nothing(labelled, faults)
        if labelled is not None:
            return _of_labels(labelled, faults, stated)
        if not files:
            return _nothing(Fault("DATA-063", source, "there are no data files in this folder", _advice(path)), faults)
        by_split = _by_split(path, files)
        if split is not None and set(by_split) != {None}:
            if split not in by_split:
                return _nothing(_without(source, split, files), faults)
            files = by_split[split]
    elif glob.has_magic(source) and not path.exists():
        files = [file for file in sorted(matching(path)) if file.is_file()]
        if not files:
            hint = "Check the folder and the pattern, and put it in quotes on the command line."
            return _nothing(Fault("DATA-063", source, "no file matches this pattern", hint), faults)
    else:
        return read_table(path, faults, stated)
    if path.is_dir() and notes is not None:
        notes += unread_folders(path)
    return _read_together(source, files, faults, notes, stated)


def _labelled(folder: Path, split: str | None) -> Path | Fault | None:
    """Return the folder that holds a folder of texts for each label: the one inside of the split, or else this one."""
    inside = labelled_splits(folder)
    if isinstance(inside, Fault):
        return inside
    if inside and (split or "train") not in inside:
        return _without(str(folder), split or "train", inside.values())
    own = label_folders(folder, lambda name: split_named(name) is not None)
    return inside.get(split or "train", folder if own else None)


def _of_labels(folder: Path, faults: list[Fault] | None, stated: TextFormat) -> Table:
    found: list[Fault] = []
    table = read_label_folders(folder, found, stated)
    report(found, faults)
    return table


def _advice(folder: Path) -> str:
    """Say what is read in a folder that holds nothing of it."""
    if any(one.suffix.lower() == ".txt" for one in folder.iterdir()):
        return "Texts in .txt files are read where each label has a folder of them: give the folder above these."
    return f"{VALID} Of .txt files a folder for each label, or name one file."


VALID = f"Files that are read in a folder: {', '.join(f'.{kind}' for kind in IN_FOLDERS)}."


def _by_split(folder: Path, files: Iterable[Path]) -> dict[str | None, list[Path]]:
    """Return the files by the split that they or their folders are named after; None holds the others."""
    found: dict[str | None, list[Path]] = {}
    for file in files:
        found.setdefault(split_named(file.relative_to(folder).parts[0]), []).append(file)
    return found


def _without(source: str, split: str, files: Iterable[Path]) -> Fault:
    kind = "training" if split == "train" else split
    hint = f"Its files: {_listed(file.name for file in files)}."
    return Fault("DATA-011", source, f"there is no {kind} file in this folder.", hint)


def _nothing(fault: Fault, faults: list[Fault] | None) -> Table:
    report([fault], faults)
    return Table(fault.place, {}, [])


def _read_together(
    source: str,
    files: list[Path],
    faults: list[Fault] | None = None,
    notes: list[str] | None = None,
    stated: TextFormat = AS_IT_IS,
) -> Table:
    if notes is not None and len(files) > 1:
        notes.append(f"{source}: {len(files)} files were read as one: {_listed(file.name for file in files)}.")
    found: list[Fault] = _of_other_splits(source, files)
    tables = [read_table(file, found, stated) for file in files]
    table = tables[0] if len(tables) == 1 else join(tables, source, found)
    report(found, faults)
    return table


def _of_other_splits(source: str, files: list[Path]) -> list[Fault]:
    """Return a fault for files that are read as one but are named after different splits."""
    called = {file: {split for split, names in SPLITS.items() if set(names) & _words(file.name)} for file in files}
    kinds = {split for splits in called.values() for split in splits}
    if len(kinds) < 2 and not (kinds and not all(called.values()) and kinds != {"train"}):
        return []
    named = _listed(f"{file.name} ({' '.join(sorted(splits))})" for file, splits in called.items() if splits)
    text = f"files that are named after different splits would be read as one: {named}."
    return [Fault("DATA-073", source, text, "Name them separately: --train FILE --validation FILE --test FILE.")]


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))


def _unread_splits(folder: Path) -> list[str]:
    """Return the files that are named after a split and cannot be read: test.csv.gz, test.xlsx."""
    entries = [entry for entry in folder.iterdir() if entry.is_file() and not _is_data(entry)]
    return sorted(entry.name for entry in entries if split_named(entry.name.lstrip("._")))


def _listed(names: Iterable[str]) -> str:
    return shortlist(list(names), FIRST_SHOWN)


def _from_files(files: Files, faults: list[Fault], stated: TextFormat) -> Tables:
    notes: list[str] = []
    train, validation, test = (
        read_source(source, faults, notes, split, stated) if source else None
        for split, source in (("train", files.train), ("validation", files.validation), ("test", files.test))
    )
    assert train is not None
    return Tables(files.train, None, train, validation, test, validation is not None, notes)


def _from_folder(source: str, folder: Path, faults: list[Fault], stated: TextFormat) -> Tables:
    """Take files called train*, validation*, test* as splits; without any, all files together are for training."""
    by_split = _by_split(folder, _data_files(folder))
    labelled = {} if by_split else labelled_splits(folder)
    if not isinstance(labelled, Fault) and "train" in labelled:
        tables = {split: _of_labels(place, faults, stated) for split, place in labelled.items()}
        places = [f"{source}: {split} = {place.name}." for split, place in labelled.items()]
        return Tables(source, None, tables["train"], tables.get("validation"), tables.get("test"), notes=places)
    if set(by_split) <= {None}:
        notes: list[str] = []
        return Tables(source, None, read_source(source, faults, notes, None, stated), None, None, notes=notes)
    if "train" not in by_split:
        named = _listed(file.name for files in by_split.values() for file in files)
        raise data_error("DATA-011", source, "there is no training file in this folder.", f"Its files: {named}.")
    left_out = by_split.pop(None, [])
    notes = [f"{source}: {split} = {_listed(file.name for file in files)}." for split, files in by_split.items()]
    if left_out:
        notes.append(f"{source}: left out, not named after a split: {_listed(file.name for file in left_out)}.")
    unread = _unread_splits(folder)
    if unread:
        text = f"files that are named after a split are in formats that are not read: {_listed(unread)}."
        faults.append(Fault("DATA-073", source, text, f"{VALID} Convert or move them, or name the files one by one."))
    notes += unread_folders(folder)
    read = {
        split: _read_together(f"{source} ({split})", files, faults, None, stated) for split, files in by_split.items()
    }
    return Tables(source, None, read["train"], read.get("validation"), read.get("test"), notes=notes)


def _data_files(folder: Path) -> list[Path]:
    """Return the data files of a folder, and of its folders that are named after a split."""
    inside = [entry for entry in folder.iterdir() if entry.is_dir() and split_named(entry.name)]
    entries = [entry for place in (folder, *inside) for entry in place.iterdir()]
    return sorted(entry for entry in entries if _is_data(entry))


def _is_data(entry: Path) -> bool:
    return entry.is_file() and kind_of(entry) in IN_FOLDERS and not entry.name.startswith(IGNORED)


def pick(found: Mapping[str, T], split: str) -> T | None:
    """Return the value under any of a split's names, or None."""
    return next((found[name] for name in SPLITS[split] if name in found), None)


def embedded_reviews() -> Tables:
    """Return the corpus that ships with the package: text, label, kind."""
    folder = resources.files("lightune.data") / "reviews"
    with resources.as_file(folder) as place:
        train, validation, test = (read_table(place / f"{split}.csv") for split in ("train", "validation", "test"))
    for name, table in (("train", train), ("validation", validation), ("test", test)):
        table.origin = f"reviews/{name}.csv"
    return Tables(EMBEDDED, None, train, validation, test)
