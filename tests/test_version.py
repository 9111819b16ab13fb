"""The version: the package's, the newest of the changelog, and that of a wheel are one."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path

import lightune

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
GROUPS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # keepachangelog.com/en/1.1.0


def test_the_newest_heading_of_the_changelog_is_the_version_of_the_package():
    found = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", CHANGELOG, re.MULTILINE)
    assert found[0][0] == lightune.__version__
    assert [version for version, _ in found] == sorted((version for version, _ in found), key=_numbers, reverse=True)
    days = [date.fromisoformat(day) for _, day in found]
    assert days == sorted(days, reverse=True)


def test_the_changelog_has_the_form_that_tools_read():
    headings = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert [one for one in headings[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", one)] == []
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= GROUPS


def test_a_wheel_takes_its_version_from_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/lightune/__init__.py"


def test_continuous_integration_tries_the_wheel_without_the_source():
    assert "make wheel-test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "tools/wheel_test.py" in (ROOT / "Makefile").read_text(encoding="utf-8")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
