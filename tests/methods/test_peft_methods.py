"""Methods that PEFT carries out: counts by hand, refusals, padding, and folders that PEFT reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from adapter_trials import SEED, batch_of, logits_of, require_sound, train, trainable
from lightune.errors import RecipeError
from lightune.methods import METHODS, make_method
from lightune.methods.peft_method import PeftMethod
from method_cases import wrong_answers_in_threads
from tiny import ARCHITECTURES, REPRESENTATIVE

NAMES = [name for name, kind in METHODS.items() if issubclass(kind, PeftMethod) and name != "lora"]
PROMPTS = ("prompt_tuning", "p_tuning")
# GPT-2's layers are Conv1D, which these refuse.
REFUSE_CONV1D = ("loha", "lokr", "oft", "boft", "miss")
HEAD = 1122
# By hand, for tiny DistilBERT: two layers of four 32 x 32 projections, 32 -> 64 and 64 -> 32.
BY_HAND: list[tuple[str, dict[str, Any], int]] = [
    ("adalora", {}, 2 * 12 * (4 * (32 + 32 + 1) + 2 * (32 + 64 + 1))),
    ("ia3", {}, 2 * (32 + 32 + 64)),  # outputs of key and value, inputs of the last feed-forward layer
    ("vera", {}, 2 * (4 * (256 + 32) + (256 + 64) + (256 + 32))),
    ("loha", {}, 2 * 2 * 8 * (4 * (32 + 32) + 2 * (32 + 64))),
    # 32 = 4 * 8 and 64 = 8 * 8: a 4 x 4 factor with an 8 x 8 one; 8 x 4 with 8 x 8; 4 x 8 with 8 x 8.
    ("lokr", {}, 2 * (4 * (16 + 64) + 2 * (32 + 64))),
    ("lokr", {"rank": 2}, 2 * (4 * (16 + 2 * 16) + 2 * (32 + 2 * 16))),
    ("oft", {}, 2 * (5 * 1 + 2) * (32 * 31 // 2)),  # one block of 32 for each 32 inputs
    ("oft", {"block_size": 8}, 2 * (5 * 4 + 8) * (8 * 7 // 2)),
    ("boft", {}, 2 * (4 * (8 * 16 + 32) + (8 * 16 + 64) + (16 * 16 + 32))),  # blocks of 4 x 4, a scale per output
    ("fourierft", {}, 2 * 6 * 1000),
    ("fourierft", {"frequencies": 1500}, 2 * (4 * 1024 + 2 * 1500)),  # 32 x 32 has no more than 1,024
    ("randlora", {}, 2 * 6 * (32 + 32)),
    ("randlora", {"rank": 10}, 2 * 6 * 4 * (10 + 32)),  # four summands of rank 10 reach 32
    ("miss", {}, 2 * 16 * (4 * 32 + 64 + 32)),
    ("ln_tuning", {}, (1 + 2 * 2) * (32 + 32)),
    ("prompt_tuning", {}, 20 * 32),
    ("p_tuning", {}, 20 * 32 + 3 * (32 * 32 + 32)),
    ("p_tuning", {"encoder": "none", "virtual_tokens": 7}, 7 * 32),
    # Two directions, four gates, two biases; the second layer reads both directions of the first.
    ("p_tuning", {"encoder": "lstm"}, 20 * 32 + 2 * 4 * 32 * (32 + 32 + 2) + 2 * 4 * 32 * (64 + 32 + 2)
     + (64 * 64 + 64) + (64 * 32 + 32)),
    ("lora", {"use_dora": True}, 2 * (4 * (8 * 64 + 32) + (8 * 96 + 64) + (8 * 96 + 32))),
]  # fmt: skip


def _is_quick(name: str, architecture: str) -> bool:
    if name in PROMPTS:
        return architecture in REPRESENTATIVE
    return architecture in ("distilbert", "gpt2")


@pytest.mark.parametrize(("name", "options", "added"), BY_HAND)
def test_counts_are_those_worked_out_by_hand(
    load_tiny: Callable[..., Any], name: str, options: dict[str, Any], added: int
) -> None:
    loaded, method = load_tiny("distilbert"), make_method(name, options)
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    assert formula == sum(value.numel() for value in trainable(model).values()) == added + HEAD


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        pytest.param(name, kind, marks=[] if _is_quick(name, kind) else pytest.mark.long)
        for name in NAMES
        for kind in ARCHITECTURES
        if not (name in REFUSE_CONV1D and kind == "gpt2")
    ],
)
def test_a_method_is_sound_on_an_architecture(
    load_lively: Callable[..., Any], tmp_path: Path, name: str, architecture: str
) -> None:
    require_sound(make_method(name), name, lambda: load_lively(architecture), tmp_path)


@pytest.mark.parametrize("name", REFUSE_CONV1D)
def test_layers_that_a_method_cannot_adapt_are_refused_with_the_reason(
    load_tiny: Callable[..., Any], name: str
) -> None:
    loaded, method = load_tiny("gpt2"), make_method(name)
    with pytest.raises(RecipeError, match="cannot adapt Conv1D layers, which keep their weights transposed") as caught:
        method.attach(loaded.model, loaded.anatomy, SEED)
    assert caught.value.code == "RECIPE-034"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("miss", {"rank": 33}, "33"),
        ("boft", {"block_size": 5}, "divisible"),
        ("adalora", {"target_modules": ["no_such_module"]}, "no_such_module"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    load_tiny: Callable[..., Any], name: str, options: dict[str, Any], said: str
) -> None:
    loaded, method = load_tiny("distilbert"), make_method(name, options)
    with pytest.raises(RecipeError) as caught:
        method.attach(loaded.model, loaded.anatomy, SEED)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"target_rank": 12}, "below init_rank"), ({"warmup": 0.6, "final": 0.4}, "below 1"), ({"init_rank": 1}, "rank")],
)
def test_a_schedule_that_leaves_nothing_to_allocate_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        make_method("adalora", options)


def test_adalora_ends_with_the_target_rank_on_average(load_lively: Callable[..., Any]) -> None:
    """Twelve layers that begin with 12 entries each and end with 3 * 12 in all."""
    loaded, method = load_lively("distilbert"), make_method("adalora", {"target_rank": 3})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    train(method, model, batch_of(loaded), steps=10)
    entries = [value for name, value in model.named_parameters() if ".lora_E." in name]
    assert len(entries) == 12
    assert sum(int((value != 0).sum()) for value in entries) == 3 * 12


def test_adalora_needs_two_steps(load_tiny: Callable[..., Any]) -> None:
    loaded, method = load_tiny("distilbert"), make_method("adalora")
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    with pytest.raises(RecipeError, match="at least two steps"):
        method.before_training(model, 1)
    train(method, model, batch_of(loaded), steps=2)


def test_adaloras_penalty_is_what_peft_adds_to_the_models_own_loss(load_tiny: Callable[..., Any]) -> None:
    loaded, method = load_tiny("distilbert"), make_method("adalora", {"orthogonality": 0.7})
    model: Any = method.attach(loaded.model, loaded.anatomy, SEED).model.eval()
    batch = {**batch_of(loaded), "labels": torch.tensor([1, 0, 1, 0])}
    plain = model(**batch).loss
    model.peft_config["default"].orth_reg_weight = 0.7
    added = (model(**batch).loss - plain).item()
    assert method.penalty(model).item() == pytest.approx(added, rel=1e-4)


def test_a_prompt_takes_positions_from_the_texts(load_tiny: Callable[..., Any]) -> None:
    assert make_method("prompt_tuning", {"num_virtual_tokens": 5}).virtual_tokens == 5
    assert make_method("p_tuning").virtual_tokens == 20
    assert make_method("lora").virtual_tokens == 0


def test_a_decoder_answers_from_the_last_real_position_with_a_prompt(load_lively: Callable[..., Any]) -> None:
    """More padding changes nothing; the stock classifier alone would answer from the pads."""
    loaded, method = load_lively("llama"), make_method("prompt_tuning", {"virtual_tokens": 3})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    short = batch_of(loaded, ["dull"])
    pads = torch.full((1, 4), loaded.tokenizer.pad_token_id)
    padded = {
        "input_ids": torch.cat([short["input_ids"], pads], dim=1),
        "attention_mask": torch.cat([short["attention_mask"], torch.zeros_like(pads)], dim=1),
    }
    torch.testing.assert_close(logits_of(model, padded), logits_of(model, short), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "distilbert"])
def test_two_threads_with_a_prompt_get_their_own_answers(load_lively: Callable[..., Any], architecture: str) -> None:
    """A decoder answers from the last real position of each text, which must be that of the thread's own batch."""
    loaded, method = load_lively(architecture), make_method("prompt_tuning")
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    texts = (["a lovely film", "dull"], ["warm", "the soup was cold"])
    batches = [dict(loaded.tokenizer(pair, padding=True, return_tensors="pt")) for pair in texts]
    assert wrong_answers_in_threads(model, batches) == []


def test_modules_of_the_head_are_not_counted_as_targets(load_lively: Callable[..., Any]) -> None:
    """RoBERTa's head has a layer called dense too, which is trained whole."""
    loaded, method = load_lively("roberta"), make_method("lora", {"target_modules": ["dense"]})
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    assert formula == sum(value.numel() for value in trainable(model).values())
