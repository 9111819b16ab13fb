"""A recipe as YAML: read within bounds, so that no file of a few lines fills memory, and written as it is read back."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from lightune.errors import RecipeError

MOST_BYTES = 1_000_000
MOST_VALUES = 100_000  # each alias counts as what it stands for: nine lines of nine aliases stand for 387 million
MOST_BITS = 10_000  # of a whole number; Python writes none of more than 4,300 digits
BREAKS = frozenset("\x85\u2028\u2029\ufeff")
MERGE = "tag:yaml.org,2002:merge"
# YAML 1.1, which PyYAML reads, requires a dot and a sign in it; YAML 1.2 and people do not.
EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")


class _Loader(yaml.SafeLoader):
    """safe_load within bounds; it refuses duplicate keys, of which YAML would take the last, and reads 1e-3."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        if node is not None and _values_in(node, {}) > MOST_VALUES:
            text = f"its aliases (*name) stand for more than {MOST_VALUES:,} values."
            raise RecipeError("RECIPE-115", text, "Write out what you mean; a recipe has a few dozen values.")
        return None if node is None else self.construct_document(node)


class _Dumper(yaml.SafeDumper):
    """safe_dump whose strings are read back unchanged: 1e3, and line breaks that YAML would fold into spaces."""


def read_yaml(text: str) -> Any:
    """Return what a text of YAML holds; RecipeError beyond the bounds, any other exception where it is not YAML."""
    return yaml.load(text, Loader=_Loader)


def read_yaml_file(path: Path) -> Any:
    """Return what a file of YAML holds, as `read_yaml` does; RecipeError where it is too large for a recipe."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        text = f"it has {size:,} bytes, and a recipe at most {MOST_BYTES:,}."
        raise RecipeError("RECIPE-116", text, "Is it data? Name it with --train.")
    return read_yaml(path.read_text(encoding="utf-8-sig"))


def write_yaml(mapping: dict[str, Any]) -> str:
    """Return a mapping as YAML that `read_yaml` reads back unchanged."""
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _values_in(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node stands for, with what its aliases stand for."""
    if id(node) not in known:
        known[id(node)] = 1  # one that stands inside itself is refused later
        inner: list[Any] = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for one in inner for part in (one if isinstance(one, tuple) else (one,))]
        known[id(node)] = 1 + sum(_values_in(part, known) for part in parts)
    return known[id(node)]


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key in (key for key, _ in node.value if key.tag != MERGE):
        name = loader.construct_object(key)
        if not isinstance(name, Hashable):
            continue  # PyYAML says so itself
        if name in seen:
            raise RecipeError("RECIPE-002", f'line {key.start_mark.line + 1}: the key "{name}" occurs twice.')
        seen.add(name)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    found: int = yaml.SafeLoader.construct_yaml_int(loader, node)
    if found.bit_length() > MOST_BITS:
        raise RecipeError("RECIPE-117", f"line {node.start_mark.line + 1}: this number has too many digits.")
    return found


def _word(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if BREAKS & set(text) else None)


_Dumper.add_representer(str, _word)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+.0123456789"))
