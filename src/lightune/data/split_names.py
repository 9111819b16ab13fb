"""The names that files, folders and splits of a data set have."""

from __future__ import annotations

import re

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


def split_named(name: str) -> str | None:
    """Return the split that a file or folder is named after: train.csv, dev-00000-of-00002.parquet, test_1.jsonl."""
    first = re.split(r"[^a-z]", name.lower(), maxsplit=1)[0]
    return next((split for split, names in SPLITS.items() if first in names), None)
