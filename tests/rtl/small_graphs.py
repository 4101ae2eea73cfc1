"""Small random graphs of every kind of layer, made without hls4ml."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.hls.graph import Graph, Node

ROUNDINGS = ("TRN", "RND", "RND_CONV", "RND_ZERO", "RND_INF", "RND_MIN_INF", "TRN_ZERO")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")


def a_format(
    rng: np.random.Generator,
    width: tuple[int, int] = (3, 8),
    integer: tuple[int, int] = (0, 4),
    *,
    modes: bool = True,
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


def values_in(
    rng: np.random.Generator, precision: FixedPoint, shape: Sequence[int], zeros: float = 0.3
) -> np.ndarray:
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
    common = {
        "integer_types": [],
        "inferred": [],
        "strategy": "latency",
        "reuse_factor": 1,
        "product": "mult",
    }
    return Node(
        name, kind, names, tuple(shape), {**common, **attributes}, types, weights or {}, weights or {}
    )


def dense(
    rng: np.random.Generator,
    name: str,
    source: str,
    n_in: int,
    n_out: int,
    types: Mapping[str, FixedPoint],
    **attributes: Any,
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


def _types(rng: np.random.Generator) -> dict[str, FixedPoint]:
    """Types of a layer with weights; the accumulator holds everything, or loses bits and overflows."""
    wide = rng.random() < 0.6
    return {
        "result": a_format(rng, (3, 9), (0, 5)),
        "weight": a_format(rng, (1, 6), (0, 3), modes=False),
        "bias": a_format(rng, (2, 8), (0, 4), modes=False),
        "accum": FixedPoint(24, 12) if wide else a_format(rng, (8, 14), (3, 8)),
    }


def _input(rng: np.random.Generator, most: int = 7) -> FixedPoint:
    return a_format(rng, (2, most), (0, 4), modes=False)


def _one(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], types: Mapping[str, FixedPoint], **how: Any
) -> Graph:
    weights = how.pop("weights", None)
    most = how.pop("most", 7)
    out = how.pop("out", shape)
    io_type = how.pop("io_type", "io_parallel")
    return chain(
        {"x": (shape, _input(rng, most))}, layer("y", kind, "x", out, types, weights, **how), io_type=io_type
    )


def a_dense(rng: np.random.Generator) -> Graph:
    resource = {"strategy": "resource", "reuse_factor": int(rng.integers(1, 7))} if rng.random() < 0.4 else {}
    return chain({"x": ((6,), _input(rng))}, dense(rng, "y", "x", 6, 4, _types(rng), **resource))


def a_binary_dense(rng: np.random.Generator) -> Graph:
    types = {**_types(rng), "weight": FixedPoint(1, 1, signed=False)}
    return chain({"x": ((6,), _input(rng))}, dense(rng, "y", "x", 6, 4, types, product="weight_binary"))


def a_ternary_dense(rng: np.random.Generator) -> Graph:
    types = {**_types(rng), "weight": FixedPoint(2, 2)}
    return chain({"x": ((6,), _input(rng))}, dense(rng, "y", "x", 6, 4, types, product="weight_ternary"))


def a_conv_1d(rng: np.random.Generator) -> Graph:
    node = windowed(rng, "conv_1d", (7, 2), (3,), (int(rng.integers(1, 3)),), (1, 1), _types(rng), 3)
    return chain({"x": ((7, 2), _input(rng))}, node)


def a_conv_2d(rng: np.random.Generator) -> Graph:
    node = windowed(rng, "conv_2d", (4, 5, 2), (2, 3), (1, 2), (0, 1, 1, 1), _types(rng), 2)
    return chain({"x": ((4, 5, 2), _input(rng))}, node)


def a_depthwise(rng: np.random.Generator) -> Graph:
    node = windowed(rng, "depthwise_conv_2d", (5, 4, 3), (3, 2), (2, 1), (1, 1, 0, 1), _types(rng))
    return chain({"x": ((5, 4, 3), _input(rng))}, node)


def a_batch_normalization(rng: np.random.Generator) -> Graph:
    types = {"result": a_format(rng), "scale": a_format(rng, modes=False), "bias": a_format(rng, modes=False)}
    weights = {name: values_in(rng, types[name], (2,)) for name in ("scale", "bias")}
    return _one(rng, "batch_normalization", (3, 2), types, weights=weights)


def an_activation(rng: np.random.Generator) -> Graph:
    name = str(rng.choice(["relu", "linear", "binary_tanh", "ternary_tanh"]))
    io_type = str(rng.choice(["io_parallel", "io_stream"]))
    return _one(rng, "activation", (5,), {"result": a_format(rng)}, activation=name, io_type=io_type)


def a_table(rng: np.random.Generator) -> Graph:
    types = {"result": a_format(rng, (4, 12)), "table": a_format(rng, (6, 18), (1, 6))}
    name = str(rng.choice(["sigmoid", "tanh", "softplus", "softsign", "selu"]))
    size, io_type = int(rng.choice([256, 1000, 1024])), str(rng.choice(["io_parallel", "io_stream"]))
    return _one(rng, "activation", (3,), types, activation=name, table_size=size, most=15, io_type=io_type)


def a_parametrized(rng: np.random.Generator) -> Graph:
    types = {
        "result": a_format(rng),
        "table": a_format(rng, (6, 18), (1, 6)),
        "param": a_format(rng, modes=False),
    }
    name = str(rng.choice(["LeakyReLU", "ThresholdedReLU", "ELU"]))
    parameter = float(rng.random())
    return _one(
        rng, "parametrized_activation", (3,), types, activation=name, activ_param=parameter, table_size=1024
    )


def a_prelu(rng: np.random.Generator) -> Graph:
    types = {"result": a_format(rng), "param": a_format(rng, modes=False)}
    weights = {"param": values_in(rng, types["param"], (4,))}
    return _one(rng, "prelu", (4,), types, weights=weights, activation="PReLU")


def a_hard(rng: np.random.Generator) -> Graph:
    types = {"result": a_format(rng), "slope": a_format(rng, (6, 10), (0, 1), modes=False)}
    types["shift"] = a_format(rng, (4, 8), (0, 1), modes=False)
    name = str(rng.choice(["hard_sigmoid", "hard_tanh"]))
    return _one(rng, "hard_activation", (4,), types, activation=name, slope=0.2, shift=0.5)


def a_softmax(rng: np.random.Generator) -> Graph:
    name = str(rng.choice(["stable", "latency", "argmax"]))
    types = {
        "result": a_format(rng, (6, 12)),
        "table": FixedPoint(18, 8),
        "inp_norm": FixedPoint(10, 5, signed=False),
    }
    for key in ("exp_table", "inv_table", "inv_inp", "accum"):
        types[key] = FixedPoint(int(rng.integers(10, 16)), int(rng.integers(3, 7)), True, "RND", "SAT")
    sizes = {"exp_table_size": 32, "inv_table_size": 64, "exp_scale": 1.0, "n_outer": 1, "n_inner": 1}
    graph = _one(rng, "softmax", (4,), types, implementation=name, **sizes)
    wide = FixedPoint(8, int(rng.integers(2, 5)), bool(rng.integers(2)))  # the latency form addresses with it
    return chain({"x": ((4,), wide)}, graph.nodes[-1])


def a_pool(rng: np.random.Generator) -> Graph:
    stream = rng.random() < 0.3
    types = {
        "result": a_format(rng),
        "accum": FixedPoint(20, 10) if rng.random() < 0.6 else a_format(rng, (6, 10), (2, 6)),
    }
    operation = str(rng.choice(["Max", "Average"]))
    if stream:
        node = windowed(rng, "pooling_2d", (4, 6, 2), (2, 3), (2, 3), (0, 0, 0, 0), types, pool_op=operation)
        return chain({"x": ((4, 6, 2), _input(rng))}, node, io_type="io_stream")
    window, stride = (int(rng.integers(2, 4)), 2), (2, int(rng.integers(1, 3)))
    node = windowed(
        rng,
        "pooling_2d",
        (5, 4, 2),
        window,
        stride,
        (1, 0, 0, 1),
        types,
        pool_op=operation,
        count_pad=bool(rng.integers(2)),
    )
    return chain({"x": ((5, 4, 2), _input(rng))}, node)


def a_global_pool(rng: np.random.Generator) -> Graph:
    types = {
        "result": a_format(rng),
        "accum": FixedPoint(20, 10) if rng.random() < 0.6 else a_format(rng, (6, 10), (2, 6)),
    }
    operation, io_type = str(rng.choice(["Max", "Average"])), str(rng.choice(["io_parallel", "io_stream"]))
    shape = (3, int(rng.integers(1, 4)), 2)
    return _one(rng, "global_pooling_2d", shape, types, out=(2,), pool_op=operation, io_type=io_type)


def a_merge(rng: np.random.Generator) -> Graph:
    operation = str(rng.choice(["add", "subtract", "multiply", "average", "maximum", "minimum"]))
    small = int(rng.choice([4, 2]))
    node = layer("y", "merge", ("x", "z"), (4,), {"result": a_format(rng)}, op=operation)
    return chain({"x": ((4,), _input(rng)), "z": ((small,), _input(rng))}, node)


def some_moves(rng: np.random.Generator) -> Graph:
    joined = layer("c", "concatenate", ("x", "z"), (2, 5), {"result": a_format(rng, modes=False)}, axis=-1)
    padded = layer("p", "zero_padding_1d", "c", (5, 5), {"result": a_format(rng)}, pad_left=1, pad_right=2)
    turned = layer("t", "transpose", "p", (5, 5), {"result": padded.result}, perm=[1, 0])
    flat = layer("r", "reshape", "t", (25,), {"result": a_format(rng)})
    spread = layer("b", "broadcast", "r", (2, 25), {"result": flat.result})
    return chain(
        {"x": ((2, 3), _input(rng)), "z": ((2, 2), _input(rng))}, joined, padded, turned, flat, spread
    )


KINDS = {
    function.__name__: function
    for function in (
        a_dense, a_binary_dense, a_ternary_dense, a_conv_1d, a_conv_2d, a_depthwise, a_batch_normalization,
        an_activation, a_table, a_parametrized, a_prelu, a_hard, a_softmax, a_pool, a_global_pool, a_merge, some_moves,
    )
}  # fmt: skip


def quantized_network(
    sparsity: float = 0.0, sizes: Sequence[int] = (16, 64, 32, 32, 5), seed: int = 0
) -> Graph:
    """Build a dense network as quantization leaves it: 6-bit weights, RND_CONV and SAT activations, exact sums."""
    rng = np.random.default_rng(seed)
    weight = FixedPoint(6, 1, True, "RND_CONV", "SAT")
    types = {"weight": weight, "bias": weight, "accum": FixedPoint(28, 12), "result": FixedPoint(28, 12)}
    nodes: list[Node] = []
    source = "x"
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        kernel = rng.normal(0, 0.35, (n_in, n_out))
        kernel[np.abs(kernel) < np.quantile(np.abs(kernel), sparsity)] = 0
        weights = {"weight": weight.quantize(kernel), "bias": weight.quantize(rng.normal(0, 0.2, n_out))}
        nodes.append(layer(f"fc{index}", "dense", source, (n_out,), types, weights, n_in=n_in, n_out=n_out))
        source = f"fc{index}"
        if index < len(sizes) - 2:
            result = {"result": FixedPoint(6, 2, False, "RND_CONV", "SAT")}
            nodes.append(layer(f"relu{index}", "activation", source, (n_out,), result, activation="relu"))
            source = f"relu{index}"
    return chain({"x": ((sizes[0],), FixedPoint(8, 3, True, "RND_CONV", "SAT"))}, *nodes)


def emulated(graph: Graph, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Compute what the C++ of a graph computes, all outputs flat, side by side."""
    from codesign.emulation import emulate

    results = emulate(graph, list(arrays))
    results = results if isinstance(results, list) else [results]
    return np.concatenate([np.asarray(part).reshape(len(part), -1) for part in results], axis=1)
