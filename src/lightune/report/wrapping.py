"""Breaking lines for a terminal, but never inside what a reader copies."""

from __future__ import annotations

import re
import textwrap

# What a reader copies in one piece: text in backticks or quotes, commands with their flags, a flag with its value.
FLAG = r"--[\w-]+(?: [^\s-]\S*)?"
WHOLE = re.compile(
    rf"`[^`]*`|\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|lightune [a-z]+(?: {FLAG})+|pip install(?: {FLAG}| [^\s-]\S*)|{FLAG}"
)
HOLD = "\0"
# A text that is a command as a whole stays on one line, which a terminal wraps without a line break in the copy.
COMMAND = re.compile(r"(?:-> )?lightune [a-z]+ ")


def wrapped(text: str, width: int) -> str:
    """Return the text with lines broken at spaces, but not inside a command, a flag with its value, or quotes.

    A word or command that is wider than a line stays whole. A continued line keeps its indent.
    """
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def _wrapped_line(line: str, width: int) -> str:
    if len(line) <= width or COMMAND.match(line):
        return line
    text = line.lstrip()
    indent = line[: len(line) - len(text)]
    wrapper = textwrap.TextWrapper(
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.fill(WHOLE.sub(lambda found: found.group().replace(" ", HOLD), text)).replace(HOLD, " ")
