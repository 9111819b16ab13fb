"""Every link of README, CONTRIBUTING and docs is followed, every command parsed, the guide's commands and Python run.

By default commands run word for word on a tiny model in place of minilm and on a few rows; `make test-long` runs them
as a reader would. What neither executes is in NOT_EXECUTED, with the reason.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from lightune.cli.main import ALIASES, COMMANDS, cli, main
from lightune.data import sources
from lightune.errors import RecipeError
from lightune.models import embedded
from lightune.recipes.compose import FLAGS, compose, shipped
from page_commands import (
    DOCS,
    GUIDE,
    ROOT,
    Command,
    all_pages,
    anchors,
    commands,
    few_reviews,
    lay_out,
    links,
    python_blocks,
    text_of,
    without_comment,
)
from reloading_here import reloading_here

# Commands of the guide that no test here executes: how they begin, and why.
NOT_EXECUTED = {
    "lightune run rotten-tomatoes": "needs the Hub; tests/hub/test_rotten_tomatoes_recipe.py runs it on a stand-in",
    "lightune push": "needs the Hub and a token; tests/cli/test_push_command.py runs it on a stand-in",
    "lightune run --set model_precision=nf4": "needs bitsandbytes; `make test-quantized` runs it",
}
# Other lines of shell in the guide: how they begin, and what runs them.
OTHER_SHELL = {
    "python3 -m venv .venv": "make, in every run of the tests; tools/wheel_test.py",
    "pip install": "make, in every run of the tests; tools/wheel_test.py",
    "torchrun": "tests/training/test_distributed.py",
    "accelerate launch": "tests/training/test_distributed.py, for torchrun, which it calls",
    "make": "test_every_target_of_make_is_there",
    "CUDA_VISIBLE_DEVICES=0": "a machine with a GPU",
}
# Words that stand for something of the reader's.
ONE_OF_MANY = {"S": "42"}  # docs/LOG.md: a seed, each in turn
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}[A-Z0-9]*\b")


# Links


def test_every_link_and_anchor_leads_somewhere():
    wrong = []
    for page in all_pages():
        for path, anchor in links(page):
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or not target.is_relative_to(ROOT):
                wrong.append(f"{page.name}: {path}")
            elif anchor and anchor not in anchors(target):
                wrong.append(f"{page.name}: {path}#{anchor}")
    assert wrong == []


def test_anchors_are_those_that_github_makes():
    """Of a heading with a link, code, signs and a number; and of two equal ones."""
    page = SimpleNamespace(
        read_text=lambda encoding: "# A [b](c), `d_e`: 0.5!\n\n## Same\n\n## Same\n\n```\n# no\n```\n"
    )
    assert anchors(page) == {"a-b-d_e-05", "same", "same-1"}


def test_every_page_can_be_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page.suffix == ".md" and page not in seen:
            seen.add(page)
            waiting += [page.parent / path for path, _ in links(page) if path and (page.parent / path).is_file()]
            waiting += [one for path, _ in links(page) if path for one in (page.parent / path).glob("*.md")]
    assert [page.name for page in all_pages() if page not in seen] == []


def test_the_guide_is_read_in_the_order_of_its_table_of_contents():
    listed = [f"docs/{path}" for path, _ in links(DOCS / "README.md")]
    assert [name for name in listed if name in GUIDE] == [name for name in GUIDE if name in listed]
    assert set(GUIDE) - set(listed) == {"README.md", "CONTRIBUTING.md"}


# The first screen


def test_the_first_screen_has_what_it_must_have():
    """What it is, for whom, three figures with links, two commands for one's own CSV, and the report's picture."""
    screen = "\n".join(text_of("README.md").splitlines()[:40])
    assert screen.startswith("# lightune\n\n**Train a text classifier of your own on a laptop")
    assert "For anybody with" in screen
    assert len(re.findall(r"^- \*\*.*?\]\(docs/(?:performance|LOG)\.md", screen, re.DOTALL | re.MULTILINE)) == 3
    assert "lightune check my.csv" in screen
    assert "lightune run --train my.csv" in screen
    assert "(docs/report.png)" in screen
    assert len(text_of("README.md").splitlines()) < 200


def test_its_figures_are_those_that_were_measured():
    """Of the first table of docs/performance.md, and of the closing figures in docs/LOG.md."""
    readme, measured, log = (
        " ".join(text_of(f"{name}.md").split()) for name in ("README", "docs/performance", "docs/LOG")
    )
    longest = "training | Trainer, padded to the longest of a batch"
    for model, work, column in (
        ("minilm", longest, 1),
        ("distilbert", longest, 1),
        ("minilm", "PEFT and the pipeline", 0),
    ):
        row = measured.split(f"{work} | {model} | ", 1)[1].split(" | ")[column]
        middle, low, high = re.fullmatch(r"\*\*(.+)\*\* \((.+) to (.+)\)", row).groups()
        assert re.search(rf"{middle} (?:times )?\((?:quartiles )?{low} to {high}\)", readme), (model, work)
    ours, trainer = re.search(r"GoEmotions, 7 labels, micro F1 \| lora \| ([\d.]+) .*? \| ([\d.]+) ", log).groups()
    assert f"micro F1 {float(ours):.2f};" in readme
    assert f"epochs, {float(trainer):.2f} (" in readme


def test_the_help_shows_a_beginner_the_path_of_the_readme(capsys):
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for line in ("lightune run", "lightune check my.csv", "lightune run --train my.csv"):
        assert line in shown
        assert line in text_of("README.md")


# Commands


def parsed(arguments: list[str], is_installed: bool = True) -> None:
    """Read a command line as click does, without running it; whatever is wrong with it is raised.

    A recipe is composed too, unless its method or task is of a package that is not installed.
    """
    if arguments[0].startswith("-"):
        cli.make_context("lightune", arguments)
        return
    name = ALIASES.get(arguments[0], arguments[0])
    assert name in COMMANDS, f'there is no command "{name}"'
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    context = found.make_context(name, arguments[1:])
    if is_installed and name == "run" and context.params["recipe"] in (None, *shipped()):
        flags = {flag: value for flag, value in context.params.items() if flag in FLAGS}
        settings = [one for one in context.params["settings"] if not PLACEHOLDER.search(one)]
        compose(context.params["recipe"], {} if PLACEHOLDER.search(str(flags)) else flags, settings)


def _everywhere() -> list[Command]:
    return [found for page in all_pages() for found in commands(page.relative_to(ROOT).as_posix())]


def test_every_command_of_every_page_is_understood():
    wrong = []
    for command in _everywhere():
        try:
            filled = [ONE_OF_MANY.get(word, word) for word in command.arguments]
            parsed(filled, is_installed=not command.page.startswith("docs/adding_"))
        except click.exceptions.Exit:  # --help and --version
            pass
        except click.MissingParameter as error:  # a sentence names a command or a flag, without what goes with it
            wrong += [f"{command.page}: {command.line}: {error}"] if command.typed else []
        except Exception as error:
            wrong.append(f"{command.page}: {command.line}: {error}")
    assert wrong == []
    assert len(_everywhere()) > 100


@pytest.mark.parametrize(
    "line", ["run --trian my.csv", "runn", "predict", "run quickstart --epochs many", "run --set training.sed=7"]
)
def test_a_command_with_a_slip_is_not_understood(line: str):
    said = r"(?i)no such option|there is no command|missing parameter|not a valid integer|unknown key"
    with pytest.raises((click.ClickException, AssertionError, RecipeError), match=said):
        parsed(shlex.split(line))


def test_every_line_of_shell_is_executed_by_some_test():
    blocks = [block for page in GUIDE for block in re.findall(r"```sh\n(.*?)```", text_of(page), flags=re.DOTALL)]
    lines = [without_comment(line) for block in blocks for line in block.splitlines()]
    ours = {command.line for command in _typed()} | {line for line in lines if line.startswith(tuple(NOT_EXECUTED))}
    assert [line for line in lines if line and line not in ours and not line.startswith(tuple(OTHER_SHELL))] == []


def test_every_target_of_make_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in all_pages():
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`make ([\w-]+)", text) + re.findall(r"^    make ([\w-]+)", text, re.MULTILINE)
        assert set(named) <= targets, page.name


def _typed() -> list[Command]:
    """Return the commands of the guide that a reader types as they stand, but those that no test here executes."""
    found = [command for page in GUIDE for command in commands(page) if command.typed]
    once = {command.line: command for command in reversed(found)}  # what several pages repeat, where it comes first
    return [one for one in found if once[one.line] is one and not one.line.startswith(tuple(NOT_EXECUTED))]


def _execute(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> int:
    """Run one shell line in this process: a pipe into lightune and a redirection out of it are understood."""
    before, _, command = line.rpartition("| ")
    command, _, target = command.partition(" > ")
    if before:
        text = subprocess.run(["sh", "-c", before], capture_output=True, text=True, check=True).stdout
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    capsys.readouterr()
    status = main(shlex.split(command)[1:])
    if target:
        Path(target.strip()).write_text(capsys.readouterr().out, encoding="utf-8")
    return status


def _run_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Execute every typed command of the guide, after a first quickstart, and then its Python."""
    assert main(["run"]) == 0
    for command in _typed():
        status = _execute(command.line, monkeypatch, capsys)
        assert status == 0, f"{command.page}: {command.line}\n{capsys.readouterr().err}"
    assert Path("answers.csv").read_text(encoding="utf-8").startswith("text,label,stars,prediction,confidence\n")
    assert Path("runs/mine/report.html").is_file()
    for page in GUIDE:  # block by block, as a reader would type them
        namespace: dict[str, object] = {}
        for block in python_blocks(page):
            exec(compile(block, page, "exec"), namespace)  # noqa: S102 (our own pages)


def _lay_out_all(folder: Path, rows: int, tiny: Path) -> None:
    """Write the files that the pages name, and a tiny model in a folder that is called as one of the Hub."""
    lay_out(folder, rows)
    (folder / "distilbert-base-uncased").mkdir()
    for path in tiny.iterdir():
        (folder / "distilbert-base-uncased" / path.name).write_bytes(path.read_bytes())


def test_the_commands_and_the_python_of_the_guide_work(tmp_path, tiny_models, monkeypatch, capsys):
    """Word for word, with a tiny model under the name minilm and few embedded reviews."""
    monkeypatch.chdir(tmp_path)
    tiny = tiny_models["distilbert"]
    _lay_out_all(tmp_path, 32, tiny)
    monkeypatch.setattr(embedded, "folder", lambda: tiny)
    reviews = few_reviews(tmp_path / "embedded", rows=50)
    stand_in = SimpleNamespace(files=lambda name: reviews, as_file=contextlib.nullcontext)
    monkeypatch.setattr(sources, "resources", stand_in)
    with reloading_here():
        _run_all(monkeypatch, capsys)


def test_python_elsewhere_is_executed_by_tests_of_its_own():
    """tests/test_another_package.py executes both pages that add something, tests/test_notebook.py the notebook."""
    with_python = {page.relative_to(ROOT).as_posix() for page in all_pages() if "```python" in page.read_text("utf-8")}
    assert with_python - set(GUIDE) == {"docs/adding_a_method.md", "docs/adding_a_task.md"}


@pytest.mark.long
def test_the_commands_of_the_guide_work_as_they_stand(tmp_path, tiny_models, monkeypatch, capsys):
    """With the embedded model, all embedded reviews and a fresh process for each reload check; about 20 minutes."""
    monkeypatch.chdir(tmp_path)
    _lay_out_all(tmp_path, 200, tiny_models["distilbert"])
    _run_all(monkeypatch, capsys)


@pytest.mark.long
def test_the_quickstart_keeps_its_promise(tmp_path):
    """The whole quickstart: guessing before, at least 0.80 after, above TF-IDF and the probe, in three minutes."""
    started = time.monotonic()
    command = [sys.executable, "-m", "lightune", "run", "quickstart", "--json"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    record = json.loads(found.stdout)
    assert time.monotonic() - started < 180
    assert 0.40 <= record["before"]["accuracy"] <= 0.60
    assert record["after"]["accuracy"] >= 0.80
    assert record["after"]["accuracy"] > record["baselines"]["tfidf"]["accuracy"]
    assert record["comparison"]["probe_gain_ci95"][0] > 0
    assert set(record["after"]["groups"]["kind"]) == {"plain", "negation", "mixed", "implied", "irony"}
    assert record["reload_check"]["passed"]
