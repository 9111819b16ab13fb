"""Which texts of a batch are similar enough in length to share a padded grid."""

from __future__ import annotations

from collections.abc import Sequence

# A text joins a group while it has at least this share of the tokens of the group's longest.
SIMILAR = 2 / 3


def groups_of_similar_length(lengths: Sequence[int]) -> list[slice]:
    """Cut texts, the longest first, into groups; each is a slice of the texts."""
    firsts = [0]
    for row, length in enumerate(lengths):
        if length < SIMILAR * lengths[firsts[-1]]:
            firsts.append(row)
    return [slice(start, end) for start, end in zip(firsts, [*firsts[1:], len(lengths)], strict=True)]
