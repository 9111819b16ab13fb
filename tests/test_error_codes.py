"""A code means one thing: each stands in one module, or is one of those that several raise for the same reason."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from collections import defaultdict
from pathlib import Path

import lightune
from lightune.data.encoding import NoTokensError
from lightune.errors import InterruptedRunError, LightuneError
from lightune.faults import Fault, FaultsError

PACKAGE = Path(lightune.__file__).parent
CODE = re.compile(r"(ARTIFACT|HUB|RECIPE)-\d{3}")  # of DATA codes docs/reference/data_rules.md says what each means
# What is wrong in all the places that raise the code.
SHARED = {
    "ARTIFACT-005": "lightune.json cannot be understood",
    "ARTIFACT-009": "there is no such folder",
    "ARTIFACT-031": "this is not a finished run folder",
    "ARTIFACT-034": "results.json is not the record of a run",
    "HUB-001": "the Hub cannot be reached",
    "HUB-002": "there is no such repository",
    "HUB-005": "this is no name of a repository",
    "HUB-006": "a transfer was cut off",
    "HUB-008": "the Hub does not accept the access token",
    "RECIPE-008": "the data are given twice",
    "RECIPE-010": "there is no such method, task or PEFT tuner",
    "RECIPE-012": "a method or task of another package cannot be used",
    "RECIPE-015": "the task has no such metric",
    "RECIPE-016": "the head cannot start from a linear model",
    "RECIPE-034": "the method cannot be attached to this model",
    "RECIPE-037": "the method cannot be set up from so few texts or steps",
    "RECIPE-047": "the tokenizer cannot be read",
    "RECIPE-048": "transformers has no sequence classifier of this architecture",
}


def test_no_code_means_two_things():
    places = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                places[node.value].add(path.relative_to(PACKAGE).as_posix())
    assert {code: sorted(where) for code, where in places.items() if len(where) > 1 and code not in SHARED} == {}
    assert [code for code in SHARED if len(places[code]) < 2] == [], "these are shared no longer"


def test_every_error_passes_from_one_process_to_another():
    """As multiprocessing and concurrent.futures pass it: with its code, what it says, and all that a kind adds."""
    fault = Fault("DATA-044", "row 3", "the text has no tokens", "Fix it.")
    errors = [
        InterruptedRunError("RUN-001", "stopped", "Go on.", signal_number=15),
        FaultsError("DATA-044", "row 3: no tokens", "Fix it.", [fault]),
        NoTokensError(4, "row 5"),
        *(
            kind("X-001", "what is wrong", "what to do")
            for kind in kinds(LightuneError)
            if kind.__init__ is LightuneError.__init__
        ),
    ]
    assert {type(error) for error in errors} == set(kinds(LightuneError))
    for error in errors:
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
            assert type(again) is type(error)
            assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def kinds(kind: type) -> list[type]:
    """A class and all below it, of this package."""
    below = [found for sub in kind.__subclasses__() if sub.__module__.startswith("lightune.") for found in kinds(sub)]
    return [kind, *below]
