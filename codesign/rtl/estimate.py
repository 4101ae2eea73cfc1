"""What the open RTL of a network will take, said before the work begins.

alkaid shares adders within each constant matrix, and the time it takes for that grows with the square of the matrix'
digits; what it writes grows with the digits at all places of a window. The factors were measured on dense layers of
30 x 30 to 130 x 130 and on convolutions, with weights of 3 to 8 bits: they hold within a factor of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.core.shown import Brief
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node

LIMIT_MINUTES = 10.0
"""How long the open RTL of a network may take where nothing else is asked for."""

_SECONDS_A_DIGIT = 7.5e-5
_SECONDS_A_PAIR = 4.6e-8  # of digits of one matrix
_LUT_A_BIT = 0.34  # of an adder's operands, a digit
_YOSYS_SECONDS_A_LUT = 1.5e-3


@dataclass(frozen=True)
class LayerEstimate:
    """What one layer will take.

    Parameters
    ----------
    layer
        Its name.
    weights
        Weights that are not zero.
    places
        How many matrices of them stand side by side: the places of a window.
    seconds
        Time to find the adders.
    lut
        LUTs of the adders.
    """

    layer: str
    weights: int
    places: int
    seconds: float
    lut: float


@dataclass(frozen=True)
class RtlEstimate(Brief):
    """What a network's open RTL will take, before it is made.

    Parameters
    ----------
    layers
        The layers with constant matrices, in order.
    """

    layers: tuple[LayerEstimate, ...]

    @property
    def lut(self) -> float:
        """LUTs of all adders."""
        return sum(layer.lut for layer in self.layers)

    @property
    def tracing_s(self) -> float:
        """Time to write the Verilog."""
        return sum(layer.seconds for layer in self.layers)

    @property
    def counting_s(self) -> float:
        """Time to count its cells with Yosys."""
        return self.lut * _YOSYS_SECONDS_A_LUT

    @property
    def minutes(self) -> float:
        """Both times together."""
        return (self.tracing_s + self.counting_s) / 60

    def refuse_above(self, limit_minutes: float | None) -> None:
        """Raise where the work would take longer than a limit; ``None`` lets all pass.

        Raises
        ------
        ConversionError
            With the estimate, the layer that takes most, and how to go on.
        """
        if limit_minutes is None or self.minutes <= limit_minutes:
            return
        worst = max(self.layers, key=lambda layer: layer.seconds + layer.lut * _YOSYS_SECONDS_A_LUT)
        raise ConversionError(
            f"the open RTL would take about {_shown(self.minutes)} minutes and {self.lut:,.0f} LUTs, every layer unrolled, "
            f"and the limit is {limit_minutes:g} minutes; most of it is layer {worst.layer!r} with {worst.weights:,} "
            f"weights at {worst.places:,} place{'s' if worst.places > 1 else ''}; raise hardware.rtl_limit_minutes "
            "(codesign rtl --limit MINUTES or --force), or prune the layer"
        )


def _shown(minutes: float) -> str:
    return f"{minutes:,.0f}" if minutes >= 1 else f"{minutes:.1g}"


def estimate_rtl(graph: Graph) -> RtlEstimate:
    """Estimate from a converted graph, in milliseconds, what `write_rtl` and `synthesise` will take."""
    layers = (_layer(node, graph) for node in graph if "weight" in node.weights)
    return RtlEstimate(tuple(layers))


def _layer(node: Node, graph: Graph) -> LayerEstimate:
    weights = node.weights["weight"]
    precision = node.types["weight"]
    codes = np.abs(precision.to_integers(weights))
    digits = sum(int(np.count_nonzero(codes >> bit & 1)) for bit in range(min(precision.width, 62)))
    places, matrices = 1, 1
    if node.row.matrix == "conv" or node.row.per_channel:
        places = int(np.prod(node.output_shape[:-1]))
        matrices = weights.shape[-2] if node.row.per_channel else 1  # each channel has one of its own
    elif node.kind == "einsum_dense":
        places, matrices = int(node.attributes["n_free_data"]), len(weights)
    seconds = _SECONDS_A_DIGIT * digits + _SECONDS_A_PAIR * digits**2 / matrices
    bits = graph[node.inputs[0]].result.width + precision.width
    return LayerEstimate(
        node.name,
        int(np.count_nonzero(weights)),
        places,
        seconds * places,
        _LUT_A_BIT * bits * digits * places,
    )
