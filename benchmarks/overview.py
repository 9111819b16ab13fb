"""The first table and the plot of docs/performance.md: how many times faster, against each peer, on each processor.

A line is a kind of work, a peer and a model. Its ratio is the median of the pairs of all rounds of all methods, with
their spread; an arm that repeats the peer is left out. Nothing is measured here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.measuring import Row, spread

OURS, AGAIN = "lightune", ", again"
PRECISIONS = {"lightune, precision auto": "`auto`", "lightune, exact fp32": "fp32"}
TICKS = (1, 2, 5, 10, 20, 50, 100)
LEFT, WIDTH, TOP, STEP, EDGE, LOWEST = 490, 960, 58, 24, 24, 0.6
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .soft { fill: #59636e }
.grid { stroke: #d1d9e0 } .one { stroke: #59636e; stroke-dasharray: 3 3 }
.c0 { stroke: #0969da; fill: #0969da } .c1 { stroke: #bc4c00; fill: #bc4c00 } .c2 { stroke: #1a7f37; fill: #1a7f37 }
.open { fill: #fff } .back { fill: #fff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
.c0 { stroke: #4493f8; fill: #4493f8 } .c1 { stroke: #f0883e; fill: #f0883e } .c2 { stroke: #3fb950; fill: #3fb950 }
.open { fill: #0d1117 } .back { fill: #0d1117 }
}"""

Column = tuple[str, str]  # (device, precision)


@dataclass
class Line:
    """One kind of work against one peer with one model: the ratios of the pairs, by column."""

    work: str
    peer: str
    model: str
    pairs: dict[Column, list[float]] = field(default_factory=dict)

    def ratio(self, column: Column) -> tuple[float, float, float] | None:
        """Return the median of the pairs and their spread, None where nothing was measured."""
        pairs = self.pairs.get(column)
        return spread(pairs) if pairs else None


def lines_of(kept: Mapping[str, dict[str, Any]]) -> list[Line]:
    """Return the lines of all saved figures, in the order in which they are first met."""
    lines: dict[tuple[str, str, str], Line] = {}
    for device, found in kept.items():
        for name in found:
            for row in (Row(**given) for given in found[name]["rows"]):
                for peer, arm in _pairs_of(row):
                    work, model, *_ = [*row.name.split(", "), ""]
                    line = lines.setdefault((work, peer, model), Line(work, peer, model))
                    pairs = zip(row.seconds[arm], row.seconds[peer], strict=True)
                    ratios = [theirs / ours for ours, theirs in pairs]
                    line.pairs.setdefault((device, PRECISIONS.get(arm, "fp32")), []).extend(ratios)
    return list(lines.values())


def _pairs_of(row: Row) -> Iterator[tuple[str, str]]:
    """Yield (a peer, an arm of ours) of a row; nothing where the arms are not compared with each other."""
    if row.kind == "difference":
        return
    ours = [arm for arm in row.seconds if arm.startswith(OURS)]
    for peer in row.seconds:
        if not peer.startswith(OURS) and not peer.endswith(AGAIN):
            yield from ((peer, arm) for arm in ours)


def columns_of(lines: Sequence[Line]) -> list[Column]:
    """Return the columns in which anything was measured."""
    return list(dict.fromkeys(column for line in lines for column in line.pairs))


def processors(kept: Mapping[str, dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return (short name, what it is) of the processor of each device: "CPU", "Intel Xeon, 2 threads, with bf16"."""
    named = {}
    for device, found in kept.items():
        machines = [one["machine"] for one in found.values()]
        if not machines:
            continue
        first, threads = machines[0], sorted({machine["threads"] for machine in machines})
        gpu = next((machine["gpu"] for machine in machines if machine.get("gpu")), None)
        bf16 = f"{' or '.join(map(str, threads))} threads, {'with' if first['bf16'] else 'without'} bf16"
        named[device] = ("GPU", gpu) if gpu else ("CPU", f"{first['processor']}, {bf16}")
    return named


def overview(kept: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the table, with the names of the processors above it."""
    lines, named = lines_of(kept), processors(kept)
    columns = columns_of(lines)
    about = "; ".join(f"{short}: {what}" for short, what in named.values())
    titles = [f"{named[device][0]}, {precision}" for device, precision in columns]
    head = [f"{about}.", "", f"| work | compared with | model | {' | '.join(titles)} |"]
    rows = [
        f"| {line.work} | {line.peer} | {line.model} | {' | '.join(_shown(line.ratio(at)) for at in columns)} |"
        for line in lines
    ]
    return [*head, "| --- " * (3 + len(columns)) + "|", *rows]


def _shown(ratio: tuple[float, float, float] | None) -> str:
    if ratio is None:
        return ""
    decimals = 0 if ratio[0] >= 20 else 1
    middle, low, high = (f"{value:.{decimals}f}" for value in ratio)
    return f"**{middle}**" if low == middle == high else f"**{middle}** ({low} to {high})"


def plot(kept: Mapping[str, dict[str, Any]]) -> str:
    """Return the same ratios as an SVG: a dot for each median, a bar for its spread, on a logarithmic axis."""
    lines, named = lines_of(kept), processors(kept)
    columns = columns_of(lines)
    height = TOP + STEP * len(lines) + EDGE
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">']
    parts += [f"<title>Times faster (or smaller) than each peer</title><style>{STYLE}</style>"]
    parts += [f'<rect class="back" width="{WIDTH}" height="{height}"/>']
    parts += _legend(columns, named, list(named))
    for tick in TICKS:
        kind = "one" if tick == 1 else "grid"
        parts += [f'<path class="{kind}" d="M{_at(tick):.1f} {TOP - 12}V{height - EDGE}"/>']
        parts += [f'<text class="soft" x="{_at(tick):.1f}" y="{height - 6}" text-anchor="middle">{tick}</text>']
    for number, line in enumerate(lines):
        middle = TOP + STEP * number + STEP / 2
        about = escape(f"{line.work}, {line.model}: {line.peer}")
        parts += [f'<text x="{LEFT - 12}" y="{middle + 4:.1f}" text-anchor="end" class="name">{about}</text>']
        parts += _marks(line, columns, list(named), middle)
    return "\n".join([*parts, "</svg>", ""])


def _legend(columns: Sequence[Column], named: Mapping[str, tuple[str, str]], devices: Sequence[str]) -> list[str]:
    """Return a dot and a name for each column, in one line at the top."""
    parts = [f'<text x="{LEFT - 12}" y="22" text-anchor="end">times faster than (or smaller), with their spread</text>']
    for number, (device, precision) in enumerate(columns):
        along, kind = LEFT + 6 + 122 * number, _kind((device, precision), devices)
        name = f"{named[device][0]}, {precision.strip('`')}"
        parts += [f'<circle class="{kind}" cx="{along}" cy="18" r="4"/><text x="{along + 9}" y="22">{name}</text>']
    return parts


def _marks(line: Line, columns: Sequence[Column], devices: Sequence[str], middle: float) -> list[str]:
    """Return the bars and dots of a line, one column a little below the other."""
    parts = []
    shift = 4.5
    for number, column in enumerate(columns):
        ratio = line.ratio(column)
        if ratio is None:
            continue
        level, kind = middle + shift * (number - (len(columns) - 1) / 2), _kind(column, devices)
        median, low, high = (_at(value) for value in ratio)
        parts += [f'<path class="{kind}" d="M{low:.1f} {level:.1f}H{high:.1f}"/>']
        parts += [f'<circle class="{kind}" cx="{median:.1f}" cy="{level:.1f}" r="3"/>']
    return parts


def _kind(column: Column, devices: Sequence[str]) -> str:
    """Return the CSS classes of a column: a colour for the device, an open dot for fp32."""
    return f"c{devices.index(column[0])}" + (" open" if column[1] == "fp32" else "")


def _at(value: float) -> float:
    """Return the place of a ratio on the axis."""
    span = math.log(TICKS[-1]) - math.log(LOWEST)
    return LEFT + (WIDTH - LEFT - EDGE) * (math.log(value) - math.log(LOWEST)) / span
