"""The LUT estimate: equal where it must be, near the cost of a whole alkaid trace, and remembered."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from cost_chains import Chain, make_chain

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT, LayerShape, estimate_luts, luts, luts_by_layer
from codesign.errors import DataError, SettingsError

WEIGHT = FixedPoint(6, 1, True, "RND_CONV", "SAT")


def whole_trace_cost(chain: Chain) -> float:
    """alkaid's cost of the whole network in one trace."""
    from alkaid.trace import FVArrayInput, trace
    from alkaid.trace.ops import quantize, relu

    def bits(precision: FixedPoint) -> tuple[int, int, int]:
        return int(precision.signed), precision.integer_bits - precision.signed, precision.fractional_bits

    inputs = values = quantize(FVArrayInput(chain.shapes[0].n_inputs), *bits(chain.precision.input))
    for shape in chain.shapes:
        kernel, bias = (
            chain.precision[shape.name].get(tensor).quantize(of[shape.name])
            for tensor, of in (("weight", chain.kernels), ("bias", chain.biases))
        )
        values = values @ kernel + bias
        for activation in shape.activations:
            result = chain.precision[activation].result
            values = quantize(relu(values), *bits(result), result.overflow, result.rounding)
    return trace(inputs, values).cost


def estimate(chain: Chain, **options) -> float:
    return estimate_luts(chain.shapes, chain.precision, chain.kernels, chain.biases, **options)


@pytest.mark.parametrize(("bits", "density"), [(4, 1.0), (6, 0.5), (8, 0.3)])
def test_near_the_cost_of_a_whole_trace(bits, density):
    chain = make_chain((16, 32, 16, 5), bits, density)
    assert estimate(chain, thorough=True) == pytest.approx(whole_trace_cost(chain), rel=0.04)
    assert estimate(chain) == pytest.approx(estimate(chain, thorough=True), rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("density", [0.5, 0.2])
def test_near_the_cost_of_a_whole_trace_of_the_jet_network(bits, density):
    chain = make_chain((16, 64, 32, 32, 5), bits, density)
    assert estimate(chain) == pytest.approx(whole_trace_cost(chain), rel=0.04)


def test_powers_of_two_and_zeros_are_wires():
    shape = LayerShape("fc", "dense", 4, 4)
    precision = PrecisionMap(FixedPoint(6, 6), {"fc": LayerPrecision(FixedPoint(6, 6))})
    assert estimate_luts([shape], precision, {"fc": np.diag([1, -2, 4, 0])}) == 0
    assert estimate_luts([shape], precision, {"fc": np.zeros((4, 4))}) == 0


def test_one_sum_costs_one_adder():
    shape = LayerShape("fc", "dense", 2, 1)
    precision = PrecisionMap(FixedPoint(6, 6), {"fc": LayerPrecision(FixedPoint(4, 4))})
    assert 5 <= estimate_luts([shape], precision, {"fc": np.array([[1], [1]])}) <= 7


def test_only_the_integers_matter(chain):
    shifted = replace(
        chain.precision,
        layers={
            name: replace(formats, weight=FixedPoint(6, 3, True, "RND_CONV", "SAT"))
            if formats.weight
            else formats
            for name, formats in chain.precision.layers.items()
        },
    )
    # without biases and activations the binary point is only a name for a wire
    shapes = [replace(shape, activations=()) for shape in chain.shapes]
    kernels = {name: 4 * kernel for name, kernel in chain.kernels.items()}
    assert estimate_luts(shapes, shifted, kernels) == estimate_luts(shapes, chain.precision, chain.kernels)


def test_biases_and_activations_cost_luts(chain):
    shapes = [replace(shape, activations=()) for shape in chain.shapes]
    bare = estimate_luts(shapes, chain.precision, chain.kernels)
    with_relu = estimate_luts(chain.shapes, chain.precision, chain.kernels)
    assert bare < with_relu < estimate(chain)


def test_a_convolution_is_its_matrix_at_each_position():
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(3, 2, 4)) / 2, rng.normal(size=4) / 2
    formats = LayerPrecision(WEIGHT, WEIGHT, FixedPoint(6, 2, True, "RND", "SAT"))
    precision = PrecisionMap(WEIGHT, {"l": formats})
    dense = LayerShape("l", "dense", 6, 4)
    conv = LayerShape("l", "conv1d", 2, 4, kernel_size=3, output_positions=5)
    one = estimate_luts([dense], precision, {"l": kernel.reshape(6, 4)}, {"l": bias})
    assert estimate_luts([conv], precision, {"l": kernel}, {"l": bias}) == 5 * one
    assert estimate_luts([conv], precision, {"l": kernel}, {"l": bias}, io_type="io_stream") == one


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_depthwise_convolution_is_one_matrix_for_each_channel(multiplier):
    rng = np.random.default_rng(2)
    kernel, bias = rng.normal(size=(2, 2, 3, multiplier)), rng.normal(size=3 * multiplier)
    precision = PrecisionMap(WEIGHT, {"l": LayerPrecision(WEIGHT, WEIGHT)})
    shape = LayerShape("l", "depthwise_conv2d", 3, 3 * multiplier, kernel_size=4, groups=3)
    one = LayerShape("l", "dense", 4, multiplier)
    expected = sum(
        estimate_luts(
            [one],
            precision,
            {"l": kernel[:, :, channel].reshape(4, multiplier)},
            {"l": bias.reshape(3, multiplier)[channel]},
        )
        for channel in range(3)
    )
    assert estimate_luts([shape], precision, {"l": kernel}, {"l": bias}) == pytest.approx(expected)


def test_only_changed_layers_are_solved_again(chain, monkeypatch):
    solved = []
    real = luts.matrix_luts
    monkeypatch.setattr(luts, "_memory", {})
    monkeypatch.setattr(
        luts, "matrix_luts", lambda codes, *a, **o: solved.append(codes.shape) or real(codes, *a, **o)
    )
    before = luts_by_layer(chain.shapes, chain.precision, chain.kernels, chain.biases)
    assert solved == [(16, 12), (12, 8), (8, 5)]
    changed = chain.precision.replaced("fc2", "weight", FixedPoint(5, 1, True, "RND_CONV", "SAT"))
    after = luts_by_layer(chain.shapes, changed, chain.kernels, chain.biases)
    assert solved[3:] == [(8, 5)]
    assert {name for name in before if before[name] != after[name]} == {"fc2"}
    assert after["fc2"] < before["fc2"]


def test_the_memory_forgets_the_oldest(chain, monkeypatch):
    monkeypatch.setattr(luts, "_memory", {})
    monkeypatch.setattr(luts, "_REMEMBERED", 2)
    luts_by_layer(chain.shapes, chain.precision, chain.kernels)
    assert [key[1] for key in luts._memory] == [(12, 8), (8, 5)]


def test_an_output_that_no_weight_reads_costs_nothing(chain):
    kernels = {**chain.kernels, "fc1": chain.kernels["fc1"].copy()}
    kernels["fc1"][3] = 0
    without = {**kernels, "fc0": kernels["fc0"].copy()}
    without["fc0"][:, 3] = 0
    biases = {**chain.biases, "fc0": chain.biases["fc0"] * (np.arange(12) != 3)}
    cost = luts_by_layer(chain.shapes, chain.precision, kernels, chain.biases)
    assert cost == luts_by_layer(chain.shapes, chain.precision, without, biases)
    # unless something else reads it too
    shared = (replace(chain.shapes[0], shared=True), *chain.shapes[1:])
    assert luts_by_layer(shared, chain.precision, kernels, chain.biases)["fc0"] > cost["fc0"]


def test_a_constant_input_moves_into_the_bias(chain):
    kernels = {**chain.kernels, "fc0": chain.kernels["fc0"] * (np.arange(12) != 3)}
    biases = {**chain.biases, "fc0": np.where(np.arange(12) == 3, 0.5, chain.biases["fc0"])}
    without = {**kernels, "fc1": kernels["fc1"] * (np.arange(12) != 3)[:, None]}
    constant = chain.precision["fc1"].weight.quantize(kernels["fc1"])[3] * 0.5
    # fc1's bias has a wide format here, so that bias + constant is not rounded again
    precision = chain.precision.replaced("fc1", "bias", FixedPoint(20, 4))
    moved = {**biases, "fc1": precision["fc1"].bias.quantize(biases["fc1"]) + constant}
    expected = estimate_luts(chain.shapes, precision, without, moved)
    assert estimate_luts(chain.shapes, precision, kernels, biases) == pytest.approx(expected)


def test_faults_are_named(chain):
    wide = chain.precision.replaced("fc0", "weight", FixedPoint(25, 1))
    message = (
        "layers.fc0.weight: LUTs can be estimated for at most 24 bits, not 25; "
        + "use a narrower format or count BOPs"
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        estimate_luts(chain.shapes, wide, chain.kernels)
    message = "the bias of 'fc0' has 3 values; its layer has 12 outputs"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        estimate_luts(chain.shapes, chain.precision, chain.kernels, {"fc0": np.zeros(3)})
    message = "precision map: layers.fc0.bias: missing; give the bias a format"
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        estimate_luts(
            chain.shapes, chain.precision.replaced("fc0", "bias", None), chain.kernels, chain.biases
        )
    assert chain.shapes[0].sources == (INPUT,)
