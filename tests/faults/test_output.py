"""What is printed and written of hostile data: no formula, markup or terminal sequence, and nothing of this machine."""

from __future__ import annotations

import ast
import csv
import getpass
import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import lightune
from lightune.cli.main import main
from lightune.errors import InterruptedRunError
from lightune.inference.answer_files import write_rows
from lightune.progress import Silent
from lightune.report.files import read_run
from lightune.values.formulas import is_computed, neutral, undone
from reloading_here import reloading_here
from tiny import sentences, write_csv

TOKEN, USER, KEY = "hf_SecretSecretSecretSecretSecret", "secretuser", "sk-live-0123456789"
LABELS = [
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[x](javascript:alert(1)) ![i](http://evil.example/i.png) `a`",
    "| a | **b** | <b>c</b> https://evil.example",
    "\x1b]52;c;aGFja2Vk\x07\x1b[2J\x1b]8;;http://evil.example\x07",
    "a\u202ebackwards\x9b31m",
    "[bold]x[/red] :smile:",
    "</pre></svg></style>&lt;{{7*7}}{% raw %}",
    "+1-800 @SUM(1) ``` ~~~",
]
ATTACK = "\x1b[31m\x1b]0;title\x07 <script src=//evil.example></script> ![x](http://evil.example) | ``` \u202e \x85"
HOSTILE_NAME = "data \x1b[31m[red]&lt;<img src=x onerror=alert(1)>"
# What a terminal obeys; a real one may do more with C1 controls, and a reader is misled by the last ones.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
TERMINAL = "Labels, texts, names and paths print no sequence that a terminal obeys"
MARKUP = "Labels and texts add no element, script, link or image to a report or a model card"
FORMULAS = "No cell of a csv or tsv of answers is a formula for a spreadsheet, and numbers stay numbers"
NOTHING = "A finished run folder holds no token, user name, host name or absolute path"


@dataclass
class Hostile:
    """A finished run on hostile data below a home folder of its own, and everything that it printed."""

    folder: Path
    home: Path
    data: Path
    printed: str


@pytest.fixture(scope="module")
def hostile(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    home = tmp_path_factory.mktemp("somewhere") / USER
    model, place = home / "models" / "tiny [red] model", home / HOSTILE_NAME.replace("/", "")
    shutil.copytree(tiny_models["distilbert"], model)
    place.mkdir(parents=True)
    rows = [(f"{text} {ATTACK if number % 3 else '=1+1'}", LABELS[number % len(LABELS)], LABELS[number % 3])
            for number, (text, _) in enumerate(sentences(200, seed=5))]  # fmt: skip
    data = write_csv(place / "train.csv", rows, ("text", "label", "=group<b>\x1b[31m"))
    with pytest.MonkeyPatch.context() as patch, reloading_here():
        for name, value in {"HOME": str(home), "USER": USER, "LOGNAME": USER, "HF_TOKEN": TOKEN, "MY_API_KEY": KEY,
                            "HUGGING_FACE_HUB_TOKEN": TOKEN, "WANDB_API_KEY": KEY}.items():  # fmt: skip
            patch.setenv(name, value)
        patch.chdir(home)
        out = printed(["run", "--model", str(model), "--train", str(data), "--label-column", "label", "--epochs", "1",
                       "--method", "lora", "--device", "cpu", "--output", "out"])  # fmt: skip
        yield Hostile(home / "out", home, data, out)


def printed(arguments: list[str], status: int = 0) -> str:
    """Call the command line in this process, and return what it prints on both streams."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        ended = main(arguments)
    assert ended == status, out.getvalue()
    return out.getvalue()


def require_calm(text: str) -> None:
    assert OBEYED.findall(text) == []


@pytest.mark.guarantee(TERMINAL)
def test_no_command_prints_what_a_terminal_obeys(
    hostile: Hostile, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    require_calm(hostile.printed)
    assert r"\x1b" in hostile.printed, "it is shown"
    run, data = str(hostile.folder), str(hostile.data)
    commands = [
        (["report", run], 0), (["evaluate", run, "--test", data], 0), (["evaluate", run], 0),
        (["check", data, "--label-column", "label"], 0),
        (["predict", run, ATTACK], 0), (["predict", run, "--file", data, "--output", str(tmp_path / "\x1b[2J.csv")], 0),
        (["predict", run, "--file", f"{data}\x1b[2J"], 3), (["report", "\x1b]0;x\x07"], 4),
        (["run", "--train", "\x1b[31m\u202e.csv"], 3), (["run", "\x9b31m"], 2), (["\x1b[31m"], 2),
        (["run", "--set", "data.\x1b[31m=1"], 2), (["--debug", "report", "\x1b[31m"], 4),
        (["predict", run, "--text-column", "\x1b[31m", "--file", data], 3),
    ]  # fmt: skip
    for arguments, status in commands:
        require_calm(printed(arguments, status))
    for arguments, status in commands[:5]:
        found = printed([*arguments, "--json"], status)
        json.loads(found[found.index("{") :])
        require_calm(found)
    record_property("figure", f"{len(LABELS)} labels and texts in {len(commands) + 5} commands")


@pytest.mark.guarantee(TERMINAL)
def test_a_terminal_gets_only_what_rich_itself_makes(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal there are colours and a bar; the data's own sequences are not among what is sent."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = printed(["report", str(hostile.folder)])
    sent = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert sent != shown
    require_calm(sent)


def test_bars_titles_and_notes_are_texts_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from lightune.progress import Bars

    bars = Bars()
    bars.console.file = out = io.StringIO()
    bars.phase("Going on with [/red]\x1b[2J")
    bars.note("a note of [/red]\x1b]0;x\x07")
    with bars.steps("[/red]\x1b[2J", 2) as advance:
        advance("[/blue]\x1b[2J")
    require_calm(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).replace("\r", ""))
    assert r"Going on with [/red]\x1b[2J" in out.getvalue()


def test_only_one_module_prints() -> None:
    """Read from the source: `print`, click's echo and rich's consoles."""
    package, found = Path(lightune.__file__).parent, list[str]()
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in {"print", "click.echo", "click.secho", "Console", "rich.print", "sys.stdout.write",
                          "sys.stderr.write", "traceback.print_exception", "traceback.print_exc"}:  # fmt: skip
                found.append(f"{path.relative_to(package).as_posix()} {called}")
    # The reload check's own process tells its parent the logits, as JSON.
    assert found == ["inference/reload_check.py print", "terminal.py click.echo", "terminal.py print"]


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


@pytest.mark.guarantee(MARKUP)
def test_data_adds_nothing_to_a_report(hostile: Hostile, record_property: Callable[[str, object], None]) -> None:
    page = (hostile.folder / "report.html").read_text(encoding="utf-8")
    elements = Elements(page).found
    tags = {tag for tag, _ in elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "image", "foreignobject"}
    assert "b" not in tags, "only labels have it"
    for tag, attributes in elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"href", "src", "xlink:href", "action"}:
                assert (value or "").startswith("#"), (tag, value)
    require_calm(page)
    assert "alert(1)" in page, "the labels are shown"
    assert "49" not in re.findall(r"&amp;lt;(\d+)", page), "templates in labels are not computed"
    record_property("figure", f"{len(elements)} elements of a page with {len(LABELS)} hostile labels")


@pytest.mark.guarantee(MARKUP)
def test_data_adds_nothing_to_a_card(hostile: Hostile) -> None:
    from markdown_it import MarkdownIt

    card = (hostile.folder / "README.md").read_text(encoding="utf-8")
    require_calm(card)
    _, front, text = card.split("---\n", 2)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    everything = [*tokens, *(child for token in tokens for child in token.children or ())]
    assert {token.type for token in everything} & {"html_block", "html_inline", "link_open", "image"} == set()
    assert re.search(r"(?<!\\)(?:https?|ftp)://|(?<![\\\w])www\.", _prose(text)) is None, "GitHub would link it"
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in {"td_open", "th_open"}]
    assert len(rows) > 20
    assert len(cells) > 2 * len(rows) - 1
    assert front.count("\n") < 20


def _prose(text: str) -> str:
    """A card without its fenced blocks, in which nothing is a link."""
    return re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)


# The examples of https://owasp.org/www-community/attacks/CSV_Injection, and disguises of them.
COMPUTED = [
    "=1+1", "+1+1", "-1+1", "@SUM(1)", "\tx", "\rx", "\n=1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", " =1", '"=1',
    "'=1", "''=1", " \t\"' =1", "\ufeff=1", "\u00a0=1", "=A", "=(", "=\u00e4", "+_", "--a", "-1%x",
    "-2+3+cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")',
]  # fmt: skip
LEFT_ALONE = [
    "+", "-", "=", "@", "---", "+/-", "-1%", "+1.5%", "-1%|2%", "'+", "\uff0b", "-\n", "\t", "", "a", "a=1", "1",
    "-1.5", "+3", "-1,5", "1e-5", "-2.5E+10", "-0.25|1.5|-3", "'", "it's", "'-5", "'a'",
]  # fmt: skip


@pytest.mark.guarantee(FORMULAS)
@pytest.mark.parametrize("text", COMPUTED)
def test_a_text_that_a_spreadsheet_computes_gets_an_apostrophe(text: str) -> None:
    assert is_computed(text)
    assert neutral(text) == f"'{text}"
    assert undone(neutral(text)) == text


@pytest.mark.guarantee(FORMULAS)
@pytest.mark.parametrize("text", [text for text in LEFT_ALONE if text != "'-5"])
def test_other_texts_and_numbers_stay(text: str) -> None:
    assert neutral(text) == text == undone(text)


def test_what_is_written_is_read_back_whatever_it_is() -> None:
    """Every text of up to five of the characters that matter."""
    from itertools import product

    for length in range(6):
        for letters in product("'=-1 |a", repeat=length):
            text = "".join(letters)
            assert undone(neutral(text)) == text
            assert not is_computed(neutral(text)) or neutral(text).startswith("'")


@pytest.mark.guarantee(FORMULAS)
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "xlsx", "parquet"])
@pytest.mark.parametrize("raw", [False, True])
def test_answers_hold_no_formula_and_numbers_stay_numbers(tmp_path: Path, kind: str, raw: bool) -> None:
    texts = [text for text in COMPUTED if not set("\t\r\n") & set(text)]
    header = ["=head", "value", "answer"]
    path = tmp_path / f"out.{kind}"
    write_rows(iter([header, *([text, -1.5, "-2.5"] for text in texts)]), path, ["answer"], raw)
    if kind in {"csv", "tsv"}:
        with path.open(encoding="utf-8", newline="") as file:
            how: Any = {} if kind == "csv" else {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
            rows = list(csv.reader(file, **how))
        shown = header if raw else ["'=head", "value", "answer"]
        assert rows == [shown, *([text if raw else f"'{text}", "-1.5", "-2.5"] for text in texts)]
    elif kind == "jsonl":
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert lines == [dict(zip(header, [text, -1.5, -2.5], strict=True)) for text in texts]
    elif kind == "parquet":
        import pyarrow.parquet as parquet

        assert parquet.read_table(path).to_pylist() == [
            dict(zip(header, [text, -1.5, -2.5], strict=True)) for text in texts
        ]
    else:
        import openpyxl

        cells = list(openpyxl.load_workbook(path).active.iter_rows())
        assert [[cell.data_type for cell in row] for row in cells[1:]] == [["s", "n", "n"]] * len(texts)
        assert [cell.data_type for cell in cells[0]] == ["s"] * 3
        assert [row[0].value for row in cells[1:]] == texts


@pytest.mark.guarantee(FORMULAS)
def test_the_files_of_a_run_and_of_predict_hold_no_formula(hostile: Hostile, tmp_path: Path) -> None:
    run, data = str(hostile.folder), str(hostile.data)
    printed(["predict", run, "--file", data, "--output", str(tmp_path / "out.csv")])
    raw = printed(["predict", run, "--file", data, "--raw"])
    (tmp_path / "piped.csv").write_text(printed(["predict", run, "--file", data]), encoding="utf-8")
    assert "\n=cmd" in raw.replace(",", "\n")
    for path in (hostile.folder / "predictions.csv", tmp_path / "out.csv", tmp_path / "piped.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert [cell for cell in cells if is_computed(cell) and not cell.startswith("'")] == []
        assert any(cell.startswith("'=cmd") for cell in cells), path
    _, rows = read_run(hostile.folder)
    assert {row["label"] for row in rows} <= set(LABELS), "read back as they were"
    assert "=group<b>\x1b[31m" in rows[0] or "=group<b>" in str(list(rows[0]))


def test_the_predictions_of_an_earlier_version_are_read_as_they_are(tiny_run: Any, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    rows[0][0], rows[1][0] = "=1+1", "'=quoted"
    with (run / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    assert [row["text"] for row in read_run(run)[1][:2]] == ["=1+1", "'=quoted"]


@pytest.mark.parametrize(
    ("arguments", "status"), [(["run", "--model", "~nobody/x"], 2), (["run", "--train", "~nobody/x.csv"], 3)]
)
def test_the_home_folder_of_nobody_is_a_name_as_any_other(arguments: list[str], status: int) -> None:
    assert "BUG" not in printed(arguments, status)


class StopsAfterTraining(Silent):
    def phase(self, title: str) -> None:
        if title.startswith("After"):
            raise KeyboardInterrupt


def test_a_run_whose_files_are_below_the_home_folder_goes_on(
    tiny_recipe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recipe.yaml has ~ where the run itself had the path."""
    recipe = tiny_recipe("distilbert", "head", num_train_epochs=1)
    model = Path(shutil.copytree(recipe.model, tmp_path / "model"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with reloading_here():
        with pytest.raises(InterruptedRunError):
            lightune.run(recipe.model_copy(update={"model": str(model)}), "out", StopsAfterTraining())
        assert "model: ~/model\n" in Path("out.partial/recipe.yaml").read_text(encoding="utf-8")
        assert lightune.resume("out").training.resumed
        again = lightune.run("out/recipe.yaml", "again")
    assert again.model.name == "~/model"
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").read_bytes() == (
        tmp_path / "again" / "adapter" / "adapter_model.safetensors"
    ).read_bytes()


@pytest.mark.guarantee(NOTHING)
def test_a_finished_run_says_nothing_of_this_machine(
    hostile: Hostile, record_property: Callable[[str, object], None]
) -> None:
    secrets = {TOKEN, USER, KEY, str(hostile.home), str(hostile.home.parent)}
    names = {name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 4}
    files = [path for path in sorted(hostile.folder.rglob("*")) if path.is_file()]
    assert len(files) > 10
    found = {
        (path.relative_to(hostile.folder).as_posix(), secret)
        for path in files
        for secret in secrets | names
        if secret.encode() in path.read_bytes()
    }
    assert found == set()
    assert not (hostile.folder / "run.json").exists()
    record_property("figure", f"{len(files)} files searched")
