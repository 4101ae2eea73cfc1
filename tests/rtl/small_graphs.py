"""Small random graphs of every kind of layer, made without hls4ml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.hls.graph import Graph, Node

ROUNDINGS = ("TRN", "RND", "RND_CONV", "RND_ZERO", "RND_INF", "RND_MIN_INF", "TRN_ZERO")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")


def a_format(
    rng: np.random.Generator, width: tuple[int, int] = (3, 8), integer: tuple[int, int] = (0, 4), *, modes: bool = True
) -> FixedPoint:
    """Choose a format."""
    rounding = str(rng.choice(ROUNDINGS)) if modes else "TRN"
    overflow = str(rng.choice(OVERFLOWS)) if modes else "WRAP"
    return FixedPoint(
        int(rng.integers(*width, endpoint=True)),
        int(rng.integers(*integer, endpoint=True)),
        bool(rng.integers(2)),
        rounding,  # type: ignore[arg-type]
        overflow,  # type: ignore[arg-type]
    )


def values_in(rng: np.random.Generator, precision: FixedPoint, shape: Sequence[int], zeros: float = 0.3) -> np.ndarray:
    """Choose values on a format's grid, some of them zero."""
    low, high = precision.code_limits
    codes = rng.integers(low, high, tuple(shape), endpoint=True)
    return np.where(rng.random(tuple(shape)) < zeros, 0, codes) * precision.step


def chain(
    inputs: Mapping[str, tuple[tuple[int, ...], FixedPoint]], *nodes: Node, io_type: str = "io_parallel"
) -> Graph:
    """Build a graph of input nodes and layers; the last layer is the output."""
    first = tuple(
        Node(name, "input", (), shape, {"integer_types": []}, {"result": precision})
        for name, (shape, precision) in inputs.items()
    )
    return Graph((*first, *nodes), tuple(inputs), (nodes[-1].name,), io_type, "Vitis")  # type: ignore[arg-type]


def layer(
    name: str,
    kind: str,
    inputs: Sequence[str] | str,
    shape: Sequence[int],
    types: Mapping[str, FixedPoint],
    weights: Mapping[str, np.ndarray] | None = None,
    **attributes: Any,
) -> Node:
    """Build a node with the attributes that every layer has."""
    names = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    common = {"integer_types": [], "inferred": [], "strategy": "latency", "reuse_factor": 1, "product": "mult"}
    return Node(name, kind, names, tuple(shape), {**common, **attributes}, types, weights or {}, weights or {})


def dense(
    rng: np.random.Generator, name: str, source: str, n_in: int, n_out: int, types: Mapping[str, FixedPoint], **attributes: Any
) -> Node:
    """Build a dense layer with random weights on the grids of `weight` and `bias`."""
    weights = {
        "weight": values_in(rng, types["weight"], (n_in, n_out)),
        "bias": values_in(rng, types["bias"], (n_out,)),
    }
    return layer(name, "dense", source, (n_out,), types, weights, n_in=n_in, n_out=n_out, **attributes)


def windowed(
    rng: np.random.Generator,
    kind: str,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[int, ...],
    types: Mapping[str, FixedPoint],
    n_filters: int | None = None,
    **attributes: Any,
) -> Node:
    """Build a convolution, depthwise convolution or pooling layer over the input ``x`` of `shape`."""
    flat = len(shape) == 2
    channels = shape[-1]
    sides = ("left", "right") if flat else ("top", "bottom", "left", "right")
    padding = dict(zip((f"pad_{side}" for side in sides), pads, strict=True))
    prefix = "pool" if "pool" in kind else "filt"
    axes = ("width",) if flat else ("height", "width")
    places = []
    for index, axis in enumerate(axes):
        length = shape[index] + pads[2 * index] + pads[2 * index + 1]
        places.append((length - window[index]) // stride[index] + 1)
        attributes[f"{prefix}_{axis}"] = window[index]
        attributes[f"stride_{axis}"] = stride[index]
        attributes[f"in_{axis}"] = shape[index]
        attributes[f"out_{axis}"] = places[index]
    weights = {}
    if "conv" in kind:
        outputs = channels if "depthwise" in kind else int(n_filters or 1)
        kernel = (*window, channels, 1) if "depthwise" in kind else (*window, channels, outputs)
        weights = {
            "weight": values_in(rng, types["weight"], kernel),
            "bias": values_in(rng, types["bias"], (outputs,)),
        }
    else:
        outputs = channels
    return layer("y", kind, "x", (*places, outputs), types, weights, **padding, **attributes)


def inputs_of(rng: np.random.Generator, graph: Graph, n_samples: int) -> list[np.ndarray]:
    """Choose samples on the grids of a graph's inputs, with the extreme values among them."""
    arrays = []
    for name in graph.inputs:
        node = graph[name]
        x = values_in(rng, node.result, (n_samples, *node.output_shape), zeros=0.05)
        x[0], x[1] = node.result.minimum, node.result.maximum
        arrays.append(x)
    return arrays
