"""The only module that prints: what comes from data, models and files cannot control a terminal.

Characters that would are shown as escapes, such as \\x1b: of control, half characters, and those that reverse the rest
of a line. Ends of lines and tabs stay.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Return a text with an escape in the place of each character that a terminal obeys or cannot show."""
    return STEERING.sub(_escape, text)


def visible_json(text: str) -> str:
    """Return JSON in which such characters, which can only be in its texts, are JSON's escapes."""
    return STEERING.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def say(text: str = "", err: bool = False, nl: bool = True) -> None:
    """Print a text on stdout or stderr."""
    import click

    click.echo(visible(text), err=err, nl=nl)


def log(text: str) -> None:
    """Print a line of progress on stderr, which no command line need have set up."""
    print(visible(text), file=sys.stderr, flush=True)


def new_console(stderr: bool = False) -> Console:
    """Return a console of rich: texts are no markup, unless a call says so."""
    made: Console = _console_class()(stderr=stderr, highlight=False, markup=False, emoji=False)
    return made


class VisibleStdout:
    """Standard output for rows of a file, where that is a terminal: anything with `write`, as csv's writer needs."""

    def write(self, text: str) -> int:
        """Print a part of a row."""
        say(text, nl=False)
        return len(text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found.group())
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


@cache
def _console_class() -> Any:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Visible(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            """Render with visible texts; what rich itself tells the terminal is in segments of control."""
            for found in super().render(renderable, options):
                yield found if found.control else Segment(visible(found.text), found.style)

    return Visible
