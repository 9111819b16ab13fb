"""The contract that every method keeps, over the registry and the tiny architectures; then what is LoRA's alone."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightune.artifact import ArtifactConfig, save_adapter
from lightune.errors import ArtifactError, RecipeError
from lightune.methods import METHODS, Method, describe, make_method
from lightune.models.load import LoadedModel, ModelSource, load_classifier
from tiny import ARCHITECTURES, REPRESENTATIVE

# Every method on every architecture takes minutes; by default the full contract holds over those that differ most.
CASES = [
    pytest.param((name, kind), marks=[] if kind in REPRESENTATIVE else pytest.mark.long, id=f"{name}-{kind}")
    for name in METHODS
    for kind in ARCHITECTURES
]
TEXTS = ["a lovely film", "the soup was dreadful and cold", "this book is quite clever and very warm", "dull"]
LABELS = [1, 0, 1, 0]
SEED = 3
Load = Callable[..., LoadedModel]

# By hand. A tiny layer is 32 wide with a feed-forward part of 64 (gpt2: 128), there are two; rank 8; two labels.
LORA_LAYER = 4 * 8 * (32 + 32) + 8 * (32 + 64) + 8 * (64 + 32)  # q, k, v, out, lin1, lin2 = 3,584
LORA_GPT2_LAYER = 8 * (32 + 96) + 8 * (32 + 32) + 8 * (32 + 128) + 8 * (128 + 32)  # c_attn, c_proj, c_fc, c_proj
# Wqkv, Wo, Wi (gate and up in one), mlp.Wo; then q, k and v (two of four heads), o, gate, up, down.
LORA_MODERNBERT_LAYER = 8 * (32 + 96) + 8 * (32 + 32) + 8 * (32 + 128) + 8 * (64 + 32)
LORA_LLAMA_LAYER = 2 * 8 * (32 + 32) + 2 * 8 * (32 + 16) + 2 * 8 * (32 + 64) + 8 * (64 + 32)
MODERNBERT_HEAD = 32 * 32 + 32 + (32 * 2 + 2)  # dense and norm without biases, classifier
DISTILBERT_HEAD = (32 * 32 + 32) + (32 * 2 + 2)  # pre_classifier and classifier = 1,122
BY_HAND = {
    ("lora", "distilbert"): 2 * LORA_LAYER + DISTILBERT_HEAD,
    ("lora", "bert"): 2 * LORA_LAYER + (32 * 2 + 2),
    ("lora", "gpt2"): 2 * LORA_GPT2_LAYER + 32 * 2,
    ("lora", "modernbert"): 2 * LORA_MODERNBERT_LAYER + MODERNBERT_HEAD,
    ("lora", "llama"): 2 * LORA_LLAMA_LAYER + 32 * 2,
    ("lora", "albert"): LORA_LAYER + (32 * 2 + 2),
    ("lora", "roberta"): 2 * LORA_LAYER + (32 * 32 + 32) + (32 * 2 + 2),
    ("lora", "deberta-v2"): 2 * LORA_LAYER + (32 * 32 + 32) + (32 * 2 + 2),
    ("head", "distilbert"): DISTILBERT_HEAD,
    ("head", "bert"): 32 * 2 + 2,
    ("head", "gpt2"): 32 * 2,
}


def batch_of(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return dict(loaded.tokenizer(TEXTS, padding=True, return_tensors="pt"))


def logits_of(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(**batch).logits


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def frozen(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every other parameter, and the buffers."""
    taught = trainable(model)
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: value.detach().clone() for name, value in named.items() if name not in taught}


@dataclass
class Case:
    """One method on one architecture, attached and trained for three steps."""

    name: str
    architecture: str
    method: Method
    batch: dict[str, torch.Tensor]
    base_logits: torch.Tensor
    formula: int
    model: torch.nn.Module
    changed: tuple[str, ...]
    start_logits: torch.Tensor
    start: dict[str, torch.Tensor]
    frozen_before: dict[str, torch.Tensor]
    largest_gradient: dict[str, float]

    def trained_copy(self) -> torch.nn.Module:
        return copy.deepcopy(self.model)


def train_three_steps(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return the largest absolute gradient that each trainable tensor saw."""
    model.train()
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-2, weight_decay=0.0)
    seen = dict.fromkeys(trainable(model), 0.0)
    for _ in range(3):
        model(**batch, labels=torch.tensor(LABELS)).loss.backward()
        for name, value in trainable(model).items():
            if value.grad is not None:
                seen[name] = max(seen[name], float(value.grad.abs().max()))
        optimizer.step()
        optimizer.zero_grad()
    return seen


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, load_lively: Load) -> Case:
    name, architecture = request.param
    method, loaded = make_method(name), load_lively(architecture)
    batch = batch_of(loaded)
    base_logits = logits_of(loaded.model, batch)
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    try:
        attachment = method.attach(loaded.model, loaded.anatomy, SEED)
    except RecipeError as error:
        pytest.skip(str(error))  # the refusals themselves are listed in test_peft_methods.py
    model = attachment.model
    start_logits = logits_of(model, batch)
    start = {key: value.detach().clone() for key, value in trainable(model).items()}
    frozen_before = frozen(model)
    gradients = train_three_steps(model, batch)
    return Case(name, architecture, method, batch, base_logits, formula, model, attachment.changed, start_logits, start,
                frozen_before, gradients)  # fmt: skip


def attached_afresh(case: Case, load_lively: Load, seed: int = SEED) -> torch.nn.Module:
    loaded = load_lively(case.architecture)
    return case.method.attach(loaded.model, loaded.anatomy, seed).model


# Attaching


def test_attaching_names_what_it_changed(case: Case) -> None:
    modules = [name for name, _ in case.model.named_modules()]
    assert case.changed
    assert all(any(name == known or known.endswith(f".{name}") for known in modules) for name in case.changed)
    assert case.start, "nothing is trainable"


def test_the_model_answers_as_before_until_it_is_trained(case: Case) -> None:
    is_same = torch.allclose(case.start_logits, case.base_logits, rtol=0, atol=1e-6)
    assert is_same == case.method.starts_unchanged


def test_the_same_seed_attaches_the_same_parameters_and_leaves_the_global_generator_alone(
    case: Case, load_lively: Load
) -> None:
    before = torch.get_rng_state()
    again = trainable(attached_afresh(case, load_lively))
    assert torch.equal(before, torch.get_rng_state())
    assert again.keys() == case.start.keys()
    assert all(torch.equal(again[name], case.start[name]) for name in again)


def test_as_many_parameters_are_trained_as_the_formula_says(case: Case) -> None:
    count = sum(value.numel() for value in trainable(case.model).values())
    assert count == case.formula
    assert count == BY_HAND.get((case.name, case.architecture), count)


# Training


def test_frozen_weights_stay_bit_identical(case: Case) -> None:
    after = frozen(case.model)
    assert after.keys() == case.frozen_before.keys()
    assert all(torch.equal(after[name], case.frozen_before[name]) for name in after)


def test_every_trainable_tensor_gets_a_gradient_within_three_steps_and_moves(case: Case) -> None:
    assert [name for name, largest in case.largest_gradient.items() if largest == 0.0] == []
    after = trainable(case.model)
    assert [name for name in case.start if torch.equal(case.start[name], after[name])] == []


def test_training_changes_the_answers(case: Case) -> None:
    assert float((logits_of(case.model, case.batch) - case.base_logits).abs().max()) > 1e-3


# Saving


def test_a_saved_state_put_into_a_fresh_model_gives_the_same_logits(case: Case, load_lively: Load) -> None:
    wanted, fresh = logits_of(case.model, case.batch), attached_afresh(case, load_lively)
    assert not torch.equal(logits_of(fresh, case.batch), wanted)
    case.method.load_state(fresh, {name: value.clone() for name, value in case.method.state(case.model).items()})
    assert torch.equal(logits_of(fresh, case.batch), wanted)


def test_a_state_that_lacks_a_tensor_is_refused(case: Case, load_lively: Load) -> None:
    fresh = attached_afresh(case, load_lively)
    for name in case.method.state(fresh):
        state = case.method.state(fresh)
        del state[name]
        with pytest.raises(ArtifactError, match="missing tensor") as caught:
            case.method.load_state(fresh, state)
        assert name in caught.value.message


def test_a_state_with_a_tensor_too_many_is_refused(case: Case, load_lively: Load) -> None:
    fresh = attached_afresh(case, load_lively)
    with pytest.raises(ArtifactError, match="unexpected tensor stowaway"):
        case.method.load_state(fresh, {**case.method.state(fresh), "stowaway": torch.zeros(1)})


def test_a_state_with_a_misshapen_tensor_is_refused(case: Case, load_lively: Load) -> None:
    """Also where torch would broadcast it: one row instead of all."""
    fresh = attached_afresh(case, load_lively)
    state = case.method.state(fresh)
    name = next(name for name, value in state.items() if value.dim() == 2 and len(value) > 1)
    with pytest.raises(ArtifactError, match="not \\(") as caught:
        case.method.load_state(fresh, {**state, name: state[name][:1].clone()})
    assert name in caught.value.message


# Merging and taking off


def test_a_merged_model_is_a_stock_model_with_the_same_logits(case: Case, load_lively: Load, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    wanted = logits_of(case.model, case.batch)
    merged = case.method.merged(case.trained_copy())
    if merged is None:
        assert not case.method.mergeable
        return
    assert case.method.mergeable
    assert type(merged) is type(load_lively(case.architecture).model)
    torch.testing.assert_close(logits_of(merged, case.batch), wanted, rtol=1e-5, atol=1e-5)
    merged.save_pretrained(tmp_path)
    stock, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert (list(report["missing_keys"]), list(report["unexpected_keys"])) == ([], [])
    torch.testing.assert_close(logits_of(stock, case.batch), wanted, rtol=1e-5, atol=1e-5)


def test_a_reversible_adapter_switched_off_leaves_the_untouched_model(case: Case) -> None:
    if case.method.reversible:
        with case.model.disable_adapter():
            assert torch.equal(logits_of(case.model, case.batch), case.base_logits)


# Options


@pytest.mark.parametrize("name", list(METHODS))
def test_options_survive_json(name: str) -> None:
    method = make_method(name)
    assert make_method(name, json.loads(json.dumps(method.options()))) == method


@pytest.mark.parametrize("name", list(METHODS))
def test_an_option_that_does_not_exist_is_answered_with_those_that_do(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method(name, {"no_such_option": 1})
    assert f"method.no_such_option: {name} has no such option" in caught.value.message
    valid = make_method(name).options()
    assert all(f"{option} (default" in caught.value.message for option in valid)
    assert valid or "It has no options." in caught.value.message


@pytest.mark.parametrize("row", describe(), ids=lambda row: row["name"])
def test_a_method_says_what_it_is_and_where_it_comes_from(row: dict[str, Any]) -> None:
    assert row["summary"].strip()
    assert "arXiv:" in row["paper"]
    assert 0 < row["default_learning_rate"] < 1
    json.dumps(row)


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        make_method("lroa")
    assert 'Did you mean "lora"?' in caught.value.hint
    assert all(name in caught.value.hint for name in METHODS)


# LoRA


def test_peft_spellings_are_accepted() -> None:
    spelt = make_method("lora", {"r": 4, "lora_alpha": 32, "lora_dropout": 0.1})
    assert spelt == make_method("lora", {"rank": 4, "alpha": 32, "dropout": 0.1})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 0}, "method.rank"),
        ({"rank": 2.5}, "method.rank"),
        ({"alpha": -1}, "method.alpha"),
        ({"alpha": float("nan")}, "method.alpha"),
        ({"alpha": float("inf")}, "method.alpha"),
        ({"dropout": 1.0}, "method.dropout"),
        ({"roles": ["query", "valeu"]}, 'Did you mean "value"?'),
        ({"roles": "query"}, "method.roles"),
        ({"r": 4, "rank": 8}, "given twice"),
        ({"rang": 4}, 'Did you mean "rank"?'),
    ],
)
def test_a_wrong_value_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method("lora", options)
    assert said in str(caught.value)


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(RecipeError, match="3 faults") as caught:
        make_method("lora", {"rank": -1, "dropout": 2, "colour": "blue"})
    assert all(f"method.{name}" in caught.value.message for name in ("rank", "dropout", "colour"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target_modules": ["no_such_module"]}, "no_such_module"),
        ({"roles": ["attention"]}, "attention"),
        ({"roles": []}, "nothing would be adapted"),
    ],
)
def test_targets_that_cannot_be_adapted_are_an_error_of_the_recipe(
    load_tiny: Load, options: dict[str, Any], said: str
) -> None:
    loaded = load_tiny("distilbert")
    with pytest.raises(RecipeError) as caught:
        make_method("lora", options).attach(loaded.model, loaded.anatomy, SEED)
    assert said in str(caught.value)


def test_only_the_roles_asked_for_are_adapted(load_tiny: Load) -> None:
    loaded = load_tiny("bert")
    changed = make_method("lora", {"roles": ["value"]}).attach(loaded.model, loaded.anatomy, SEED).changed
    layers = [f"bert.encoder.layer.{number}.attention.self.value" for number in (0, 1)]
    assert sorted(changed) == sorted([*layers, "classifier"])


def test_target_modules_replace_the_roles_and_the_formula_follows(load_tiny: Load) -> None:
    """q_lin and lin1 at rank 2, in two layers: 2 * 2 * ((32 + 32) + (32 + 64)), and the head."""
    loaded = load_tiny("distilbert")
    method = make_method("lora", {"rank": 2, "target_modules": ["q_lin", "lin1"]})
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    assert formula == sum(value.numel() for value in trainable(model).values()) == 640 + DISTILBERT_HEAD


@pytest.mark.parametrize(("rank_stabilised", "scale"), [(False, 16 / 4), (True, 16 / 4**0.5)])
def test_the_update_is_scale_times_b_times_a(load_tiny: Load, rank_stabilised: bool, scale: float) -> None:
    """W + (alpha / rank) B A of the paper, computed here from the saved tensors."""
    loaded = load_tiny("distilbert")
    layer = "distilbert.transformer.layer.0.attention.q_lin"
    before = loaded.model.get_submodule(layer).weight.detach().clone()
    method = make_method("lora", {"rank": 4, "alpha": 16, "use_rslora": rank_stabilised})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    train_three_steps(model, batch_of(loaded))
    state = {name: value.clone() for name, value in method.state(model).items()}
    down, up = (state[f"base_model.model.{layer}.lora_{part}.weight"] for part in "AB")
    assert (down.shape, up.shape) == ((4, 32), (32, 4))
    merged = method.merged(model)
    assert merged is not None
    torch.testing.assert_close(merged.get_submodule(layer).weight, before + scale * up @ down, rtol=0, atol=1e-6)


def test_a_pooler_that_the_checkpoint_lacks_is_trained_and_saved_too(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """BERT saved from masked language modelling: a pooler left unsaved would be another one after a reload."""
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "bert"))
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("pooler.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load_classifier(ModelSource("bert", folder, None), ["negative", "positive"], 1)
    model = make_method("lora").attach(loaded.model, loaded.anatomy, SEED).model
    assert sum(value.numel() for value in trainable(model).values()) == BY_HAND["lora", "bert"] + 32 * 32 + 32
    assert "base_model.model.bert.pooler.dense.weight" in make_method("lora").state(model)


def test_conv1d_and_linear_layers_are_adapted_side_by_side(load_lively: Load) -> None:
    """GPT-2 keeps its weights transposed; with one projection written as a Linear both kinds are targets."""
    loaded = load_lively("gpt2")
    batch, wanted = batch_of(loaded), logits_of(loaded.model, batch_of(loaded))
    conv, linear = loaded.model.transformer.h[0].mlp.c_fc, torch.nn.Linear(32, 128)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.T)
        linear.bias.copy_(conv.bias)
    loaded.model.transformer.h[0].mlp.c_fc = linear
    method = make_method("lora")
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    with pytest.warns(UserWarning, match="fan_in_fan_out"):  # PEFT says that it sets it for the Conv1D layers
        model = method.attach(loaded.model, loaded.anatomy, SEED).model
    torch.testing.assert_close(logits_of(model, batch), wanted, rtol=0, atol=1e-5)
    assert sum(value.numel() for value in trainable(model).values()) == formula == BY_HAND["lora", "gpt2"]
    train_three_steps(model, batch)
    after = logits_of(model, batch)
    assert float((after - wanted).abs().max()) > 1e-3
    merged = method.merged(model)
    assert merged is not None
    torch.testing.assert_close(logits_of(merged, batch), after, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_peft_itself_reads_what_is_saved(
    load_tiny: Load, tiny_models: dict[str, Path], tmp_path: Path, architecture: str
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    loaded, method = load_tiny(architecture), make_method("lora", {"rank": 4})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    batch = batch_of(loaded)
    train_three_steps(model, batch)
    config = ArtifactConfig(1, architecture, None, "", "lora", {}, ["negative", "positive"], 64, ["text"], "label", 1)
    save_adapter(model, method, config, tmp_path / "adapter")

    torch.manual_seed(123)  # another head than ours before the adapter brings its own
    base = AutoModelForSequenceClassification.from_pretrained(tiny_models[architecture], num_labels=2)
    base.config.pad_token_id = loaded.tokenizer.pad_token_id
    theirs = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    assert torch.equal(logits_of(theirs, batch), logits_of(model, batch))
