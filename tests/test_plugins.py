"""Methods of other packages: found by their entry points, listed, trained, reloaded; a broken one harms no other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightune.cli.main import main
from lightune.errors import RecipeError
from lightune.methods.base import Method
from lightune.methods.registry import _check
from lightune.registry import Registry
from tiny import sentences, write_csv

ROOT = Path(__file__).resolve().parent.parent
GROUP = "lightune.things"


def install(site: Path, package: str, points: dict[str, str], group: str = GROUP, **modules: str) -> None:
    """Write what `pip install` leaves of a package: its modules, and its entry points in a dist-info folder."""
    for name, code in modules.items():
        (site / f"{name}.py").write_text(code, encoding="utf-8")
    about = site / f"{package.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (about / "entry_points.txt").write_text(f"[{group}]\n{lines}", encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder from which modules are imported, and forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    """A table with one thing of its own, which modules can import as `host.THINGS`."""
    found: Registry[Any] = Registry("thing", entry_points=GROUP)
    found.register("own")("ours")
    monkeypatch.setitem(sys.modules, "host", SimpleNamespace(THINGS=found))
    return found


def test_an_entry_point_brings_an_object_or_a_module_that_registers_its_own(site: Path, things: Registry[Any]) -> None:
    install(site, "the-one", {"given": "one_mod:VALUE"}, one_mod="VALUE = 'an object'")
    two = "from host import THINGS\nTHINGS.register('first')(1)\nTHINGS.register('second')(2)"
    install(site, "the-two", {"whatever": "two_mod"}, two_mod=two)
    assert dict(things.items()) == {"own": "ours", "given": "an object", "first": 1, "second": 2}
    assert [things.package(name) for name in things] == ["", "the-one", "the-two", "the-two"]
    assert things.broken() == []


def test_an_object_that_its_module_registers_too_is_one_object(site: Path, things: Registry[Any]) -> None:
    code = "from host import THINGS\n@THINGS.register('both')\nclass Both: pass"
    install(site, "the-one", {"both": "both_mod:Both"}, both_mod=code)
    assert things["both"].__name__ == "Both"
    assert things.broken() == []


def test_nothing_of_a_plugin_is_imported_before_the_table_is_read(site: Path, things: Registry[Any]) -> None:
    install(site, "the-one", {"late": "late_mod:VALUE"}, late_mod="VALUE = 1")
    things.register("another")("ours too")
    assert "late_mod" not in sys.modules
    assert "late" in things
    assert "late_mod" in sys.modules


def test_a_plugin_may_read_the_table_while_it_is_loaded(site: Path, things: Registry[Any]) -> None:
    code = "from host import THINGS\nVALUE = THINGS['own'] + ' and more'"
    install(site, "the-one", {"more": "more_mod:VALUE"}, more_mod=code)
    assert things["more"] == "ours and more"


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ("bad_mod", "1 / 0", "ZeroDivisionError: division by zero"),
        ("bad_mod", "import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("bad_mod", "raise SystemExit", "SystemExit"),
        ("no_such_file", "", "ModuleNotFoundError: No module named 'no_such_file'"),
        ("bad_mod:Missing", "", "AttributeError: module 'bad_mod' has no attribute 'Missing'"),
        ("bad_mod", "", "ValueError: bad_mod registers no thing"),
        (
            "bad_mod",
            "from host import THINGS\nTHINGS.register('half')(1)\n1 / 0",
            "ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_broken_plugin_is_told_when_it_is_asked_for_and_harms_no_other(
    site: Path, things: Registry[Any], value: str, code: str, reason: str
) -> None:
    install(site, "a-bad-one", {"wanted": value}, bad_mod=code)
    install(site, "the-good", {"good": "good_mod:VALUE"}, good_mod="VALUE = 1")
    assert dict(things.items()) == {"own": "ours", "good": 1}, "all of a plugin or nothing"
    (broken,) = things.broken()
    assert (broken.name, broken.package, broken.reason) == ("wanted", "a-bad-one", reason)
    with pytest.raises(RecipeError) as caught:
        things["wanted"]
    assert caught.value.code == "RECIPE-012"
    assert caught.value.message == f'the thing "wanted" of the package a-bad-one cannot be used: {reason}.'
    assert "pip uninstall a-bad-one" in caught.value.hint
    with pytest.raises(RecipeError, match='there is no thing "unwanted"'):
        things["unwanted"]


def test_a_name_that_exists_is_not_taken(site: Path, things: Registry[Any]) -> None:
    install(site, "a-first", {"new": "first_mod:VALUE"}, first_mod="VALUE = 1")
    install(site, "b-second", {"new": "second_mod:VALUE", "own": "second_mod:VALUE"}, second_mod="VALUE = 2")
    assert dict(things.items()) == {"own": "ours", "new": 1}
    assert {(plugin.name, plugin.package) for plugin in things.broken()} == {("new", "b-second"), ("own", "b-second")}
    assert all("is already registered" in plugin.reason for plugin in things.broken())


def test_a_table_without_a_group_looks_for_nothing(site: Path) -> None:
    install(site, "the-one", {"x": "x_mod:VALUE"}, x_mod="VALUE = 1")
    assert list(Registry[int]("thing")) == []


@pytest.mark.parametrize(
    "kind",
    [
        object,
        "a text",
        type("Plain", (), {"default_learning_rate": 1.0}),
        type("WithoutARate", (Method,), {}),
    ],
)
def test_what_is_no_method_is_not_taken_for_one(kind: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        _check("any", kind)


SCRIPT = """
import contextlib, io, json, sys
from lightune.cli.main import main
def said(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main(list(arguments))
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}
found = {name: said(*arguments) for name, arguments in json.load(sys.stdin).items()}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> dict[str, Any]:
    """What the command line says in a process that has the page's method as a package, and a broken one."""
    site = tmp_path_factory.mktemp("site")
    page = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[0]
    (point,) = re.findall(r'\[project\.entry-points\."(.+)"\]\noutput_scale = "(.+)"', page)
    install(site, "lightune-scale", {"output_scale": point[1]}, point[0], **{point[1]: code})
    install(site, "lightune-bad", {"bad": "bad_mod", "lora": "bad_mod"}, point[0], bad_mod="1 / 0")
    data = write_csv(site / "train.csv", sentences(60, seed=3))
    run = ["run", "--model", str(tiny_models["distilbert"]), "--train", str(data), "--epochs", "2", "--json"]
    run += ["--output", str(site / "run"), "--device", "cpu", "--method", "output_scale"]
    commands = {
        "run": run,
        "methods": ["methods"],
        "one": ["methods", "output_scale"],
        "json": ["methods", "--json"],
        "bad": ["methods", "bad"],
        "doctor": ["doctor", "--json"],
        "lora": ["methods", "lora"],
    }
    path = os.pathsep.join([str(site), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(commands), capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path}, cwd=site,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "folder": site / "run"}


def test_a_method_of_another_package_trains_and_is_reloaded_in_a_fresh_process(answers: dict[str, Any]) -> None:
    assert answers["run"]["status"] == 0, answers["run"]["err"]
    record = json.loads(answers["run"]["out"])
    assert record["recipe"]["method"]["name"] == "output_scale"
    assert record["reload_check"]["passed"], record["notes"]
    # A factor for each output of two projections in two layers, 32 wide, and the head: 32 x 32 + 32, 32 x 2 + 2.
    assert record["model"]["trainable_parameters"] == 2 * 2 * 32 + 1056 + 66


def test_it_is_listed_with_its_package_and_as_not_tested_yet(answers: dict[str, Any]) -> None:
    table = answers["methods"]["out"]
    line, marks = (line for line in table.splitlines() if line.startswith("output_scale"))
    assert line.split()[1:5] == ["5e-3", "?", "?", "yes"]
    assert "\nfrom other packages: output_scale (lightune-scale)\n" in table
    assert set(marks.split()[1:]) == {"?"}
    assert "? not tested yet" in table
    assert "from the package lightune-scale" in answers["one"]["out"]
    rows = {row["name"]: row for row in json.loads(answers["json"]["out"])["methods"]}
    assert rows["output_scale"]["package"] == "lightune-scale"
    assert {row["package"] for name, row in rows.items() if name != "output_scale"} == {"lightune"}


def test_a_broken_one_is_told_by_name_and_by_doctor(answers: dict[str, Any]) -> None:
    assert answers["bad"]["status"] == 2
    assert "RECIPE-012" in answers["bad"]["err"]
    assert "lightune-bad" in answers["bad"]["err"]
    assert "ZeroDivisionError" in answers["bad"]["err"]
    found = {finding["name"]: finding for finding in json.loads(answers["doctor"]["out"])["findings"]}
    assert found["method bad"]["ok"] is False
    assert "lightune-bad cannot be used: ZeroDivisionError" in found["method bad"]["detail"]
    assert answers["lora"]["status"] == 0


def test_without_packages_of_others_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    assert "from other packages" not in capsys.readouterr().out


TASK = """
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar
from lightune.measured import Metric
from lightune.tasks import TASKS
Classification = TASKS["classification"]

@dataclass(frozen=True)
class Odd(Classification):
    {doc}
    name: ClassVar = "odd"
    metrics: ClassVar = (Metric(name="mae", title="error"),)
    {more}
"""


@pytest.mark.parametrize(
    ("more", "doc", "reason"),
    [
        ("metrics: ClassVar = ()", "'Odd.'", "TypeError: Odd.metrics is not a tuple of one Metric or more"),
        ("metrics: ClassVar = ('mae',)", "'Odd.'", "TypeError: Odd.metrics is not a tuple of one Metric or more"),
        ("metrics: ClassVar = metrics * 2", "'Odd.'", "ValueError: Odd.metrics: mae occurs twice"),
        ("metrics: ClassVar = (Metric(name='runtime', title=''),)", "'Odd.'", "ValueError: Odd.metrics: runtime"),
        ("name: ClassVar = 'other'", "'Odd.'", "ValueError: Odd.name is not the name under which it is registered"),
        ("", "", "ValueError: Odd has no docstring"),
        ("count = abstractmethod(lambda self, cells, target: ())", "'Odd.'", "TypeError: Odd lacks count"),
    ],
)
def test_a_task_that_lacks_what_every_task_has_is_a_broken_plugin(
    site: Path, monkeypatch: pytest.MonkeyPatch, more: str, doc: str, reason: str
) -> None:
    """It is left out, and told by the doctor and by `lightune tasks`; other tasks work."""
    from lightune import diagnosis, tasks
    from lightune.tasks.registry import _check as check

    code = TASK.format(doc=doc or "pass", more=more)
    install(site, "odd-one", {"odd": "odd_mod:Odd"}, "lightune.tasks", odd_mod=code)
    found: Registry[Any] = Registry("task", entry_points="lightune.tasks", check=check)
    found.register("classification")(tasks.TASKS["classification"])
    assert list(found) == ["classification"]
    (broken,) = found.broken()
    assert (broken.package, broken.reason[: len(reason)]) == ("odd-one", reason)
    monkeypatch.setattr(diagnosis, "TASKS", found)
    assert [finding.name for finding in diagnosis._broken_plugins()] == ["task odd"]
    monkeypatch.setattr(tasks, "TASKS", found)
    with pytest.raises(RecipeError, match="of the package odd-one cannot be used"):
        tasks.task_from_json({"name": "odd", "labels": []}, "here")


def test_a_package_with_a_task_and_a_method_in_one_module_is_named_for_both(site: Path, things: Registry[Any]) -> None:
    other: Registry[Any] = Registry("other", entry_points="lightune.others")
    sys.modules["host"].OTHERS = other
    one, two = "@THINGS.register('one')\nclass One: pass", "@OTHERS.register('two')\nclass Two: pass"
    code = f"from host import OTHERS, THINGS\n{one}\n{two}"
    install(site, "both-of-them", {"one": "both_mod"}, both_mod=code)
    about = site / "both_of_them-1.0.dist-info" / "entry_points.txt"
    about.write_text(about.read_text(encoding="utf-8") + "[lightune.others]\ntwo = both_mod\n", encoding="utf-8")
    assert things.package("one") == "both-of-them"
    assert other.package("two") == "both-of-them"


def test_a_plugin_that_fails_while_it_runs_is_named(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightune.cli.main import _failed
    from lightune.tasks import TASKS

    code = TASK.format(doc="'Odd.'", more="def shown(self, target): return 1 / 0")
    install(site, "odd-one", {"odd": "odd_mod:Odd"}, "lightune.tasks", odd_mod=code)
    found: Registry[Any] = Registry("task", entry_points="lightune.tasks")
    found.register("classification")(TASKS["classification"])
    monkeypatch.setattr("lightune.tasks.registry.TASKS", found)
    for fails, says in ((found["odd"]().shown, "PLUGIN-001 the package odd-one failed: ZeroDivisionError"),
                        (int, "BUG-001 this is a bug of lightune: ValueError")):  # fmt: skip
        with pytest.raises((ZeroDivisionError, ValueError)) as caught:
            fails("no number")
        assert _failed(caught.value, debug=False) == 1
        assert says in capsys.readouterr().err
