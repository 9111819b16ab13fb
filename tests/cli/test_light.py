"""What must be quick stays quick: nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from saved_adapters import make_adapter

HEAVY = ["torch", "transformers", "peft", "datasets", "accelerate", "sklearn", "scipy", "matplotlib"]


def _heavy_after(code: str) -> str:
    """Return which heavy modules a fresh process has loaded after the code; its own output goes to stderr."""
    script = f"""
import contextlib, sys
with contextlib.redirect_stdout(sys.stderr):
    {code}
print(*[name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy():
    assert _heavy_after("import lightune") == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["methods"],
        ["recipes"],
        ["recipes", "quickstart"],
        ["run", "--help"],
        ["push", "--help"],
    ],
)
def test_a_command_that_needs_no_model_loads_nothing_heavy(arguments):
    assert _heavy_after(f"from lightune.cli.main import main; assert main({arguments}) == 0") == ""


def test_a_text_is_answered_from_a_run_folder_without_anything_heavy(tiny_models, tmp_path):
    run = make_adapter(tiny_models["distilbert"], tmp_path / "adapter", "lora", ["no", "yes"])
    asked = ["predict", str(run), "a lovely film"]
    assert _heavy_after(f"from lightune.cli.main import main; assert main({asked}) == 0") == ""


def test_the_check_itself_would_notice():
    assert _heavy_after("import scipy") == "scipy"


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_answer_in_half_a_second(argument):
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lightune", argument], check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    assert min(taken) < 0.5
