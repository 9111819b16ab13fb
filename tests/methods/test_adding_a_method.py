"""The page on adding a method does what it says: its file and line, in a copy of the package, pass the contract."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "adding_a_method.md"


def blocks() -> list[str]:
    """The Python blocks of the page: the file, then the line."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.long  # tests/test_another_package.py has the same file in a package of its own
def test_the_method_of_the_page_passes_the_contract_untouched(tmp_path: Path) -> None:
    file, line = blocks()
    assert len(file.splitlines()) < 60
    assert len(line.splitlines()) == 1
    package = Path(shutil.copytree(ROOT / "src" / "lightune", tmp_path / "lightune"))
    (package / "methods" / "output_scale.py").write_text(file, encoding="utf-8")
    init = package / "methods" / "__init__.py"
    start = "from lightune.methods import "
    text = init.read_text(encoding="utf-8")
    init.write_text(text.replace(start, f"{line.strip()}  # noqa: F401\n{start}", 1), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(ROOT / "tests/methods/test_contract.py"),
               "-k", "output_scale"]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    said = found.stdout + found.stderr
    assert found.returncode == 0, said
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed.group(1)) > 60, said
    assert "skipped" not in said
