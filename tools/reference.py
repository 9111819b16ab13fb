"""Write the pages of docs/reference/ from the source: recipe keys, data rules, error codes, results.json.

python tools/reference.py            # writes the pages
python tools/reference.py --check    # says whether they are up to date (exit status 1 if not)
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import lightune
from lightune import errors, measured
from lightune.data import csv_file, json_file, jsonl_file, names, scan, separators, sources, split, tables, text_file
from lightune.measured import Measured, Section
from lightune.recipe import DataBlock, EvaluationBlock, Files, MethodBlock, Recipe, TrainingBlock
from lightune.recipes.compose import FLAGS
from lightune.record import RunRecord
from lightune.sections import Cost
from lightune.tasks import TASKS

sys.path.insert(0, str(Path(__file__).parent))
from data_codes import FAULTS, WARNINGS
from error_sites import FILLED, Site, codes, sites
from reference_words import row, values

PACKAGE = Path(lightune.__file__).parent
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "Made by `python tools/reference.py` from {}."
BLOCKS = {"": Recipe, "data": DataBlock, "data.source": Files, "method": MethodBlock, "training": TrainingBlock,
          "evaluation": EvaluationBlock}  # fmt: skip
RECIPE_HEAD = """# Recipe keys

{made}

A recipe is a YAML file; `lightune recipes quickstart > my.yaml` writes one with every default. On the command line each
key is `--set KEY=VALUE`, the frequent ones are flags, and in Python they are arguments:
`lightune.Recipe(training={{"seed": 7}})`. An unknown key is an error.
"""
RESULTS_HEAD = """# results.json

{made}

`results.json` of a run folder holds the whole run; `lightune run --json` prints it, and in Python it is the record that
`lightune.run` returns. All reports come from it.
"""
ERRORS_HEAD = """# Error codes and exit statuses

{made}

An error is printed on stderr as its code, what is wrong and where, and what to do next; in Python it is a
`lightune.LightuneError` with `code`, `message` and `hint`. In the words below {{name}} stands for what is filled in. A
code keeps its meaning.

| status | meaning | codes |
| --- | --- | --- |
| 0 | Done; of `check`: the data can be used | |
| 1 | A bug of lightune, or of another package | BUG-001, PLUGIN-001 |"""
RULES_HEAD = """# Data rules

{made}

[own_data.md](../own_data.md) explains what these rules are for.

## Names and limits

| what | rule |
| --- | --- |"""
PREFIXES = {"ARTIFACT": errors.ArtifactError, "DATA": errors.DataError, "DISK": errors.ResourceError,
            "HUB": errors.HubError, "MEMORY": errors.ResourceError, "RANK": errors.ResourceError,
            "RECIPE": errors.RecipeError, "RUN": errors.InterruptedRunError,
            "TRAIN": errors.TrainingDivergedError}  # fmt: skip


def pages() -> dict[str, str]:
    """Return each page by its name."""
    made = {"recipe": recipe(), "data_rules": data_rules(), "error_codes": error_codes(), "results_json": results()}
    return {f"{name}.md": "\n".join(lines).rstrip() + "\n" for name, lines in made.items()}


def recipe() -> list[str]:
    """Return every key of a recipe: its values, its default, the flag that sets it, and its comment in the source."""
    lines = RECIPE_HEAD.format(made=MADE.format("[recipe.py](../../src/lightune/recipe.py)")).splitlines()
    flags = {key: f"`--{flag.replace('_', '-')}`" for flag, key in FLAGS.items()}
    for block, kind in BLOCKS.items():
        lines += ["", f"## {block or 'The run'}", "", *_documented(kind), ""]
        lines += ["| key | values | default | flag | meaning |", "| --- | --- | --- | --- | --- |"]
        remarks = comments(kind)
        for name, schema in kind.model_json_schema()["properties"].items():
            key = f"{block}.{name}".strip(".")
            if key in BLOCKS and name != "source":
                continue
            meaning = remarks.get(name, "").replace("None:", "null:")
            lines.append(row(f"`{key}`", values(schema), _default(kind, name), flags.get(key, ""), meaning))
    return lines


def _default(kind: type[BaseModel], name: str) -> str:
    """Return a default as YAML has it; nothing where the key has to be given."""
    field = kind.model_fields[name]
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    return f"`{value}`" if value and isinstance(value, str) else f"`{json.dumps(value)}`"


def comments(kind: type[BaseModel]) -> dict[str, str]:
    """Return the comment behind each field in the source."""
    source = inspect.getsource(kind)
    lines, found = source.splitlines(), {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said = [line.partition("  # ")[2] for line in lines[node.lineno - 1 : node.end_lineno]]
            found[node.target.id] = " ".join(filter(None, said))
    return found


def results() -> list[str]:
    """Return every part of results.json with the fields of each."""
    where = "[record.py](../../src/lightune/record.py) and [sections.py](../../src/lightune/sections.py)"
    of_metrics = inspect.getdoc(measured).split("\n\n", 1)[1].splitlines()
    lines = [*RESULTS_HEAD.format(made=MADE.format(where)).splitlines(), "", *_documented(Section), "",
             *_documented(Measured), "", *of_metrics, ""]  # fmt: skip
    for kind, places in _sections().items():
        lines += [f"## {kind.__name__}", "", f"At {', '.join(f'`{place}`' for place in places)}." if places[0] else
                  "The whole file.", "", *_documented(kind), "", "| field | values |", "| --- | --- |"]  # fmt: skip
        schema = kind.model_json_schema()
        own = schema.get("properties") or schema["$defs"][kind.__name__]["properties"]
        shown = {name: _linked(own[name]) for name in kind.model_fields if name in own}
        lines += [row(f"`{name}`", values(said)) for name, said in shown.items()]
        lines.append("")
    return lines


def _linked(schema: Any) -> Any:
    """Mark every reference to another part, so that it becomes a link."""
    if isinstance(schema, dict):
        marked = {key: _linked(value) for key, value in schema.items()}
        return {**marked, "linked": True} if "$ref" in schema else marked
    return [_linked(one) for one in schema] if isinstance(schema, list) else schema


def _sections() -> dict[type[Section], list[str]]:
    """Return the parts of a record, the outer ones first, each with the places where it stands."""
    found: dict[type[Section], list[str]] = defaultdict(list)
    waiting: list[tuple[type[Section], str]] = [(RunRecord, "")]
    while waiting:
        kind, place = waiting.pop(0)
        if place in found[kind]:
            continue
        found[kind].append(place)
        for name, field in kind.model_fields.items():
            for inner, below in _inside(field.annotation):
                waiting.append((inner, f"{place}.{name}{below}".strip(".")))
    return dict(found)


def _inside(annotation: Any) -> Iterator[tuple[type[Section], str]]:
    """Yield the parts that an annotation names, and how they are reached: "[]" in a list, ".NAME" in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation, ""
        return
    below = {list: "[]", dict: ".NAME"}.get(getattr(annotation, "__origin__", None), "")
    for part in getattr(annotation, "__args__", ()):
        yield from ((kind, below + deeper) for kind, deeper in _inside(part))


def _documented(kind: type) -> list[str]:
    """Return a class's docstring, and for a measured part what its bases say."""
    own = (inspect.getdoc(kind) or "").splitlines() if kind.__doc__ else []
    bases = [base for base in (Cost,) if issubclass(kind, base) and kind is not base]
    return [*own, *(line for base in bases for line in ("", *(inspect.getdoc(base) or "").splitlines()))]


def error_codes() -> list[str]:
    """Return every error by its exit status: code, words, advice, and the file that raises it."""
    lines = ERRORS_HEAD.format(made=MADE.format("the calls that raise them")).splitlines()
    for kind in dict.fromkeys(sorted(PREFIXES.values(), key=lambda kind: kind.exit_code)):
        prefixes = ", ".join(f"[{one}](#{one.lower()})" for one in PREFIXES if PREFIXES[one] is kind)
        lines.append(row(str(kind.exit_code), _first(kind), prefixes))
    lines += [row("143", "SIGTERM, outside of training", ""), ""]
    found = _with_rules(sites(PACKAGE))
    for prefix, kind in PREFIXES.items():
        about = " What to do about each of them is in [data_rules.md](data_rules.md)." if prefix == "DATA" else ""
        lines += [f"## {prefix}", "", f"Exit status {kind.exit_code}. {_first(kind)}.{about}", "",
                  "| code | what is said | what to do | raised in |", "| --- | --- | --- | --- |"]  # fmt: skip
        lines += [*_told(site for site in found if site.code.startswith(f"{prefix}-")), ""]
    return lines


def _with_rules(found: list[Site]) -> list[Site]:
    """Give the words of tools/data_codes.py to codes that are nowhere written beside words of their own."""
    rules = {code: (words, advice) for code, words, advice in (*FAULTS, *WARNINGS)}
    spoken = [site for site in found if site.words.strip(".") not in ("", FILLED.strip("."))]
    known = {site.code for site in spoken}
    about = {site.code: site for site in found}
    for code in set(codes(PACKAGE)) - known:
        site, prefix = about.get(code), code.partition("-")[0]
        advice = site.advice if site else ""
        words, said = rules.get(code) or (_first(PREFIXES[prefix]) if prefix in PREFIXES else "", advice)
        spoken.append(Site(code, "", words, said, site.file if site else ""))
    return sorted(spoken, key=lambda site: site.code)


def _told(found: Iterable[Site]) -> list[str]:
    """Return a row for each code and its words, with every file that says so."""
    files: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for site in found:
        said = (site.code, site.words.rstrip("."), site.advice)
        if site.file not in files[said]:
            files[said].append(site.file)
    return [row(*said, ", ".join(f"`{file}`" for file in where if file)) for said, where in files.items()]


def _first(kind: type) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0].rstrip(".")


def data_rules() -> list[str]:
    """Return the names that are looked for, the limits, and every code of data."""
    made = MADE.format("the tables of src/lightune/data and tools/data_codes.py")
    lines = [*RULES_HEAD.format(made=made).splitlines(), *_names(), *_limits(), ""]
    for title, about, found in (("Faults", "Any of these makes the data unusable (status 3).", FAULTS),
                                ("Warnings", "The data can be used.", WARNINGS)):  # fmt: skip
        lines += [f"## {title}", "", about, "", "| code | what is wrong | what to do |", "| --- | --- | --- |"]
        lines += [row(*cells) for cells in found] + [""]
    return lines


def _names() -> list[str]:
    """Return the endings of files, and the names of splits and columns that are looked for."""
    known = [kind for _, kind in TASKS.items() if kind.__module__.startswith("lightune.")]
    endings = f"{_coded(tables.READERS)}; text files also packed, with `{text_file.PACKED}` behind it"
    pairs = ", ".join(f"`{one}` and `{two}`" for one, two in names.PAIR_NAMES)
    return [
        row("endings of files", endings),
        row("of those that are read in a folder", _coded(sources.IN_FOLDERS)),
        *(row(f"names of the {name} split", _coded(said)) for name, said in sources.SPLITS.items()),
        row("separators", ", ".join(f"{said} (`{_visible(mark)}`)" for mark, said in separators.MARKS.items())),
        row("names of the text, the first that exists", _coded(names.TEXT_NAMES)),
        row("names of a pair of texts", pairs),
        row("a title, and the text below it", f"{_coded(names.HEADING_NAMES)}; {_coded(names.HEADED_NAMES)}"),
        *(row(f"names of the label, task {kind.name}", _coded(kind.label_columns)) for kind in known),
    ]


def _limits() -> list[str]:
    """Return the sizes at which something is refused, cut or said."""
    share = f"{split.HELD_OUT_SHARE:.0%}"
    return [
        row("held out without a file", f"{share} of the training rows for the test, then {share} for validation"),
        row("largest .json file", f"{json_file.MOST_BYTES / 1e9:g} GB"),
        row("largest packed file", f"{text_file.MOST_UNPACKED / 1e9:g} GB unpacked"),
        row("most keys in a .jsonl file", f"{jsonl_file.MOST_COLUMNS:,}"),
        row("faults after which reading stops", f"{csv_file.MOST_FAULTS:,}"),
        row("a text that is called long", f"more than {scan.LONG_TEXT:,} characters"),
    ]


def _coded(found: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in found)


def _visible(mark: str) -> str:
    return {"\t": "\\t"}.get(mark, mark)


def main() -> int:
    """Write the pages, or check them."""
    for name, text in pages().items():
        path = FOLDER / name
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
