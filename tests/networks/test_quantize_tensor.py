from __future__ import annotations

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.networks.build import qkeras_bits, qkeras_relu
from codesign.networks.quantize_tensor import quantize_tensor

ROUNDINGS = ["RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO"]
OVERFLOWS = ["SAT", "SAT_ZERO", "SAT_SYM", "WRAP", "WRAP_SM"]


def values(precision: FixedPoint) -> np.ndarray:
    """Ties and their neighbours inside and outside the range, large and small values; float32."""
    span = 2.0**precision.width
    ties = np.arange(-3 * span, 3 * span, 0.5) if span < 1000 else np.arange(-500, 500, 0.5)
    ties = ties.astype(np.float32)
    ends = np.float32(span) * np.array([-2, -1, -0.5, 0.5, 1, 2], np.float32)
    near = [np.nextafter(each, np.float32(to)) for each in (ties, ends) for to in (-np.inf, np.inf)]
    random = np.random.default_rng(3).normal(size=500).astype(np.float32) * np.float32(span * 3)
    large = np.array([1e9, -1e9, 2**30 + 128, -(2**30) - 128], np.float32)
    x = np.concatenate([ties, ends, *near, random, large]) * np.float32(precision.step)
    return x[(x == 0) | (np.abs(x) > np.finfo(np.float32).tiny)]  # TensorFlow takes subnormals for zero


@pytest.mark.parametrize("bits", [(6, 2, True), (5, -1, True), (4, 7, False), (24, 6, True), (24, 6, False)])
def test_every_mode_gives_the_numbers_of_numpy(bits):
    for rounding, overflow in itertools.product(ROUNDINGS, OVERFLOWS):
        if overflow == "WRAP_SM" and not bits[2]:
            continue
        precision = FixedPoint(*bits, rounding, overflow)
        x = values(precision)
        quantized = keras.ops.convert_to_numpy(quantize_tensor(precision, x))
        assert quantized.dtype == np.float32
        wrong = np.flatnonzero(quantized != precision.quantize(x))
        assert wrong.size == 0, (str(precision), x[wrong[:3]], quantized[wrong[:3]])


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_gradients_pass_straight_through_inside_the_range(rounding, overflow):
    precision = FixedPoint(4, 2, True, rounding, overflow)
    x = tf.Variable([-5.0, -1.2, 0.1, 0.5, 1.2, 5.0])
    with tf.GradientTape() as tape:
        y = quantize_tensor(precision, x)
    outside = 1.0 if overflow.startswith("WRAP") else 0.0
    assert tape.gradient(y, x).numpy().tolist() == [outside, 1.0, 1.0, 1.0, 1.0, outside]


@pytest.mark.parametrize(
    ("text", "dtype", "sentence"),
    [
        (
            "fixed<25,6>",
            "float32",
            "a float32 tensor cannot hold fixed<25,6>; use at most 24 bits and 100 fractional bits, "
            "or quantize a NumPy array",
        ),
        ("fixed<8,6>", "int32", "only float tensors can be quantized to fixed<8,6>, not int32; cast first"),
        (
            "fixed<8,6,TRN,WRAP,2>",
            "float32",
            "tensors cannot be quantized with saturation bits, fixed<8,6,TRN,WRAP,2>; set them to 0",
        ),
    ],
)
def test_what_a_tensor_cannot_hold_is_refused(text, dtype, sentence):
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        quantize_tensor(FixedPoint.parse(text), np.ones(2, dtype))


@pytest.mark.parametrize(
    "bits", [(6, 1, True), (8, 4, True), (5, -2, True), (4, 7, True), (6, 2, False), (3, 0, False)]
)
@pytest.mark.parametrize("overflow", ["SAT", "SAT_SYM"])
def test_qkeras_objects_compute_the_format_and_read_back(bits, overflow):
    precision = FixedPoint(*bits, "RND_CONV", overflow if bits[2] else "SAT")
    x = values(precision)
    x = x[np.abs(x) < 2.0**20 * precision.step]  # QKeras adds and subtracts x, which costs larger ones bits
    objects = [qkeras_bits(precision)] + ([] if precision.signed else [qkeras_relu(precision)])
    for quantizer in objects:
        assert FixedPoint.from_qkeras(quantizer) == precision
        assert np.array_equal(keras.ops.convert_to_numpy(quantizer(x)), precision.quantize(x))


def test_a_missing_format_is_named():
    sentence = "a tensor that QKeras quantizes has no format in the precision map; give it one"
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        qkeras_bits(None)
