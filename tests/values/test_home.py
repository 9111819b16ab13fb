"""The home folder is written as ~, where a path is in it, and no other path is changed."""

from __future__ import annotations

import pytest

from lightune.values.home import path_at_home, text_at_home


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere/ann")


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/nowhere/ann", "~"),
        ("/nowhere/ann/", "~"),
        ("/nowhere/ann/a b/*.csv", "~/a b/*.csv"),
        ("/nowhere//ann/./a.csv", "~/a.csv"),
        ("/nowhere/ann/../bob/a.csv", "~/../bob/a.csv"),
    ],
)
def test_a_path_in_the_home_folder_begins_with_a_tilde(path: str, written: str) -> None:
    assert path_at_home(path) == written


OTHERS = [
    "../nowhere/ann/data.csv", "./nowhere/ann", "nowhere/ann/a.csv", "file:///nowhere/ann/x", "/mnt/x-/nowhere/ann/y",
    "/mnt/x/nowhere/ann/y", "/nowhere/anna/y", "/nowhere/ann.old/y", "/nowhere/ann-2", "~/nowhere/ann", "reviews",
    "owner/name", "", "/",
]  # fmt: skip


@pytest.mark.parametrize("path", OTHERS)
def test_a_path_elsewhere_stays(path: str) -> None:
    assert path_at_home(path) == path


@pytest.mark.parametrize("path", OTHERS)
def test_a_text_with_a_path_elsewhere_stays(path: str) -> None:
    assert text_at_home(f"{path}: 3 rows.") == f"{path}: 3 rows."


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/nowhere/ann/a.csv: 3 rows.", "~/a.csv: 3 rows."),
        ("read from (/nowhere/ann/a, /nowhere/ann/b)", "read from (~/a, ~/b)"),
        ("It is in /nowhere/ann.", "It is in ~."),
        ('data="/nowhere/ann"', 'data="~"'),
    ],
)
def test_a_text_names_the_home_folder_with_a_tilde(text: str, written: str) -> None:
    assert text_at_home(text) == written
