"""What a program may pass as the texts to classify: which objects are one text, many texts, or no texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lightune.data.python_columns import is_structured
from lightune.data.python_values import ARROW, DATASETS, TABLES, has_columns, is_a, listed, plain
from lightune.errors import DataError
from lightune.values.missing import is_missing, is_writable

Text = str | tuple[str, str]

# What to pass instead of a table, since it is not known which of its columns is the text.
COLUMNS = {
    "pandas.DataFrame": 'frame["text"].tolist()',
    "polars.DataFrame": 'frame["text"].to_list()',
    "polars.LazyFrame": 'frame.collect()["text"].to_list()',
    **dict.fromkeys(ARROW, 'table["text"].to_pylist()'),
    "pyarrow.RecordBatchReader": 'reader.read_all()["text"].to_pylist()',
    **dict.fromkeys(DATASETS, 'dataset["text"]'),
    "datasets.DatasetDict": 'dataset["test"]["text"]',
    "datasets.IterableDatasetDict": 'dataset["test"]["text"]',
}


def as_texts(texts: Any) -> Sequence[Text]:
    """Return the argument as a sequence of texts.

    A string (or bytes) is one text, and so is a tuple of two, a pair. A list, any other tuple, a column of any library
    and an iterator are many texts. Raises DataError for a table, a mapping, a set, and objects that are not texts.
    """
    _refuse(texts)
    if isinstance(texts, list):
        return texts
    is_pair = isinstance(texts, tuple) and len(texts) == 2 and all(map(_is_string, texts))
    is_named = isinstance(texts, tuple) and hasattr(type(texts), "_fields")  # a row, whatever its length
    if _is_string(texts) or is_pair or is_named:
        return [texts]
    found = listed(texts)
    if found is not None:
        return found
    has_items = isinstance(texts, Iterable) and getattr(texts, "ndim", 1) > 0
    return list(texts) if has_items else [texts]


def in_turn(texts: Sequence[str], columns: Sequence[str]) -> list[Text]:
    """Return texts that were given one after the other, as on a command line: two by two where each text is a pair.

    Raises DataError for an odd number of texts where they are pairs; `columns` names the parts of one text.
    """
    if len(columns) == 1:
        return list(texts)
    if len(texts) % 2:
        told = f"{len(texts)} text{'s were' if len(texts) > 1 else ' was'} given"
        hint = 'Give two texts for each pair, "TEXT" "TEXT2", or --file with these columns.'
        raise DataError("DATA-041", f"{told}; this classifier takes pairs ({', '.join(columns)}).", hint)
    return list(zip(texts[::2], texts[1::2], strict=True))


def text_parts(text: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """Return the parts of one text, plain; for a named tuple with the fields `names`, these fields in this order."""
    named = set(names) <= set(getattr(type(text), "_fields", ()))
    found = plain(tuple(getattr(text, name) for name in names) if named else text)
    return tuple(found) if isinstance(found, list) else (found,)


def require_strings(parts: Sequence[Any], number: int) -> None:
    """Raise DataError, which names the text's number, unless each part is a non-empty string."""
    if any(isinstance(part, float | str | None) and is_missing(part) for part in parts):
        raise DataError("DATA-040", f"text {number} is empty.", "Give each row some text.")
    wrong = next((part for part in parts if not isinstance(part, str)), None)
    if isinstance(wrong, bytes):
        raise DataError("DATA-043", f"text {number} is bytes that are not UTF-8.", "Decode them first.")
    if wrong is not None:
        raise DataError("DATA-043", f"text {number} is {type(wrong).__name__}, not a text.", "Give each as a string.")
    if not all(map(is_writable, parts)):
        raise DataError("DATA-043", f"text {number} is not a text in valid characters.", "Pass it as UTF-8.")


def _is_string(value: Any) -> bool:
    return isinstance(value, str | bytes | bytearray | memoryview)


def _refuse(texts: Any) -> None:
    """Refuse containers of texts: iterating over a table gives its column names, which would be classified."""
    kind = type(texts).__name__
    if isinstance(texts, set | frozenset):
        hint = "The order of a set is not defined, and predictions are in the order of the texts: give a list."
    elif is_a(texts, *TABLES):
        instead = next(way for name, way in COLUMNS.items() if is_a(texts, name))
        hint = f"Pass its column of texts: predict({instead}). Pairs are a list of tuples of two strings."
    elif isinstance(texts, Mapping) or is_structured(texts):
        hint = 'Pass its texts: predict(data["text"]). Pairs are a list of tuples of two strings.'
    elif has_columns(texts):
        hint = "Pass a list of strings: one of its columns."
    else:
        return
    raise DataError("DATA-043", f"data of type {kind} is not a list of texts.", hint)
