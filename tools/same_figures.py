"""Whether two run folders hold exactly the same results: tensors, figures and predictions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path
from typing import Any

# Figures that are not results, or that differ between two runs of the same tree, by the rule that leaves them out. A
# pattern is matched with a figure's own key or, if it has a dot, with the whole path. Left-out keys must still exist.
LEFT_OUT = {
    "time": ("runtime", "*latency_*"),
    "rate": ("*_per_second",),
    "memory": ("*memory*", "peak_*"),
    "versions": ("environment.versions.*", "environment.commit"),
    "timings of the precision probe": ("environment.precision.*.why",),
    "sentences": ("notes.*", "environment.cache_frozen.reason"),
    # A base model is recorded by name since format 2 of an adapter, before that by its path; its hash is compared.
    "paths and the form of files": ("run_folder", "base_model", "format_version", "schema_version"),
}
# Lists that PEFT makes of sets, whose order differs from process to process.
SETS = ("target_modules", "exclude_modules", "modules_to_save")


@dataclass
class Found:
    """How many things were compared, and a sentence for each that differs."""

    compared: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, other: Found, where: str = "") -> None:
        """Add another comparison, with its differences under the name of their place."""
        self.compared += other.compared
        self.differences += [f"{where}{difference}" for difference in other.differences]

    def __str__(self) -> str:
        """Return a short cell of the table."""
        if not self.differences:
            return f"same ({self.compared})"
        more = f", {len(self.differences) - 1} more" if len(self.differences) > 1 else ""
        first = self.differences[0]
        return f"DIFFERENT {first if len(first) <= 70 else first[:67] + '...'}{more}"


def compare_adapters(old: Path, new: Path) -> Found:
    """Compare two safetensors files byte for byte; if they differ, name the tensor with the largest difference."""
    from safetensors.torch import load_file

    missing = [f"no {path}" for path in (old, new) if not path.is_file()]
    if missing:
        return Found(0, missing)
    ours, theirs = load_file(old), load_file(new)
    found = Found(len(ours))
    if old.read_bytes() == new.read_bytes():
        return found
    names = sorted(set(ours) ^ set(theirs))
    found.differences = [f"at {name}, which only the {'old' if name in ours else 'new'} has" for name in names]
    changed = [(_distance(ours[name], theirs[name]), name) for name in sorted(set(ours) & set(theirs))]
    found.differences += [f"at {name}, up to {size:.2g}" for size, name in sorted(changed, reverse=True) if size]
    found.differences = found.differences or ["in the file's header: every tensor is the same"]
    return found


def _distance(one: Any, other: Any) -> float:
    """Return the largest difference of two tensors: infinite for another shape or type, or if one holds NaN."""
    import torch

    if one.dtype != other.dtype or one.shape != other.shape:
        return float("inf")
    if torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8)):
        return 0.0
    largest = float((one.double() - other.double()).abs().max())
    return largest if largest > 0 else float("inf")  # NaN, or zeros of either sign


def compare_json(old: Any, new: Any, added: Sequence[str] = ()) -> Found:
    """Compare two JSON values leaf by leaf: leaves equal as written, every old key still there, new ones allowed."""
    ours, theirs = flat(old), flat(new)
    found = Found(sum(not left_out(path) for path in ours))
    for path, value in ours.items():
        if path not in theirs:
            found.differences.append(f"{path} is missing")
        elif not left_out(path) and _written(value) != _written(theirs[path]):
            found.differences.append(f"{path} {_short(value)} -> {_short(theirs[path])}")
    extra = [path for path in theirs if path not in ours and not is_allowed(path, added)]
    found.differences += [f"{path} is new (--added would allow it)" for path in extra]
    return found


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a JSON value by their dotted paths; an empty list or mapping is a leaf."""
    if isinstance(value, list) and path.rpartition(".")[2] in SETS:
        value = sorted(value, key=_written)
    if not value or not isinstance(value, dict | list):
        return {path: value}
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    leaves: dict[str, Any] = {}
    for key, part in items:
        leaves |= flat(part, f"{path}.{key}" if path else str(key))
    return leaves


def left_out(path: str) -> bool:
    """Say whether a figure is one that differs from run to run."""
    patterns = (pattern for rule in LEFT_OUT.values() for pattern in rule)
    return any(fnmatchcase(path if "." in pattern else path.rpartition(".")[2], pattern) for pattern in patterns)


def is_allowed(path: str, added: Sequence[str]) -> bool:
    """Say whether a new key, or a key above it, matches one of the patterns of --added."""
    parts = path.split(".")
    above = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(fnmatchcase(name, pattern) for name in above for pattern in added)


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    text = _written(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def compare_figures(old: Path, new: Path, added: Sequence[str] = ()) -> Found:
    """Compare results.json, metrics.jsonl and the adapter's two configurations of two run folders."""
    found = Found()
    for name in ("results.json", "metrics.jsonl", "adapter/adapter_config.json", "adapter/lightune.json"):
        ours, theirs = (_read(folder / name) for folder in (old, new))
        where = "" if name == "results.json" else f"{Path(name).name}: "
        if ours is None or theirs is None:
            both = ours is None and theirs is None and name.endswith("_config.json")  # not every adapter is PEFT's
            found.add(Found(0, [] if both else [f"{name} is missing"]))
        else:
            found.add(compare_json(ours, theirs, added), where)
    return found


def _read(path: Path) -> Any:
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return {f"line {number}": json.loads(line) for number, line in enumerate(text.splitlines(), start=1)}
    return json.loads(text)


def compare_texts(old: Path, new: Path) -> Found:
    """Compare two files as text, line by line."""
    if not (old.is_file() and new.is_file()):
        return Found(0, [f"{old.name} is missing"])
    # Bytes: reading as text would take \r\n for \n.
    ours, theirs = (path.read_bytes().split(b"\n") for path in (old, new))
    pairs = list(zip_longest(ours, theirs))
    return Found(len(ours), [f"in line {number}" for number, two in enumerate(pairs, start=1) if two[0] != two[1]])
