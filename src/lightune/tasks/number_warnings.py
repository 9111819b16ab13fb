"""What is wrong or odd with numbers to predict: all equal, far from all others, few different ones, other ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.errors import shortlist
from lightune.faults import Fault
from lightune.tasks.answers import short_number
from lightune.tasks.columns import SplitTargets

FAR = 10.0  # times the range of the middle half, beyond it
FAR_IN_LOGS = 3.0
FEW_DIFFERENT = 3
FINEST = 0.05  # of the deviation: the steps of fp32 may take no larger part of it
MOST_NAMED = 5


def number_warnings(splits: Mapping[str, SplitTargets], names: Sequence[str]) -> tuple[list[Fault], list[Fault]]:
    """Return (faults, warnings) of the targets of all splits."""
    train = splits["train"]
    faults = [] if train.has_faults else [*_equal(train, names), *_too_fine(train, names)]
    return faults, [] if faults else [*_far(train, names), *_few(train, names), *_beyond(splits, names)]


def all_equal(targets: NDArray[Any], names: Sequence[str], origin: str) -> list[Fault]:
    """Return a fault where all targets that were drawn for training are equal."""
    equal = [name for name, ends in zip(names, np.ptp(targets, axis=0), strict=True) if not ends]
    if not equal:
        return []
    text = f"all {len(targets):,} training examples have the same {' and the same '.join(equal)}."
    return [Fault("DATA-032", origin, text, "Raise data.train_examples, or give rows with other numbers.")]


def _equal(split: SplitTargets, names: Sequence[str]) -> list[Fault]:
    values = split.values[split.kept]
    found = [place for place in range(len(names)) if len(values) and not np.ptp(values[:, place])]
    hint = "Give rows with other numbers, or name the right column: --label-column."
    return [
        Fault("DATA-022", split.origin, f"{names[place]} is {values[0, place]:g} in every training row.", hint)
        for place in found
    ]


def _too_fine(split: SplitTargets, names: Sequence[str]) -> list[Fault]:
    """An answer in fp32 cannot tell numbers apart that are far larger than their differences."""
    found = []
    for place, name in enumerate(names):
        values = split.values[split.kept][:, place]
        if len(values) and np.ptp(values):
            step, deviation = float(np.spacing(np.abs(values).max().astype(np.float32))), float(values.std())
            if step > FINEST * deviation:
                text = f"{name} varies by {deviation:.3g} around {values.mean():.6g}, where fp32 has steps of {step:g}."
                is_shifted = abs(values.mean()) > deviation
                shift, scale = (
                    f"Subtract {values.mean():.6g} from all of them",
                    f"Divide all of them by {deviation:.1g}",
                )
                hint = f"{shift if is_shifted else scale}, in every file."
                found.append(Fault("DATA-038", split.origin, text, hint))
    return found


def _far(split: SplitTargets, names: Sequence[str]) -> list[Fault]:
    """A number such as -999 or 9999 often stands for a missing one."""
    found = []
    for place, name in enumerate(names):
        values = split.values[split.usable][:, place]
        is_far = _beyond_middle(values, FAR)
        if (values > 0).all():  # prices and counts are often skewed: few are large, and none of these is a mistake
            is_far &= _beyond_middle(np.log(values), FAR_IN_LOGS)
        if is_far.any():
            low, high = np.quantile(values, [0.25, 0.75])
            shown = shortlist([short_number(value) for value in np.unique(values[is_far]).tolist()], MOST_NAMED)
            rows = f"{int(is_far.sum()):,} training row{'s' * int(is_far.sum() > 1)}"
            text = f"{name} is far from all others in {rows}: {shown} (half of them are {low:g} to {high:g})."
            found.append(
                Fault("DATA-119", split.first_of(is_far), text, "Leave the row out if it means a missing one.")
            )
    return found


def _beyond_middle(values: NDArray[Any], times: float) -> NDArray[np.bool_]:
    """Say which values are beyond the middle half by more than so many times its range; none where that is 0."""
    low, high = np.quantile(values, [0.25, 0.75])
    margin = times * max(high - low, 1e-12 * max(abs(low), abs(high)))
    return np.asarray(((values < low - margin) | (values > high + margin)) & (high > low))


def _few(split: SplitTargets, names: Sequence[str]) -> list[Fault]:
    found = []
    for place, name in enumerate(names):
        different = np.unique(split.values[split.usable][:, place])
        if len(different) <= FEW_DIFFERENT:
            shown = ", ".join(f"{value:g}" for value in different.tolist())
            is_whole = all(map(float.is_integer, different.tolist()))
            several = "If each column is a label: --task multi_label."
            single = f"If each is a class: --task classification{'' if is_whole else ' --label-kind class'}."
            hint = several if len(names) > 1 else single
            found.append(Fault("DATA-120", split.origin, f"{name} has only the values {shown}.", hint))
    return found


def _beyond(splits: Mapping[str, SplitTargets], names: Sequence[str]) -> list[Fault]:
    known, found = splits["train"].values[splits["train"].usable], []
    for split in ("validation", "test"):
        if split not in splits or not len(splits[split].usable):
            continue
        for place, name in enumerate(names):
            low, high = known[:, place].min(), known[:, place].max()
            values = splits[split].values[splits[split].usable][:, place]
            out = (values < low) | (values > high)
            if out.any():
                rows = f"{int(out.sum()):,} {split} row{'s' * int(out.sum() > 1)}"
                text = f"{name} is beyond the training rows' {short_number(low)} to {short_number(high)} in {rows}."
                hint = "A model seldom answers beyond what it has seen. Check that both have one unit."
                found.append(Fault("DATA-121", splits[split].first_of(out), text, hint))
    return found
