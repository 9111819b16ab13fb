"""What to install for an optional part of lightune, as a command that works beside a clone and beside a wheel.

No package index has lightune, so the command names the packages of the extra and not the extra itself.
"""

from __future__ import annotations

import re
from importlib import metadata

REQUIREMENT = re.compile(r"""(?P<package>[\w.-]+)(?P<versions>[^;]*);.*\bextra\s*==\s*['"](?P<extra>[\w-]+)['"]""")


def install_command(extra: str, *only: str) -> str:
    """Return `pip install 'openpyxl>=3.1'` for the extra `excel`: all of its packages, or only those that are named.

    Where lightune is not installed but imported from its source, that is the extra of the clone.
    """
    wanted = [package + versions for package, versions in _packages(extra) if not only or package in only]
    if not wanted:
        return f"pip install -c constraints.txt '.[{extra}]' in the clone"
    return "pip install " + " ".join(f"'{one}'" if re.search(r"[<>=]", one) else one for one in wanted)


def _packages(extra: str) -> list[tuple[str, str]]:
    """Return (name, versions) of each package of an extra, as the installed metadata has them."""
    try:
        said = metadata.requires("lightune") or []
    except metadata.PackageNotFoundError:
        return []
    found = [REQUIREMENT.match(one) for one in said]
    return [(one["package"], one["versions"].strip()) for one in found if one and one["extra"] == extra]
