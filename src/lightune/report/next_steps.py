"""What to try next, by rule, from the record alone: epochs, a head start, a rate, class weights, more labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log10

from lightune.data.row_counts import UNDRAWN
from lightune.measured import PURE
from lightune.record import RunRecord
from lightune.report import gains, usage
from lightune.report.classification_view import LabelDetails
from lightune.report.stuck import has_fallen, never_moved
from lightune.sections import Epoch
from lightune.tasks.label_cautions import shortened
from lightune.tasks.label_warnings import IMBALANCE

MOST = 3
MOST_NAMED = 2
PROBE = "probe"
BOUNDED = (gains.SHARE, PURE)  # units of metrics that are never above 1
UNCLEAR = "no clear difference"
FEW_TEXTS = 500  # with fewer training texts more labels usually help most
FEW_OF_A_LABEL = 3  # test texts: with fewer there are hardly any to train on either, and weights help little
FEW_STEPS = 100  # in fewer a model of the usual size learns little
LEAST_RISE = 0.02  # a validation loss that rises by less than this share may be noise
LEAST_EPOCHS = 3  # fewer have no early one
MOST_TIMES = 20  # a test set that would have to grow by more is out of reach


@dataclass(frozen=True)
class NextStep:
    """One thing to try: why, in a sentence, and the command that does it; "" where no command does."""

    text: str
    command: str = ""


def next_steps(record: RunRecord) -> list[NextStep]:
    """Return what to try next, at most three things, the most promising first; nothing where no rule applies.

    A model that is never wrong has nothing to gain.
    """
    if is_perfect(record):
        return []
    found = (step for rule in RULES for step in rule(record))
    return [step for step, _ in zip(found, range(MOST), strict=False)]


def stuck(record: RunRecord) -> Iterator[NextStep]:
    """A loss that never moved: another learning rate, or, where the rate is the usual one, more steps."""
    training = record.training
    if not is_stuck(record):
        return
    rate, usual = training.learning_rate, training.usual_learning_rate
    key, settled = "training.learning_rate", "The loss never moved from its start"
    if usual is not None and rate != usual:
        side = "below" if rate < usual else "above"
        text = f"{settled}: the learning rate, {rate:g}, is {side} the method's usual {usual:g}."
        yield NextStep(text, usage.changed_command(record, key, f"{usual:g}"))
    elif training.steps < FEW_STEPS:
        text = f"{settled}: {training.steps:,} steps are few. Train for more epochs."
        more = ceil(FEW_STEPS / max(1, training.steps)) * max(1, len(training.epochs))
        yield NextStep(text, usage.changed_command(record, "training.num_train_epochs", more))
    else:
        text = f"{settled}, at the usual learning rate: try a tenth of it, and look whether the labels are right."
        yield NextStep(text, usage.changed_command(record, key, f"{rate / 10:g}"))


def head_start(record: RunRecord) -> Iterator[NextStep]:
    """A new head from random weights that ends below the linear probe should start from such a probe."""
    probe = record.comparison.gains.get(PROBE)
    is_random = _setting(record, "head_start", "random") == "random" and record.model.head == "new"
    if is_random and probe is not None and probe.value is not None and probe.value < 0:
        text = "The head started from random weights and ended below the linear probe: it can start from such a probe."
        yield NextStep(text, usage.changed_command(record, "training.head_start", "probe"))


def epochs(record: RunRecord) -> Iterator[NextStep]:
    """Fewer epochs where the model learned texts by heart; more where it had not finished, or lost to a baseline."""
    training, lost = record.training, lost_to(record)
    count, key = len(training.epochs), "training.num_train_epochs"
    if learns_by_heart(record):
        text = (
            f"The validation loss rose while the training loss fell, and epoch {training.best_epoch} of {count} was "
            "kept: the later ones only learned the training texts by heart. Fewer epochs do as well; more labels help."
        )
        yield NextStep(text, usage.changed_command(record, key, max(2, training.best_epoch)))
    elif lost is not None and count and not has_settled(record) and not is_stuck(record):
        text = f"It is worse than {lost}, which costs almost nothing, after {training.steps:,} steps: more may help."
        yield NextStep(text, usage.changed_command(record, key, 3 * count))
    elif is_unfinished(record):
        text = "The training loss still fell in the last epoch, and that epoch was the best: more may help."
        yield NextStep(text, usage.changed_command(record, key, 2 * count))


def learning_rate(record: RunRecord) -> Iterator[NextStep]:
    """A run that lost to a baseline at less than the method's usual rate should try that."""
    rate, usual = record.training.learning_rate, record.training.usual_learning_rate
    if usual is not None and rate < usual and lost_to(record) is not None and not is_stuck(record):
        text = f"The learning rate, {rate:g}, is below the method's usual {usual:g}."
        yield NextStep(text, usage.changed_command(record, "training.learning_rate", f"{usual:g}"))


def class_weights(record: RunRecord) -> Iterator[NextStep]:
    """Labels that are never answered where others are far more frequent need weights, or texts if they have few."""
    labels = LabelDetails.model_validate(record.after.details).per_label or {}
    counts = [found.examples for found in labels.values() if found.examples]
    missed = [shortened(name) for name, found in labels.items() if found.examples and not found.answered]
    sizes = [found.examples for found in labels.values() if found.examples and not found.answered]
    is_weighted = _setting(record, "class_weights", "none") != "none"
    if not missed or is_weighted or max(counts) <= IMBALANCE * min(counts):
        return
    named, verb = " and ".join(f'"{name}"' for name in missed), "is" if len(missed) == 1 else "are"
    named = named if len(missed) <= MOST_NAMED else f"{len(missed)} labels"
    if max(sizes) < FEW_OF_A_LABEL:
        have = "it has" if len(missed) == 1 else "they have"
        told = (
            f"{named} {verb} never answered, and {have} hardly any texts: give more, or mend a label that is misspelt."
        )
        yield NextStep(told)
        return
    text = (
        f"{named} {verb} never answered, and the most frequent label has {max(counts) / min(counts):.0f} times as many "
        "test texts as the rarest: class weights let all labels count the same in training."
    )
    yield NextStep(text, usage.changed_command(record, "training.class_weights", "auto"))


def more_labels(record: RunRecord) -> Iterator[NextStep]:
    """With few training texts and no clear gain over the probe, more labels help most."""
    probe, texts = record.comparison.gains.get(PROBE), record.data.train_examples
    if probe is None or probe.verdict != UNCLEAR or texts >= FEW_TEXTS or learns_by_heart(record):
        return
    over = gains.compared_name(record, PROBE)
    text = f"{texts:,} training texts are few, and the gain over {over} is not clear: more labels usually help most."
    used, left = _rows(record, "train")
    yield NextStep(
        text, usage.changed_command(record, "data.train_examples", min(2 * used, used + left)) if left else ""
    )


def more_test_texts(record: RunRecord) -> Iterator[NextStep]:
    """A test set that is too small for a clear verdict, and about how many texts one would take.

    An interval of half-width h over n texts shrinks with the square root of n: it is as wide as the gain g, and hence
    excludes zero, from about n (h / g)^2 texts on.
    """
    gain, texts = record.comparison.gains[record.comparison.rival], record.after.examples
    if gain.verdict != UNCLEAR or not gain.value or gain.ci95 is None:
        return
    low, high = gain.ci95
    half = gain.value - low if gain.value > 0 else high - gain.value
    needed = rounded_up(texts * (half / gain.value) ** 2)
    if not texts < needed <= MOST_TIMES * texts:
        return
    size = gains.difference(abs(gain.value), gain.unit)
    text = (
        f"{texts:,} test texts are too few for a clear verdict. The interval shrinks with the square root of their "
        f"number: a difference of {size} would be clear from about {needed:,} texts on."
    )
    _, left = _rows(record, "test")
    yield NextStep(text, usage.changed_command(record, "data.test_examples", min(needed, texts + left)) if left else "")


RULES = (stuck, head_start, epochs, learning_rate, class_weights, more_labels, more_test_texts)


def is_perfect(record: RunRecord) -> bool:
    """Say whether the headline is the best that there is: 1 of a share or of a pure number, where higher is better."""
    headline = record.task.headline
    return headline.higher_is_better and headline.unit in BOUNDED and record.after.metrics.get(headline.name) == 1


def lost_to(record: RunRecord) -> str | None:
    """Name a baseline that the model is clearly worse than, the best one if possible; None where there is none."""
    found = record.comparison
    names = [name for name in (found.rival, *reversed(record.baselines)) if name in record.baselines]
    lost = [name for name in names if name in found.gains and found.gains[name].verdict == "worse"]
    return record.baselines[lost[0]].named if lost else None


def is_stuck(record: RunRecord) -> bool:
    """Say whether the loss never moved from its start."""
    return never_moved(record.before, record.training, record.after)


def is_unfinished(record: RunRecord) -> bool:
    """Say whether the training loss still fell in the last epoch, and that epoch was the best by validation."""
    done = record.training.epochs
    if len(done) < 2 or not _setting(record, "load_best_model_at_end", True):
        return False
    return record.training.best_epoch == done[-1].epoch and _falls(done[-2], done[-1])


def has_settled(record: RunRecord) -> bool:
    """Say whether the training loss hardly fell in the last epoch."""
    done = record.training.epochs
    return len(done) > 1 and not _falls(done[-2], done[-1])


def learns_by_heart(record: RunRecord) -> bool:
    """Say whether the validation loss rose while the training loss fell, both from an epoch of the first half on."""
    done = record.training.epochs
    losses = [epoch.validation_loss for epoch in done if epoch.validation_loss is not None]
    if len(done) < LEAST_EPOCHS or len(losses) < len(done):
        return False
    lowest, half = losses.index(min(losses)), len(done) / 2
    is_early = lowest + 1 <= half and record.training.best_epoch <= half
    rose = losses[-1] - losses[lowest] > LEAST_RISE * abs(losses[lowest])
    return is_early and rose and all(_falls(*both) for both in pairwise(done[lowest:]))


def rounded_up(value: float) -> int:
    """Return the number with two significant digits, rounded up: 1,234 is 1,300."""
    unit = 10 ** max(0, int(log10(max(value, 1))) - 1)
    return ceil(value / unit) * unit


def _falls(before: Epoch, after: Epoch) -> bool:
    return has_fallen(before.train_loss, after.train_loss)


def _setting(record: RunRecord, name: str, otherwise: object) -> object:
    """Return a setting of the training; the recipe of an older record may lack it."""
    return record.recipe.get("training", {}).get(name, otherwise)


def _rows(record: RunRecord, name: str) -> tuple[int, int]:
    """Return how many rows of a file were used, and how many were left because the recipe asked for fewer."""
    rows = record.data.rows.get(name)
    return (0, 0) if rows is None else (sum(rows.used.values()), rows.dropped.get(UNDRAWN, 0))
