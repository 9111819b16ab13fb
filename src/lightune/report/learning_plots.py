"""Learning curves: the losses by step, and the headline metric on the validation texts after each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightune.measured import Metric
from lightune.report import words
from lightune.report.plots import ACCENT, MUTED, WARM, drawing
from lightune.report.step_losses import StepLosses
from lightune.sections import Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 260
MARKED = 25  # with more epochs than this the points of a curve have no markers
FAINT = 0.35


@dataclass(frozen=True)
class Curves:
    """The learning curves of a training: over its steps where these are known, else over its epochs."""

    training: Training
    steps: StepLosses | None = None

    @classmethod
    def of(cls, training: Training, steps: StepLosses | None) -> Curves:
        """Return the curves; losses of another training, which lack an epoch of this one, are not used."""
        known = steps is not None and {epoch.epoch for epoch in training.epochs} <= set(steps.ends)
        return cls(training, steps if known else None)

    def drawn(self, headline: Metric) -> list[str]:
        """Return the plot of the losses, and that of the headline metric where every epoch has it."""
        has_headline = all(headline.name in epoch.metrics for epoch in self.training.epochs)
        return [self.losses(), *([self.metric(headline)] if has_headline else [])]

    def losses(self) -> str:
        """Draw the loss of training, by step where it is known, and that of validation where the record has it."""
        train = [epoch.train_loss for epoch in self.training.epochs]
        validation = _plotted([epoch.validation_loss for epoch in self.training.epochs])

        def draw(axes: Axes) -> None:
            if self.steps is None:
                self._curve(axes, train, "training", ACCENT, "o-")
            else:
                axes.plot(self.steps.steps, self.steps.losses, color=ACCENT, alpha=FAINT, linewidth=1)
                axes.plot(self.steps.steps, self.steps.smoothed(), color=ACCENT, label="training")
            if validation:
                self._curve(axes, validation, "validation", WARM, "s--")
            self._finish(axes, "loss")

        after = f", {_ends('validation loss', validation)}" if validation else ""
        return drawing("loss", HEIGHT, f"{_ends('Training loss', train)}{after}; {self._kept}.", draw)

    def metric(self, metric: Metric) -> str:
        """Draw a metric on the validation texts after each epoch."""
        values = _plotted([epoch.metrics.get(metric.name) for epoch in self.training.epochs])

        def draw(axes: Axes) -> None:
            self._curve(axes, values, "validation", WARM, "s--")
            self._finish(axes, metric.title)

        return drawing("headline", HEIGHT, f"{_ends(f'Validation {metric.title}', values)}; {self._kept}.", draw)

    def sentence(self) -> str:
        """Say what the curves show."""
        if self.steps is None:
            return "Each point is the end of an epoch; the training loss is the mean over its texts."
        each, beside = self.steps.each, self.steps.beside
        point = "the training loss of each step" if each == 1 else f"the mean training loss of every {each} steps"
        around = f"its mean over {(2 * beside + 1) * each} steps"
        return f"The faint line is {point}, the other one {around}. Validation points are at the ends of the epochs."

    @property
    def _kept(self) -> str:
        return f"epoch {self.training.best_epoch} was kept"

    def _at(self, epoch: int) -> int:
        """Return where an epoch ends on the horizontal axis."""
        return epoch if self.steps is None else self.steps.ends[epoch]

    def _curve(self, axes: Axes, values: Sequence[float], name: str, colour: str, form: str) -> None:
        places = [self._at(epoch.epoch) for epoch in self.training.epochs]
        size = 5 if len(places) <= MARKED else 0
        axes.plot(places, values, form, color=colour, label=name, markersize=size, clip_on=False)

    def _finish(self, axes: Axes, name: str) -> None:
        from matplotlib.ticker import MaxNLocator

        numbers, best = [epoch.epoch for epoch in self.training.epochs], self.training.best_epoch
        if best in numbers:
            label = f"kept (epoch {best})"
            axes.axvline(self._at(best), color=MUTED, linewidth=1, linestyle=":", label=label, zorder=0)
        axes.margins(y=0.09)
        if self.steps is not None:
            axes.set_xlim(0, self.steps.ends[numbers[-1]] if numbers else None)
        elif len(numbers) == 1:
            axes.set_xlim(numbers[0] - 1, numbers[0] + 1)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("epoch" if self.steps is None else "step")
        axes.set_title(name, loc="left", fontsize=11, pad=24)
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, borderpad=0.2, handlelength=1.6,
            columnspacing=1.1, handletextpad=0.5, fontsize=10.5, labelcolor=MUTED,
        )  # fmt: skip


def _plotted(found: Sequence[float | None]) -> list[float]:
    """Return figures of the epochs, NaN (a gap in the curve) where one is undefined; nothing where no epoch has one."""
    return [] if all(value is None for value in found) else [math.nan if value is None else value for value in found]


def _ends(name: str, values: Sequence[float]) -> str:
    if not values:
        return "No epochs"
    # Only the first of several has a verb: "Training loss goes from 0.7 to 0.5, validation loss from 0.7 to 0.6".
    goes = " goes" if name[0].isupper() else ""
    return f"{name}{goes} from {words.score(values[0])} to {words.score(values[-1])}"
