"""BOPs: the literature's numbers, and the formula on every kind of layer."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT, LayerShape, bops, bops_of, layer_bops
from codesign.errors import DataError, SettingsError


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"weight_bits": 32}, 4_652_832),
        ({"weight_bits": 6}, 412_960),
        ({"weight_bits": 6, "sparsity": 0.8}, 162_592),
        ({"weight_bits": 6, "sparsity": 0.8, "input_bits": 6}, 104_019),
    ],
)
def test_known_values_of_the_jet_network(jets, options, expected):
    assert bops(jets, **options) == pytest.approx(expected, abs=1)


def test_convolution_counts_every_output_position():
    conv = LayerShape("c", "conv2d", 3, 8, kernel_size=9, output_positions=49)
    each = 8 * 27 * (0.75 * 5 * 4 + 5 + 4 + math.log2(27))
    assert layer_bops(conv, weight_bits=4, input_bits=5, sparsity=0.25) == pytest.approx(49 * each)


def test_depthwise_convolution_sums_only_its_window():
    depthwise = LayerShape("d", "depthwise_conv2d", 6, 6, kernel_size=9, output_positions=4, groups=6)
    assert depthwise.n_weights == 54
    assert layer_bops(depthwise, 4, 5) == pytest.approx(4 * 54 * (20 + 9 + math.log2(9)))


def test_groups_are_independent_convolutions():
    whole = LayerShape("c", "conv1d", 8, 6, kernel_size=3, output_positions=5, groups=2)
    half = LayerShape("c", "conv1d", 4, 3, kernel_size=3, output_positions=5)
    assert layer_bops(whole, 4, 5, 0.5) == 2 * layer_bops(half, 4, 5, 0.5)


def test_a_one_by_one_convolution_is_a_dense_layer_at_each_position():
    dense = LayerShape("l", "dense", 7, 3)
    conv = LayerShape("l", "conv2d", 7, 3, output_positions=10)
    assert layer_bops(conv, 6, 8, 0.1) == pytest.approx(10 * layer_bops(dense, 6, 8, 0.1))


def test_numbers_by_layer(jets):
    widths = {"fc0": 4, "fc1": 5, "fc2": 6, "fc3": 7}
    reads = {"fc1": 8, "fc2": 7, "fc3": 6}
    zeros = dict.fromkeys(widths, 0.5)
    expected = sum(layer_bops(s, widths[s.name], reads.get(s.name, 9), 0.5) for s in jets)
    assert bops(jets, widths, reads, zeros, input_bits=9) == pytest.approx(expected)


def test_a_precision_map_gives_the_same_as_its_numbers(chain):
    zeros = {name: np.mean(kernel == 0) for name, kernel in chain.kernels.items()}
    assert min(zeros.values()) > 0.1
    rounded = {
        name: np.mean(chain.precision[name].weight.quantize(kernel) == 0)
        for name, kernel in chain.kernels.items()
    }
    expected = bops(chain.shapes, 6, 6, rounded, input_bits=6)
    assert bops_of(chain.shapes, chain.precision, chain.kernels) == pytest.approx(expected)
    assert expected < bops(chain.shapes, 6, 6, zeros, input_bits=6)  # rounding made further zeros
    assert bops_of(chain.shapes, chain.precision) == pytest.approx(bops(chain.shapes, 6, 6, input_bits=6))


def test_a_concatenation_is_as_wide_as_the_format_that_holds_all_its_values():
    weight, narrow, wide = FixedPoint(4, 1), FixedPoint(6, 2), FixedPoint(5, 4, False)
    layers = {
        "fc": LayerPrecision(weight),
        "a": LayerPrecision(result=narrow),
        "b": LayerPrecision(result=wide),
    }
    shape = LayerShape("fc", "dense", 4, 2, sources=("a", "b"))
    # a sign and 4 integer bits from b, 4 fractional bits from a
    assert bops_of([shape], PrecisionMap(narrow, layers)) == layer_bops(shape, 4, 9)


def test_faults_are_named(jets, chain):
    with pytest.raises(SettingsError, match=re.escape("weight_bits.fc1: missing; given are fc0")):
        bops(jets, {"fc0": 4})
    with pytest.raises(SettingsError) as caught:
        layer_bops(jets[0], 0, -1, 1.5)
    assert caught.value.faults == (
        "fc0.weight_bits: must be above 0, not 0",
        "fc0.input_bits: must be above 0, not -1",
        "fc0.sparsity: must be 0 to 1, not 1.5",
    )
    message = "no kernel for layer 'fc1' (given: fc0); give one"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        bops_of(chain.shapes, chain.precision, {"fc0": chain.kernels["fc0"]})
    message = "the kernel of 'fc0' has shape (3,), 3 values; its layer has 192 weights"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        bops_of(chain.shapes, chain.precision, {"fc0": np.zeros(3)})


@pytest.mark.parametrize(
    ("layer", "tensor", "message"),
    [
        ("fc1", "weight", "precision map: layers.fc1.weight: missing; give the kernel a format"),
        (
            "relu0",
            "result",
            "precision map: layers.relu0.result: missing, but layer 'fc1' multiplies with its values; "
            "give it a format",
        ),
    ],
)
def test_a_missing_format_is_named(chain, layer, tensor, message):
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        bops_of(chain.shapes, chain.precision.replaced(layer, tensor, None))


def test_a_shape_that_cannot_be_is_refused():
    for options, message in [
        ({"n_outputs": 0}, "l.n_outputs must be a whole number of at least 1, not 0"),
        ({"kernel_size": 1.5}, "l.kernel_size must be a whole number of at least 1, not 1.5"),
        ({"groups": 2}, "l.groups must divide 3 inputs and 4 outputs, not 2"),
        ({"sources": ()}, "l.sources must name at least one layer or INPUT, not ()"),
        (
            {"kind": "conv3d"},
            "l.kind must be one of dense, conv1d, conv2d, depthwise_conv1d, depthwise_conv2d, scale, not 'conv3d'",
        ),
    ]:
        with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
            LayerShape(
                **{"name": "l", "kind": "dense", "n_inputs": 3, "n_outputs": 4, "sources": (INPUT,)} | options
            )


def test_one_bit_and_a_kernel_of_zeros_are_the_ends():
    layer = LayerShape("l", "dense", 4, 2)
    assert layer_bops(layer, 1, 1) == 8 * (1 + 2 + 2)
    assert layer_bops(layer, 6, 5, 1.0) == 8 * (6 + 5 + 2)


def test_a_later_layer_of_the_input_reads_its_bits_and_the_first_layer_does_anyhow():
    shapes = (
        LayerShape("a", "dense", 4, 2, sources=("scaled",)),
        LayerShape("b", "dense", 4, 2),
        LayerShape("c", "dense", 2, 2, sources=("b",)),
    )
    expected = layer_bops(shapes[0], 3, 9) + layer_bops(shapes[1], 3, 9) + layer_bops(shapes[2], 3, 3)
    assert bops(shapes, 3, input_bits=9) == expected


def test_a_layer_that_a_mapping_leaves_out_is_named(jets):
    message = "weight_bits.fc0: missing; given are fc1, fc2"
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        bops(jets, {"fc1": 4, "fc2": 4})
    message = "activation_bits.fc1: missing; given are none"
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        bops(jets, 4, {})
    message = "sparsity.fc0: missing; given are fc1"
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        bops(jets, 4, sparsity={"fc1": 0.5})
