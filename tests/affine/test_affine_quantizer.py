from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.affine.quantizer import AffineQuantizer
from codesign.errors import DataError, SettingsError

reals = st.floats(-1e6, 1e6)
bits = st.integers(2, 16)


@st.composite
def ranges(draw):
    ends = sorted([draw(reals), draw(reals)])
    return ends[0], ends[1]


@given(ranges(), bits, st.booleans(), st.booleans())
@settings(deadline=None)
def test_zero_is_exact_and_the_range_is_covered(ends, width, symmetric, signed):
    low, high = ends
    if symmetric and not signed:
        low, high = 0.0, abs(high)
    quantizer = AffineQuantizer.from_range(low, high, width, symmetric=symmetric, signed=signed)
    scale, zero = quantizer.scale[0], quantizer.zero_point[0]
    assert quantizer.quantize(0.0) == zero
    assert quantizer.fake_quantize(0.0) == 0.0
    assert zero == 0 or not symmetric
    inside = np.linspace(min(low, 0), max(high, 0), 50)
    # shifting the range so that Z is whole costs at most half a step at one end
    assert np.abs(quantizer.fake_quantize(inside) - inside).max() <= scale * (0.5 if symmetric else 1.0) * (
        1 + 1e-9
    )


@given(ranges(), bits, st.booleans())
@settings(deadline=None)
def test_codes_come_back_and_follow_the_definition(ends, width, signed):
    quantizer = AffineQuantizer.from_range(*ends, width, signed=signed)
    least, most = quantizer.code_limits
    assert (least, most) == ((-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1))
    codes = np.unique(np.linspace(least, most, 300).astype(int))
    real = quantizer.dequantize(codes)
    assert np.array_equal(real, quantizer.scale[0] * (codes - quantizer.zero_point[0]))
    assert np.array_equal(quantizer.quantize(real), codes)
    assert quantizer.quantize([-np.inf, np.inf]).tolist() == [least, most]


def test_symmetric_signed_codes_leave_out_the_most_negative():
    quantizer = AffineQuantizer.from_range(-1.0, 0.5, 8, symmetric=True)
    assert quantizer.code_limits == (-127, 127)
    assert quantizer.scale == (1 / 127,)
    assert quantizer.quantize([-5.0, -1.0, 1.0]).tolist() == [-127, -127, 127]
    assert AffineQuantizer.from_range(0.0, 5.1, 8, symmetric=True, signed=False).code_limits == (0, 255)


def test_the_published_example():
    # arXiv:1712.05877: r = S (q - Z); eight unsigned bits over [-10, 30] have Z = 63.75, moved to 64
    quantizer = AffineQuantizer.from_range(-10.0, 30.0, 8, signed=False)
    assert quantizer.scale == (40 / 255,)
    assert quantizer.zero_point == (64,)
    assert quantizer.quantize([0.0, -10.0, 30.0]).tolist() == [64, 0, 255]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_each_channel_is_quantized_by_itself(axis):
    values = np.random.default_rng(0).normal(size=(3, 4, 3)) * np.array([1, 10, 100])
    moved = np.moveaxis(values, -1, axis)
    flat = np.moveaxis(moved, axis, 0).reshape(3, -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    quantizer = AffineQuantizer.from_range(low, high, 6, axis=axis)
    together = np.moveaxis(quantizer.fake_quantize(moved), axis, 0)
    for channel in range(3):
        alone = AffineQuantizer.from_range(low[channel], high[channel], 6)
        expected = alone.fake_quantize(np.moveaxis(moved, axis, 0)[channel])
        assert np.array_equal(together[channel], expected)


def test_a_channel_of_zeros_has_scale_one():
    quantizer = AffineQuantizer.from_range([0.0, -1.0, 0.0], [0.0, 1.0, 5e-324], 8, symmetric=True, axis=0)
    assert quantizer.scale == (1.0, 1 / 127, 1.0)
    assert np.array_equal(quantizer.fake_quantize(np.zeros((3, 2))), np.zeros((3, 2)))


@pytest.mark.parametrize("width", [1, 17, 0, -3, 8.0, None, True])
def test_bits_outside_2_to_16(width):
    with pytest.raises(
        SettingsError, match=f"^an affine quantizer has 2 to 16 bits, not {re.escape(repr(width))}$"
    ):
        AffineQuantizer.from_range(0, 1, width)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((8, (1.0,), (300,)), "a zero point must be a code, -128 to 127, not 300"),
        ((8, (0.0,), (0,)), "a scale must be positive and finite, not 0.0"),
        ((8, (float("nan"),), (0,)), "a scale must be positive and finite, not nan"),
        ((8, (1.0, 2.0), (0,)), "2 scales need as many zero points, not 1; and at least one"),
        ((8, (), ()), "0 scales need as many zero points, not 0; and at least one"),
        ((8, (1.0, 2.0), (0, 0)), "2 scales need the axis of their channels; give axis"),
    ],
)
def test_quantizers_that_cannot_be(arguments, sentence):
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}$"):
        AffineQuantizer(*arguments)


def test_numbers_that_cannot_be_quantized():
    quantizer = AffineQuantizer.from_range(0.0, 1.0, 8)
    with pytest.raises(DataError, match=r"^x has NaN at index 1 and cannot be quantized$"):
        quantizer.quantize([0.0, np.nan])
    with pytest.raises(DataError, match=r"^a range must have finite ends in order, not 1\.0 to 0\.0$"):
        AffineQuantizer.from_range(1.0, 0.0, 8)
    with pytest.raises(DataError, match=r"^a range must have finite ends in order, not 0\.0 to inf$"):
        AffineQuantizer.from_range(0.0, np.inf, 8)
    sentence = "a symmetric unsigned quantizer starts at 0, not at -1; use signed codes"
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}$"):
        AffineQuantizer.from_range(-1.0, 1.0, 8, symmetric=True, signed=False)
    channels = AffineQuantizer.from_range([0.0, 0.0], [1.0, 2.0], 8, axis=1)
    sentence = "a quantizer of 2 channels on axis 1 cannot take an array of shape (2, 3)"
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        channels.quantize(np.zeros((2, 3)))
