"""Graphs made by hand: quick, and free of hls4ml."""

from __future__ import annotations

import itertools
import math

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.hls.graph import Graph, Node, printed_weights

PLAIN = {"integer_types": [], "inferred": []}
WEIGHT = FixedPoint(6, 1, True, "RND_CONV", "SAT")
ACTIVATION = FixedPoint(6, 1, False, "RND_CONV", "SAT")


def dense_node(rng, name, source, n_in, n_out, x, *, accumulator=None, weight=WEIGHT):
    """Make a dense layer over inputs of format `x`; its accumulator is inferred if not given."""
    grown = math.ceil(math.log2(n_in))
    exact = FixedPoint(x.width + weight.width + grown + 1, x.integer_bits + weight.integer_bits + grown + 1)
    types = {"accum": accumulator or exact, "result": accumulator or exact, "weight": weight, "bias": weight}
    sources = {"weight": rng.normal(0, 1 / math.sqrt(n_in), (n_in, n_out)), "bias": rng.normal(0, 0.2, n_out)}
    attributes = {
        **PLAIN,
        "inferred": ["accum", "result"] if accumulator is None else [],
        "product": "mult",
        "strategy": "latency",
        "reuse_factor": 1,
        "n_in": n_in,
        "n_out": n_out,
    }
    weights = {key: printed_weights(values, weight) for key, values in sources.items()}
    return Node(name, "dense", (source,), (n_out,), attributes, types, weights, sources)


def perceptron(sizes=(16, 64, 32, 32, 5), seed=0, *, first_accumulator=None):
    """Make a network of dense layers with quantized rectifiers between them."""
    rng = np.random.default_rng(seed)
    x = FixedPoint(8, 4)
    nodes, source = [Node("x", "input", (), (sizes[0],), PLAIN, {"result": x})], "x"
    for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        accumulator = first_accumulator if index == 0 else None
        nodes.append(dense_node(rng, f"fc{index}", source, n_in, n_out, x, accumulator=accumulator))
        source = f"fc{index}"
        if index < len(sizes) - 2:
            attributes = {**PLAIN, "activation": "relu", "table_size": 1024}
            nodes.append(
                Node(f"relu{index}", "activation", (source,), (n_out,), attributes, {"result": ACTIVATION})
            )
            source, x = f"relu{index}", ACTIVATION
    return Graph(tuple(nodes), ("x",), (source,), "io_parallel", "Vitis")
