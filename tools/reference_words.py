"""How the reference pages say things: a JSON schema in words, and a row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def values(schema: Mapping[str, Any]) -> str:
    """Return what a JSON schema allows, in words: "whole number from 1, or null"."""
    if "anyOf" in schema or "oneOf" in schema:
        return ", or ".join(dict.fromkeys(values(one) for one in schema.get("anyOf") or schema["oneOf"]))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if schema.get("linked") else "the keys below"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum") or [schema["const"]])
    kind = schema.get("type", "any")
    if kind == "array":
        items = schema.get("items") or next(iter(schema.get("prefixItems", ())), {})
        return f"list of {values(items)}" if items else "list"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"mapping of names to {values(inner)}" if isinstance(inner, dict) and inner else "mapping"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    return f"{words.get(kind, kind)}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    said = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}
    found = [words.format(f"{schema[key]:.10g}") for key, words in said.items() if key in schema]
    return f" {' '.join(found)}" if found else ""


def row(*cells: str) -> str:
    """Return a row of a table; a bar in a cell is escaped, and a line break is a space."""
    plain = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(plain)} |"
