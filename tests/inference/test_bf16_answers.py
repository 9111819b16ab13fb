"""Answers in bf16: near those in fp32, from a copy, chosen for one text and for many apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import OPTConfig, OPTForSequenceClassification

import lightune
from lightune.cli.main import main
from lightune.errors import RecipeError
from lightune.execution.bf16_copy import copy_in_bf16
from lightune.execution.execution import execution_of
from lightune.execution.precision_probe import Precision, emulates_bf16, probe_precision, product_shapes
from lightune.execution.unpadding import padding_free
from lightune.inference import bf16_answers as answering_precision
from lightune.methods import METHODS
from lightune.methods.support import support
from padded_and_ragged import batch_of, texts
from saved_adapters import make_adapter
from tiny import sentences

TEXTS = list(dict.fromkeys(text for text, _ in sentences(40, seed=52)))
LABELS = ["negative", "positive"]


@pytest.mark.parametrize("method", ["lora", "prefix", "bottleneck", "full", "ia3", "bitfit"])
@pytest.mark.parametrize("architecture", ["distilbert", "llama", "deberta-v2"])
def test_answers_are_near_and_the_model_stays(method: str, architecture: str, tiny_models: Any, tmp_path: Path) -> None:
    if (method, architecture) in {("bitfit", "llama")}:
        pytest.skip("not on this architecture")
    folder = make_adapter(tiny_models[architecture], tmp_path / "a", method, LABELS)
    exact, half = (lightune.load(folder, device="cpu", precision=name) for name in ("fp32", "bf16"))
    wanted, found = exact.logits(TEXTS), half.logits(TEXTS)
    assert 0 < np.abs(found - wanted).max() < 0.1 * wanted.std() + 0.01
    assert half.logits(TEXTS[:1]) == pytest.approx(wanted[:1], abs=0.1 * float(wanted.std()) + 0.01)
    assert half.precisions == {kind: {"name": "bf16", "why": "asked for"} for kind in ("many texts", "one text")}
    assert exact.precisions == {}
    assert {value.dtype for value in half.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_answers_in_bf16(method: str, tiny_models: Any, tmp_path: Path) -> None:
    if support().get(method, {}).get("bert"):
        pytest.skip("not on this architecture")
    folder = make_adapter(tiny_models["bert"], tmp_path / "a", method, LABELS)
    exact, half = (lightune.load(folder, device="cpu", precision=name).logits(TEXTS) for name in ("fp32", "bf16"))
    assert 0 < np.abs(half - exact).max() < 0.1 * exact.std() + 0.02


def test_a_projection_behind_the_layers_takes_what_they_leave() -> None:
    """As the smaller OPT models have one."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=50, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=16,
        do_layer_norm_before=False, pad_token_id=1,
    )  # fmt: skip
    model = OPTForSequenceClassification(config).eval()
    batch = {"input_ids": torch.tensor([[5, 6, 7], [8, 9, 1]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}
    with torch.no_grad(), padding_free(model):
        wanted, found = model(**batch).logits, copy_in_bf16(model)(**batch).logits
    assert 0 < float((found - wanted).abs().max()) < 0.05


def test_whoever_takes_the_model_may_change_it(tiny_models: Any, tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["bert"], tmp_path / "a", "lora", LABELS)
    half = lightune.load(folder, device="cpu", precision="bf16")
    half.logits(TEXTS)
    for value in half.model.parameters():
        value.data.zero_()
    assert not half.logits(TEXTS).any()


def test_what_is_open_on_the_model_is_not_open_on_its_copy(load_lively: Any) -> None:
    """The hooks of the model's unpadder are copied, and do nothing: neither alone nor beside the copy's own."""
    loaded = load_lively("bert")
    model, batch = loaded.model.eval(), batch_of(loaded, texts())
    real, padded = int(batch["attention_mask"].sum()), batch["input_ids"].numel()
    seen: list[int] = []
    with torch.no_grad(), padding_free(model, logits_only=True):
        copied = copy_in_bf16(model)
        assert execution_of(copied) is not execution_of(model)
        assert execution_of(copied).unpadder is None
        first = copied.get_submodule(loaded.anatomy.modules(["query"])[0])
        first.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:-1].numel()))
        wanted = copied(**batch).logits
        with padding_free(copied, logits_only=True):
            found = copied(**batch).logits
        assert execution_of(model).unpadder is not None
    with torch.no_grad(), padding_free(copied):
        again = copied(**batch).logits
    assert seen == [padded, -(-real // 32) * 32, -(-real // 32) * 32]
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.05)
    torch.testing.assert_close(again, wanted, rtol=0, atol=0.05)


def test_auto_asks_for_one_text_and_for_many_apart_and_once(
    tiny_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def probe(model: Any, tokens: int, is_training: bool) -> Precision:
        assert not is_training
        asked.append(tokens)
        return Precision("bf16" if len(asked) == 1 else "fp32", "measured")

    monkeypatch.setattr(answering_precision, "probe_precision", probe)
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS)
    exact, auto = (lightune.load(folder, device="cpu", precision=name) for name in ("fp32", "auto"))
    for _ in range(2):
        assert not np.array_equal(auto.logits(TEXTS), exact.logits(TEXTS))
        assert np.array_equal(auto.logits(TEXTS[:1]), exact.logits(TEXTS[:1]))
    assert len(asked) == 2
    assert asked[0] > asked[1]


def test_a_tiny_model_stays_in_fp32_and_says_why(tiny_models: Any, tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS)
    auto = lightune.load(folder, device="cpu", precision="auto")
    auto.logits(TEXTS)
    assert auto.precisions["many texts"]["name"] == "fp32"
    assert "ms in fp32" in auto.precisions["many texts"]["why"] or emulates_bf16()


def test_an_unknown_precision_and_bf16_on_another_device_are_refused(tiny_models: Any, tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS)
    with pytest.raises(RecipeError, match="fp16"):
        lightune.load(folder, device="cpu", precision="fp16")
    with pytest.raises(RecipeError, match="need a CPU or CUDA"):
        answering_precision.AnsweringPrecision("bf16", "mps")
    assert answering_precision.AnsweringPrecision("auto", "mps").choose(torch.nn.Linear(1, 1), None) is not None  # type: ignore[arg-type]


def test_the_command_answers_in_bf16(tiny_models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS)
    found = []
    for precision in ("fp32", "bf16", "auto"):
        assert main(["predict", str(folder), TEXTS[0], "--json", "--precision", precision]) == 0
        found.append(json.loads(capsys.readouterr().out)["predictions"][0]["confidence"])
    assert found[2] == found[0]
    assert found[1] != found[0]
    assert found[1] == pytest.approx(found[0], abs=0.05)


def test_the_probe_counts_frozen_layers_in_training_and_all_for_answers(load_lively: Any) -> None:
    """DistilBERT's layer: four square products and two of the feed-forward part."""
    model = load_lively("distilbert").model
    layers, width, inner = model.config.n_layers, model.config.dim, model.config.hidden_dim
    wanted = {(width, width): 4 * layers, tuple(sorted((width, inner))): 2 * layers}
    assert not product_shapes(model, only_frozen=True)
    assert product_shapes(model, only_frozen=False) == wanted
    assert "no frozen linear layer" in probe_precision(model, 100, is_training=True).why
    assert "no frozen linear layer" not in probe_precision(model, 100, is_training=False).why
    assert product_shapes(model.requires_grad_(False), only_frozen=True) == wanted


@pytest.mark.parametrize(("half", "name"), [(0.002, "bf16"), (0.009, "fp32")])
def test_bf16_is_chosen_where_its_products_are_clearly_faster(
    load_lively: Any, monkeypatch: pytest.MonkeyPatch, half: float, name: str
) -> None:
    from lightune.execution import precision_probe as precision

    monkeypatch.setattr(precision, "emulates_bf16", lambda: False)
    monkeypatch.setattr(
        precision, "_seconds", lambda shapes, rows, dtype, train: half if dtype == torch.bfloat16 else 0.01
    )
    found = probe_precision(load_lively("distilbert").model.requires_grad_(False), 512, is_training=True)
    assert found.name == name
    assert f"10.0 ms in fp32, {half * 1000:.1f} ms in bf16" in found.why
