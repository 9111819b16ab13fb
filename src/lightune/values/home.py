"""The home folder in paths: its own path has the user's name, ~ has not."""

from __future__ import annotations

import re
from pathlib import Path


def user_path(name: str) -> Path:
    """Return the path of this name, in which ~/ begins the home folder; ~somebody is a name as any other."""
    return Path(name).expanduser() if name == "~" or name.startswith(("~/", "~\\")) else Path(name)


def at_home(text: str) -> str:
    """Return a text, or a path, with ~ in the place of the home folder; `user_path` reads it."""
    try:
        home = Path.home()
    except RuntimeError:  # this user has none
        return text
    for one in {home, home.resolve()} - {Path(home.anchor)}:
        for form in {str(one), one.as_posix()}:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?![\w.-])", "~", text)
    return text
