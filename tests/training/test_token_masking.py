"""Hidden tokens: how many, which never, and the same ones however the texts are batched."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from lightune.errors import RecipeError
from lightune.training.token_masking import TokenMasking

TOKENIZER: Any = SimpleNamespace(mask_token_id=99, all_special_ids=[0, 1, 99])
ROWS = [{"input_ids": [0, *range(10, 60), 1], "token_type_ids": [0] * 52} for _ in range(200)]


def test_the_share_is_hidden_and_special_tokens_never() -> None:
    found = TokenMasking(TOKENIZER, 0.15, seed=4).rows(enumerate(ROWS), 1)
    hidden = sum(row["input_ids"].count(99) for row in found)
    # 10,000 draws at 0.15: mean 1,500, standard deviation 36.
    assert 1350 < hidden < 1650
    assert all(row["input_ids"][0] == 0 and row["input_ids"][-1] == 1 for row in found)
    kept = [pair for row in found for pair in zip(row["input_ids"], ROWS[0]["input_ids"], strict=True) if pair[0] != 99]
    assert all(new == old for new, old in kept)
    assert all(row["token_type_ids"] == [0] * 52 for row in found)


def test_draws_hang_on_seed_epoch_and_text_alone() -> None:
    masking = TokenMasking(TOKENIZER, 0.3, seed=4)
    together = masking.rows(enumerate(ROWS[:8]), 1)
    apart = [masking.rows([(number, row)], 1)[0] for number, row in reversed(list(enumerate(ROWS[:8])))]
    assert together == apart[::-1]
    assert together[0] != together[1]
    assert masking.rows([(0, ROWS[0])], 2)[0] != together[0]
    assert TokenMasking(TOKENIZER, 0.3, seed=5).rows([(0, ROWS[0])], 1)[0] != together[0]
    assert ROWS[0]["input_ids"] == [0, *range(10, 60), 1], "the texts themselves were changed"


def test_a_share_of_nothing_leaves_the_rows_alone() -> None:
    assert TokenMasking(TOKENIZER, 0.0, seed=4).rows(enumerate(ROWS[:2]), 1) == ROWS[:2]


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    bare: Any = SimpleNamespace(mask_token_id=None, all_special_ids=[0])
    TokenMasking(bare, 0.0, seed=1)
    with pytest.raises(RecipeError, match="no mask token"):
        TokenMasking(bare, 0.1, seed=1)


def test_the_loop_trains_on_hidden_tokens_and_validates_on_whole_texts(make_loop: Callable[..., Any]) -> None:
    loop = make_loop(num_train_epochs=1, token_masking=0.5)
    loop.tokenizer.add_special_tokens({"mask_token": "[UNK]"})
    seen: dict[bool, list[Any]] = {True: [], False: []}
    loop.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen[module.training].append(kwargs["input_ids"].clone()), with_kwargs=True
    )
    loop.fit()
    mask = loop.tokenizer.mask_token_id
    assert any((ids == mask).any() for ids in seen[True])
    assert seen[False]
    assert not any((ids == mask).any() for ids in seen[False])
