"""Assignments of codes equal `ap_fixed`'s, in every number type."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_reference import assign, random_format, values

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.cast import Tally, plan_cast
from codesign.errors import ConversionError

KINDS = {"float32": 20, "float64": 48, "int64": 60, "object": 70}


def random_codes(rng, bits, count=40):
    high = 1 << bits
    codes = [int(rng.integers(-(1 << 30), 1 << 30)) * high // (1 << 30) for _ in range(count)]
    return [0, 1, -1, high - 1, 1 - high, *codes]


def as_array(codes, kind):
    return np.array(codes, dtype=object) if kind == "object" else np.array(codes).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relu", [False, True])
def test_codes_are_rounded_and_overflow_as_in_the_headers(kind, relu):
    rng = np.random.default_rng(KINDS[kind] + relu)
    for _ in range(60):
        bits, source = int(rng.integers(2, KINDS[kind])), int(rng.integers(-4, 24))
        precision = random_format(rng, most=24)
        codes = random_codes(rng, bits)
        bound = np.array([float(1 << bits)])
        cast = plan_cast(source, -bound, bound, precision, relu=relu)
        tally = Tally()
        got = cast.apply(as_array(codes, kind), tally, relu=relu)
        before = [max(value, Fraction(0)) if relu else value for value in values(codes, source)]
        wanted = [assign(value, precision) for value in before]
        assert values(got, cast.fraction) == [value for value, _ in wanted], (precision, source, bits)
        overflowed = sum(out for _, out in wanted)
        lost = sum(old != 0 and new == 0 and not out for old, (new, out) in zip(before, wanted, strict=True))
        assert (tally.values, tally.wrapped + tally.saturated, tally.lost) == (len(codes), overflowed, lost)
        assert (tally.wrapped == 0) or precision.overflow == "WRAP"
        for value in values(got, 0):
            assert cast.low[0] <= value <= cast.high[0]


def test_what_is_given_stays_as_it_is():
    codes = np.arange(-8.0, 8.0, dtype=np.float32)
    for precision in (FixedPoint(3, 2), FixedPoint(3, 2, True, "RND", "SAT"), FixedPoint(20, 10)):
        given = codes.copy()
        cast = plan_cast(2, np.array([-8.0]), np.array([7.0]), precision)
        fresh = cast.apply(given)
        np.testing.assert_array_equal(given, codes)
        room = np.empty_like(codes)
        np.testing.assert_array_equal(cast.apply(given, out=room), fresh)
        np.testing.assert_array_equal(given, codes)
        np.testing.assert_array_equal(cast.apply(given, own=True), fresh)


def test_a_wide_enough_type_costs_nothing():
    codes = np.arange(-8.0, 8.0, dtype=np.float32)
    cast = plan_cast(2, np.array([-8.0]), np.array([7.0]), FixedPoint(8, 4))
    assert cast.is_nothing
    assert cast.apply(codes) is codes


def test_saturation_bits_are_refused():
    with pytest.raises(
        ConversionError,
        match=r"^fixed<8,4,TRN,WRAP,2> is not emulated; use an overflow mode without saturation bits$",
    ):
        plan_cast(2, np.zeros(1), np.ones(1), FixedPoint(8, 4, saturation_bits=2))
