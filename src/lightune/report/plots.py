"""Plots as inline SVG, drawn by matplotlib and coloured by the page's own CSS variables."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lightune.measured import Metric
from lightune.report import gains, words
from lightune.sections import Gain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours are drawn as placeholders and replaced by CSS variables, so that one SVG serves light, dark and print.
INK, MUTED, LINE, ACCENT, WARM, PAGE = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
VARIABLES = {INK: "currentColor", MUTED: "--muted", LINE: "--line", ACCENT: "--accent", WARM: "--warm", PAGE: "--page"}
WIDTH = 360
# Names that a plot can show unchanged: the fonts have all characters, and none is read as mathematics.
PLAIN = re.compile(r"[\w ().,'-]{1,36}", re.ASCII)
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}


def interval_plot(measured: Sequence[tuple[str, Gain]], metric: Metric) -> str:
    """Draw each gain with its 95% interval against zero, in its unit; the last, over before, has another colour."""
    rows = [(f"over {name}", found) for name, found in measured]
    scale = 100 if metric.unit == gains.SHARE else 1

    def draw(axes: Axes) -> None:
        """Draw one line for each gain, the first on top."""
        axes.axvline(0, color=INK, linewidth=1)
        for height, (name, found) in zip(reversed(range(len(rows))), rows, strict=True):
            _draw_interval(axes, height, found, scale, ACCENT if height else WARM)
            text = f"{name}: {gains.difference(found.value, found.unit)}"
            ground = {"facecolor": PAGE, "edgecolor": "none", "pad": 1.5}
            axes.text(0, height + 0.36, text, transform=axes.get_yaxis_transform(), color=INK, bbox=ground)
        axes.set_ylim(-0.45, len(rows) - 0.25)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{gains.gain_in(metric)}{gains.gain_unit(metric)}")

    return drawing("gain", 55 * (1 + len(rows)), _spoken(rows, metric), draw)


def _spoken(rows: Sequence[tuple[str, Gain]], metric: Metric) -> str:
    """Describe the plot of gains in words."""
    unit = gains.gain_unit(metric).replace(",", "")
    shown = "; ".join(
        f"{name} {words.NOT_MEASURED}"
        if found.value is None
        else f"{name} {gains.amount(found.value, found.unit)}{unit} ({gains.interval(found)})"
        for name, found in rows
    )
    return f"{words.capital(gains.gain_in(metric))} with 95% intervals: {shown}."


def _draw_interval(axes: Axes, height: int, found: Gain, scale: int, colour: str) -> None:
    if found.ci95 is not None:
        low, high = (scale * bound for bound in found.ci95)
        axes.plot([low, high], [height, height], color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot([low, high], [height, height], "|", color=colour, markersize=11, markeredgewidth=2)
    if found.value is not None:
        axes.plot([scale * found.value], [height], "o", color=colour, markersize=8)


def drawing(name: str, height: int, spoken: str, draw: Callable[[Axes], None]) -> str:
    """Return the figure as an SVG element whose ids start with the name, so that no two figures share an id."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        # The user's matplotlibrc must not change the page.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": name})  # type: ignore[dict-item]
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        draw(axes)
        return _inline(_rendered(figure), name, spoken)


def _rendered(figure: Figure) -> str:
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return sink.getvalue()


def _inline(svg: str, name: str, spoken: str) -> str:
    """Return the SVG ready for a page: no prolog, no other namespaces, own ids, colours from CSS."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sid="([^"]+)"', rf' id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    for placeholder, variable in VARIABLES.items():
        svg = svg.replace(placeholder, f"var({variable})" if variable.startswith("--") else variable)
    # Fonts come from the page; sizes are kept.
    svg = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", svg)
    opening = f'<svg viewBox="0 0 {_viewbox(svg)}" role="img" aria-label="{html.escape(spoken)}">'
    return re.sub(r"<svg [^>]*>", lambda _: opening, svg, count=1).strip()


def _viewbox(svg: str) -> str:
    found = re.search(r'viewBox="0 0 ([\d.]+ [\d.]+)"', svg)
    assert found, "matplotlib writes a viewBox"
    return found.group(1)
