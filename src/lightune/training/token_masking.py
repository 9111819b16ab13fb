"""Masking tokens during training, so that the model cannot depend on single words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lightune import runtime
from lightune.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lightune.data.encoding import TokenRow


class TokenMasking:
    """Each ordinary token becomes the mask token with probability `share`, drawn again for each text in each epoch.

    Word dropout, as in Iyyer et al. 2015 (Deep Unordered Composition Rivals Syntactic Methods), with the mask token
    that the model knows from its pre-training. Draws are keyed by (seed, epoch, text), so batching does not change
    them. Raises RecipeError for a tokenizer without a mask token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, share: float, seed: int) -> None:
        if share and tokenizer.mask_token_id is None:
            message = f"training.token_masking {share:g}: this model's tokenizer has no mask token."
            raise RecipeError("RECIPE-052", message, "Leave token_masking out; it is meant for encoders.")
        self._share, self._seed = share, seed
        self._mask = tokenizer.mask_token_id
        self._special = frozenset(tokenizer.all_special_ids)

    def rows(self, rows: Iterable[tuple[int, TokenRow]], epoch: int) -> list[TokenRow]:
        """Return the tokens of the (number, tokens) given, with some masked; special tokens stay."""
        return [self._hidden(number, row, epoch) if self._share else row for number, row in rows]

    def _hidden(self, number: int, row: TokenRow, epoch: int) -> TokenRow:
        import torch

        draws = torch.rand(len(row["input_ids"]), generator=runtime.generator(self._seed, "masking", epoch, number))
        ids = [
            self._mask if draw < self._share and token not in self._special else token
            for draw, token in zip(draws.tolist(), row["input_ids"], strict=True)
        ]
        return {**row, "input_ids": ids}
