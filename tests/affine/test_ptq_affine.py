"""Integer-only networks against a slow reference that knows nothing but Python's integers."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction

import keras
import numpy as np
import pytest

from codesign.affine.integer import (
    IntegerAveragePool,
    IntegerLinear,
    IntegerMaxPool,
    IntegerRelu,
    IntegerReshape,
)
from codesign.affine.ptq import AffineSettings, affine_table, quantize_affine
from codesign.errors import ConversionError, DataError, SettingsError

layers = keras.layers


def dense_network():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(7),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def conv2d_network():
    return keras.Sequential(
        [
            keras.Input((9, 8, 2)),
            layers.Conv2D(4, (3, 2), strides=2, padding="same", activation="relu"),
            layers.AveragePooling2D((2, 1)),
            layers.Conv2D(5, 2, use_bias=False),
            layers.MaxPooling2D(2, strides=1, padding="same"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def conv1d_network():
    return keras.Sequential(
        [
            keras.Input((11, 3)),
            layers.Conv1D(4, 3, strides=2, padding="same"),
            layers.MaxPooling1D(2),
            layers.Conv1D(4, 2, activation="relu"),
            layers.AveragePooling1D(2, strides=1),
            layers.Reshape((4,)),
            layers.Dense(1),
        ]
    )


NETWORKS = [dense_network, conv2d_network, conv1d_network]


def made(network, seed=0):
    """A network with random weights and biases, and samples for it."""
    keras.utils.set_random_seed(seed)
    model, rng = network(), np.random.default_rng(seed)
    for variable in model.variables:
        values = rng.normal(size=variable.shape) * (0.5 if len(variable.shape) > 1 else 0.3)
        variable.assign(
            np.abs(values) + 0.5 if "variance" in variable.path or "gamma" in variable.path else values
        )
    return model, rng.normal(size=(40, *model.input_shape[1:])).astype(np.float32)


def truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a >= 0) == (b > 0) else -1)


def fixed_multiplier(real: Fraction) -> tuple[int, int]:
    """M = M0 2**-n with M0 in [1/2, 1), rounded to 31 bits."""
    n = 0
    while real * Fraction(2) ** n < Fraction(1, 2):
        n += 1
    while real * Fraction(2) ** n >= 1:
        n -= 1
    mantissa = math.floor(real * Fraction(2) ** n * 2**31 + Fraction(1, 2))
    return (2**30, n - 1) if mantissa == 2**31 else (mantissa, n)


def scaled(accumulator: int, real: float) -> int:
    """The two roundings of gemmlowp."""
    assert -(2**31) <= accumulator < 2**31
    mantissa, n = fixed_multiplier(Fraction(real))
    product = accumulator * 2 ** max(-n, 0) * mantissa
    high = truncated(product + (2**30 if product >= 0 else 1 - 2**30), 2**31)
    n = max(n, 0)
    rest, half = high % 2**n, (2**n - 1) // 2 + (high < 0)
    return high // 2**n + (rest > half)


def positions(shape, size, strides, padding):
    """For each output position, the input positions of its window (None outside), as TensorFlow pads."""
    axes = []
    for length, window, stride in zip(shape, size, strides, strict=True):
        count = -(-length // stride) if padding == "same" else (length - window) // stride + 1
        total = max((count - 1) * stride + window - length, 0) if padding == "same" else 0
        starts = [k * stride - total // 2 for k in range(count)]
        axes.append([[s + k if 0 <= s + k < length else None for k in range(window)] for s in starts])
    shape_out = tuple(len(axis) for axis in axes)
    windows = {}
    for place in itertools.product(*(range(n) for n in shape_out)):
        inside = itertools.product(*(axes[axis][at] for axis, at in enumerate(place)))
        windows[place] = [None if None in point else point for point in inside]
    return shape_out, windows


def reference_linear(layer: IntegerLinear, sample: np.ndarray) -> np.ndarray:
    kernel, z1, s1 = layer.kernel, layer.input.zero_point[0], layer.input.scale[0]
    z3, s3 = layer.output.zero_point[0], layer.output.scale[0]
    least, most = layer.output.code_limits
    if layer.strides:
        shape, windows = positions(sample.shape[:-1], kernel.shape[:-2], layer.strides, layer.padding)
    else:
        shape, windows, sample, kernel = (), {(): [()]}, sample[None], kernel[None]
    flat = kernel.reshape(-1, *kernel.shape[-2:])
    result = np.zeros((*shape, kernel.shape[-1]), object)
    for place, window in windows.items():
        for channel in range(kernel.shape[-1]):
            s2 = layer.weight.scale[channel % len(layer.weight.scale)]
            z2 = layer.weight.zero_point[channel % len(layer.weight.zero_point)]
            sum_of_products = 0
            for point, weights in zip(window, flat, strict=True):
                if point is not None:
                    values = sample[0] if not layer.strides else sample[point]
                    for value, weight in zip(values, weights[:, channel], strict=True):
                        sum_of_products += (int(value) - z1) * (int(weight) - z2)
            bias = round(float(layer.bias[channel]) / (s2 * s1))
            code = z3 + scaled(sum_of_products + bias, s2 * s1 / s3)
            result[(*place, channel)] = min(max(code, z3 if layer.relu else least), most)
    return result


def reference_pool(layer, sample: np.ndarray) -> np.ndarray:
    padding = getattr(layer, "padding", "valid")
    shape, windows = positions(sample.shape[:-1], layer.pool_size, layer.strides, padding)
    result = np.zeros((*shape, sample.shape[-1]), object)
    for (place, window), channel in itertools.product(windows.items(), range(sample.shape[-1])):
        values = [int(sample[(*point, channel)]) for point in window if point is not None]
        total, count = sum(values), len(values)
        mean = truncated(total + count // 2 if total > 0 else total - count // 2, count)
        result[(*place, channel)] = max(values) if isinstance(layer, IntegerMaxPool) else mean
    return result


def reference(network, sample: np.ndarray) -> np.ndarray:
    for layer in network.layers:
        if isinstance(layer, IntegerLinear):
            sample = reference_linear(layer, sample)
        elif isinstance(layer, IntegerMaxPool | IntegerAveragePool):
            sample = reference_pool(layer, sample)
        elif isinstance(layer, IntegerRelu):
            sample = np.array([max(int(v), layer.zero_point) for v in sample.flat], object).reshape(
                sample.shape
            )
        else:
            assert isinstance(layer, IntegerReshape)
            sample = np.array(list(sample.flat), object)
    return sample


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "settings",
    [
        AffineSettings(8, 8),
        AffineSettings(2, 3, "mse", "mse", output_bits=8),
        AffineSettings(11, 12, "percentile", per_channel=False),
        AffineSettings(5, 8, "entropy", symmetric_weights=False, symmetric_activations=True),
    ],
)
def test_integer_inference_equals_the_reference_bit_for_bit(network, settings):
    model, x = made(network)
    integer = quantize_affine(model, x, settings)
    codes = integer.input.quantize(x[:6])
    computed = integer.run(codes)
    assert computed.dtype == np.int32
    for sample, result in zip(codes, computed, strict=True):
        assert result.tolist() == reference(integer, sample).tolist()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_many_bits_come_near_the_float_logits(network, symmetric):
    model, x = made(network)
    if model.layers[-1].activation is keras.activations.softmax:
        model.layers[-1].activation = keras.activations.linear
    expected = model.predict(x, verbose=0)
    settings = AffineSettings(12, 12, symmetric_weights=symmetric, symmetric_activations=symmetric)
    integer = quantize_affine(model, x, settings)
    assert np.abs(integer.predict(x) - expected).max() < 0.01 * np.abs(expected).max()
    assert integer.overflow_free


def test_batches_change_no_number():
    model, x = made(conv2d_network)
    integer = quantize_affine(model, x)
    assert np.array_equal(integer.predict(x, batch_size=7), integer.predict(x))
    with pytest.raises(
        DataError, match=r"^inputs must have shape \(n_samples, 9, 8, 2\) with samples, not \(0, 9, 8, 2\)$"
    ):
        integer.predict(x[:0])


def test_the_worst_input_reaches_the_bound_of_the_accumulators():
    model, x = made(dense_network)
    model.layers[0].bias.assign(np.zeros(8))
    first = quantize_affine(model, x, AffineSettings(6, 6, symmetric_activations=True)).layers[0]
    least, most = first.input.code_limits
    corners = np.array(list(itertools.product([least, most], repeat=6)), np.int32)
    largest = np.abs(first.accumulate(corners)).max()
    assert first.accumulator_bound == largest


def test_an_accumulator_past_int32_is_refused_and_named():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), layers.Dense(2, name="wide")])
    model.layers[0].kernel.assign(np.ones((64, 2)))
    x = np.random.default_rng(0).uniform(0.5, 1, (100, 64)).astype(np.float32)
    integer = quantize_affine(model, x, AffineSettings(16, 16, symmetric_activations=True))
    assert not integer.overflow_free
    codes = integer.input.quantize(x[:1])
    reached = int((codes.astype(np.int64) * integer.layers[0].kernel[0, 0]).sum())
    sentence = (
        f"wide: accumulators reach {reached}, which int32 cannot hold; "
        "use fewer bits for its weights or its inputs"
    )
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        integer.run(codes)
    rows = affine_table(model, x, x, np.zeros(100, int), widths=(8, 16), calibrators=("max",))
    assert rows[0].quality is not None
    assert rows[0].overflow is None
    assert rows[1].quality is None
    assert rows[1].overflow.startswith("wide: accumulators reach ")


def test_a_bias_past_int32_is_refused():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, name="shifted")])
    model.layers[0].kernel.assign(np.full((2, 1), 1e-3))
    model.layers[0].bias.assign([1e6])
    x = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    with pytest.raises(
        ConversionError, match=r"^shifted: a bias is \S+ steps of its accumulator, which int32 cannot "
    ):
        quantize_affine(model, x, AffineSettings(16, 16))


def test_accuracy_rises_with_width_for_every_calibrator():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3000, 6)).astype(np.float32)
    model, _ = made(dense_network, seed=3)
    y = model.predict(x, verbose=0).argmax(axis=-1)
    rows = affine_table(model, x[:1000], x, y, widths=(2, 4, 8))
    assert [(row.width, row.calibrator) for row in rows] == list(
        itertools.product((2, 4, 8), ("max", "percentile", "entropy", "mse"))
    )
    assert all(row.float_quality == 1.0 and row.overflow is None for row in rows)
    by_width = [[row.quality for row in rows if row.width == width] for width in (2, 4, 8)]
    assert np.all(np.array(by_width[0]) < by_width[1])
    assert np.all(np.array(by_width[1]) < by_width[2])
    assert min(by_width[2]) > 0.97


def test_a_single_logit_decides_by_its_sign():
    model, x = made(conv1d_network)
    y = model.predict(x, verbose=0)[:, 0] > 0
    (row,) = affine_table(model, x, x, y.astype(int), widths=(12,), calibrators=("max",))
    assert row.float_quality == 1.0
    assert row.quality > 0.95


def test_the_model_is_left_as_it_was():
    model, x = made(dense_network)
    before = [weights.copy() for weights in model.get_weights()]
    quantize_affine(model, x)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_networks_without_an_integer_form_are_refused():
    source = keras.Input((4,), name="source")
    first = layers.Dense(4, name="first")(source)
    added = layers.Add(name="added")([first, layers.Dense(4, name="second")(source)])
    model = keras.Model(source, layers.Dense(2, name="last")(added), name="branching")
    sentence = (
        "the network 'branching' has no integer-only form\n"
        "  - layer 'second' reads features; only a plain chain of layers is supported\n"
        "  - layer 'added' (add) is not supported; supported are Dense, Conv1D, Conv2D, "
        "BatchNormalization (folded), ReLU, MaxPooling, AveragePooling, Flatten and Reshape"
    )
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        quantize_affine(model, np.zeros((3, 4), np.float32))
    empty = keras.Sequential([keras.Input((4, 1)), layers.Flatten()], name="empty")
    x = np.random.default_rng(0).normal(size=(3, 4, 1)).astype(np.float32)
    with pytest.raises(
        ConversionError,
        match=r"^the model 'empty' has no layer that multiplies by weights; nothing is to be built$",
    ):
        quantize_affine(empty, x)


def test_bad_calibration_and_bad_settings():
    model, x = made(dense_network)
    with pytest.raises(
        DataError, match=r"^the calibration set is empty \(shape \(0, 6\)\); give at least one sample$"
    ):
        quantize_affine(model, x[:0])
    with pytest.raises(
        DataError, match=r"^the calibration set must have shape \(n_samples, 6\), not \(40, 5\)$"
    ):
        quantize_affine(model, x[:, :5])
    constant = x.copy()
    constant[:, 2] = 1.0
    with pytest.raises(
        DataError, match=r"^the calibration set has 1 of 6 features that never change \(index 2\), "
    ):
        quantize_affine(model, constant)
    quantize_affine(model, constant, allow_constant=True)
    with pytest.raises(SettingsError, match=r"^an affine quantizer has 2 to 16 bits, not 1$"):
        quantize_affine(model, x, AffineSettings(weight_bits=1))
    with pytest.raises(DataError, match=r"^40 inputs need as many labels, not 39; and at least one$"):
        affine_table(model, x, x, np.zeros(39))
    with pytest.raises(
        DataError, match=r"^inputs must have shape \(n_samples, 6\) with samples, not \(40, 5\)$"
    ):
        quantize_affine(model, x).run(np.zeros((40, 5), np.int32))
