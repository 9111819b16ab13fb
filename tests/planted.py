"""Files with one fault each, and what `check` and `run` have to say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightune.cli.main import main

Row = tuple[Any, ...]
Content = bytes | Callable[[Path], None]


def csv(*rows: Row, header: str = "text,label", mark: str = ",") -> bytes:
    """Return the rows as they stand, quoted where they hold a comma."""
    cells = [[f'"{cell}"' if "," in str(cell) else str(cell) for cell in row] for row in rows]
    return "\n".join([header, *(mark.join(row) for row in cells), ""]).encode()


def tsv(*rows: Row, header: str = "text\tlabel") -> bytes:
    """Return the rows with tabs between their cells."""
    return "\n".join([header, *("\t".join(map(str, row)) for row in rows), ""]).encode()


def jsonl(*rows: dict[str, Any]) -> bytes:
    """Return one object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def records(*rows: Row, names: Sequence[str] = ("text", "label")) -> list[dict[str, Any]]:
    """Return rows as objects."""
    return [dict(zip(names, row, strict=True)) for row in rows]


def parquet(texts: list[str], labels: list[Any], names: Sequence[str] | None = None) -> Callable[[Path], None]:
    """Return what writes a Parquet file, with class names where these are given."""

    def write(path: Path) -> None:
        import datasets

        kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(names))} if names else None
        features = datasets.Features(kinds) if kinds else None
        datasets.Dataset.from_dict({"text": texts, "label": labels}, features=features).to_parquet(str(path))

    return write


NAMES = ("negative", "positive")
# Line 1 is the header; row n stands on line n + 1.
ROWS = [(f"a review with number {number}", NAMES[number % 2]) for number in range(1, 21)]
GOOD = csv(*ROWS)


@dataclass(frozen=True)
class Plant:
    """Files to write, further arguments, and what has to be said: code, place, and a word of the reason or remedy."""

    name: str
    code: str
    place: str
    word: str
    train: Content = GOOD
    more: dict[str, Content] = field(default_factory=dict)
    kind: str = "csv"
    arguments: tuple[str, ...] = ()

    def written(self, folder: Path) -> list[str]:
        """Write the files and return the arguments that name them."""
        given = list(self.arguments)
        for name, content in {f"train.{self.kind}": self.train, **self.more}.items():
            if callable(content):
                content(folder / name)
            else:
                (folder / name).write_bytes(content)
            given += [f"--{Path(name).stem}", name]
        return given

    def is_named_by_check(self, folder: Path, capsys: Any) -> None:
        """Expect `lightune check`, in this folder, to name code, place and word."""
        assert main(["check", *self.written(folder), "--json"]) == 3
        printed = capsys.readouterr()
        found = json.loads(printed.out)
        assert found["usable"] is False
        fitting = [fault for fault in found["faults"] if (fault["code"], fault["place"]) == (self.code, self.place)]
        assert any(self.word in f"{fault['text']} {fault['hint']}" for fault in fitting), found["faults"]
        assert all(fault["hint"] for fault in fitting)
        assert "Traceback" not in printed.err

    def is_refused_by_run(self, folder: Path, capsys: Any) -> None:
        """Expect `lightune run` to say the same before it reads a model, which is not there, and to leave nothing."""
        given = self.written(folder)
        before = sorted(folder.iterdir())
        assert main(["run", *given, "--model", "./no-such-model", "--output", "out"]) == 3
        printed = capsys.readouterr()
        said = " ".join(printed.err.split())
        assert self.code in said
        assert f"{self.place}: " in said
        assert self.word in said
        assert "Traceback" not in printed.err
        assert sorted(folder.iterdir()) == before
