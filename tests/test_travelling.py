"""What a run folder takes along: names instead of paths, and the tokenizer; it is read anywhere, by anybody."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftConfig, PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import lightune
from lightune.artifact import read_config
from lightune.inference.torch_free import quick_logits
from lightune.models import embedded
from lightune.report import usage
from lightune.report.card import render_card
from saved_adapters import make_adapter, without_tokenizer
from small_hub import COMMIT, Behaviour, environment, small_hub
from tiny import sentences

TEXTS = [text for text, _ in sentences(12, seed=41)]
LABELS = ["negative", "positive"]
ABSENT = embedded.folder() is None


@pytest.fixture
def copied(tiny_run: Any, tmp_path: Path) -> Path:
    """A copy of the shared run, to be changed."""
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "copy"))


# Names, no paths


def test_no_file_of_an_adapter_holds_a_path_of_this_disk(tiny_run: Any, tiny_models: dict[str, Path]) -> None:
    place = str(tiny_models["distilbert"].parent.parent)
    assert place in (tiny_run.folder / "recipe.yaml").read_text(encoding="utf-8"), "paths are kept there"
    files = list((tiny_run.folder / "adapter").iterdir())
    assert len(files) == 7
    assert [path.name for path in files if place.encode() in path.read_bytes()] == []


def test_a_card_holds_none_either(tiny_run: Any, tiny_models: dict[str, Path], tiny_data: dict[str, Path]) -> None:
    card = (tiny_run.folder / "README.md").read_text(encoding="utf-8")
    for path in (tiny_models["distilbert"], tiny_data["train"], tiny_run.folder):
        assert path.name in card
        assert str(path.parent) not in card


def test_peft_reads_the_name_of_a_base_in_a_folder(tiny_run: Any) -> None:
    told = PeftConfig.from_pretrained(str(tiny_run.folder / "adapter"))
    assert (told.base_model_name_or_path, told.revision) == ("distilbert", None)


@pytest.mark.skipif(ABSENT, reason="the embedded model is not installed")
def test_peft_reads_the_hub_name_of_the_embedded_base(tmp_path: Path) -> None:
    folder = make_adapter("minilm", tmp_path / "adapter", "lora", LABELS)
    told = PeftConfig.from_pretrained(str(folder))
    assert (told.base_model_name_or_path, told.revision) == ("sentence-transformers/all-MiniLM-L6-v2", None)
    assert read_config(folder).base_model == "minilm"


# The tokenizer


def test_peft_needs_only_the_adapter_and_the_base_model(tiny_run: Any, tiny_models: dict[str, Path]) -> None:
    adapter = tiny_run.folder / "adapter"
    base = AutoModelForSequenceClassification.from_pretrained(tiny_models["distilbert"], num_labels=2)
    model, tokenizer = PeftModel.from_pretrained(base, adapter).eval(), AutoTokenizer.from_pretrained(adapter)
    texts = [*TEXTS, " ".join(["lovely"] * 70)]
    with torch.inference_mode():
        theirs = model(**tokenizer(texts, truncation=True, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(theirs.numpy(), lightune.load(tiny_run.folder).logits(texts), atol=1e-5)


@pytest.fixture
def other_tokenizer(tiny_models: dict[str, Path], tmp_path: Path) -> str:
    """The shared run's base model with another tokenizer_config.json, which its hash does not cover: short texts."""
    base = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "base"))
    path = base / "tokenizer_config.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**told, "model_max_length": 4}), encoding="utf-8")
    return str(base)


def test_another_tokenizer_of_the_base_changes_no_answer(copied: Path, other_tokenizer: str, tiny_run: Any) -> None:
    wanted = lightune.load(tiny_run.folder).logits(TEXTS)
    np.testing.assert_array_equal(lightune.load(copied, base_model=other_tokenizer).logits(TEXTS), wanted)
    bank = lightune.load_adapters({"it": copied}, base_model=other_tokenizer)
    np.testing.assert_array_equal(bank["it"].logits(TEXTS), wanted)
    task, found, _ = quick_logits(str(copied), TEXTS, other_tokenizer)
    assert task.labels == ("negative", "positive")
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    without_tokenizer(copied / "adapter")
    with pytest.raises(lightune.LightuneError, match="max_length"):
        lightune.load(copied, base_model=other_tokenizer)


def test_a_folder_of_an_older_version_reads_that_of_the_base(copied: Path, tiny_run: Any) -> None:
    wanted = lightune.load(tiny_run.folder).logits(TEXTS)
    without_tokenizer(copied / "adapter")
    np.testing.assert_array_equal(lightune.load(copied).logits(TEXTS), wanted)
    np.testing.assert_allclose(quick_logits(str(copied), TEXTS)[1], wanted, atol=1e-5)


def test_a_tokenizer_that_somebody_put_into_an_older_folder_is_not_read(copied: Path, tiny_run: Any) -> None:
    adapter = without_tokenizer(copied / "adapter")
    (adapter / "tokenizer_config.json").write_text("no JSON at all", encoding="utf-8")
    np.testing.assert_array_equal(lightune.load(copied).logits(TEXTS), lightune.load(tiny_run.folder).logits(TEXTS))


def test_adapters_in_a_bank_share_a_tokenizer_only_if_it_is_the_same(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = tiny_models["bert"]
    lengths = {"one": 9, "two": 9, "long": 64, "old": 64}
    folders = {name: make_adapter(base, tmp_path / name, "head", LABELS, 1, most) for name, most in lengths.items()}
    without_tokenizer(folders["old"])
    bank = lightune.load_adapters(folders)
    assert bank["one"].tokenizer is bank["two"].tokenizer
    assert bank["one"].tokenizer is not bank["long"].tokenizer
    for name, folder in folders.items():
        assert bank[name].max_length == lengths[name]
        np.testing.assert_array_equal(bank[name].logits(TEXTS), lightune.load(folder).logits(TEXTS))


def test_a_merged_model_cuts_texts_where_the_run_did(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    long = [" ".join(["lovely", "film", *["the"] * 12, "dreadful", text]) for text in TEXTS]
    classifier = lightune.load(make_adapter(tiny_models["bert"], tmp_path / "adapter", "lora", LABELS, 1, 9))
    wanted = classifier.logits(long)
    classifier.save_pretrained(tmp_path / "stock")
    assert lightune.load(tmp_path / "stock").max_length == 9
    np.testing.assert_allclose(lightune.load(tmp_path / "stock").logits(long), wanted, atol=1e-5)


# Without lightune


def printed_by(code: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})  # noqa: S102 (our own card)
    return capsys.readouterr().out.strip()


def test_the_card_s_code_for_a_stock_model_answers_as_the_run_does(
    tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = usage.stock_code(tiny_run.record)
    assert code in render_card(tiny_run.record.model_copy(update={"run_folder": "elsewhere"})).replace(
        "elsewhere", str(tiny_run.folder)
    )
    wanted = lightune.load(tiny_run.folder, device="cpu").predict("A lovely film")[0].label
    assert printed_by(code.replace("A text to classify.", "A lovely film"), capsys).split()[0] == wanted
    stock = usage.transformers_code(tiny_run.record, "my-model")
    assert "lightune" not in stock
    assert printed_by(stock.replace("A text to classify.", "A lovely film"), capsys).split()[0] == wanted


# Rebuilt environments

ANSWER = """
import json, sys
import lightune
from lightune.artifact import load_adapter
from lightune.inference.classifier import load
place = str(load_adapter(sys.argv[1]).loaded.source.folder)
print(json.dumps({"place": place, "logits": load(sys.argv[1], device="cpu").logits(json.loads(sys.argv[2])).tolist()}))
"""


def answers_elsewhere(folder: Path, **env: str) -> dict[str, Any]:
    """Load the adapter in a fresh process and return where its base model was found, and its logits."""
    command = [sys.executable, "-c", ANSWER, str(folder), json.dumps(TEXTS)]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(ABSENT, reason="the embedded model is not installed")
def test_the_package_of_the_embedded_model_may_be_elsewhere(tmp_path: Path) -> None:
    folder = make_adapter("minilm", tmp_path / "adapter", "lora", LABELS)
    wanted = lightune.load(folder, device="cpu").logits(TEXTS)
    package = tmp_path / "site" / embedded.PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copytree(embedded.folder(), package / "model", copy_function=os.link)
    moved = folder.rename(tmp_path / "moved")
    paths = os.pathsep.join([str(tmp_path / "site"), os.environ["PYTHONPATH"]])
    found = answers_elsewhere(moved, PYTHONPATH=paths, HF_HOME=str(tmp_path / "home"))
    assert found["place"] == str(package / "model")
    np.testing.assert_allclose(found["logits"], wanted, atol=1e-5)


@pytest.mark.long
@pytest.mark.skipif(ABSENT, reason="the embedded model is not installed")
def test_without_that_package_the_hub_has_the_same_base(tmp_path: Path) -> None:
    folder = make_adapter("minilm", tmp_path / "adapter", "lora", LABELS)
    wanted = lightune.load(folder, device="cpu").logits(TEXTS)
    package = tmp_path / "site" / embedded.PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()  # it hides the installed one, and has no weights
    paths = os.pathsep.join([str(tmp_path / "site"), os.environ["PYTHONPATH"]])
    with small_hub(Behaviour(embedded.folder())) as endpoint:
        found = answers_elsewhere(
            folder, **environment(tmp_path / "hub", endpoint, PYTHONPATH=paths, HF_HUB_OFFLINE="0")
        )
    assert COMMIT in found["place"]
    np.testing.assert_allclose(found["logits"], wanted, atol=1e-5)
