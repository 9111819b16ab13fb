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
    tokens: list[list[int]] = []

    def run() -> list[dict[str, Any]]:
        loop = make_loop(architecture, dropout=False, num_train_epochs=1)
        seen: list[int] = []
        tokens.append(seen)
        body = loop.model.get_base_model().base_model

        def count(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
            seen.append((args[0] if args else kwargs["input_ids"]).numel())

        body.register_forward_pre_hook(count, with_kwargs=True)
        loop.fit()
        return lines_of(loop)

    found = run()
    monkeypatch.setattr(loops, "padding_free", lambda *_, **__: nullcontext())
    monkeypatch.setattr(loops, "lean", lambda *_: nullcontext())
    monkeypatch.setattr(loops, "supported", lambda _: True)
    wanted = run()
    assert len(found) == len(wanted) == 4
    for name in ("loss", "grad_norm"):
        assert [line[name] for line in found] == pytest.approx([line[name] for line in wanted], rel=1e-5)
    if architecture in ("mpnet", "deberta-v2"):
        assert len(tokens[0]) > len(tokens[1])
        assert sum(tokens[0]) < sum(tokens[1])


def test_a_batch_is_cut_where_a_text_has_under_two_thirds_of_the_tokens_of_the_longest() -> None:
    lengths = [10, 30, 21, 20, 19, 8, 6]
    assert parts_of_similar_length([0, 1, 2, 3, 4, 5, 6], lengths) == [[1, 2, 3], [4], [0, 5], [6]]
    assert parts_of_similar_length([3, 2], lengths) == [[2, 3]]
