"""Plots of probabilities: how often they come true, ROC curves, precision-recall curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightune.report import words
from lightune.report.plots import ACCENT, INK, MUTED, PLAIN, WARM, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT, LINE_HEIGHT = 330, 17
SMALLEST, LARGEST = 6, 250  # areas of points
LONGEST_NAME = 14  # two names with their figures stand beside each other
# Form and colour of each curve: the first is that of all labels, or of a single one.
FORMS = [(ACCENT, "-"), (WARM, "-"), (MUTED, "-"), (ACCENT, "--"), (WARM, "--"), (MUTED, "--"), (INK, ":")]


@dataclass(frozen=True)
class Line:
    """A line to draw: its name and the figure beside it in the legend, which both can be drawn, and its points.

    `shares` say how much of all is in each point, where points differ in that.
    """

    name: str
    figure: str
    across: Sequence[float]
    up: Sequence[float]
    shares: Sequence[float] = ()


def reliability_plot(lines: Sequence[Line], across: str, up: str) -> str:
    """Draw the share that came true over the mean probability of each bin, for each line, with the diagonal.

    The area of a point is the share of all probabilities that is in its bin.
    """

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1)
        for line, (colour, form) in zip(lines, ((ACCENT, "-"), (WARM, "--")), strict=False):
            axes.plot(line.across, line.up, form, color=colour, linewidth=1.2, label=_legend(line), clip_on=False)
            areas = [SMALLEST + LARGEST * share for share in line.shares]
            axes.scatter(line.across, line.up, areas, color=colour, linewidths=0, clip_on=False, zorder=3)
        _finish(axes, across, up, len(lines), columns=1)

    figures = "; ".join(_legend(line) for line in lines)
    told = f"{words.capital(up)} over {across}; on the diagonal both agree. {words.capital(figures)}."
    return drawing("reliability", HEIGHT, told, draw)


def roc_plot(lines: Sequence[Line]) -> str:
    """Draw the true positive rate over the false positive rate, with the diagonal of guessing."""
    return _curves("roc", lines, ("false positive rate", "true positive rate"), has_diagonal=True)


def precision_recall_plot(lines: Sequence[Line]) -> str:
    """Draw precision over recall."""
    return _curves("precision-recall", lines, ("recall", "precision"), has_diagonal=False)


def _curves(name: str, lines: Sequence[Line], titles: tuple[str, str], has_diagonal: bool) -> str:
    across, up = titles

    def draw(axes: Axes) -> None:
        if has_diagonal:
            axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        for line, (colour, form) in zip(lines, FORMS, strict=False):
            axes.plot(line.across, line.up, form, color=colour, label=_legend(line), clip_on=False)
        _finish(axes, across, up, len(lines), columns=2)

    told = "; ".join(map(_legend, lines))
    height = HEIGHT + LINE_HEIGHT * ((len(lines) - 1) // 2)
    return drawing(name, height, f"{words.capital(up)} over {across}: {told}.", draw)


def drawable(name: str, otherwise: str) -> str:
    """Return a name that a legend has room for and can show, else the other one."""
    return name if PLAIN.fullmatch(name) and len(name) <= LONGEST_NAME else otherwise


def _legend(line: Line) -> str:
    return f"{line.name}, {line.figure}"


def _finish(axes: Axes, across: str, up: str, lines: int, columns: int) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_xlabel(across)
    axes.set_title(up, loc="left", fontsize=11, pad=10 + LINE_HEIGHT * -(-lines // columns))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0, borderpad=0.2, handlelength=1.8,
        columnspacing=1.2, handletextpad=0.5, fontsize=10.5, labelcolor=MUTED,
    )  # fmt: skip
