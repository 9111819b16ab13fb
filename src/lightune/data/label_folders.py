"""A folder that holds a folder of .txt files for each label, one text a file: reviews/positive/1.txt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lightune.data.arrow_columns import UNREADABLE, Store
from lightune.data.file_signatures import stray_characters
from lightune.data.split_names import split_named
from lightune.data.tables import Table
from lightune.data.text_file import TextFormat, open_bytes, text_file, undecodable, wrong_encoding
from lightune.errors import shortlist
from lightune.faults import Fault
from lightune.values.missing import LONGEST_TEXT

ENDING = ".txt"
# The folder of texts without a label has such a name.
UNLABELLED = {"unsup", "unlabeled", "unlabelled"}
WITHOUT_LABEL = "without a label"
HEAD_BYTES = 4096
BATCH_FILES = 1000
MOST_NAMED = 8


def label_folders(folder: Path, not_labels: Callable[[str], bool] = lambda name: False) -> dict[str, list[Path]]:
    """Return the text files of each label, by the name of its folder; empty where fewer than two folders hold any.

    Hidden files, and folders that cannot be listed or whose name cannot be a label's, are passed over.
    """
    found = {}
    for one in sorted(folder.iterdir()):
        if one.is_dir() and not one.name.startswith(".") and not not_labels(one.name):
            files = sorted(file for file in _listed(one) if file.suffix.lower() == ENDING and file.is_file())
            if files:
                found[one.name] = files
    return found if len(found) > 1 else {}


def _listed(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if not file.name.startswith(".")]
    except OSError:
        return []


def read_label_folders(folder: Path, faults: list[Fault], stated: TextFormat) -> Table:
    """Return the columns text and label, a row for each file of `label_folders`; faults go into `faults`."""
    found = label_folders(folder)
    spare = sum(len(found.pop(name)) for name in list(found) if name.lower() in UNLABELLED)
    store, parts = Store(on_disk=False), list[tuple[int, str]]()
    rows, unread = list[tuple[str, str]](), 0
    for label, file in ((label, file) for label, files in found.items() for file in files):
        text = _text(file, faults, stated)
        if text is None:
            unread += 1
            continue
        parts.append((len(parts), str(file)))
        rows.append((text, label))
        if len(rows) == BATCH_FILES:
            _put(store, rows)
    _put(store, rows)
    skipped = {reason: count for reason, count in ((UNREADABLE, unread), (WITHOUT_LABEL, spare)) if count}
    named = shortlist([f"{label} ({len(files):,})" for label, files in found.items()], MOST_NAMED)
    notes = [f"{folder}: each folder of .txt files was read as a label: {named}."]
    columns = store.columns(decode=json.loads)
    return Table(str(folder), columns, [1] * len(parts), parts=parts, skipped=skipped, notes=notes)


def _text(path: Path, faults: list[Fault], stated: TextFormat) -> str | None:
    """Return the text of a file; None where it has a fault."""
    try:
        with open_bytes(path) as stream:
            file = text_file(path, stream.read(HEAD_BYTES), stated)
        if isinstance(file, Fault):
            faults.append(file)
            return None
        with file.stream() as content:
            text = content.read(LONGEST_TEXT + 1).strip()
    except UnicodeError as error:
        assert not isinstance(file, Fault)
        faults.append(undecodable(file, error))
        return None
    except OSError as error:
        what = f"the file cannot be read ({error.strerror})."
        faults.append(Fault("DATA-001", str(path), what, "Check its permissions and its disk."))
        return None
    if len(text) > LONGEST_TEXT:
        what = f"a text of more than {LONGEST_TEXT:,} characters"
        faults.append(Fault("DATA-013", f"{path}:1", what, "Is it one text? Divide it into several."))
        return None
    stray = stray_characters(path, 1, [text])
    if stray is None:
        return text
    faults.append(wrong_encoding(file) or stray)
    return None


def _put(store: Store, rows: list[tuple[str, str]]) -> None:
    import pyarrow as pa

    columns = {
        name: pa.array([json.dumps(row[place]) for row in rows], pa.string())
        for place, name in enumerate(("text", "label"))
    }
    store.add(pa.record_batch(columns))
    rows.clear()


def labelled_splits(folder: Path) -> dict[str, Path] | Fault:
    """Return the folders inside that are named after a split and hold a folder of texts for each label.

    Two of one split are a fault.
    """
    found: dict[str, Path] = {}
    for one in sorted(folder.iterdir()):
        split = split_named(one.name) if one.is_dir() else None
        if split is None or not label_folders(one):
            continue
        if split in found:
            text = f"two folders are named after one split: {found[split].name} and {one.name}."
            return Fault("DATA-073", str(folder), text, "Name one of them: --train FOLDER.")
        found[split] = one
    return found


def unread_folders(folder: Path) -> list[str]:
    """Return a note on folders of texts that lie beside the data files of a folder."""
    names = list(label_folders(folder))
    return (
        [f"{folder}: left out, folders of .txt files beside data files: {shortlist(names, MOST_NAMED)}."]
        if names
        else []
    )
