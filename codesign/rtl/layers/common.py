"""What the layers share: windows over images and the assignment to a layer's result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

# how windows lie over an image, and what hls4ml's tables hold, is told once, by the emulation
from codesign.emulation.layers.windows import Windows, nearest_places, windows_of
from codesign.emulation.tables import activation_table, addressed_values, assigned, exponentials
from codesign.hls.graph import Graph, Node
from codesign.rtl.cast import cast
from codesign.rtl.wires import Wires, constant

if TYPE_CHECKING:
    from alkaid.trace import FVariable

__all__ = [
    "Tracer",
    "Windows",
    "activation_table",
    "addressed_values",
    "assigned",
    "exponentials",
    "gathered",
    "integer_type",
    "nearest_places",
    "power_of_two_tree",
    "result_of",
    "windows_of",
]

Tracer = Callable[[Node, Sequence[Wires], Graph], Wires]
"""Traces a node from the wires of its inputs."""


def integer_type(node: Node, name: str) -> bool:
    """Whether a type of a layer is `ap_int` in the C++."""
    return name in node.attributes.get("integer_types", ())


def result_of(node: Node, wires: Wires) -> Wires:
    """Assign wires to a layer's result type and shape."""
    return cast(wires.reshape(node.output_shape), node.result, integer=integer_type(node, "result"))


def gathered(wires: Wires, windows: Windows, filler: float = 0.0) -> Wires:
    """Collect the wires of windows, `(n_places, window, channels)`, with a constant in the padding."""
    places = np.arange(wires.size, dtype=np.int64).reshape(1, *wires.shape)
    flat = np.empty(wires.size + 1, dtype=object)
    flat[:-1], flat[-1] = wires.ravel(), constant(filler)
    return flat[windows.gather(places, -1)[0]]


def power_of_two_tree(
    values: list[FVariable], combine: Callable[[FVariable, FVariable], FVariable]
) -> FVariable:
    """Combine values as hls4ml's `reduce` does: the largest power of two of them on the left."""
    if len(values) == 1:
        return values[0]
    left = 1 << ((len(values) - 1).bit_length() - 1)
    return combine(power_of_two_tree(values[:left], combine), power_of_two_tree(values[left:], combine))
