"""The plotting stack: charts drawn once with matplotlib, for pages (SVG in the page's colours) and for slides."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.comparison.certainty import number_error
from codesign.comparison.compare import Column, Comparison
from codesign.comparison.entry import NETWORK, STEPS, Entry, Number
from codesign.comparison.forms import percent_text, value_text
from codesign.core.metrics import METRICS
from codesign.core.shown import Brief
from codesign.core.text_table import headed
from codesign.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE, CARD = "#1c2430", "#5d6875", "#dfe3e8", "#fefefe"
GOOD, BAD = "#0b7a4b", "#b3341f"
COLOURS = (
    "#2f6fde", "#dd7719", "#1f9d73", "#c0408f", "#7a5bd0", "#b38f0c",
    "#2f9bc6", "#8b5e3c", "#d64545", "#4f8a10", "#5b6b8c", "#00857d",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "d", "p")
"""Twelve designs have twelve colours and twelve marks."""

_VARIABLES = {
    **{INK: "--ink", SOFT: "--soft", LINE: "--line", CARD: "--card", GOOD: "--good", BAD: "--bad"},
    **{colour: f"--c{index}" for index, colour in enumerate(COLOURS)},
}
"""The page's name of each colour: what is drawn in them follows the page into the dark."""

_SHARE = "#1f5fc4"
"""A whole share; white can be read on it, and it is the same on light and dark pages."""

_HINT = "hint-"
_LETTER = 0.6
"""The mean width of a letter in units of its height."""

_MOST_ACROSS = 2

QUALITIES = ("test_accuracy", "test_r2", "test_quality", "test_auc", "auc", "validation_accuracy")
"""What quality is plotted: the first that the designs have."""

COSTS = ("lut", "latency_ns")
"""What quality is plotted against."""

NETWORK_COSTS = ("bops", "average_weight_bits")
"""What quality is plotted against where no design has numbers of hardware."""

_LOG_FROM = 20
"""Costs that differ by such a factor are on a logarithmic scale."""

_WIDTH_OF_TYPE = re.compile(r"<\s*(\d+)")


@dataclass(frozen=True)
class Label:
    """A name beside a point, in the units of the data."""

    x: float
    y: float
    name: str


@dataclass(frozen=True)
class Chart(Brief):
    """A picture with its words.

    Parameters
    ----------
    title
        What it shows.
    caption
        How to read it.
    draw
        Draws it on axes; gives the labels that are to find places between its points.
    width, height
        In inches.
    is_wide
        Whether it needs the whole width of a page.
    """

    title: str
    caption: str
    draw: Callable[[Axes], Sequence[Label]]
    width: float = 5.8
    height: float = 3.9
    is_wide: bool = False


@dataclass(frozen=True)
class Mark:
    """How a design is drawn: its colour and its marker, distinct for the first twelve and for many more."""

    index: int

    @property
    def colour(self) -> str:
        """Of `COLOURS`."""
        return COLOURS[self.index % len(COLOURS)]

    @property
    def marker(self) -> str:
        """Of `MARKERS`; the second dozen has other pairs of colour and marker."""
        return MARKERS[(self.index + self.index // len(COLOURS)) % len(MARKERS)]

    @property
    def svg(self) -> str:
        """The marker by itself, for the text of a page."""
        from matplotlib.markers import MarkerStyle
        from matplotlib.path import Path as Outline
        from matplotlib.transforms import Affine2D

        style = MarkerStyle(self.marker)
        # matplotlib's y goes upwards, that of SVG downwards
        outline = style.get_path().transformed(style.get_transform() + Affine2D().scale(1, -1))
        pieces = []
        for points, code in outline.iter_segments(curves=True):
            letter = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}.get(
                code
            )
            pieces.append("Z" if letter is None else letter + " ".join(f"{value:.2f}" for value in points))
        path = "".join(pieces)
        box = 'viewBox="-0.62 -0.62 1.24 1.24"'
        return f'<svg class="mark" {box} aria-hidden="true"><path class="c{self.index % len(COLOURS)}" d="{path}"/></svg>'


@contextmanager
def _style(salt: str) -> Iterator[None]:
    import matplotlib
    from cycler import cycler

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": ["DejaVu Sans"],
        "text.parse_math": False,  # a name with a dollar is a name
        "font.size": 10,
        "axes.titlesize": 11,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.edgecolor": SOFT,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": SOFT,
        "ytick.labelcolor": SOFT,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "figure.facecolor": "white",
        "axes.facecolor": "none",
        "axes.prop_cycle": cycler(color=COLOURS),
        "lines.linewidth": 1.6,
    }
    with matplotlib.rc_context(settings):
        yield


def hint(text: str) -> str:
    """A `gid` for an artist that becomes the words under the pointer in a page."""
    return _HINT + text.encode().hex()


def draw_shares(
    axes: Axes, shares: np.ndarray, words: Mapping[tuple[int, int], tuple[str, str]], size: int = 8
) -> None:
    """Draw a matrix of shares as cells of a colour; what is missing to 1 is left to the page, whether it is light or dark.

    Parameters
    ----------
    axes
        Its first row is on top.
    shares
        Numbers from 0 to 1, `(n_rows, n_columns)`.
    words
        What stands in a cell, and its hint, by row and column.
    size
        Of the words, in points.
    """
    from matplotlib.patches import Rectangle

    axes.grid(visible=False)
    for row, column in np.argwhere(shares > 0):
        # the more, the less of the page shines through
        alpha = 0.05 + 0.95 * shares[row, column]
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=_SHARE, alpha=alpha, linewidth=0))
    axes.hlines(range(shares.shape[0] + 1), 0, shares.shape[1], color=LINE, linewidth=0.7)
    axes.vlines(range(shares.shape[1] + 1), 0, shares.shape[0], color=LINE, linewidth=0.7)
    axes.set_xlim(0, shares.shape[1])
    axes.set_ylim(shares.shape[0], 0)
    for (row, column), (word, about) in words.items():
        colour = "#ffffff" if shares[row, column] > 0.75 else INK
        text = axes.text(column + 0.5, row + 0.5, word, ha="center", va="center", fontsize=size, color=colour)
        text.set_gid(hint(about))


def picture(chart: Chart) -> str:
    """A chart as SVG for a page, in whose colours it is, without anything that refers outside."""
    with _style(chart.title):
        figure = _figure([chart], titles=False)
        text = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _themed(text.getvalue(), chart.title)


def _themed(svg: str, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", svg, count=5)
    svg = svg.replace("xlink:href", "href")
    # the same names in two pictures of one page would be one thing
    own = hashlib.sha256(title.encode()).hexdigest()[:8]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(
        rf' id="{_HINT}([0-9a-f]+)">',
        lambda found: f"><title>{escape(bytes.fromhex(found[1]).decode())}</title>",
        svg,
    )
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{own}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{own}-", svg)
    for colour, name in _VARIABLES.items():
        svg = svg.replace(colour, f"var({name})")
    svg = svg.replace("'DejaVu Sans'", "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1).strip()


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, SVG or PDF, by the path's ending; the same figure gives the same bytes."""
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix.lower(), {})
    with _style(path.suffix):
        figure.savefig(path, dpi=150, metadata=metadata)
    return path


def chart_figure(charts: Sequence[Chart], marks: Sequence[tuple[str, Mark]] = ()) -> Figure:
    """Charts in one figure, two in a row, with a legend of designs below them.

    Parameters
    ----------
    charts
        At least one.
    marks
        Names with their marks.
    """
    with _style("figure"):
        return _figure(charts, titles=True, marks=marks)


def _figure(charts: Sequence[Chart], *, titles: bool, marks: Sequence[tuple[str, Mark]] = ()) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(_MOST_ACROSS, len(charts))
    rows = math.ceil(len(charts) / columns)
    width = columns * max(chart.width for chart in charts)
    heights = [max(chart.height for chart in charts[row * columns :][:columns]) for row in range(rows)]
    legend = 0.3 * math.ceil(len(marks) / (2 * columns))
    figure = Figure(figsize=(width, sum(heights) + legend), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)
    labels = []
    for chart, axes in zip(charts, grid, strict=False):
        labels.append((axes, chart.draw(axes)))
        if titles:
            axes.set_title(chart.title, loc="left", wrap=True)
    for axes in grid[len(charts) :]:
        axes.set_visible(False)
    if marks:
        handles = [
            Line2D([], [], color=mark.colour, marker=mark.marker, linestyle="", label=name)
            for name, mark in marks
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2 * columns)
    figure.draw_without_rendering()  # only now it is known where the points are
    # what is added now stands inside the axes: writing need not lay the figure out twice more
    figure.set_layout_engine(None)
    for axes, wanted in labels:
        _place(axes, wanted)
    return figure


def _place(axes: Axes, labels: Sequence[Label]) -> None:
    """Names beside their points, none on another or outside the axes; one that finds no place is left out."""
    dots = 72 / axes.figure.dpi
    points = [tuple(dots * axes.transData.transform((label.x, label.y))) for label in labels]
    box = axes.get_window_extent()
    frame = Box(dots * box.x0, dots * box.y0, dots * box.x1, dots * box.y1)
    for index, (dx, dy, anchor) in places(points, [label.name for label in labels], frame, size=9.0):
        label = labels[index]
        axes.annotate(
            label.name,
            (label.x, label.y),
            xytext=(dx, dy),
            textcoords="offset points",
            ha={"start": "left", "middle": "center", "end": "right"}[anchor],
            fontsize=9,
        )


@dataclass(frozen=True)
class Box:
    """A rectangle that a label or a point takes, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether two rectangles overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


_PLACES = (
    (6.0, 6.0, "start"), (-6.0, 6.0, "end"), (0.0, 8.0, "middle"), (6.0, -13.0, "start"),
    (-6.0, -13.0, "end"), (0.0, -15.0, "middle"), (8.0, -3.0, "start"), (-8.0, -3.0, "end"),
)  # fmt: skip
"""Where a label may stand, seen from its point, best first: shift of its baseline's begin, middle or end."""


def places(
    points: Sequence[tuple[float, ...]], names: Sequence[str], frame: Box, *, size: float
) -> Iterator[tuple[int, tuple[float, float, str]]]:
    """Where each name goes that finds a place: its index, the shift of its baseline, and which end that is of.

    Parameters
    ----------
    points
        Places of the points, x and y, upwards.
    names
        As many names.
    frame
        Where labels may be.
    size
        The height of a letter.
    """
    taken = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    for index, ((x, y), name) in enumerate(zip(points, names, strict=True)):
        width = _LETTER * size * len(name)
        for dx, dy, anchor in _PLACES:
            left = x + dx - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            box = Box(left, y + dy - 0.2 * size, left + width, y + dy + 0.8 * size)
            inside = frame.left <= box.left and box.right <= frame.right
            inside = inside and frame.bottom <= box.bottom and box.top <= frame.top
            if inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                yield index, (dx, dy, anchor)
                break


def number_text(value: float) -> str:
    """A value at a tick, as short as it can be: 1.2k, 3M, 0.975."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.6g}"


def short_ticks(axis: Any, *, is_log: bool = False) -> None:
    """Ticks as short as `number_text` makes them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if is_log:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: number_text(value)))


@dataclass(frozen=True)
class _Point:
    index: int
    name: str
    cost: Number
    quality: Number


def comparison_charts(comparison: Comparison) -> dict[str, list[Chart]]:
    """Every chart of a comparison, by the heading that it stands under."""
    found = {
        "Quality against cost": list(pareto_charts(comparison)),
        "Use of the part": list(use_charts(comparison)),
        "Bits": list(bits_charts(comparison)),
    }
    return {title: charts for title, charts in found.items() if charts}


def comparison_figure(comparison: Comparison) -> Figure:
    """All charts of a comparison as one figure with a legend, for slides.

    Raises
    ------
    SettingsError
        There is nothing to draw.
    """
    charts = [chart for found in comparison_charts(comparison).values() for chart in found]
    if not charts:
        raise SettingsError(
            "the comparison has nothing to draw: a plot needs two designs with the same numbers, or a known part"
        )
    marks = [(entry.name, Mark(index)) for index, entry in enumerate(comparison.entries)]
    return chart_figure(charts, marks)


def pareto_front(points: Sequence[tuple[float, float]], *, higher: bool = True) -> tuple[int, ...]:
    """The points that no other point dominates.

    Parameters
    ----------
    points
        Cost (the lower the better) and quality.
    higher
        Whether a higher quality is the better one; for an error it is the lower one.

    Returns
    -------
    tuple of int
        Indices in rising cost. A point dominates another if it is at least as good in both and better in one; of
        equal points all are kept.
    """
    sign = 1 if higher else -1
    pairs = [(cost, sign * quality) for cost, quality in points]
    front: list[int] = []
    best = float("-inf")
    for index in sorted(range(len(pairs)), key=lambda index: (pairs[index][0], -pairs[index][1])):
        if pairs[index][1] > best or (front and pairs[front[-1]] == pairs[index]):
            front.append(index)
            best = max(best, pairs[index][1])
    return tuple(front)


def pareto_charts(comparison: Comparison) -> Iterator[Chart]:
    """Quality against LUTs and against latency, one chart a stage and dataset that at least two designs have.

    Where no stage of the hardware has them, against what is counted of the networks.
    """
    hardware = [Column(cost, name) for name, step in STEPS.items() if step.is_hardware for cost in COSTS]
    networks = [Column(cost, NETWORK) for cost in NETWORK_COSTS]
    for quality in _quality_columns(comparison):
        charts = tuple(_pareto_charts(comparison, quality, hardware))
        yield from charts or _pareto_charts(comparison, quality, networks)


def _pareto_charts(comparison: Comparison, quality: Column, costs: Sequence[Column]) -> Iterator[Chart]:
    for cost in costs:
        points = _points(comparison, quality, cost)
        if len(points) > 1:
            yield _pareto(points, quality, cost)


def _quality_columns(comparison: Comparison) -> list[Column]:
    columns = [column for column in comparison.columns(NETWORK) if column.about.group == "quality"]
    for metric in dict.fromkeys((*QUALITIES, *(column.metric for column in columns))):
        if found := [column for column in columns if column.metric == metric]:
            return found
    return []


def _points(comparison: Comparison, quality: Column, cost: Column) -> list[_Point]:
    points = []
    for index, entry in enumerate(comparison.entries):
        x, y = comparison.number(entry, cost), comparison.number(entry, quality)
        if x is not None and y is not None:
            points.append(_Point(index, entry.name, x, y))
    return points


def _pareto(points: Sequence[_Point], quality: Column, cost: Column) -> Chart:
    pairs = [(point.cost.value, point.quality.value) for point in points]
    front = pareto_front(pairs, higher=quality.about.better != "lower")
    step = STEPS[cost.step]
    title = f"{headed(quality.about.title)} against {cost.about.heading}: {step.title}"
    if quality.dataset:
        title += f", {quality.dataset}"

    def draw(axes: Any) -> list[Label]:
        costs = [cost for cost, _ in pairs]
        is_log = min(costs) > 0 and max(costs) / min(costs) >= _LOG_FROM
        axes.set_xscale("log" if is_log else "linear")
        axes.margins(0.14)
        stairs = [pairs[index] for index in front]
        axes.plot(
            *zip(*stairs, strict=True), drawstyle="steps-post", color=SOFT, linestyle="--", linewidth=1.2
        )
        for index, point in enumerate(points):
            mark, (x, y) = Mark(point.index), pairs[index]
            error = point.quality.spread or number_error(point.quality)
            axes.errorbar(x, y, yerr=error, xerr=point.cost.spread, color=SOFT, linewidth=0.9, alpha=0.7)
            words = f"{point.name}: {value_text(quality, point.quality)}"
            (dot,) = axes.plot(
                x,
                y,
                marker=mark.marker,
                markersize=9,
                color=mark.colour,
                markerfacecolor=mark.colour if index in front else CARD,
                markeredgewidth=1.8,
                linestyle="",
            )
            dot.set_gid(hint(f"{words}, {cost.about.heading} {value_text(cost, point.cost)}"))
        # the best quality that a cost buys goes on to the right
        right = axes.get_xlim()[1]
        axes.plot([stairs[-1][0], right], [stairs[-1][1]] * 2, color=SOFT, linestyle="--", linewidth=1.2)
        axes.set_xlim(right=right)
        axes.set_xlabel(cost.about.heading)
        axes.set_ylabel(quality.about.heading)
        short_ticks(axes.xaxis, is_log=is_log)
        short_ticks(axes.yaxis)
        return [Label(x, y, point.name) for (x, y), point in zip(pairs, points, strict=True)]

    bars = "Bars: deviation over seeds, or 95 % by the size of the test part."
    return Chart(title, f"Filled: no other design is as good and cheaper. {bars} {step.remark}", draw)


def bits_charts(comparison: Comparison) -> Iterator[Chart]:
    """Widths by layer, of weights and of results; designs of the same layers share a chart."""
    families: dict[tuple[str, ...], list[tuple[int, Entry]]] = {}
    for index, entry in enumerate(comparison.entries):
        if entry.layers:
            families.setdefault(tuple(entry.layers), []).append((index, entry))
    for layers, members in families.items():
        for tensor, words in (("weight", "weights"), ("result", "results")):
            used = [name for name in layers if any(tensor in entry.layers[name] for _, entry in members)]
            if used:
                names = "" if len(families) == 1 else f": {', '.join(entry.name for _, entry in members)}"
                yield _bits(members, used, tensor, f"Bits of {words} by layer{names}")


def type_bits(kind: str) -> tuple[int, int] | None:
    """The least and the largest width of the types in a text, as hls4ml prints them; ``None`` for another text.

    ``fixed<7,4,RND_CONV,SAT,0>`` has 7 and 7; several types are those of several seeds (`SEVERAL`).
    """
    found = [int(width) for width in _WIDTH_OF_TYPE.findall(kind)]
    return (min(found), max(found)) if found else None


def _bits(members: Sequence[tuple[int, Entry]], layers: Sequence[str], tensor: str, title: str) -> Chart:
    def draw(axes: Any) -> list[Label]:
        from matplotlib.ticker import MaxNLocator

        thick = 0.84 / len(members)
        for rank, (index, entry) in enumerate(members):
            mark = Mark(index)
            for place, name in enumerate(layers):
                kind = entry.layers.get(name, {}).get(tensor, "")
                bits = type_bits(kind)
                if bits is None:
                    continue
                least, most = bits
                x = place + (rank - (len(members) - 1) / 2) * thick
                (bar,) = axes.bar(x, least, 0.92 * thick, color=mark.colour)
                bar.set_gid(hint(f"{entry.name}, {name}: {kind}"))
                if most > least:  # what only some seeds need stands on it, paler
                    axes.bar(x, most - least, 0.92 * thick, bottom=least, color=mark.colour, alpha=0.4)
                axes.annotate(
                    str(least) if most == least else f"{least}-{most}",
                    (x, most),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=SOFT,
                )
        axes.set_xticks(range(len(layers)), layers, rotation=0 if width >= _room(layers) else 30, ha="center")
        axes.set_ylabel("bits")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.12)
        axes.grid(visible=False, axis="x")
        return []

    needed = max(_room(layers), 0.26 * len(members) * len(layers) + 1.0)
    width = min(max(5.8, needed), 16.0)
    seeds = any(entry.kind == "seeds" for _, entry in members)
    caption = f"Total bits, sign included.{' Paler: what only some seeds have.' if seeds else ''}"
    return Chart(title, caption, draw, width, 3.0, is_wide=width > 7.5)


def _room(layers: Sequence[str]) -> float:
    """The width in inches that the names of layers need side by side."""
    return 1.0 + len(layers) * (0.085 * max(len(name) for name in layers) + 0.15)


def use_charts(comparison: Comparison) -> Iterator[Chart]:
    """Shares of the part by resource, one chart a stage."""
    resources = [name for name, metric in METRICS.items() if metric.group == "resource"]
    for name, step in STEPS.items():
        rows = []
        for resource in resources:
            found = [(i, e, e.number(resource, name)) for i, e in enumerate(comparison.entries)]
            known = [(i, e, n) for i, e, n in found if n is not None and n.percent is not None]
            if any(number.value for _, _, number in known):
                rows.append((Column(resource, name), known))
        if rows:
            devices = list(dict.fromkeys(e.device or "its part" for _, known in rows for _, e, _ in known))
            yield _use(rows, f"Share of the {', '.join(devices)}: {step.title}", step.remark)


def _use(
    rows: Sequence[tuple[Column, Sequence[tuple[int, Entry, Number]]]], title: str, caption: str
) -> Chart:
    count = sum(len(known) for _, known in rows)

    def draw(axes: Any) -> list[Label]:
        top, ticks = 0.0, []
        for column, known in rows:
            ticks.append((top + (len(known) - 1) / 2, column.about.title))
            for index, entry, number in known:
                share = number.percent or 0.0
                (bar,) = axes.barh(top, share, 0.84, color=Mark(index).colour)
                bar.set_gid(hint(f"{entry.name}: {value_text(column, number)}"))
                words = f"{column.about.text(number.value)} · {percent_text(share)}"
                axes.annotate(
                    words,
                    (share, top),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                    color=SOFT,
                )
                top += 1.0
            top += 0.7
        axes.set_yticks([place for place, _ in ticks], [words for _, words in ticks])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(top - 0.9, -0.7)
        axes.set_xlim(0, 1.4 * max(number.percent or 0.0 for _, known in rows for _, _, number in known))
        axes.set_xlabel("percent of the part")
        axes.grid(visible=False, axis="y")
        return []

    return Chart(title, caption, draw, height=0.9 + 0.24 * count + 0.17 * len(rows))
