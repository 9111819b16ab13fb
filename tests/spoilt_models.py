"""Copies of tiny models with a fault of a kind: one JSON file changed, or a tokenizer that drops a character."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DROPPED = "★"  # what the tokenizer of `dropping` makes nothing of


def changed(source: Path, folder: Path, name: str, values: Mapping[str, Any], without: str = "") -> Path:
    """Return a model folder or a copy of it, with keys of one of its JSON files set and one taken out."""
    copy = source if source == folder else Path(shutil.copytree(source, folder))
    told = {**json.loads((copy / name).read_text(encoding="utf-8")), **values}
    told.pop(without, None)
    (copy / name).write_text(json.dumps(told), encoding="utf-8")
    return copy


def dropping(source: Path, folder: Path) -> Path:
    """Return a copy whose tokenizer drops every star, as others drop control characters."""
    normalizer = {"type": "Replace", "pattern": {"String": DROPPED}, "content": ""}
    return changed(source, folder, "tokenizer.json", {"normalizer": normalizer})


def with_tokens(source: Path, folder: Path, tokens: Mapping[str, int]) -> Path:
    """Return a copy whose tokenizer knows more tokens, with these ids."""
    told = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    told["model"]["vocab"] |= tokens
    return changed(source, folder, "tokenizer.json", {"model": told["model"]})
