"""One rounding, one overflow: the same whatever kind of number it is applied to."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import (
    OFFSETS,
    Overflow,
    Rounding,
    constant_for_nearest,
    overflow_codes,
    round_floats,
    shift_right,
    wrap,
)

CODES = np.arange(-70, 71)
KINDS = ("int64", "object", "float32", "float64")


@pytest.mark.parametrize(("rounding", "count"), itertools.product(get_args(Rounding), (1, 2, 5)))
def test_whole_numbers_and_floats_are_rounded_alike(rounding, count):
    # FixedPoint's own numbers equal the compiled headers, see test_fixed_point_headers.py
    expected = FixedPoint(16, 16, True, rounding, "SAT").to_integers(CODES * 2.0**-count).tolist()
    assert [shift_right(int(code), count, rounding) for code in CODES] == expected
    for kind in KINDS[:2]:
        assert shift_right(CODES.astype(kind), count, rounding).tolist() == expected
    for kind in KINDS[2:]:
        scaled = (CODES * 2.0**-count).astype(kind)
        rounded = round_floats(scaled, rounding)
        assert rounded.dtype == kind
        assert rounded.tolist() == expected
        codes = CODES.astype(kind)
        assert shift_right(codes, count, rounding).tolist() == expected
        assert shift_right(codes, count, rounding, codes).tolist() == expected
        assert round_floats(scaled, rounding, scaled) is scaled
        assert scaled.tolist() == expected


@pytest.mark.parametrize(("overflow", "signed"), itertools.product(get_args(Overflow), (True, False)))
def test_every_kind_of_number_overflows_alike(overflow, signed):
    if overflow == "WRAP_SM" and not signed:
        return
    precision = FixedPoint(4, 4, signed, "TRN", overflow)
    expected = precision.to_integers(CODES).tolist()
    for kind in KINDS:
        codes = CODES.astype(kind)
        got = overflow_codes(codes, overflow, precision.kept_codes, 4, signed, truncated=codes)
        assert got.dtype == kind
        assert got.tolist() == expected


def test_every_mode_has_an_offset():
    assert set(OFFSETS) == set(get_args(Rounding))


def test_rounding_holds_at_the_ends_of_int64():
    codes = np.array([2**62, -(2**62), 2**62 - 1, 1 - 2**62])
    for rounding, count in itertools.product(get_args(Rounding), (1, 61, 62)):
        expected = [shift_right(int(code), count, rounding) for code in codes]
        assert shift_right(codes, count, rounding).tolist() == expected


def test_limits_past_int64_do_not_stop_it():
    codes = np.array([-5, 2**61])
    precision = FixedPoint(64, 64, False, "RND", "SAT")
    assert overflow_codes(codes, "SAT", precision.kept_codes, 64, False).tolist() == [0, 2**61]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_wide_type_holds_stays_as_it_is_in_a_narrow_kind_of_number(kind):
    # a detour by the unsigned number, 2**29 - 1 for -1, does not fit into float32
    codes = np.array([-1, 1, -(2**23) - 1, 2**23 + 1]).astype(kind)
    assert wrap(codes, 29, True).tolist() == codes.tolist()


@pytest.mark.parametrize("width", [1, 2, 5, 24, 53])
def test_wrapping_is_exact_however_large_the_number(width):
    codes = [sign * (2**52 + 2**width + k) * 2**n for sign in (1, -1) for k in (0, 1, 3) for n in (0, 1, 7)]
    codes = [float(code) for code in codes] + [
        2.0 ** (width - 1),
        -(2.0 ** (width - 1)),
        -(2.0 ** (width - 1)) - 1,
    ]
    for signed in (True, False):
        expected = [wrap(int(code), width, signed) for code in codes]
        assert wrap(np.array(codes), width, signed).tolist() == expected


def test_no_bits_hold_nothing():
    assert wrap(CODES.astype(float), 0, True).tolist() == [0.0] * CODES.size


@pytest.mark.parametrize("rounding", get_args(Rounding))
def test_what_is_given_stays_as_it_is(rounding):
    for count in (1, 3):
        codes = CODES.astype("float32")
        shift_right(codes, count, rounding)
        round_floats(codes, rounding)
        wrap(codes, 3, True)
        np.testing.assert_array_equal(codes, CODES)


@pytest.mark.parametrize("whole", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("constant", [0.0, 0.125, 0.5, -0.375, 1.0, 2.0, -3.5, 0.296875])
def test_a_constant_for_nearest_rounds_every_sum_to_nearest_even(whole, constant):
    step = 1.0
    instead = constant_for_nearest(constant, whole, step)
    sums = [count * whole + constant for count in range(-40, 41)]
    half_way = any((total - step / 2) % step == 0 for total in sums)
    assert (instead is None) == half_way
    if instead is not None:
        for total in sums:
            assert math.floor((total - constant + instead) / step) == round(total / step)
        assert (instead / min(whole, step)).is_integer()
