"""What accuracy alone hides, in sentences: labels that are never found, a baseline ahead in macro F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_NAMED = 5
LONGEST_LABEL = 40


@dataclass(frozen=True)
class Reached:
    """What a classifier reached on the test examples; `name` is its name in a sentence, with its article.

    `headline` is the value of its task's headline metric.
    """

    name: str
    headline: float
    f1_macro: float


@dataclass(frozen=True)
class Counts:
    """The test examples of a label: how many there are, how often it was answered, how many of these were right."""

    label: str
    examples: int
    answered: int
    right: int

    @property
    def f1(self) -> float:
        """Return 2 right / (examples + answered), and 0 where the label neither occurs nor is answered."""
        return 2 * self.right / max(self.examples + self.answered, 1)


def counts_by_label(labels: Sequence[str], confusion_matrix: Sequence[Sequence[int]]) -> list[Counts]:
    """Return the counts of each label; rows of the matrix are true labels, columns the answers."""
    answered = [sum(column) for column in zip(*confusion_matrix, strict=True)]
    return [
        Counts(label, sum(row), answered[index], row[index])
        for index, (label, row) in enumerate(zip(labels, confusion_matrix, strict=True))
    ]


def cautions(after: Reached, baselines: Mapping[str, Reached], counts: Sequence[Counts], best: str | None) -> list[str]:
    """Return sentences on what the headline does not say, to be shown beside it in the first lines.

    Answers that are all alike, labels that are never found, a baseline ahead in macro F1, the majority class ahead in
    accuracy. `best` is the baseline of the headline.
    """
    texts = sum(found.examples for found in counts)
    said = all_alike(counts, texts) + never_found(counts) + untested(counts)
    said += behind_in_f1(after, list(baselines.values()), counts)
    majority = baselines.get("majority_class")
    if majority and best != "majority_class" and majority.headline > after.headline:
        said.append(f"{majority.name} is right more often: {majority.headline:.3f} against {after.headline:.3f}.")
    return [sentence[0].upper() + sentence[1:] for sentence in said]


def all_alike(counts: Sequence[Counts], texts: int) -> list[str]:
    """Return a sentence where every test text gets the same answer, though not all have the same labels."""
    if not all(found.answered in {0, texts} for found in counts):
        return []
    if all(found.examples in {0, texts} for found in counts):
        return []
    given = " and ".join(f'"{shortened(found.label)}"' for found in counts if found.answered) or "no label"
    return [f"All {texts:,} test texts get the same answer, {given}: nothing is told apart."]


def never_found(counts: Sequence[Counts]) -> list[str]:
    """Return a sentence on labels that are never answered, and one on those whose every answer is wrong.

    A label without test examples is left out: there was nothing to find.
    """
    missed = [found for found in counts if found.examples and not found.right]
    sentences = []
    for verb, chosen in (
        ("never answers", [found for found in missed if not found.answered]),
        ("is never right when it answers", [found for found in missed if found.answered]),
    ):
        if len(chosen) == 1:
            label, examples = shortened(chosen[0].label), chosen[0].examples
            such = f"{examples:,} such texts were" if examples > 1 else "1 such text was"
            given = f"{_answers(chosen[0])}, and " if chosen[0].answered else ""
            sentences.append(f'It {verb} "{label}": {given}0 of {such} found.')
        elif chosen:
            sentences.append(f"It {verb} {len(chosen)} of the {len(counts)} labels: {_listed(chosen)}.")
    return sentences


def untested(counts: Sequence[Counts]) -> list[str]:
    """Return a sentence on labels that no test example has, which count as 0 in macro F1."""
    absent = [f'"{shortened(found.label)}"' for found in counts if not found.examples]
    if not absent:
        return []
    named = " or ".join(absent) if len(absent) < 3 else f"one of {len(absent)} of the {len(counts)} labels"
    return [f"No test text has the label {named}: nothing is measured there, and macro F1 counts 0."]


def _answers(found: Counts) -> str:
    return f"0 of {found.answered:,} answer{'s' * (found.answered > 1)}"


def behind_in_f1(
    found: Reached, baselines: Sequence[Reached], counts: Sequence[Counts], headline: str = "accuracy"
) -> list[str]:
    """Return a sentence where macro F1 is below that of a baseline whose headline metric is no better, else none.

    The baseline furthest ahead is named, and the label that is answered worst. A gap that would be shown as 0.0 points
    does not count.
    """
    ahead = [other for other in baselines if other.headline <= found.headline and other.f1_macro > found.f1_macro]
    if not ahead:
        return []
    other = max(ahead, key=lambda other: other.f1_macro)
    gap = f"{100 * (other.f1_macro - found.f1_macro):.1f}"
    if gap == "0.0":
        return []
    worst = min((label for label in counts if label.examples), key=lambda label: label.f1)
    weak = f'it does worst on "{shortened(worst.label)}" (F1 {worst.f1:.3f})'
    gap = f"{gap} points below {other.name}"
    return [f"Macro F1 is {found.f1_macro:.3f}, {gap}, though {headline} is not: {weak}."]


def shortened(label: str) -> str:
    """Return a label on one line, cut with an ellipsis where it is very long."""
    flat = " ".join("".join(character if character.isprintable() else " " for character in label).split())
    return flat if len(flat) <= LONGEST_LABEL else flat[: LONGEST_LABEL - 1].rstrip() + "…"


def _listed(chosen: Sequence[Counts]) -> str:
    """Name the labels with the most examples, and count the others: a table holds them all."""
    first = sorted(chosen, key=lambda found: -found.examples)[:MOST_NAMED]
    named = [f'"{shortened(found.label)}" (0 of {found.examples:,})' for found in first]
    more = len(chosen) - len(first)
    return f"{', '.join(named)} and {more:,} more" if more else f"{', '.join(named[:-1])} and {named[-1]}"
