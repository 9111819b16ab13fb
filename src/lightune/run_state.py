"""What a run that is under way depends on, beside its checkpoints: written when it begins, compared when it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lightune.bounded import read_json
from lightune.durable import write_file
from lightune.errors import ArtifactError
from lightune.links import require_own_files
from lightune.run_folder import STATE_FILE
from lightune.safe_files import json_bytes

FORMAT_VERSION = 1
# Of these packages another version may compute something else.
MATTER = ("lightune", "torch", "transformers", "peft", "accelerate", "tokenizers")
# What another value of changes only the last bits.
BITS = ("cpu", "cpu_capability", "threads")


@dataclass(frozen=True)
class RunState:
    """The recipe with everything settled, what it is about, and where it was started.

    `base` and `data` are SHA-256 sums; `machine` is a part of environment.json. The file is in the unfinished folder
    only, so that no finished run holds a path of this disk.
    """

    recipe: dict[str, Any]
    data: str
    base: str
    versions: dict[str, str]
    machine: dict[str, Any]
    working_directory: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, recipe: dict[str, Any], data: str, base: str, environment: Mapping[str, Any], notes: Sequence[str]
    ) -> RunState:
        """Return the state of a run that begins in the current folder; `environment` is that of environment.json."""
        versions = {name: environment["versions"][name] for name in MATTER if name in environment["versions"]}
        machine = {name: environment.get(name) for name in ("device", *BITS)}
        return cls(recipe, data, base, versions, machine, str(Path.cwd()), tuple(notes))

    def write(self, folder: Path) -> None:
        """Write it into the unfinished folder."""
        write_file(folder / STATE_FILE, json_bytes({"format_version": FORMAT_VERSION, **asdict(self)}))


def read_state(folder: Path) -> RunState:
    """Read the state of an unfinished run; ArtifactError where it is not there or damaged."""
    path = folder / STATE_FILE
    hint = f"Remove {folder} and run again."
    require_own_files(folder, STATE_FILE)
    if not path.is_file():
        raise ArtifactError("ARTIFACT-049", f"{folder}: nothing in it says what was run ({STATE_FILE}).", hint)
    try:
        found = read_json(path)
        if found.pop("format_version") != FORMAT_VERSION:
            raise ValueError("another version of lightune wrote it")
        state = TypeAdapter(RunState).validate_json(json.dumps(found), strict=True)
        if set(found) != {one.name for one in fields(RunState)} or set(state.machine) != {"device", *BITS}:
            raise ValueError("missing or unknown names")
        return state
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError("ARTIFACT-049", f"{path}: this file is damaged ({error}).", hint) from error


def require_same(then: RunState, now: RunState) -> list[str]:
    """Return notes on what changes only the last bits; ArtifactError with the difference where more has changed."""
    found = [*_differences("recipe", then.recipe, now.recipe), *_differences("", then.versions, now.versions)]
    found += _differences("", {"device": then.machine["device"]}, {"device": now.machine["device"]})
    for what, one, other in (("data", then.data, now.data), ("base model", then.base, now.base)):
        found += [f"{what}: not the same bytes (sha256 {one[:12]} then, {other[:12]} now)"] if one != other else []
    if found:
        message = "the run cannot go on, because what it depends on has changed:\n  " + "\n  ".join(found)
        raise ArtifactError("ARTIFACT-050", message, "Restore what changed; or run again, with another --output.")
    machines = ({name: one.machine[name] for name in BITS} for one in (then, now))
    bits = list(_differences("", *machines))
    return [f"The last bits may differ from an uninterrupted run: {'; '.join(bits)}."] if bits else []


def _differences(path: str, then: Any, now: Any) -> Iterator[str]:
    """Yield each value that differs, with its path."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted({*then, *now}):
            yield from _differences(f"{path}.{name}" if path else name, then.get(name), now.get(name))
    elif then != now:
        yield f"{path}: {json.dumps(then)} then, {json.dumps(now)} now"
