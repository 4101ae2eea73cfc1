from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.affine.integer import FixedMultiplier
from codesign.errors import ConversionError, SettingsError

int32 = st.integers(-(2**31), 2**31 - 1)
real_multipliers = st.floats(2.0**-40, 2.0**20)


def truncated(a: int, b: int) -> int:
    """C's division of integers."""
    return abs(a) // abs(b) * (1 if (a >= 0) == (b > 0) else -1)


def reference(x: int, mantissa: int, exponent: int) -> int:
    """gemmlowp's definition, step by step on Python's integers."""
    product = (x << max(exponent, 0)) * mantissa
    nudge = 1 << 30 if product >= 0 else 1 - (1 << 30)
    high = truncated(product + nudge, 1 << 31)
    shift = max(-exponent, 0)
    mask = (1 << shift) - 1
    threshold = (mask >> 1) + (1 if high < 0 else 0)
    return (high >> shift) + (1 if (high & mask) > threshold else 0)


@given(real_multipliers)
def test_the_mantissa_has_31_bits(real):
    multiplier = FixedMultiplier.from_real(real)
    mantissa, exponent = multiplier.mantissa[0], multiplier.exponent[0]
    if real < 2.0**-32:
        assert (mantissa, exponent) == (0, 0) or Fraction(mantissa) / 2**31 * Fraction(
            2
        ) ** exponent <= Fraction(2) ** -32
        return
    assert 2**30 <= mantissa < 2**31
    assert abs(Fraction(mantissa) * Fraction(2) ** (exponent - 31) / Fraction(real) - 1) <= Fraction(1, 2**31)


@given(st.lists(int32, min_size=1, max_size=20), st.floats(2.0**-32, 0.999))
def test_products_are_the_reference_bit_for_bit(accumulators, real):
    multiplier = FixedMultiplier.from_real(real)
    computed = multiplier.apply(np.array(accumulators, np.int64)[:, None], "layer")[:, 0]
    expected = [reference(x, multiplier.mantissa[0], multiplier.exponent[0]) for x in accumulators]
    assert computed.tolist() == expected
    assert all(
        abs(value - x * real) <= 1.0 + abs(x) * 2.0**-30
        for value, x in zip(expected, accumulators, strict=True)
    )


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=2),
    st.lists(real_multipliers, min_size=2, max_size=2),
)
def test_channels_have_their_own_constants_also_above_one(accumulators, reals):
    multiplier = FixedMultiplier.from_real(reals)
    computed = multiplier.apply(np.array([accumulators], np.int64), "layer")[0]
    for value, x, mantissa, exponent in zip(
        computed, accumulators, multiplier.mantissa, multiplier.exponent, strict=True
    ):
        assert value == reference(x, mantissa, exponent)


def test_ties_and_edges():
    half = FixedMultiplier.from_real(0.5)
    assert (half.mantissa, half.exponent) == ((2**30,), (0,))
    x = np.array([[1], [-1], [3], [-3], [2**31 - 1], [-(2**31)]], np.int64)
    assert half.apply(x, "layer")[:, 0].tolist() == [1, 0, 2, -1, 2**30, -(2**30)]
    nearly_one = FixedMultiplier.from_real(1 - 2.0**-40)
    assert (nearly_one.mantissa, nearly_one.exponent) == ((2**30,), (1,))
    assert FixedMultiplier.from_real(2.0**-33).apply(x, "layer").any() == np.False_
    quarter = FixedMultiplier.from_real(
        0.25
    )  # rounds twice: half of 1 is 1 after the product, and half of that again
    assert quarter.apply(np.array([[1], [-1], [5], [-5]], np.int64), "layer")[:, 0].tolist() == [1, 0, 2, -1]


def test_overflow_is_refused_not_wrapped():
    double = FixedMultiplier.from_real(2.0)
    fits = np.array([[2**29 - 1]], np.int64)
    assert double.apply(fits, "dense")[0, 0] == 2**30 - 2
    sentence = (
        f"dense: shifted accumulators reach {2**31}, which int32 cannot hold; "
        "use fewer bits for its weights or its inputs"
    )
    with pytest.raises(ConversionError, match=f"^{re.escape(sentence)}$"):
        double.apply(np.array([[2**29]], np.int64), "dense")


@pytest.mark.parametrize("real", [0.0, -1.0, float("nan"), float("inf"), 2.0**30])
def test_constants_that_cannot_be(real):
    with pytest.raises(SettingsError, match=r"^a multiplier must be above 0 and below 2\*\*30, not "):
        FixedMultiplier.from_real(real)
