"""The few shapes that the plots of a page are made of, as SVG text that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Anchor = Literal["start", "middle", "end"]
COLOURS = 8
"""How many colours the page has; more designs begin again with the first."""

LETTER_WIDTH = 6.4
"""The mean width of a letter of a label, in units of the drawing."""


@dataclass(frozen=True)
class Scale:
    """From values to places on the drawing.

    Parameters
    ----------
    low, high
        The values at the two ends, low < high.
    begin, end
        Their places.
    is_log
        Whether equal factors are equal distances; then low > 0.
    """

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.is_log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> tuple[float, ...]:
        """Round values between the ends, about five."""
        if self.is_log:
            found = [
                factor * 10.0**power
                for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                for factor in (1, 2, 5)
            ]
            inside = [value for value in found if self.low <= value <= self.high]
            powers = [value for value in inside if f"{value:e}".startswith("1")]
            return tuple(inside if len(inside) <= 7 else powers[:: math.ceil(len(powers) / 7)])
        step = nice_step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        return tuple(step * index for index in range(first, math.floor(self.high / step + 1e-9) + 1))


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `rough` (> 0)."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(
        (factor * power for factor in (1, 2, 2.5, 5) if factor * power >= rough * (1 - 1e-9)), 10 * power
    )


def padded(values: Sequence[float], begin: float, end: float, *, log_from: float = math.inf) -> Scale:
    """A scale that holds all values with room around them; logarithmic if they span a factor of `log_from`."""
    low, high = min(values), max(values)
    if low > 0 and high / low >= log_from:
        room = (high / low) ** 0.12
        return Scale(low / room, high * room, begin, end, is_log=True)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    floor = low - room
    return Scale(0.0 if low >= 0 > floor else floor, high + room, begin, end)


def number_text(value: float) -> str:
    """A value at a tick, as short as it can be: 1.2k, 3M, 0.975."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.6g}"


def text(
    x: float, y: float, words: str, *, anchor: Anchor = "middle", style: str = "tick", turned: bool = False
) -> str:
    """A line of text; `y` is that of its baseline."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(words)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """A straight line."""
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def bar(x: float, y: float, width: float, height: float, colour: int, hint: str) -> str:
    """A bar in a design's colour; `hint` is shown under the pointer."""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.0):.1f}" height="{height:.1f}"'
    return f'<rect class="c{colour % COLOURS}" {place} rx="2"><title>{escape(hint)}</title></rect>'


def dot(x: float, y: float, colour: int, hint: str, *, is_filled: bool) -> str:
    """A point in a design's colour, hollow if it is not filled."""
    style = f"c{colour % COLOURS}" if is_filled else f"hollow s{colour % COLOURS}"
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>{escape(hint)}</title></circle>'


def drawing(width: float, height: float, title: str, shapes: Sequence[str]) -> str:
    """A whole picture that scales with the page; `title` is what it shows, for those who cannot see it."""
    head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, *shapes, "</svg>"])


def axes(x: Scale, y: Scale, x_title: str, y_title: str) -> list[str]:
    """Grid, ticks and titles of two scales."""
    shapes = []
    for value in x.ticks():
        shapes.append(line(x(value), y.begin, x(value), y.end, "grid"))
        shapes.append(text(x(value), y.begin + 18, number_text(value)))
    for value in y.ticks():
        shapes.append(line(x.begin, y(value), x.end, y(value), "grid"))
        shapes.append(text(x.begin - 8, y(value) + 4, number_text(value), anchor="end"))
    shapes.append(line(x.begin, y.begin, x.end, y.begin, "axis"))
    shapes.append(text((x.begin + x.end) / 2, y.begin + 40, x_title, style="name"))
    shapes.append(text(16, (y.begin + y.end) / 2, y_title, style="name", turned=True))
    return shapes


@dataclass(frozen=True)
class Box:
    """A rectangle that a label or a point takes."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether two rectangles overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def place_labels(points: Sequence[tuple[float, float]], names: Sequence[str], frame: Box) -> list[str]:
    """Names beside their points, none on another or outside the frame; one that finds no place is left out.

    Parameters
    ----------
    points
        Places of the points, x and y.
    names
        As many names.
    frame
        Where labels may be.
    """
    taken = [Box(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    shapes = []
    for (x, y), name in zip(points, names, strict=True):
        for place in _PLACES:
            label_x, label_y, anchor = place(x, y)
            width = LETTER_WIDTH * len(name)
            left = label_x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            box = Box(left, label_y - 11, left + width, label_y + 3)
            inside = frame.left <= box.left and box.right <= frame.right and frame.top <= box.top
            if inside and box.bottom <= frame.bottom and not any(box.meets(other) for other in taken):
                taken.append(box)
                shapes.append(text(label_x, label_y, name, anchor=anchor, style="label"))
                break
    return shapes


_PLACES: tuple[Callable[[float, float], tuple[float, float, Anchor]], ...] = (
    lambda x, y: (x + 11, y + 4, "start"),
    lambda x, y: (x - 11, y + 4, "end"),
    lambda x, y: (x, y - 12, "middle"),
    lambda x, y: (x, y + 21, "middle"),
    lambda x, y: (x + 9, y - 10, "start"),
    lambda x, y: (x + 9, y + 18, "start"),
)
"""Where a label may stand, seen from its point, best first."""
