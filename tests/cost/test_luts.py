"""The LUT estimate: equal where it must be, near the cost of a whole alkaid trace, and remembered."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from cost_chains import Chain, make_chain

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT, LayerShape, estimate_luts, luts, luts_by_layer
from codesign.cost.adder_trees import matrix_luts
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


def test_the_sums_of_a_matrix_are_the_extremes_over_all_its_inputs():
    codes = np.array([[3, -2], [-1, 0], [2, 5]])
    limits = np.array([[-2, 1], [0, 3], [4, 4]])  # the last one is a constant
    bias = np.array([0.5, -7.0])
    matrix = luts._Matrix(codes, limits, bias)
    every = [x @ codes + bias for x in itertools.product(*(range(low, high + 1) for low, high in limits))]
    np.testing.assert_array_equal(
        matrix.sums, np.stack([np.min(every, axis=0), np.max(every, axis=0)], axis=1)
    )
    np.testing.assert_array_equal(matrix.bias, bias + 4 * codes[2])


@pytest.mark.parametrize("rounding", ["TRN", "RND"])
def test_signed_results_are_rounded_and_limited_as_alkaid_does_it(rounding):
    from alkaid.trace import FVArray, trace
    from alkaid.trace.ops import quantize

    codes = np.array([[3, -2], [5, 7], [-6, 1]])
    limits = np.array([[-8, 7]] * 3)
    result = FixedPoint(5, 7, True, rounding, "SAT")  # steps of four
    inputs = FVArray.from_lhs(
        *limits.T.astype(float), np.ones(3), solver_options={"search_all_decompose_dc": False}
    )
    sums = inputs @ codes.astype(float)
    outputs = quantize(sums, 1, 6, -2, "SAT", rounding)
    assert matrix_luts(codes, limits, np.zeros(2), (result,)) == trace(inputs, outputs).cost


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


def test_a_thorough_estimate_is_another_and_no_default():
    rng = np.random.default_rng(0)
    codes, limits = rng.integers(-31, 32, size=(8, 6)), np.tile([[-32, 31]], (8, 1))
    quick, thorough = (matrix_luts(codes, limits, np.zeros(6), (), thorough=each) for each in (False, True))
    assert thorough < quick == matrix_luts(codes, limits, np.zeros(6), ())
    shape, weight = LayerShape("l", "dense", 8, 6), FixedPoint(6, 6)
    precision = PrecisionMap(weight, {"l": LayerPrecision(weight)})
    assert estimate_luts([shape], precision, {"l": codes}) == quick
    assert luts_by_layer([shape], precision, {"l": codes}) == {"l": quick}
    assert estimate_luts([shape], precision, {"l": codes}, thorough=True) == thorough


def test_a_saturation_costs_more_than_a_wrap_and_a_tie_to_even_more_than_a_cut():
    codes, limits = np.ones((2, 1), dtype=int), np.tile([[-32, 31]], (2, 1))

    def cost(rounding: str, overflow: str, integer_bits: int = 4, signed: bool = True) -> float:
        result = FixedPoint(4, integer_bits, signed, rounding, overflow)
        return matrix_luts(codes, limits, np.zeros(1), (result,))

    assert cost("TRN", "WRAP") < cost("TRN", "SAT") < cost("TRN", "SAT_SYM")
    assert cost("TRN", "SAT_ZERO") == cost("TRN", "SAT")
    assert cost("TRN", "WRAP_SM") == cost("TRN", "WRAP")
    assert cost("TRN", "WRAP", 6) < cost("RND_CONV", "WRAP", 6)
    assert cost("RND_INF", "SAT", 6) == cost("RND", "SAT", 6)
    assert cost("TRN", "SAT", signed=False) > 0  # a ReLU before it


def test_an_output_without_weights_costs_nothing():
    limits = np.tile([[-32, 31]], (2, 1))
    results = (FixedPoint(4, 4, True, "RND", "SAT"),)
    one = matrix_luts(np.array([[1], [3]]), limits, np.zeros(1), results)
    two = matrix_luts(np.array([[1, 0], [3, 0]]), limits, np.array([0.0, 5.0]), results)
    assert one == two > 0
    assert matrix_luts(np.zeros((2, 2), dtype=int), limits, np.zeros(2), results) == 0


def test_limits_are_known_beyond_the_next_layer():
    weight = FixedPoint(4, 4)
    relu = LayerPrecision(result=FixedPoint(8, 8, False, "RND", "SAT"))
    precision = PrecisionMap(
        FixedPoint(2, 2),
        {
            "a": LayerPrecision(weight),
            "ra": relu,
            "b": LayerPrecision(weight),
            "rb": relu,
            "c": LayerPrecision(weight),
        },
    )
    shapes = [
        LayerShape("a", "dense", 2, 2, activations=("ra",)),
        LayerShape("b", "dense", 2, 2, sources=("ra",), activations=("rb",)),
        LayerShape("c", "dense", 2, 1, sources=("ra",)),
    ]
    kernels = {"a": np.eye(2), "b": np.eye(2), "c": np.ones((2, 1))}
    # a's ReLU gives at most 1, so that c adds two bits, whatever lies between the two
    assert luts_by_layer(shapes, precision, kernels)["c"] <= 2


def test_24_bits_are_estimated(chain):
    wide = chain.precision.replaced("fc0", "weight", FixedPoint(24, 1))
    assert estimate_luts(chain.shapes, wide, chain.kernels) > estimate_luts(
        chain.shapes, chain.precision, chain.kernels
    )


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
