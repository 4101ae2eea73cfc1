"""Assignments of wires equal `FixedPoint.quantize` for every value, in every rounding and overflow mode."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import OVERFLOWS, ROUNDINGS

from codesign.core.fixed_point import FixedPoint
from codesign.errors import SettingsError
from codesign.rtl.cast import cast
from codesign.rtl.trace import _optimised
from codesign.rtl.wires import add_constant, each, grid_of, input_wires, is_constant, negated, scaled

widths, integers = st.integers(1, 8), st.integers(-3, 7)


def wires_of(precision: FixedPoint):
    sign = int(precision.signed)
    return input_wires((1,), precision.signed, precision.integer_bits - sign, precision.fractional_bits)


def check(
    source: FixedPoint, target: FixedPoint, factor: float = 1.0, offset: float = 0.0, *, integer: bool = False
) -> None:
    x = wires_of(source)
    wires = each(
        lambda wire: add_constant(scaled(wire, factor) if factor != -1 else negated(wire), offset), x
    )
    result = cast(wires, target, integer=integer)
    values = grid_of(x[0])
    expected = (target.with_modes("TRN_ZERO", "WRAP") if integer else target).quantize(
        values * factor + offset
    )
    if is_constant(result[0]):
        np.testing.assert_array_equal(expected, result[0].low)
        return
    np.testing.assert_array_equal(_optimised(x, result).predict(values[:, None], n_threads=1)[:, 0], expected)


@pytest.mark.parametrize(("rounding", "overflow"), itertools.product(ROUNDINGS, OVERFLOWS))
def test_every_mode_for_a_wider_source(rounding, overflow):
    for signed, target_signed in itertools.product((True, False), repeat=2):
        check(FixedPoint(8, 4, signed), FixedPoint(4, 2, target_signed, rounding, overflow))


@settings(max_examples=150)
@given(
    source=st.builds(FixedPoint, widths, integers, st.booleans()),
    width=widths,
    integer_bits=integers,
    signed=st.booleans(),
    rounding=st.sampled_from(ROUNDINGS),
    overflow=st.sampled_from(OVERFLOWS),
    factor=st.sampled_from([1.0, -1.0, -3.0, 0.5, 2.0]),
    offset=st.integers(-20, 20),
    finer=st.sampled_from([1, 2, 8]),
)
def test_any_format_after_scaling_and_an_offset(
    source, width, integer_bits, signed, rounding, overflow, factor, offset, finer
):
    try:
        target = FixedPoint(width, integer_bits, signed, rounding, overflow)
    except SettingsError:
        return
    check(source, target, factor, offset * source.step / finer)


def test_what_rounds_to_one_value_wraps_as_it_does():
    # -3/4 and -5/4 are -1, which is 1 of one bit; alkaid 0.8.2 makes 3 of the constant
    check(FixedPoint(1, 0, False), FixedPoint(1, 1, False, "RND", "WRAP"), factor=-1.0, offset=-0.75)
    for rounding, overflow in itertools.product(ROUNDINGS, OVERFLOWS):
        for signed, offset in itertools.product((True, False), (-5.75, -2.75, -0.75, 1.25, 6.25)):
            target = FixedPoint(2, 2, signed, rounding, overflow)
            check(FixedPoint(1, 0, False), target, factor=-1.0, offset=offset)
            check(FixedPoint(1, -1, False), target, offset=offset)


def test_bits_of_scaled_values_that_alkaids_own_optimizer_moves():
    # alkaid 0.8.2 takes the highest bit of the unscaled value for this one
    check(FixedPoint(4, -3), FixedPoint(1, -3, signed=False), factor=-3.0)


def test_rounding_to_even_where_everything_falls_on_one_step():
    check(FixedPoint(2, 2), FixedPoint(3, 6, False, "RND_CONV", "SAT"), offset=14.0)
    check(FixedPoint(3, 3, signed=False), FixedPoint(3, 6, False, "RND_CONV", "WRAP"), offset=4.0)


@pytest.mark.parametrize("overflow", ["SAT", "SAT_SYM", "WRAP"])
def test_rounding_to_even_where_every_value_is_half_way(overflow):
    # a neuron that pruning left one input: 2 x + 1/4, rounded to halves
    check(FixedPoint(5, 3, False), FixedPoint(6, 5, False, "RND_CONV", overflow), factor=2.0, offset=0.25)
    check(FixedPoint(5, 3), FixedPoint(5, 4, True, "RND_CONV", overflow), factor=-1.0, offset=0.125)


@pytest.mark.parametrize("signed", [True, False])
def test_whole_number_types_drop_fractions_towards_zero(signed):
    check(FixedPoint(8, 5), FixedPoint(4, 4, signed, "RND", "SAT"), integer=True)


def test_values_that_fit_pass_as_they_are():
    x = wires_of(FixedPoint(5, 3))
    assert cast(x, FixedPoint(8, 4, True, "RND_CONV", "SAT"))[0] is x[0]
