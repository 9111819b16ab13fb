"""Names of files, data sets and models: web addresses, and passwords and tokens, which no file of a run may show."""

from __future__ import annotations

import re

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")  # a drive of Windows has one letter
# user:password@ behind a scheme, and the values of such parameters as ?token= and &X-Amz-Signature=.
PASSWORD = re.compile(r"(:/+)[^/\s@]+@")
TOKEN = re.compile(
    r"([?&;](?:[\w.-]*(?:token|secret|passw(?:or)?d|signature|credential|api_?-?key|access_?-?key)|auth|key|sig|pwd)=)"
    r"[^&;/\s]+",
    re.IGNORECASE,
)
HIDDEN = "***"


def without_secrets(text: str) -> str:
    """Return a text with *** in the place of the passwords and tokens of web addresses in it."""
    return TOKEN.sub(rf"\1{HIDDEN}", PASSWORD.sub(rf"\1{HIDDEN}@", text))


def readable_name(name: str) -> str:
    """Return a name of data or of a model; ValueError for a web address, and for a name with a password or token."""
    if ADDRESS.match(name):
        raise ValueError(
            f"a web address is not read ({without_secrets(name)[:200]}). Download it, and give the file or the folder."
        )
    hidden = without_secrets(name)
    if hidden != name:
        raise ValueError(
            f"this name has a password or a token in it, which the run's files would show ({hidden[:200]}). Rename it."
        )
    return name
