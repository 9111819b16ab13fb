"""Symbolic links: nothing is written, removed or read through one in a run folder, which others may have made.

Links above a run folder are the user's own, and followed: a home folder on another disk, for example.
"""

from __future__ import annotations

import os
from pathlib import Path

from lightune.errors import ArtifactError


def is_link(path: Path) -> bool:
    """Say whether a path is a symbolic link, or what Windows calls a junction."""
    junction = getattr(os.path, "isjunction", None)  # new in Python 3.12
    return path.is_symlink() or bool(junction and junction(path))


def require_no_link(path: Path) -> None:
    """Raise ArtifactError where this is a link, through which something would be written elsewhere."""
    if is_link(path):
        message = f"{path} is a symbolic link; nothing is written or removed through one."
        raise ArtifactError("ARTIFACT-070", message, "Remove the link, or give the place that it points to.")


def require_no_links(folder: Path) -> None:
    """Raise ArtifactError where a folder is a link, or anything in it is, at any depth."""
    require_no_link(folder)
    for path in sorted(folder.rglob("*")):
        require_no_link(path)


def require_own_files(folder: Path, *names: str) -> None:
    """Raise ArtifactError where one of these files is a link: it shows what somebody else may change or not show.

    In a snapshot of the Hub's cache each file is a link to the cache's own copy, and may be.
    """
    for path in (folder / name for name in names):
        if is_link(path) and not _is_of_hub_cache(path):
            message = f"{path} is a symbolic link; the files of a run are read only from its own folder."
            raise ArtifactError("ARTIFACT-071", message, "Put a copy of what it points to in its place.")


def _is_of_hub_cache(path: Path) -> bool:
    """Say whether a link is snapshots/COMMIT/NAME of the Hub's cache and leads to blobs/ of the same repository.

    However the folder is called here: by a relative path, or by a link to it.
    """
    snapshots = next((one for one in path.parent.resolve().parents if one.name == "snapshots"), None)
    return snapshots is not None and path.resolve().parent == (snapshots.parent / "blobs").resolve()
