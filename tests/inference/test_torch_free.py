"""The quick path answers as the usual one does, or leaves the answer to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import lightune
from lightune.errors import ArtifactError
from lightune.inference.torch_free import quick_logits
from saved_adapters import in_format_2, make_adapter, without_tokenizer

TEXTS = [
    "a lovely film",
    "the soup was dreadful and cold",
    "this book is quite clever and very warm",
    "dull",
    "unheard",
]
ANSWERED = {
    "lora": "lora",
    "some layers, rsLoRA": {"name": "lora", "roles": ["value"], "use_rslora": True, "alpha": 5},
    "PiSSA, saved as plain LoRA": {"name": "lora", "init_lora_weights": "pissa"},
    "full": "full",
    "head": "head",
    "bitfit": "bitfit",
    "top_layers": "top_layers",
}
LEFT = {
    "dora": {"name": "lora", "use_dora": True},
    "prefix": "prefix",
    "bottleneck": "bottleneck",
    "ia3": "ia3",
}
Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a function that saves an adapter with random trained numbers and returns its folder."""

    def make(architecture: str = "distilbert", method: Any = "lora") -> Path:
        options = dict(method) if isinstance(method, dict) else {"name": method}
        folder = tmp_path_factory.mktemp("quick") / "adapter"
        labels, name = ["no", "so-so", "yes"], options.pop("name")
        return make_adapter(tiny_models[architecture], folder, name, labels, max_length=20, options=options)

    return make


@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
@pytest.mark.parametrize("method", ANSWERED)
def test_it_answers_as_the_usual_path(made: Made, architecture: str, method: str) -> None:
    run = made(architecture, ANSWERED[method])
    found = quick_logits(str(run), TEXTS)
    assert found is not None
    task, logits, truncated = found
    assert truncated == 0
    usual = lightune.load(run, device="cpu")
    assert task == usual.task
    assert list(task.labels) == usual.labels == ["no", "so-so", "yes"]
    np.testing.assert_allclose(logits, usual.logits(TEXTS), rtol=1e-4, atol=1e-5)
    assert float(np.ptp(logits)) > 0.01, "texts that are answered alike prove nothing"
    for quick, slow in zip(task.decode(logits), usual.predict(TEXTS), strict=True):
        assert (quick.label, list(quick.probabilities)) == (slow.label, list(slow.probabilities))
        assert quick.confidence == pytest.approx(slow.confidence, abs=1e-5)


@pytest.mark.parametrize("method", LEFT)
def test_other_methods_are_left_to_the_usual_path(made: Made, method: str) -> None:
    assert quick_logits(str(made("distilbert", LEFT[method])), TEXTS) is None


@pytest.mark.parametrize("architecture", ["roberta", "gpt2"])
def test_other_architectures_are_left_to_the_usual_path(made: Made, architecture: str) -> None:
    assert quick_logits(str(made(architecture)), TEXTS) is None


@pytest.mark.parametrize(
    "texts",
    [[], [""], ["  "], ["half \ud800"], ["fine"] * 17, ["x" * 20_000]],
    ids=["none", "empty", "blank", "surrogate", "many", "long"],
)
def test_texts_that_are_many_or_wrong_are_left_to_the_usual_path(made: Made, texts: list[str]) -> None:
    assert quick_logits(str(made()), texts) is None


def test_a_name_on_the_hub_and_a_folder_without_an_adapter_are_left_to_the_usual_path(tmp_path: Path) -> None:
    assert quick_logits("somebody/model", TEXTS) is None
    assert quick_logits(str(tmp_path), TEXTS) is None


def test_a_long_text_is_cut_where_the_usual_path_cuts_it(made: Made) -> None:
    long, folder = ["lovely dull " * 100, "dull lovely " * 100], made()
    found = quick_logits(str(folder), long)
    assert found is not None
    np.testing.assert_allclose(found[1], lightune.load(folder, device="cpu").logits(long), rtol=1e-4, atol=1e-5)


def test_a_damaged_adapter_is_refused(made: Made, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made(), run)
    path = run / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(ArtifactError, match="damaged"):
        quick_logits(str(run), TEXTS)


def test_another_base_is_refused(made: Made, tiny_models: dict[str, Path]) -> None:
    with pytest.raises(ArtifactError, match="not the base model"):
        quick_logits(str(made()), TEXTS, str(tiny_models["bert"]))


def test_a_tokenizer_whose_settings_contradict_its_file_is_left_to_the_usual_path(
    made: Made, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """That of the base, which an older adapter uses; the settings are no part of the base's fingerprint."""
    folder = without_tokenizer(made())
    base = tmp_path / "base"
    shutil.copytree(tiny_models["distilbert"], base)
    path = base / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    assert quick_logits(str(folder), TEXTS, str(base)) is not None
    path.write_text(json.dumps({**settings, "tokenizer_class": "BertTokenizer", "do_lower_case": False}))
    assert quick_logits(str(folder), TEXTS, str(base)) is None


@pytest.mark.parametrize("kind", ["BertTokenizer", "PreTrainedTokenizerFast"])
def test_a_tokenizer_file_with_a_name_twice_is_no_bug(made: Made, tmp_path: Path, kind: str) -> None:
    """The library takes the last of the two, on both paths."""
    run = shutil.copytree(made(), tmp_path / "run")
    path, about = run / "tokenizer.json", run / "tokenizer_config.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"[PAD]": 0', '"[PAD]": 0, "[PAD]": 0'), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    about.write_text(json.dumps({**json.loads(about.read_bytes()), "tokenizer_class": kind}), encoding="utf-8")
    in_format_2(run)
    found = quick_logits(str(run), TEXTS)
    if kind == "BertTokenizer":  # which normalizes otherwise than this file says
        assert found is None
        return
    assert found is not None
    np.testing.assert_allclose(found[1], lightune.load(run, device="cpu").logits(TEXTS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_base_in_half_precision_is_left_to_the_usual_path(
    tiny_models: dict[str, Path], tmp_path: Path, kind: torch.dtype
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_models["bert"], base)
    path = base / "model.safetensors"
    halved = {name: value.to(kind) for name, value in load_file(path).items()}
    save_file(halved, path, metadata={"format": "pt"})
    folder = make_adapter(base, tmp_path / "adapter", "lora", ["no", "yes"])
    assert quick_logits(str(folder), TEXTS) is None
    assert lightune.load(folder, device="cpu").logits(TEXTS).shape == (len(TEXTS), 2)


def test_a_base_whose_tensors_have_older_names_is_left_to_the_usual_path(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """BERT's first checkpoints call a norm's weight gamma and its bias beta."""
    base = tmp_path / "base"
    shutil.copytree(tiny_models["bert"], base)
    path = base / "model.safetensors"
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in load_file(path).items()
    }
    save_file(older, path, metadata={"format": "pt"})
    folder = make_adapter(base, tmp_path / "adapter", "lora", ["no", "yes"])
    assert quick_logits(str(folder), TEXTS) is None
    assert lightune.load(folder, device="cpu").logits(TEXTS).shape == (len(TEXTS), 2)
