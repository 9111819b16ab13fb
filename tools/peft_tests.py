"""Run PEFT's own tests on our two tuners, with LoRA as the control, and print what came of them by cause.

git clone https://github.com/huggingface/peft          # or any folder that has PEFT's tests in `tests`
python tools/peft_tests.py peft                         # LoRA, then prefixes, then adapter layers: about half an hour
python tools/peft_tests.py peft --only "prefix apart"   # LoRA and one of ours
python tools/peft_tests.py peft --json results.json     # each test's outcome as well

The tests are tests/testing_common.py on tiny DistilBERT, BERT, RoBERTa, GPT-2, Llama and T5's encoder, and
tests/test_custom_models.py on the same and on PEFT's own small networks. They run in a temporary folder. What is asked
of a tuner is what LoRA passes, except merging, and an identity at the start where the chosen start is none.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PASSED, SKIPPED = "passed", "skipped by PEFT"
EXPECTED = ("LoRA does not pass it either", "cannot be merged", "starts changed, as chosen")
# Tests that expect an adapter to start unchanged.
IDENTITY = ("test_disable_adapters", "test_disable_adapters_with_merging")

Outcomes = dict[str, dict[str, str]]


class Collector:
    """Chooses the tests, and keeps for each adapter what came of each of them."""

    def __init__(self, variants: list[str]) -> None:
        """Begin with nothing."""
        self.variants = variants
        self.outcomes: Outcomes = {variant: {} for variant in variants}
        self._known: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep the tests that are about LoRA or ours."""
        cases: Any = sys.modules["peft_test_cases"]
        for item in items:
            found = cases.variant_and_case(item.callspec.params) if hasattr(item, "callspec") else None
            if found is not None and found[0] in self.variants:
                self._known[item.nodeid] = (found[0], f"{item.originalname} {found[1]}")
        items[:] = [item for item in items if item.nodeid in self._known]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        """Keep the outcome of a test: passed, skipped, or the message of its failure."""
        report = yield
        variant, test = self._known[item.nodeid]
        if report.failed:
            error = call.excinfo and call.excinfo.value
            said = f"{type(error).__name__}: {error}" if error else str(report.longrepr)  # one that should have failed
            self.outcomes[variant].setdefault(test, next(iter(said.strip().splitlines()), ""))
        elif report.skipped:
            self.outcomes[variant][test] = SKIPPED
        elif report.when == "call":
            self.outcomes[variant][test] = PASSED
        return report


def cause(variant: str, test: str, outcome: str, control: str | None) -> str:
    """Return why a test did not pass, in words that many tests share."""
    if outcome in (PASSED, SKIPPED):
        return outcome
    if control != PASSED:
        return EXPECTED[0]
    if "cannot be merged" in outcome or ("merge" in test and "NotImplementedError" in outcome):
        return EXPECTED[1]
    if variant == "prefix prepended" and test.split()[0] in IDENTITY:
        return EXPECTED[2]
    return re.sub(rf"0x[0-9a-f]+|{re.escape(tempfile.gettempdir())}\S*", "...", outcome)[:110]


def table(outcomes: Outcomes) -> str:
    """Return a Markdown table: a row for each cause, a column for each adapter."""
    control = outcomes["lora"]
    counted = {
        variant: Counter(cause(variant, test, outcome, control.get(test)) for test, outcome in tests.items())
        for variant, tests in outcomes.items()
    }
    seen = Counter[str]()
    for counts in counted.values():
        seen += counts
    first = [PASSED, SKIPPED, *EXPECTED]
    causes = first + [name for name, _ in seen.most_common() if name not in first]
    rows = [["", *counted], ["---", *["---"] * len(counted)]]
    rows += [[name.replace("|", "/"), *(str(counts[name]) for counts in counted.values())] for name in causes]
    rows.append(["tests", *(str(len(tests)) for tests in outcomes.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def missing(outcomes: Outcomes) -> list[str]:
    """Return the tests that LoRA passes and one of ours should have passed."""
    control, fine = outcomes["lora"], {PASSED, SKIPPED, *EXPECTED}
    return [
        f"{variant}: {test}: {outcome}"
        for variant, tests in outcomes.items()
        for test, outcome in tests.items()
        if control.get(test) == PASSED and cause(variant, test, outcome, PASSED) not in fine
    ]


def run_tests(sources: Path, variants: list[str], chosen: str | None) -> Outcomes:
    """Run the tests in a temporary folder."""
    collector = Collector(variants)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"PEFT_SOURCES": str(sources), "PEFT_MODELS": folder, "HF_HUB_OFFLINE": "1"}
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        sys.path.insert(0, str(HERE))
        import peft_test_cases

        peft_test_cases.save_models()
        os.chdir(folder)
        arguments = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-c", "pytest.ini",
                     "--basetemp", str(Path(folder) / "pytest"), str(HERE / "peft_test_cases.py")]  # fmt: skip
        pytest.main([*arguments, *(["-k", chosen] if chosen else [])], plugins=[collector])
    return collector.outcomes


def main() -> int:
    """Run the tests that the command line asks for; 1 when one of ours lacks what LoRA passes."""
    variants = ("prefix apart", "prefix gated", "prefix prepended", "bottleneck after", "bottleneck beside")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="a folder with PEFT's tests in its folder `tests`")
    parser.add_argument("--only", action="append", choices=variants, help="one of ours; may be given more than once")
    parser.add_argument("-k", dest="chosen", help="only tests whose names match, as pytest's -k")
    parser.add_argument("--json", type=Path, help="write each test's outcome to this file")
    given = parser.parse_args()
    sources, target = given.sources.resolve(), given.json and given.json.resolve()
    if not (sources / "tests" / "testing_common.py").is_file():
        parser.error(f"{sources} has no tests/testing_common.py: give a folder with PEFT's sources.")
    outcomes = run_tests(sources, ["lora", *(given.only or variants)], given.chosen)
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
    print(table(outcomes))
    lacking = missing(outcomes)
    print(*lacking, sep="\n")
    return int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
