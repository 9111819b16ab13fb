"""The example that shows the whole idea without the framework: it is short, it is LoRA, and it learns."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lightune.methods import make_method

PATH = Path(__file__).resolve().parents[2] / "examples" / "plain_lora_loop.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("plain_lora_loop", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(tiny_models):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(tiny_models["bert"], num_labels=2)


def test_it_is_short_and_needs_neither_peft_nor_lightune():
    source = PATH.read_text(encoding="utf-8")
    assert len(source.splitlines()) < 100
    assert not re.search(r"^\s*(import|from) (peft|lightune)", source, flags=re.MULTILINE)


def test_with_b_at_zero_the_logits_are_those_of_the_untouched_model(example, model, tiny_models):
    batch = AutoTokenizer.from_pretrained(tiny_models["bert"])("a lovely film", return_tensors="pt")
    with torch.no_grad():
        before = model(**batch).logits
        example.add_lora(model, rank=4, alpha=8)
        torch.testing.assert_close(model(**batch).logits, before, rtol=0, atol=0)
        for module in model.modules():
            if isinstance(module, example.LoraLinear):
                module.b.normal_()
        assert (model(**batch).logits - before).abs().max() > 1e-3


def test_a_layer_computes_the_formula_of_the_paper(example):
    torch.manual_seed(1)
    layer = example.LoraLinear(torch.nn.Linear(6, 5), rank=2, alpha=8)
    torch.nn.init.normal_(layer.b)
    x = torch.randn(3, 6)
    weight = layer.frozen.weight + (8 / 2) * layer.b @ layer.a
    torch.testing.assert_close(layer(x), x @ weight.T + layer.frozen.bias)


@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
def test_it_trains_as_many_parameters_as_lightunes_lora(example, load_tiny, architecture):
    loaded = load_tiny(architecture)
    expected = make_method("lora", {"rank": 4}).trainable_formula(loaded.model, loaded.anatomy)
    example.add_lora(loaded.model, rank=4, alpha=8)
    trained = {name: value.numel() for name, value in loaded.model.named_parameters() if value.requires_grad}
    assert sum(trained.values()) == expected
    assert all(name.endswith((".a", ".b")) or "classifier" in name for name in trained)


def test_it_learns(example, tiny_models, tiny_data, monkeypatch, capsys):
    files = ["--model", str(tiny_models["distilbert"]), "--train", str(tiny_data["train"]), "--test"]
    options = ["--examples", "48", "--epochs", "12", "--learning-rate", "2e-2"]
    monkeypatch.setattr(sys, "argv", ["plain_lora_loop.py", *files, str(tiny_data["train"]), *options])
    example.main()
    printed = capsys.readouterr().out
    losses = [float(loss) for loss in re.findall(r"^epoch \d+: mean loss ([\d.]+)$", printed, flags=re.MULTILINE)]
    assert len(losses) == 12
    assert losses[-1] < losses[0] - 0.05
    before, after = (float(re.search(rf"accuracy {when}: ([\d.]+)", printed)[1]) for when in ("before", "after"))
    assert after > before + 0.1
    assert "on 48 texts" in printed
