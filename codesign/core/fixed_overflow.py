"""What becomes of one value that a fixed-point format cannot hold, in whole numbers of any size."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codesign.core.fixed_point import FixedPoint


def overflowed_code(precision: FixedPoint, value: float) -> int:
    """Give the code of any value, in or out of range, after the `ap_fixed` headers (`overflow_adjust`).

    Parameters
    ----------
    precision
        The format.
    value
        A finite value, or an infinite one where the overflow mode saturates.

    Returns
    -------
    int
        `quantize(value) / step`, exact for every width.
    """
    least, most = precision.code_limits
    if math.isinf(value):
        value = math.copysign(2.0**1000, value)  # past every format
    scaled = Fraction(value) * Fraction(2) ** precision.fractional_bits
    code = rounded(scaled, precision.rounding)
    if precision.overflow == "SAT_SYM" and precision.signed:
        least = -most
    if least <= code <= most:
        return code
    if precision.overflow == "SAT_ZERO":
        return 0
    if precision.overflow == "WRAP":
        return _wrapped(precision, code)
    if precision.overflow == "WRAP_SM":
        return _wrapped_sign_magnitude(precision, code, math.floor(scaled))
    return most if code > most else least


def rounded(scaled: Fraction, mode: str) -> int:
    """One of the seven roundings of an exact number to a whole one."""
    below = math.floor(scaled)
    rest = scaled - below
    if mode == "TRN":
        return below
    if mode == "TRN_ZERO":
        return math.trunc(scaled)
    if rest != Fraction(1, 2):
        return below + (rest > Fraction(1, 2))
    up = {
        "RND": True,
        "RND_MIN_INF": False,
        "RND_INF": scaled > 0,
        "RND_ZERO": scaled < 0,
        "RND_CONV": below % 2 == 1,
    }
    return below + up[mode]


def _wrapped(precision: FixedPoint, code: int) -> int:
    """Keep the lowest bits; with N saturation bits, the highest N bits say that it overflowed instead."""
    width, count = precision.width, precision.saturation_bits
    bits = code % (1 << width)
    if count:
        low = bits % (1 << (width - count))
        if not precision.signed:
            bits = low + (((1 << count) - 1) << (width - count))
        else:
            bits = low + _saturated_top(width, count, code < 0)
    return _signed(precision, bits)


def _wrapped_sign_magnitude(precision: FixedPoint, code: int, truncated: int) -> int:
    """Mirror the bits where the deleted bit (N = 0) or the sign (N > 0) and the remaining bits disagree."""
    width, count = precision.width, precision.saturation_bits
    mask = (1 << width) - 1
    bits = code & mask
    if count == 0:
        deleted = (truncated >> width) & 1  # the headers look at the source, before its rounding
        return _signed(precision, bits ^ mask if deleted != bits >> (width - 1) else bits)
    negative = code < 0
    if count == 1:
        bits = bits ^ mask if negative != bool(bits >> (width - 1)) else bits
        return _signed(precision, bits % (1 << (width - 1)) + (negative << (width - 1)))
    if ((bits >> (width - count)) & 1) == negative:
        bits ^= mask
    return _signed(precision, bits % (1 << (width - count)) + _saturated_top(width, count, negative))


def _saturated_top(width: int, count: int, negative: bool) -> int:
    """Give the highest `count` bits of the most negative or most positive code."""
    top = 1 << (count - 1) if negative else (1 << (count - 1)) - 1
    return top << (width - count)


def _signed(precision: FixedPoint, bits: int) -> int:
    return bits - (1 << precision.width) if precision.signed and bits >> (precision.width - 1) else bits
