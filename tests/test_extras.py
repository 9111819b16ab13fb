"""What hints tell a user to install exists: packages of the extras, never the name of a package that no index has."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import lightune
from lightune.extras import install_command

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata that a wheel of this tree has; that of an editable installation may be older."""
    said = [f"{one} ; extra == '{extra}'" for extra, packages in EXTRAS.items() for one in packages]
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch<2.14,>=2.10", *said])


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("extra", ["offline", "excel", "track", "quantized"])
def test_the_command_installs_what_the_extra_holds(extra: str) -> None:
    assert re.findall(r"[\w-]+[<>=.\d]*", install_command(extra).removeprefix("pip install ")) == EXTRAS[extra]


@pytest.mark.usefixtures("installed")
def test_only_what_is_absent_is_named() -> None:
    assert install_command("track", "wandb") == "pip install wandb"
    assert install_command("track", "wandb", "trackio") == "pip install trackio wandb"
    assert install_command("excel") == "pip install 'openpyxl>=3.1'"


def test_a_source_that_is_not_installed_names_the_extra_of_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert install_command("excel") == "pip install -c constraints.txt '.[excel]' in the clone"


def test_no_hint_and_no_page_installs_lightune_from_an_index() -> None:
    files = [*Path(lightune.__file__).parent.rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    files += [*(ROOT / "docs").glob("*.ipynb"), *Path(lightune.__file__).parent.rglob("*.j2")]
    named = re.compile(r"pip install (?:-\S+ )*['\"]?lightune\b")
    assert [path.name for path in files if named.search(path.read_text(encoding="utf-8"))] == []
