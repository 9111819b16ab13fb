"""tools/peft_tests.py: which tests of PEFT are asked of our tuners, and how those that fail are counted."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "peft_tests.py"


def tool() -> Any:
    spec = spec_from_file_location("peft_tests_tool", TOOL)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_lora_passes_is_asked_except_merging_and_a_start_that_is_chosen() -> None:
    found = tool()
    lora = {"test_a bert": "passed", "test_b bert": "passed", "test_merge bert": "passed", "test_c bert": "KeyError: x",
            "test_disable_adapters bert": "passed"}  # fmt: skip
    own = {"test_a bert": "passed", "test_b bert": "ValueError: no at 0x7f", "test_c bert": "KeyError: y",
           "test_merge bert": "ValueError: it cannot be merged", "test_disable_adapters bert": "Error"}  # fmt: skip
    outcomes = {"lora": lora, "prefix apart": own, "prefix prepended": own}
    lacking = found.missing(outcomes)
    assert [line.split(": ")[:2] for line in lacking] == [
        ["prefix apart", "test_b bert"],
        ["prefix apart", "test_disable_adapters bert"],
        ["prefix prepended", "test_b bert"],
    ]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in found.table(outcomes).splitlines()]
    assert rows[0] == ["", "lora", "prefix apart", "prefix prepended"]
    counted = {row[0]: row[1:] for row in rows[2:]}
    assert counted["passed"] == ["4", "1", "1"]
    assert counted["cannot be merged"] == ["0", "1", "1"]
    assert counted["starts changed, as chosen"] == ["0", "0", "1"]
    assert counted["ValueError: no at ..."] == ["0", "1", "1"]
    assert counted["LoRA does not pass it either"] == ["1", "1", "1"]
    assert counted["tests"] == ["5", "5", "5"]


def test_a_folder_without_the_tests_is_refused(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["peft_tests.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        tool().main()
    assert "has no tests/testing_common.py" in capsys.readouterr().err
