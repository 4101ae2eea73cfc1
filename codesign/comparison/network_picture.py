"""The network in hardware as boxes with types on their edges: for the page, and as a picture for slides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from codesign.comparison.figures import type_bits
from codesign.comparison.sources import PROJECT, read_arrays
from codesign.core.places import GRAPH

_A_ROW = 4
"""Boxes beside each other."""

_WIDE, _GAP, _LINE, _PAD = 170, 110, 16, 12
"""The width of a box, of what is between two, the height of a line, and the space around its text, in units of the picture."""


@dataclass(frozen=True)
class Box:
    """A layer as it is drawn: its name, its kind, shape and types, and the types that come in, a line each."""

    name: str
    lines: tuple[str, ...]
    edge: str


def network_boxes(folder: Path, summary: Mapping[str, Any]) -> Iterator[Box]:
    """The layers in the order of the hardware, each with the types that come in along its edges."""
    previous, types = "", dict(summary["layers"])
    nodes = _nodes(folder) or [{"name": name, "inputs": None} for name in types]
    for node in nodes:
        name = node["name"]
        inputs = [previous] if node["inputs"] is None else node["inputs"]
        known = [source for source in inputs if source in types]
        arriving = [short_type(types[source].get("result", "")) for source in known]
        if known != [previous]:  # a branch: the edge says where it comes from
            arriving = [f"{source}: {kind}" for source, kind in zip(known, arriving, strict=True)]
        own = types.get(name, {})
        lines = [
            f"{tensor} {short_type(own[tensor])}" for tensor in ("weight", "bias", "accum") if tensor in own
        ]
        if "kind" in node:
            shape = " x ".join(str(size) for size in node["output_shape"])
            lines.insert(0, f"{node['kind'].replace('_', ' ')}, {shape}")
        yield Box(name, tuple(lines), "\n".join(arriving))
        previous = name
    if previous in types:
        yield Box("output", (), short_type(types[previous].get("result", "")))


def _nodes(folder: Path) -> list[dict[str, Any]]:
    """The layers of the project's graph with kind, shape and inputs; none where the project has no graph to read."""
    graph = read_arrays(folder / PROJECT / GRAPH).get("graph")
    try:
        return list(json.loads(bytes(graph))["nodes"]) if graph is not None else []
    except (ValueError, KeyError, TypeError):
        return []


def short_type(kind: str) -> str:
    """A type without the modes that every type of the hardware has: ``fixed<5,3>``."""
    if type_bits(kind) is None:
        return kind
    head, _, rest = kind.partition("<")
    return f"{head}<{','.join(rest.rstrip('>').split(',')[:2])}>"


def network_svg(boxes: Sequence[Box]) -> str:
    """The boxes in rows as an SVG picture, each with an arrow to it and the types that come in above."""
    parts: list[str] = []
    top, widest = float(_PAD), 0.0
    first = _PAD + (_GAP if len(boxes) > _A_ROW or (boxes and boxes[0].edge) else 0)
    for start in range(0, len(boxes), _A_ROW):
        row = boxes[start : start + _A_ROW]
        lines = max(1 + len(box.lines) for box in row)
        edges = max(len(box.edge.splitlines()) for box in row)
        height = _LINE * lines + 2 * _PAD
        top += max(0, edges * _LINE - height / 2)
        for place, box in enumerate(row):
            left = first + place * (_WIDE + _GAP)
            if start + place or box.edge:
                parts += _arrow(box.edge.splitlines(), left, top + height / 2)
            parts += _box(box, left, top, height)
            widest = max(widest, left + _WIDE + _PAD)
        top += height + 2 * _PAD
    return (
        f'<svg viewBox="0 0 {widest:.0f} {top:.0f}" role="img" '
        f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _box(box: Box, left: float, top: float, height: float) -> Iterator[str]:
    yield (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{_WIDE}" height="{height:.0f}" rx="9" fill="var(--zebra)" '
        'stroke="var(--line)"/>'
    )
    for number, line in enumerate((box.name, *box.lines)):
        style = 'font-weight="bold" fill="var(--ink)"' if not number else 'fill="var(--soft)"'
        yield _text(line, left + _PAD, top + _PAD + _LINE * (number + 0.8), style, _WIDE - 2 * _PAD)


def _arrow(lines: Sequence[str], tip: float, middle: float) -> Iterator[str]:
    yield (
        f'<path d="M{tip - _GAP + 6:.0f} {middle:.0f}H{tip - 4:.0f}m-6 -4l6 4l-6 4" fill="none" stroke="var(--ink)"/>'
    )
    for number, line in enumerate(reversed(lines)):
        where = middle - 7 - _LINE * number
        yield _text(line, tip - _GAP / 2, where, 'text-anchor="middle" fill="var(--soft)"', _GAP - 10)


def _text(text: str, x: float, y: float, style: str, room: float) -> str:
    # a long name is drawn narrower: fonts differ, and nothing may leave its place
    fit = f' textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"' if 6.6 * len(text) > room else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}{fit}>{escape(text)}</text>'
