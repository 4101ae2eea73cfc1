"""The plots of a page: quality against cost with its front, bits by layer, shares of the part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codesign.comparison import svg
from codesign.comparison.compare import Column, Comparison
from codesign.comparison.entry import Entry, Number
from codesign.comparison.pareto import pareto_front
from codesign.comparison.steps import NETWORK, STEPS
from codesign.comparison.tables import percent_text, value_text
from codesign.core.metrics import METRICS

QUALITIES = ("test_accuracy", "auc", "validation_accuracy")
"""What quality is plotted: the first that the designs have."""

COSTS = ("lut", "latency_ns")
"""What quality is plotted against."""

_WIDTH, _HEIGHT = 560.0, 380.0
_WIDTH_OF_TYPE = re.compile(r"<\s*(\d+)")


@dataclass(frozen=True)
class Chart:
    """A picture with its words.

    Parameters
    ----------
    title
        What it shows.
    caption
        How to read it.
    picture
        SVG.
    is_wide
        Whether it needs the whole width of a page.
    """

    title: str
    caption: str
    picture: str
    is_wide: bool = False


@dataclass(frozen=True)
class _Point:
    index: int
    name: str
    cost: Number
    quality: Number


def pareto_charts(comparison: Comparison) -> Iterator[Chart]:
    """Quality against LUTs and against latency, one chart a stage and dataset that at least two designs have."""
    for quality in _quality_columns(comparison):
        for step in (name for name, step in STEPS.items() if step.is_hardware):
            for cost in COSTS:
                column = Column(cost, step)
                points = _points(comparison, quality, column)
                if len(points) > 1:
                    yield _pareto(points, quality, column)


def _quality_columns(comparison: Comparison) -> list[Column]:
    columns = comparison.columns(NETWORK)
    for metric in QUALITIES:
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
    x = svg.padded([point.cost.value for point in points], 72, _WIDTH - 16, log_from=20)
    y = svg.padded([point.quality.value for point in points], _HEIGHT - 56, 16)
    front = pareto_front([(point.cost.value, point.quality.value) for point in points])
    places = [(x(point.cost.value), y(point.quality.value)) for point in points]
    shapes = svg.axes(x, y, cost.about.heading, quality.about.heading)
    shapes.append(_front_line([places[index] for index in front], x.end))
    for index, (point, (left, top)) in enumerate(zip(points, places, strict=True)):
        shapes += _spreads(point, x, y)
        words = f"{point.name}: {value_text(quality, point.quality)}"
        hint = f"{words}, {cost.about.heading} {value_text(cost, point.cost)}"
        shapes.append(svg.dot(left, top, point.index, hint, is_filled=index in front))
    frame = svg.Box(x.begin, y.end, x.end, y.begin)
    shapes += svg.place_labels(places, [point.name for point in points], frame)
    step = STEPS[cost.step]
    title = f"{quality.about.title.capitalize()} against {cost.about.heading}: {step.title}"
    if quality.dataset:
        title += f", {quality.dataset}"
    caption = f"Filled: no other design is as good and cheaper. {step.remark}"
    return Chart(title, caption, svg.drawing(_WIDTH, _HEIGHT, title, shapes))


def _front_line(places: Sequence[tuple[float, float]], right: float) -> str:
    """Stairs through the front: the best quality that a cost buys."""
    (left, top), *others = places
    path = f"M{left:.1f} {top:.1f}" + "".join(f" H{x:.1f} V{y:.1f}" for x, y in others) + f" H{right:.1f}"
    return f'<path class="front" d="{path}"/>'


def _spreads(point: _Point, x: svg.Scale, y: svg.Scale) -> Iterator[str]:
    """Lines of one standard deviation over seeds to each side, as far as the drawing goes."""
    left, top = x(point.cost.value), y(point.quality.value)
    if point.cost.spread:
        low = max(point.cost.value - point.cost.spread, x.low)
        yield svg.line(x(low), top, x(min(point.cost.value + point.cost.spread, x.high)), top, "spread")
    if point.quality.spread:
        low = max(point.quality.value - point.quality.spread, y.low)
        yield svg.line(
            left, y(low), left, y(min(point.quality.value + point.quality.spread, y.high)), "spread"
        )


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


def type_bits(kind: str) -> int | None:
    """The width of a type as hls4ml prints it (``fixed<7,4,RND_CONV,SAT,0>`` has 7); ``None`` for another text."""
    found = _WIDTH_OF_TYPE.search(kind)
    return int(found[1]) if found else None


def _bits(members: Sequence[tuple[int, Entry]], layers: Sequence[str], tensor: str, title: str) -> Chart:
    thick = max(17.0, min(24.0, 60.0 / len(members)))
    pitch = max(thick * len(members) + 14, svg.LETTER_WIDTH * max(len(name) for name in layers) + 10)
    width = max(_WIDTH, 72 + pitch * len(layers) + 16)
    widths = {
        (index, name): type_bits(entry.layers[name].get(tensor, ""))
        for index, entry in members
        for name in layers
    }
    most = max((bits for bits in widths.values() if bits is not None), default=1)
    y = svg.Scale(0.0, most * 1.15, 250.0, 16.0)
    x = svg.Scale(0.0, float(len(layers)), 72.0, width - 16)
    shapes = [svg.line(x.begin, y(tick), x.end, y(tick), "grid") for tick in y.ticks()]
    shapes += [svg.text(x.begin - 8, y(tick) + 4, svg.number_text(tick), anchor="end") for tick in y.ticks()]
    shapes.append(svg.text(16, (y.begin + y.end) / 2, "bits", style="name", turned=True))
    for place, name in enumerate(layers):
        middle = x(place + 0.5)
        shapes.append(svg.text(middle, y.begin + 18, name))
        for rank, (index, entry) in enumerate(members):
            bits = widths[index, name]
            if bits is not None:
                left = middle + thick * (rank - len(members) / 2)
                hint = f"{entry.name}, {name}: {entry.layers[name][tensor]}"
                shapes.append(svg.bar(left + 1, y(bits), thick - 2, y.begin - y(bits), index, hint))
                shapes.append(svg.text(left + thick / 2, y(bits) - 4, str(bits), style="value"))
    shapes.append(svg.line(x.begin, y.begin, x.end, y.begin, "axis"))
    return Chart(
        title, "Total bits, sign included.", svg.drawing(width, 280, title, shapes), width > 1.3 * _WIDTH
    )


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
    shares = [number.percent or 0.0 for _, known in rows for _, _, number in known]
    x = svg.Scale(0.0, max(shares) * 1.45, 92.0, _WIDTH - 16)
    thick, top, shapes = 16.0, 12.0, []
    for column, known in rows:
        shapes.append(
            svg.text(84, top + thick * len(known) / 2 + 4, column.about.title, anchor="end", style="name")
        )
        for index, entry, number in known:
            share = number.percent or 0.0
            hint = f"{entry.name}: {value_text(column, number)}"
            shapes.append(svg.bar(x.begin, top + 1, x(share) - x.begin, thick - 3, index, hint))
            words = f"{column.about.text(number.value)} · {percent_text(share)}"
            shapes.append(svg.text(x(share) + 6, top + thick - 4, words, anchor="start", style="value"))
            top += thick
        top += 12
    grid = [svg.line(x(tick), 4, x(tick), top, "grid") for tick in x.ticks()]
    ticks = [svg.text(x(tick), top + 16, f"{svg.number_text(tick)} %") for tick in x.ticks()]
    line = svg.line(x.begin, 4, x.begin, top, "axis")
    return Chart(title, caption, svg.drawing(_WIDTH, top + 26, title, [*grid, *ticks, *shapes, line]))
