"""The table of cases: inputs on which lightune once went wrong, as the marker `case` on their tests describes them.

`pytest -m case --cases` runs them all and prints: what was given, what came of it before, what comes of it now, why
that is right, and whether the test passed.
"""

from __future__ import annotations

from typing import Any

import pytest

COLUMNS = ("given", "before", "now", "why")


def case(given: str, before: str, now: str, why: str) -> pytest.MarkDecorator:
    """Return the mark of a test (or of one of its parameters) that tells of a case."""
    return pytest.mark.case(given=given, before=before, now=now, why=why)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that prints the table."""
    parser.addoption("--cases", action="store_true", help="print the table of cases after the tests (with -m case)")


def note_cases(items: list[pytest.Item]) -> None:
    """Let the report of each test carry its case, from whichever process it comes."""
    for item in items:
        for mark in item.iter_markers("case"):
            item.user_properties.append(("case", mark.kwargs))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table in Markdown, in the order of the tests, with what came of each."""
    if not config.getoption("cases"):
        return
    found = [
        (report.nodeid, value, "passed" if report.passed else "FAILED")
        for kind in ("passed", "failed")
        for report in terminalreporter.stats.get(kind, [])
        for name, value in report.user_properties
        if name == "case"
    ]
    write = terminalreporter.write_line
    write(f"\n| # | {' | '.join(COLUMNS)} | test |\n|{' --- |' * (len(COLUMNS) + 2)}")
    for number, (_, told, outcome) in enumerate(sorted(found, key=lambda row: row[0]), 1):
        cells = [" ".join(str(told[name]).split()).replace("|", "\\|") for name in COLUMNS]
        write(f"| {number} | {' | '.join(cells)} | {outcome} |")
