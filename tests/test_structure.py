"""The pages that describe the tree, held against the tree."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "lightune"


def _tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a git checkout")
def test_the_structure_page_lists_every_file_as_it_describes_itself():
    structure = _tool("structure")
    assert structure.PAGE.read_text(encoding="utf-8") == structure.page(), "run: python tools/structure.py"
    assert [name for name in structure.tracked() if not structure.caption(name)] == []


def test_the_page_of_architectures_is_the_table_in_the_code():
    architectures = _tool("architectures")
    assert architectures.PAGE.read_text(encoding="utf-8") == architectures.page(), "run: python tools/architectures.py"


def test_the_page_of_methods_is_what_their_tests_gave():
    methods = _tool("methods")
    assert methods.PAGE.read_text(encoding="utf-8") == methods.page(), "run: python tools/methods.py --page"


def test_the_readme_shows_the_package_as_it_is():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.split("## The tree", 1)[1].split("```text", 1)[1].split("```", 1)[0]
    shown = re.findall(r"^  (\S+)\s{2,}\S", tree, flags=re.MULTILINE)
    there = {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    there |= {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert sorted(shown) == sorted(there)


def test_every_decision_has_a_date_and_a_status():
    """Right under its title; one that is superseded or extended names the other, which is there."""
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    form = r"# (\d+)\. .+\n\nDate: (\d{4}-\d\d-\d\d)\. Status: (accepted|superseded by \[ADR \d+\]\(.+\)).*\.\n\n"
    found = [re.match(form, path.read_text(encoding="utf-8")) for path in decisions]
    assert [path.name for path, match in zip(decisions, found, strict=True) if match is None] == []
    assert [int(match[1]) for match in found] == list(range(1, len(decisions) + 1))
    dates = [date.fromisoformat(match[2]) for match in found]
    assert dates == sorted(dates)


def test_links_in_the_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_imports_go_downward():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_modules_stay_small():
    """Counted by path: many folders have an __init__.py, a base.py or a check.py."""
    files = list(PACKAGE.rglob("*.py"))
    sizes = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(sizes) == len(files)
    assert {name: lines for name, lines in sizes.items() if lines > 300} == {}
