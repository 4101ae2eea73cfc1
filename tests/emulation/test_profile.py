"""Magnitudes beside formats, and digits of weights, against plain counts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.profile import QUANTILES, _profile, significant_digits


def digits_of(code: int) -> int:
    return len(bin(code)[2:].strip("0"))


@given(st.lists(st.integers(0, 2**40), max_size=40))
def test_digits_are_those_of_the_binary_number(codes: list[int]) -> None:
    counted = significant_digits(np.array(codes, np.float64))
    assert sum(counted) == len(codes)
    for digits, count in enumerate(counted):
        assert count == sum(digits_of(code) == digits for code in codes)


@given(arrays(np.int64, st.integers(1, 60), elements=st.integers(-32, 31)))
def test_a_profile_has_the_quantiles_of_what_is_not_zero(codes: np.ndarray) -> None:
    precision = FixedPoint(6, 2, True, "RND_CONV", "SAT")
    found = _profile("fc", "weight", precision, codes / 16)
    assert (found.step, found.largest) == (1 / 16, 2.0)
    there = np.abs(codes[codes != 0]) / 16
    assert found.zeros == (codes == 0).mean()
    assert found.quantiles == tuple(np.quantile(there, QUANTILES)) if there.size else found.quantiles == ()
    assert sum(found.digits) == codes.size
    assert found.digits[0] == (codes == 0).sum()
    if there.size:
        assert found.quantiles[-1] <= found.largest
        assert found.quantiles[0] >= found.step
