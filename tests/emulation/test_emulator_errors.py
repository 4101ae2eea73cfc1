"""What cannot be emulated is named, with what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_graphs_emulation import PLAIN, perceptron

from codesign.core.fixed_point import FixedPoint
from codesign.emulation import Emulator, emulate
from codesign.errors import ConversionError, DataError
from codesign.hls.graph import Graph, Node, read_graph

INPUT = Node("x", "input", (), (4,), PLAIN, {"result": FixedPoint(8, 4)})


def graph_of(node):
    return Graph((INPUT, node), ("x",), (node.name,), "io_parallel", "Vitis")


def refused(node, message):
    with pytest.raises(ConversionError, match=f"^{re.escape(message)}"):
        Emulator.of(graph_of(node))


def test_unknown_kinds_are_named():
    node = Node("odd", "attention", ("x",), (4,), PLAIN, {"result": FixedPoint(8, 4)})
    refused(
        node,
        "odd: a layer of kind 'attention' cannot be emulated; these can: dense, einsum_dense, conv_1d, ",
    )


def test_unknown_merges_are_named():
    node = Node("odd", "merge", ("x", "x"), (4,), {**PLAIN, "op": "dot"}, {"result": FixedPoint(8, 4)})
    refused(
        node,
        "odd: merging by 'dot' is not supported; use add, subtract, average, multiply, maximum, minimum",
    )


@pytest.mark.parametrize("size", [1000, 512])
def test_softmax_tables_that_bits_cannot_address(size):
    names = ("result", "accum", "exp_table", "inv_table", "inv_inp")
    types = dict.fromkeys(names, FixedPoint(18, 8)) | {"inp_norm": FixedPoint(7, 3, signed=False)}
    sizes = {"exp_table_size": size, "inv_table_size": 1024, "n_outer": 1, "n_inner": 1, "exp_scale": 1.0}
    node = Node("end", "softmax", ("x",), (4,), {**PLAIN, **sizes, "implementation": "stable"}, types)
    refused(
        node,
        f"end: a softmax table of {size} entries cannot be addressed by the top bits of ufixed<7,3>; "
        "choose a power of two up to 128",
    )


def test_shared_slopes_are_refused():
    slopes = {"param": np.full(2, 0.25)}
    types = {"result": FixedPoint(8, 4), "param": FixedPoint(8, 4)}
    node = Node("act", "prelu", ("x",), (4,), {**PLAIN, "activation": "prelu"}, types, slopes, slopes)
    refused(node, "act: 2 slopes for 4 values; share no axes of the PReLU")


def test_inputs_that_are_no_numbers_or_too_many():
    graph = perceptron((16, 5))
    x = np.zeros((3, 16))
    x[1, 2] = np.nan
    with pytest.raises(
        DataError, match=r"^x has nan at index 18 \(of 48 values\), which fixed<8,4> cannot take$"
    ):
        emulate(graph, x)
    with pytest.raises(DataError, match=r"^the network has 1 input \(x\), not 2$"):
        emulate(graph, [x, x])
    assert emulate(graph, np.zeros((0, 16))).shape == (0, 5)


def test_sums_that_float32_does_not_hold_are_told() -> None:
    from codesign.core.fixed_point import FixedPoint
    from codesign.core.precision_map import LayerPrecision, PrecisionMap
    from codesign.core.target import Target
    from codesign.emulation.emulator import float32_notes
    from codesign.hls.convert import HardwareChoices, convert_graph
    from codesign.networks.build import build_float
    from codesign.networks.description import LayerSpec, Network

    def notes(bits: int) -> tuple[str, ...]:
        kernel = np.full((4, 2), 1 - 2.0 ** (1 - bits))
        network = Network(
            (
                LayerSpec("x", "input", (), {"shape": [4]}),
                LayerSpec("fc", "dense", ("x",), weights={"kernel": kernel}),
            )
        )
        wide = FixedPoint(bits, 1, True, "RND_CONV", "SAT")
        precision = PrecisionMap(wide, {"fc": LayerPrecision(wide)})
        graph = convert_graph(build_float(network), precision, Target(), HardwareChoices(), "unwritten")
        return float32_notes(Emulator.of(read_graph(graph)))

    assert notes(12) == ()
    (note,) = notes(16)
    assert note.startswith(
        "the sums of layer 'fc' take up to 33 bits, and float32, in which QKeras computes, holds 24"
    )
