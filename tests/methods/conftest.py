"""Makes the cases of the contract, and writes down, when asked, what came of them.

pytest tests/methods/test_contract.py -m "long or not long" --record-support FILE
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lightune.errors import RecipeError
from lightune.methods.support import support
from lightune.models.architectures import ARCHITECTURES
from method_cases import SPECS, Case, Load, Spec, make_case

OUTCOMES = pytest.StashKey[dict[str, dict[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the table of methods and architectures."""
    parser.addoption("--record-support", type=Path, help="write which method works on which architecture, and why not")


def _param(spec: Spec) -> Any:
    return pytest.param(spec, marks=[] if spec.is_by_default else pytest.mark.long, id=str(spec))


@pytest.fixture(scope="module", params=[_param(spec) for spec in SPECS])
def case(request: pytest.FixtureRequest, load_lively: Load) -> Case:
    """One case; where the table says that the method is refused, the reason must be the one that stands there."""
    spec: Spec = request.param
    is_recording = request.config.getoption("--record-support") is not None
    wanted = support().get(spec.name, {}).get(spec.architecture) if not is_recording else None
    try:
        made = make_case(spec, load_lively)
    except RecipeError as error:
        made, reason = None, error.message
    if made is None:
        if is_recording and not spec.options:
            request.config.stash.setdefault(OUTCOMES, {}).setdefault(spec.name, {})[spec.architecture] = reason
        elif not is_recording:
            assert wanted == reason, f"the table of methods has another reason: {wanted}"
        pytest.skip(reason)
    assert not wanted, f"the table says that it is refused: {wanted}"
    return made


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Note a case without options as working unless one of its tests fails."""
    callspec = getattr(item, "callspec", None)
    spec = callspec.params.get("case") if callspec else None
    if not isinstance(spec, Spec) or spec.options or call.when == "teardown":
        return
    row = item.config.stash.setdefault(OUTCOMES, {}).setdefault(spec.name, {})
    if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        row[spec.architecture] = f"its contract test fails: {item.originalname}"
    else:
        row.setdefault(spec.architecture, "")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the outcomes where they were asked for."""
    path = session.config.getoption("--record-support")
    if path is not None:
        got = session.config.stash.get(OUTCOMES, {})
        found = {name: {kind: got[name][kind] for kind in ARCHITECTURES if kind in got[name]} for name in got}
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")
