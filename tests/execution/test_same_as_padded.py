"""Without padding every architecture and every kind of method answers and learns as with it."""

from __future__ import annotations

from typing import Any

import pytest

from lightune.execution.execution import execution_of, own_hook
from lightune.execution.unpadding import supported
from lightune.methods import METHODS, make_method
from lightune.models.architectures import ARCHITECTURES as TABLE
from padded_and_ragged import DEVICE, WORDS, adapted, answers, batch_of, largest_difference, texts, without_dropout
from tiny import ARCHITECTURES

READS_FIRST = ("distilbert", "bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "deberta-v2")
LIMIT = 1e-5  # relative, in fp32
# Methods with the options that make another model of them.
KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "bottleneck": {},
    "bottleneck double": {"preset": "double_seq_bn"},
    "bottleneck parallel": {"preset": "par_bn"},
    "prefix": {},
    "prefix gated": {"attended": "gated"},
    "prefix prepended": {"attended": "prepended"},
    "bitfit": {},
    "ia3": {},
    "prompt_tuning": {},
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_parameters_of_every_architecture(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model, batch = without_dropout(loaded.model), batch_of(loaded, texts())
    assert supported(model)
    wanted = answers(model, batch, is_ragged=False)
    rows = rows_seen(loaded)
    found = answers(model, batch, is_ragged=True)
    tokens = int(batch["attention_mask"].sum())
    assert set(rows) == {tokens}, "a linear layer saw something but the real tokens"
    assert largest_difference(found, wanted) < LIMIT
    rows.clear()
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
    assert rows == [*[tokens] * (len(rows) - narrowed(architecture)), *[len(WORDS)] * narrowed(architecture)]


def narrowed(architecture: str) -> int:
    """Return how many linear layers of those that `rows_seen` notes see only tokens that the head reads."""
    if architecture in READS_FIRST:
        return 4
    row = TABLE[architecture]
    # OPT's feed-forward part has no texts: (tokens, width).
    if not row.head_reads or architecture == "opt" or DEVICE != "cpu":
        return 0
    return len(row.paths("ffn_in")) + 1


def rows_seen(loaded: Any) -> list[int]:
    """Return a list that will hold how many tokens each linear layer of each layer saw."""
    seen: list[int] = []

    @own_hook
    def see(module: Any, args: Any) -> None:
        if args[0].ndim == 3:  # DeBERTa-v2 also projects distances, (distances, width)
            seen.append(args[0].flatten(0, -2).shape[0])

    for name in loaded.anatomy.modules(("query", "attention_out", "ffn_in", "ffn_out")):
        module = loaded.model.get_submodule(name)
        module.register_forward_pre_hook(see)
    return seen


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        (kind, architecture)
        for kind in KINDS
        for architecture in (
            "distilbert",
            "bert",
            "roberta",
            "mpnet",
            "deberta-v2",
            "modernbert",
            "gpt2",
            "llama",
            "mistral",
        )
        if kind != "bitfit" or architecture not in ("modernbert", "llama", "mistral")  # which have no biases
    ],
)
def test_kinds_of_methods_on_kinds_of_architectures(load_lively: Any, kind: str, architecture: str) -> None:
    assert difference_with(make_method(kind.split()[0], KINDS[kind]), load_lively(architecture)) < LIMIT


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method(load_lively: Any, name: str) -> None:
    assert difference_with(make_method(name), load_lively("distilbert")) < LIMIT


def difference_with(method: Any, loaded: Any) -> float:
    """Return how far logits and gradients are from the padded model's, once the method is no longer at its start."""
    model, batch = adapted(method, loaded)
    wanted = answers(model, batch, is_ragged=False)
    return max(largest_difference(answers(model, batch, True, logits_only), wanted) for logits_only in (False, True))


@pytest.mark.parametrize("architecture", ["distilbert", "roberta", "modernbert", "gpt2", "llama", "albert", "mpnet"])
def test_tokens_that_fill_a_row_up_change_nothing(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model, batch = without_dropout(loaded.model), batch_of(loaded, texts())
    wanted = answers(model, batch, is_ragged=False)
    tokens = int(batch["attention_mask"].sum())
    execution_of(model).fill_rows(32)
    rows = rows_seen(loaded)
    assert largest_difference(answers(model, batch, is_ragged=True), wanted) < LIMIT
    assert set(rows) == {-(-tokens // 32) * 32}
    assert tokens % 32, "nothing was filled up"
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
