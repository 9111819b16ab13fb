"""The source reads and writes no pickle, evaluates nothing, and lets no library do so: read with ast, line by line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lightune
from lightune import recipe_yaml

PACKAGE = Path(lightune.__file__).parent
MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "runpy", "code"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {"torch.load", "torch.save", "np.load", "np.save", "np.savez", "numpy.load", "numpy.save", "pandas.read_pickle",
         "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "torch.jit.load", "torch.hub.load"}  # fmt: skip
FALSE_ONLY = {"trust_remote_code", "allow_pickle", "weights_only"}


def faults(tree: ast.AST) -> Iterator[str]:
    """Yield what a module does that may run code out of a file."""
    for node in ast.walk(tree):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"import {name}" for name in names if name.partition(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {one.arg: one.value for one in node.keywords}
            if called in BUILTINS | CALLS or (called == "yaml.load" and "Loader" not in given):
                yield f"{called}()"
            yield from (
                f"{name}={ast.unparse(value)}"
                for name, value in given.items()
                if name in FALSE_ONLY and not (isinstance(value, ast.Constant) and value.value is False)
            )


def test_the_checker_finds_what_it_is_for() -> None:
    bad = {
        "import pickle", "from joblib import load", "eval('1')", "torch.load(path)", "np.load(p, allow_pickle=True)",
        "yaml.load(text)", "f(trust_remote_code=True)", "f(trust_remote_code=asked)", "__import__('os')",
    }  # fmt: skip
    assert [line for line in sorted(bad) if not list(faults(ast.parse(line)))] == []
    assert list(faults(ast.parse("model.eval()\nyaml.load(text, Loader=Safe)\nf(trust_remote_code=False)"))) == []


@pytest.mark.guarantee("No pickle is read or written, and no code of a model or data set is run")
def test_nothing_in_the_source_runs_code_out_of_a_file(record_property: Any) -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    found = {
        str(path.relative_to(PACKAGE)): list(faults(ast.parse(path.read_text(encoding="utf-8")))) for path in files
    }
    assert {name: what for name, what in found.items() if what} == {}
    assert len(files) > 200
    record_property("figure", f"{len(files):,} modules, read line by line")


def test_recipes_are_read_by_a_loader_that_makes_nothing_but_plain_values() -> None:
    assert issubclass(recipe_yaml._Loader, yaml.SafeLoader)


def test_downloads_name_their_commit_and_bring_no_code() -> None:
    """A snapshot is asked for by its revision, and patterns of names say which files may come."""
    from lightune.models import hub

    tree = ast.parse(Path(hub.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and "snapshot_download" in ast.unparse(node)]
    given = {one.arg for node in calls for one in node.keywords}
    assert {"revision", "allow_patterns"} <= given
    patterns = (*hub.MODEL_FILES, *hub.CONFIG_FILES, *hub.ADAPTER_FILES, *hub.DATA_FILES)
    assert not [one for one in patterns if one.endswith((".py", ".bin", ".pt", ".pkl", ".ckpt", ".h5", "*"))]
