"""`ap_fixed` arithmetic in Python's fractions, one value at a time: slow and beyond doubt."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from codesign.core.fixed_point import FixedPoint

ROUNDINGS = ("TRN", "RND", "RND_CONV", "RND_ZERO", "RND_INF", "RND_MIN_INF", "TRN_ZERO")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")


def rounded(scaled, mode):
    """One of the seven roundings of an exact number to a whole one, as a textbook says it."""
    below, above = math.floor(scaled), math.ceil(scaled)
    if mode == "TRN" or below == above:
        return below
    if mode == "TRN_ZERO":
        return min(below, above, key=abs)
    if scaled - below != Fraction(1, 2):
        return below if scaled - below < Fraction(1, 2) else above
    ties = {"RND": above, "RND_MIN_INF": below, "RND_CONV": min(below, above, key=lambda code: code % 2)}
    return {**ties, "RND_ZERO": min(below, above, key=abs), "RND_INF": max(below, above, key=abs)}[mode]


def limits(precision):
    least, most = precision.code_limits
    return (-most if precision.overflow == "SAT_SYM" and precision.signed else least), most


def assign(value, precision):
    """Assign a fraction to a type; returns a fraction and whether it overflowed."""
    code = rounded(value * Fraction(2) ** precision.fractional_bits, precision.rounding)
    least, most = limits(precision)
    overflowed = not least <= code <= most
    if overflowed:
        if precision.overflow == "WRAP":
            code %= 1 << precision.width
            code -= (code >> (precision.width - 1) << precision.width) if precision.signed else 0
        elif precision.overflow == "SAT_ZERO":
            code = 0
        else:
            code = min(max(code, least), most)
    return code / Fraction(2) ** precision.fractional_bits, overflowed


def values(codes, fraction):
    """Turn an array of codes into fractions."""
    return [int(code) / Fraction(2) ** fraction for code in np.ravel(codes)]


def assert_within_bounds(emulator, traced):
    """Every code that a layer has lies within what its plan says of it, on which the layers behind it are planned."""
    for name, results in traced.items():
        signal = emulator.signals[name]
        codes = results * 2.0**signal.fraction
        assert (codes == np.round(codes)).all(), name
        assert (signal.low <= codes).all(), name
        assert (codes <= signal.high).all(), name


def random_format(rng, least=1, most=16, *, overflows=OVERFLOWS):
    overflow = overflows[rng.integers(len(overflows))]
    width = int(rng.integers(max(least, 2 if overflow == "SAT_SYM" else 1), most + 1))
    integer_bits = int(rng.integers(-3, width + 4))
    rounding = ROUNDINGS[rng.integers(len(ROUNDINGS))]
    return FixedPoint(width, integer_bits, bool(rng.integers(2)), rounding, overflow)
