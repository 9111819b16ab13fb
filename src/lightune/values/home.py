"""The home folder in paths: its own path has the user's name, ~ has not."""

from __future__ import annotations

import re
from pathlib import Path


def user_path(name: str) -> Path:
    """Return the path of this name, in which ~/ begins the home folder; ~somebody is a name as any other."""
    return Path(name).expanduser() if name == "~" or name.startswith(("~/", "~\\")) else Path(name)


def path_at_home(name: str) -> str:
    """Return a path with ~ in the place of the home folder, if it is in it; `user_path` reads it."""
    path = Path(name)
    home = next((one for one in _homes() if path.is_relative_to(one)), None)
    return name if home is None else str(Path("~") / path.relative_to(home))


def text_at_home(text: str) -> str:
    """Return a text with ~ in the place of the home folder, where a path in it begins with that."""
    for form in {form for home in _homes() for form in (str(home), home.as_posix())}:
        text = re.sub(rf"(?<![\w./\\~-]){re.escape(form)}(?![\w-]|\.\w)", "~", text)
    return text


def _homes() -> list[Path]:
    """Return the home folder as it is named and as it really is; none where a user has none, or the whole disk."""
    try:
        home = Path.home()
    except RuntimeError:
        return []
    return [one for one in (home, home.resolve()) if one != Path(one.anchor)]
