"""Plots of predicted numbers: answers against true values, and errors against answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean, quantiles
from typing import TYPE_CHECKING

from lightune.report import words
from lightune.report.plots import ACCENT, INK, drawing
from lightune.tasks.answers import short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = Sequence[float]

HEIGHT = 340
SHADE = 0.4  # of a point, so that places with many are darker
WORN = re.compile(
    r'(<use href="#[^"]+" x="\d+\.?\d?)\d*(" y="\d+\.?\d?)\d*" style="(fill: [^;"]+; fill-opacity: [^"]+)"/>'
)


def scatter_plot(place: int, name: str, true: Numbers, answers: Numbers) -> str:
    """Draw each text's answer over its true value, both on one scale, with the diagonal where they are equal.

    `place` is the number of the target, which keeps the ids of several plots apart.
    """
    low, high = _widened([*true, *answers])

    def draw(axes: Axes) -> None:
        axes.plot([low, high], [low, high], color=INK, linewidth=1)
        _points(axes, true, answers)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_xlabel("true value")
        axes.set_title("answer", loc="left", fontsize=11)
        _steps(axes)

    told = f"Scatter plot of {name}: answers over true values of {_counted(true)}"
    ends = f"True values go from {_ends(true)}, answers from {_ends(answers)}"
    return _compact(drawing(f"scatter-{place}", HEIGHT, f"{told}. {ends}; on the diagonal both are equal.", draw))


def error_plot(place: int, name: str, true: Numbers, answers: Numbers) -> str:
    """Draw each text's error, answer - true value, over its answer."""
    errors = [answer - value for value, answer in zip(true, answers, strict=True)]
    low, high = _widened(answers)
    least, most = _widened([*errors, 0.0])

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=1)
        _points(axes, answers, errors)
        axes.set_xlim(low, high)
        axes.set_ylim(least, most)
        axes.set_xlabel("answer")
        axes.set_title("error (answer - true value)", loc="left", fontsize=11)
        _steps(axes)

    told = f"Errors of {name}, answer minus true value, over the answers to {_counted(true)}"
    return _compact(drawing(f"errors-{place}", HEIGHT, f"{told}. {_spread(errors)}", draw))


def _points(axes: Axes, across: Numbers, up: Numbers) -> None:
    size = 4.5 if len(across) <= 300 else 3.5
    axes.plot(across, up, "o", color=ACCENT, alpha=SHADE, markersize=size, markeredgewidth=0)


def _steps(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        # Few long numbers fit beside each other.
        most = 3 if max(map(abs, axis.get_view_interval())) >= 1e5 else 7
        axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10]))
        # Every number in full: matplotlib would write a common factor over the axis, where the title is.
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value + 0.0:,.10g}"))


def _widened(values: Numbers) -> tuple[float, float]:
    """Return the ends of an axis: those of the values with a margin; around a single value a margin of its size."""
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 0.1 * abs(low) or 1.0
    return low - margin, high + margin


def _counted(values: Numbers) -> str:
    return f"{words.count(len(values))} text{'s' * (len(values) != 1)}"


def _ends(values: Numbers) -> str:
    return f"{short_number(min(values))} to {short_number(max(values))}"


def _spread(errors: Numbers) -> str:
    """Describe errors in words."""
    told = f"They go from {_ends(errors)}, {short_number(fmean(errors))} on average"
    if len(errors) < 2:
        return f"{told}."
    first, _, third = quantiles(errors, n=4)
    return f"{told}; half of them are between {short_number(first)} and {short_number(third)}."


def _compact(svg: str) -> str:
    """Return the plot with coordinates of one decimal and one style for all points: a third of its size."""
    found = WORN.search(svg)
    if found is None:
        return svg
    style = found.group(3)
    svg = WORN.sub(r'\1\2"/>', svg)
    # The points are the last group inside a clip path that holds uses.
    return re.sub(r'(<g clip-path="[^"]+")(>\s*<use )', rf'\1 style="{style}"\2', svg)
