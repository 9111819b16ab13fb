"""Weights held in fewer bits: which layers, with which values, what they compute; references are numpy's."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

import lightune
from lightune.artifact import ArtifactConfig, load_adapter
from lightune.cli.main import main
from lightune.errors import RecipeError
from lightune.extras import install_command
from lightune.methods import METHODS, make_method
from lightune.methods.base import count_parameters
from lightune.models import quantize
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.load import LoadedModel, ModelSource, load_model
from lightune.models.quantize import require_precision, round_weights, weight_bytes
from reloading_here import reloading_here
from tiny import ARCHITECTURES, classes

needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="the extra `quantized` is absent")
HELD = ["bf16", *(pytest.param(name, marks=needs_bitsandbytes) for name in ("int8", "nf4"))]
TEXTS = ["a lovely film", "the soup was dreadful and cold", "this book is quite clever and very warm", "dull"]
# The 16 quantiles of a normal distribution that NF4 stands for: Dettmers et al. 2023, arXiv:2305.14314, appendix E.
NF4 = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
])  # fmt: skip


def bf16(weight: np.ndarray) -> np.ndarray:
    """Keep the upper 16 bits of the float, rounded to nearest, ties to even."""
    bits = weight.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)


def int8(weight: np.ndarray) -> np.ndarray:
    """Each output row in steps of a 127th of its largest value; bitsandbytes reads the weight as fp16 first."""
    half = weight.astype(np.float16).astype(np.float32)
    largest = np.abs(half).max(axis=1, keepdims=True)
    return np.rint(half * 127 / largest) * largest / 127


def nf4(weight: np.ndarray) -> np.ndarray:
    """Blocks of 64 values, each value the nearest of the sixteen, times the block's largest."""
    blocks = weight.reshape(-1, 64)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    nearest = np.abs((blocks / largest)[..., None] - NF4).argmin(axis=-1)
    return (NF4[nearest] * largest).reshape(weight.shape)


ROUNDED = {"bf16": bf16, "int8": int8, "nf4": nf4}


@pytest.fixture(scope="module")
def lively_folders(
    load_lively: Callable[..., LoadedModel], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Tiny classifiers with spread-out weights, head included, saved."""
    root = tmp_path_factory.mktemp("lively")
    for name in ARCHITECTURES:
        loaded = load_lively(name)
        loaded.model.save_pretrained(root / name)
        loaded.tokenizer.save_pretrained(root / name)
    return {name: root / name for name in ARCHITECTURES}


def load(folder: Path, precision: str = "fp32") -> LoadedModel:
    return load_model(ModelSource("it", folder, None), classes(["negative", "positive"]), 1, None, precision)


def reference(folder: Path, precision: str) -> LoadedModel:
    """The stock fp32 model with the values that its held weights stand for."""
    loaded = load(folder)
    with torch.no_grad():
        round_weights(loaded.model, precision, loaded.anatomy.architecture)
    return loaded


def gradients(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    """Of LoRA's trained tensors, with B moved away from zero so that A has gradients too."""
    model = make_method("lora").attach(loaded.model, loaded.anatomy, 3).model.eval()
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    draw = torch.Generator().manual_seed(5)
    for value in trained.values():
        value.data.copy_(torch.randn(value.shape, generator=draw) * 0.1)
    batch = loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")
    model(**batch, labels=torch.tensor([1, 0, 1, 0])).loss.backward()
    return {name: value.grad for name, value in trained.items()}


def logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(**loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


@pytest.mark.parametrize("precision", HELD)
def test_the_weights_are_rounded_as_the_papers_say(lively_folders: dict[str, Path], precision: str) -> None:
    """All but ties (a value halfway between two steps), which may go either way: those are off by one step."""
    folder = lively_folders["distilbert"]
    stock, rounded = load(folder), reference(folder, precision)
    for name in stock.anatomy.modules(LINEAR_ROLES):
        before, found = (loaded.model.get_submodule(name).weight.detach().numpy() for loaded in (stock, rounded))
        off = np.abs(found - ROUNDED[precision](before))
        assert np.mean(off > 1e-6) < 0.001, name
        assert off.max() <= np.abs(before).max() / 127 + 1e-6, name
        assert np.abs(found - before).max() > 1e-4, "nothing was rounded"


@pytest.mark.parametrize("precision", HELD)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_held_model_computes_as_its_rounded_weights_do(
    lively_folders: dict[str, Path], architecture: str, precision: str
) -> None:
    """Logits, gradients and the number of parameters; evaluation and training alike."""
    folder = lively_folders[architecture]
    held, wanted, stock = load(folder, precision), reference(folder, precision), load(folder)
    assert not torch.allclose(logits(held), logits(stock), atol=1e-4), "nothing was rounded"
    assert torch.allclose(logits(held), logits(wanted), atol=1e-4, rtol=1e-4)
    assert count_parameters(held.model) == count_parameters(stock.model)
    found, expected = gradients(held), gradients(wanted)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        assert torch.allclose(gradient, expected[name], atol=1e-4, rtol=1e-3), name


@pytest.mark.parametrize("precision", HELD)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_layers_are_held_and_everything_else_is_what_it_is_in_fp32(
    tiny_models: dict[str, Path], architecture: str, precision: str
) -> None:
    """The head too, which is drawn when the model is loaded."""
    held, stock = load(tiny_models[architecture], precision), load(tiny_models[architecture])
    inside = {f"{name}.weight" for name in held.anatomy.modules(LINEAR_ROLES)}
    small = {name for name, value in held.model.named_parameters() if value.dtype != torch.float32}
    assert small == inside
    for name, value in stock.model.named_parameters():
        if name not in inside:
            assert torch.equal(value, held.model.get_parameter(name)), name


@pytest.mark.parametrize("precision", HELD)
def test_the_bytes_of_the_weights_are_those_counted_by_hand(tiny_models: dict[str, Path], precision: str) -> None:
    """Two DistilBERT layers of four 32x32 and two 32x64 products: 2 * (4 * 1,024 + 2 * 2,048) = 16,384 weights."""
    saved = weight_bytes(load(tiny_models["distilbert"]).model) - weight_bytes(
        load(tiny_models["distilbert"], precision).model
    )
    rows = 2 * (4 * 32 + 64 + 32)  # int8: an fp32 scale for each row
    blocks = 16_384 // 64  # nf4: an fp32 scale for each block, and the table of 16 numbers for each of 12 layers
    held = {"bf16": 2 * 16_384, "int8": 16_384 + 4 * rows, "nf4": 16_384 // 2 + 4 * blocks + 12 * 16 * 4}
    assert saved == 4 * 16_384 - held[precision]


def test_bf16_works_under_autocast(tiny_models: dict[str, Path]) -> None:
    loaded = load(tiny_models["bert"], "bf16")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(loaded)
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}
    assert all(gradient.isfinite().all() for gradient in found.values())


@pytest.mark.parametrize("precision", HELD)
def test_a_run_with_held_weights_is_reloaded_the_same_and_merges_exactly(
    tiny_recipe: Callable[..., Any], tmp_path: Path, precision: str
) -> None:
    recipe = tiny_recipe("bert", "lora", learning_rate=2e-2).model_copy(update={"model_precision": precision})
    with reloading_here():
        record = lightune.run(recipe, tmp_path / "run")
    assert record.reload_check.largest_logit_difference == 0.0
    assert record.model.precision == precision
    assert record.model.parameters == 21_922
    assert record.inference.merged_latency_ms_p50 is not None
    assert any(precision in note for note in record.notes)
    assert load_adapter(tmp_path / "run").config.model_precision == precision
    classifier = lightune.load(tmp_path / "run", device="cpu")
    ours = classifier.logits(TEXTS)
    batch = classifier.tokenizer(TEXTS, padding=True, return_tensors="pt")
    classifier.save_pretrained(tmp_path / "stock")
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "stock")
    assert {value.dtype for value in stock.parameters()} == {torch.float32}
    with torch.no_grad():
        assert np.allclose(stock(**batch).logits.numpy(), ours, atol=1e-5)
    base = AutoModelForSequenceClassification.from_pretrained(recipe.model)
    PeftModel.from_pretrained(base, tmp_path / "run" / "adapter")


def test_an_adapter_saved_before_there_were_precisions_is_an_fp32_one(tiny_run: Any) -> None:
    written = json.loads((tiny_run.folder / "adapter" / "lightune.json").read_text(encoding="utf-8"))
    assert written.pop("model_precision") == "fp32"
    assert written.pop("labels") == ["negative", "positive"]
    assert written.pop("files")
    assert ArtifactConfig(**{**written, "task": classes(["negative", "positive"])}).model_precision == "fp32"


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_what_trains_the_models_own_weights_needs_fp32(
    tiny_run: Any, tmp_path: Path, capsys: Any, precision: str
) -> None:
    """Refused before anything is read or written."""
    command = ["run", "--method", "full", "--set", f"model_precision={precision}", "--output", str(tmp_path / "out")]
    assert main(command) == 2
    assert f"RECIPE-070 model_precision: {precision}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert [name for name, kind in METHODS.items() if not kind.base_is_frozen] == ["bitfit", "full", "top_layers"]


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_without_bitsandbytes_its_installation_is_named(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(quantize, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="bitsandbytes is not installed") as caught:
        require_precision(precision)
    assert caught.value.exit_code == 2
    assert install_command("quantized") in caught.value.hint
    require_precision("bf16")


def test_an_unknown_precision_is_refused_with_the_known_ones(capsys: Any) -> None:
    assert main(["run", "--set", "model_precision=int4"]) == 2
    assert "'fp32', 'bf16', 'int8' or 'nf4'" in capsys.readouterr().err
