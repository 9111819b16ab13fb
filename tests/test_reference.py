"""The pages of docs/reference/ are those that the source gives, and name every code that the source has."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lightune.recipe import Recipe, TrainingBlock
from lightune.record import RunRecord

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
PAGES = ROOT / "docs" / "reference"
SOURCE = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
# Raised for texts to classify and for stored runs, not for labelled data.
ELSEWHERE = {"DATA-040", "DATA-041", "DATA-042", "DATA-043", "DATA-050"}


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The tool, with the folder of tools on the path as when it is run."""
    sys.path.insert(0, str(TOOLS))
    spec = importlib.util.spec_from_file_location("reference", TOOLS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(TOOLS))
    return module


def _page(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def test_the_pages_are_current(reference: ModuleType) -> None:
    made = reference.pages()
    assert sorted(path.name for path in PAGES.iterdir()) == sorted(made)
    for name, text in made.items():
        assert _page(name) == text, "run: python tools/reference.py"


def test_every_code_of_data_has_its_rule() -> None:
    raised = set(re.findall(r'"(DATA-\d{3})"', SOURCE)) - ELSEWHERE
    assert re.findall(r"^\| (DATA-\d{3}) \|", _page("data_rules.md"), re.MULTILINE) == sorted(raised)


def test_every_code_that_the_source_writes_is_listed_with_words() -> None:
    written = set(re.findall(r'"((?:ARTIFACT|DATA|DISK|HUB|MEMORY|RANK|RECIPE|RUN|TRAIN)-\d{3})\b', SOURCE))
    rows = re.findall(r"^\| ([A-Z]+-\d{3}) \| (.+?) \|", _page("error_codes.md"), re.MULTILINE)
    assert {code for code, _ in rows} == written
    assert [code for code, words in rows if len(words.split()) < 2] == []
    # Words, advice and file of one that anybody may check in src/lightune/data/tables.py.
    assert "| DATA-001 | there is no such file | Check the path. | `data/tables.py` |" in _page("error_codes.md")


def test_words_are_those_above_the_line_that_raises_them(reference: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "WAY = 'Go.'\n\n\ndef find(name, size):\n"
        "    message = f'no {name}'\n    if size:\n        raise RecipeError('RECIPE-001', message, WAY)\n"
        "    message = f'{len(name)} is {size.unit}' + '.'\n    raise RecipeError('RECIPE-002', message)\n",
        encoding="utf-8",
    )
    found = [(site.code, site.words, site.advice) for site in reference.sites(tmp_path)]
    assert found == [("RECIPE-001", "no {name}", "Go."), ("RECIPE-002", "{...} is {unit}.", "")]


def test_every_key_and_every_field_is_listed() -> None:
    keys = set(re.findall(r"^\| `([\w.]+)` \|", _page("recipe.md"), re.MULTILINE))
    assert {f"training.{name}" for name in TrainingBlock.model_fields} <= keys
    assert set(Recipe.model_fields) - {"data", "method", "training", "evaluation"} <= keys
    assert "| `training.seed` | whole number from 0 below 4294967296 | `42` | `--seed` |" in _page("recipe.md")
    fields = set(re.findall(r"^\| `(\w+)` \|", _page("results_json.md"), re.MULTILINE))
    assert set(RunRecord.model_fields) <= fields


def test_every_key_says_what_it_means() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| (.*?) \|$", _page("recipe.md"), re.MULTILINE)
    assert [key for key, meaning in rows if not meaning.strip()] == []
