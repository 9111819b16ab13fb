"""Training without padding, or with less of it, takes the steps that the padded batches would."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from lightune.training import loop as loops
from lightune.training.batches import parts_of_similar_length

MakeLoop = Callable[..., Any]


@pytest.mark.parametrize("architecture", ["distilbert", "mpnet", "deberta-v2", "gpt2"])
def test_losses_and_gradients_are_those_of_padded_batches(
    make_loop: MakeLoop, lines_of: Any, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    def run() -> list[dict[str, Any]]:
        loop = make_loop(architecture, dropout=False, num_train_epochs=1)
        loop.fit()
        return lines_of(loop)

    found = run()
    monkeypatch.setattr(loops, "padding_free", lambda *_, **__: nullcontext())
    monkeypatch.setattr(loops, "lean", lambda *_: nullcontext())
    wanted = run()
    assert len(found) == len(wanted) == 4
    for name in ("loss", "grad_norm"):
        assert [line[name] for line in found] == pytest.approx([line[name] for line in wanted], rel=1e-5)


def test_a_model_that_keeps_its_padding_gets_batches_of_similar_length(
    make_loop: MakeLoop, lines_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As DeBERTa-v2 with a convolution over neighbouring tokens does."""

    def run(is_supported: bool) -> tuple[list[dict[str, Any]], list[int]]:
        monkeypatch.setattr(loops, "supported", lambda _: is_supported)
        loop = make_loop("distilbert", dropout=False, num_train_epochs=1)
        tokens: list[int] = []
        body = loop.model.get_base_model().base_model
        body.register_forward_pre_hook(lambda *given: tokens.append(given[2]["input_ids"].numel()), with_kwargs=True)
        loop.fit()
        return lines_of(loop), tokens

    monkeypatch.setattr(loops, "padding_free", lambda *_, **__: nullcontext())
    (found, cut), (wanted, whole) = run(False), run(True)
    for name in ("loss", "grad_norm"):
        assert [line[name] for line in found] == pytest.approx([line[name] for line in wanted], rel=1e-5)
    assert len(cut) > len(whole)
    assert sum(cut) < sum(whole)


def test_a_batch_is_cut_where_a_text_has_under_two_thirds_of_the_tokens_of_the_longest() -> None:
    lengths = [10, 30, 21, 20, 19, 8, 6]
    assert parts_of_similar_length([0, 1, 2, 3, 4, 5, 6], lengths) == [[1, 2, 3], [4], [0, 5], [6]]
    assert parts_of_similar_length([3, 2], lengths) == [[2, 3]]
