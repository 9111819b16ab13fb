"""Options and printing that several commands share."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from lightune.errors import DataError
from lightune.safe_files import json_text
from lightune.terminal import VisibleStdout, new_console, say, visible_json
from lightune.values.text_formats import listed_names, named_encoding, named_separator

if TYPE_CHECKING:
    from lightune.data.text_file import TextFormat
    from lightune.record import RunRecord

T = TypeVar("T")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else on stdout.")
device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
# `--base-model` is the original name of the option.
base_model = click.option(
    "-m", "--model", "--base-model", "base_model", metavar="PATH",
    help="The folder of a run's base model, if it is no longer where the run found it.",
)  # fmt: skip


def _named(find: Callable[[str], T]) -> Callable[[Any, Any, str | None], T | None]:
    """Return a click callback that turns a name into what it stands for; UsageError says what is valid."""

    def read(context: Any, option: Any, value: str | None) -> T | None:
        try:
            return None if value is None else find(value)
        except ValueError as error:
            raise click.BadParameter(f'"{value}" is not {error}.') from error

    return read


separator = click.option(
    "--separator", metavar="MARK", callback=_named(named_separator),
    help="What separates the columns of text files, for example ; or tab.  [default: as their headers show]",
)  # fmt: skip
encoding = click.option(
    "--encoding", metavar="NAME", callback=_named(named_encoding),
    help="Encoding of text files that are not UTF-8, for example cp1252.",
)  # fmt: skip
_how_files_are_written = (
    separator,
    encoding,
    click.option(
        "--header-row", type=click.IntRange(min=1), metavar="ROW",
        help="Row of the column names, where a title stands above them.",
    ),
    click.option(
        "--column-names", metavar="NAMES", callback=_named(listed_names),
        help="Column names of a file that has none: label,text.",
    ),
    click.option("--sheet", metavar="NAME", help="Sheet of a workbook.  [default: the first with rows]"),
    click.option(
        "--decimal", type=click.Choice(["comma", "point"]),
        help="What stands before the fraction of a number.  [default: as a column shows]",
    ),
)  # fmt: skip


def text_format(command: Any) -> Any:
    """Add the options that state how files are written; `stated_format` makes one value of them."""
    for option in reversed(_how_files_are_written):
        command = option(command)
    return command


def stated_format(how: Mapping[str, Any]) -> TextFormat:
    """Return what the options of `text_format` state."""
    from lightune.data.text_file import TextFormat

    return TextFormat(**{one.name: how[one.name] for one in fields(TextFormat)})


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; where that is not UTF-8, JSON's own escapes keep every character."""
    is_utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
    say(visible_json(json_text(value, ensure_ascii=not is_utf8)))


def utf8_stdout() -> TextIO | VisibleStdout:
    """Return stdout for rows of a file: UTF-8 like every file we write, whatever the console's own encoding."""
    if sys.stdout.isatty():
        return VisibleStdout()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def shown(record: RunRecord, as_json: bool) -> int:
    """Print a run, in the first of its processes only, and return the exit status."""
    from lightune import runtime

    if runtime.rank():
        pass
    elif as_json:
        print_json(record.model_dump(mode="json"))
    else:
        from lightune.report.summary import print_summary

        print_summary(record, new_console())
    return 0 if record.status == "completed" else 4


def example(text: str) -> str:
    """Return worked examples for --help, kept line by line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in text.strip().splitlines())


def stdin_is_piped() -> bool:
    """Say whether something is piped into us; a terminal is never waited for."""
    return sys.stdin is not None and not sys.stdin.isatty()


def piped_lines() -> list[str]:
    """Return the lines of stdin that are not blank; DataError when they are not UTF-8."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(
            encoding="utf-8-sig", newline=None
        )  # a single carriage return ends a line too; Windows would use its own code page, and add a byte order mark
    try:
        lines = [line.rstrip("\r\n") for line in sys.stdin]
    except UnicodeDecodeError as error:
        hint = "Convert it first (for example: iconv -f latin1 -t utf-8)."
        raise DataError("DATA-003", f"stdin: this is not UTF-8 ({error.reason}).", hint) from error
    texts = [line for line in lines if line.strip()]
    if len(texts) < len(lines):
        say(f"{len(lines) - len(texts)} blank lines of stdin were skipped.", err=True)
    return texts
