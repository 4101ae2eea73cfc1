"""Sums of products equal the C++'s loop, whatever way they are computed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_reference import assign, random_format, values

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.cast import Tally
from codesign.emulation.products import Weights, plan_sum, whole_codes


def reference(terms, fraction, kernel, kernel_fraction, bias, accumulator, order):
    """Add products one by one; returns the sum and whether an addition overflowed a saturating type."""
    total, saturated = bias, False
    for index in order:
        product = int(terms[index]) * int(kernel[index]) / Fraction(2) ** (fraction + kernel_fraction)
        total, overflowed = assign(total + assign(product, accumulator)[0], accumulator)
        saturated |= overflowed
    return total, saturated


def random_sum(rng, *, bits=6, accumulator=None, n_terms=5, n_outputs=3):
    accumulator = accumulator or random_format(rng, least=4, most=20)
    kernel = rng.integers(-(1 << bits), 1 << bits, (n_terms, n_outputs))
    weights_type = FixedPoint(bits + 1, int(rng.integers(0, 4)))
    codes, kernel_fraction = whole_codes(kernel * weights_type.step, weights_type)
    bias, bias_fraction = whole_codes(rng.normal(0, 1, n_outputs), accumulator)
    return Weights(codes, kernel_fraction, bias, bias_fraction), accumulator


def exact_sums(terms, weights, accumulator):
    """Sum without rounding and assign the total once."""
    sums = [
        sum(int(x) * int(w) for x, w in zip(row, column, strict=True)) / Fraction(2) ** weights.fraction
        for row in terms
        for column in weights.kernel.T
    ]
    return [assign(total, accumulator)[0] for total in sums]


@pytest.mark.parametrize("ordered", [False, True])
def test_sums_of_all_kinds_of_accumulators(ordered):
    rng = np.random.default_rng(1 + ordered)
    methods = set()
    for _ in range(150):
        weights, accumulator = random_sum(rng)
        fraction, bound = int(rng.integers(0, 6)), 1 << int(rng.integers(2, 8))
        terms = rng.integers(-bound, bound, (12, 5)).astype(np.float32)
        order = rng.permutation(5) if ordered else np.arange(5)
        low, high = np.full((1, 5), -float(bound)), np.full((1, 5), float(bound - 1))
        plan = plan_sum(fraction, low, high, weights, accumulator, order if ordered else None)
        methods.add(plan.method)
        tally = Tally()
        got = values(plan.run(terms, tally), plan.fraction)
        bias = values(weights.bias, weights.bias_fraction)
        wanted = [
            reference(row, fraction, weights.kernel[:, j], weights.fraction, bias[j], accumulator, order)
            for row in terms
            for j in range(3)
        ]
        assert got == [value for value, _ in wanted], accumulator
        if accumulator.overflow != "WRAP":
            assert tally.saturated >= sum(saturated for _, saturated in wanted)
            assert tally.wrapped == 0
        if plan.method == "exact":
            assert tally.wrapped == tally.saturated == 0
    assert methods == {"exact", "wrapping", "stepwise"}


@pytest.mark.parametrize(
    ("bits", "arithmetic"), [(4, "float32"), (18, "float64"), (27, "int64"), (40, "object")]
)
def test_the_number_type_follows_the_bound(bits, arithmetic):
    rng = np.random.default_rng(bits)
    weights, _ = random_sum(rng, bits=bits, accumulator=FixedPoint(64, 40))
    bound = 1 << bits
    terms = np.array([[int(rng.integers(-bound, bound)) for _ in range(5)] for _ in range(12)], dtype=object)
    terms[0], terms[1] = bound - 1, -bound
    low, high = np.full((1, 5), -float(bound)), np.full((1, 5), float(bound - 1))
    accumulator = FixedPoint(64, 64 - weights.fraction)
    bias = np.zeros(3, dtype=np.int64)
    plan = plan_sum(0, low, high, Weights(weights.kernel, weights.fraction, bias, 0), accumulator)
    assert plan.arithmetic == arithmetic
    wanted = exact_sums(terms, weights, accumulator)
    given = terms if arithmetic in ("object", "int64") else terms.astype(np.float64)
    assert values(plan.run(given), plan.fraction) == wanted


@pytest.mark.parametrize("bits", [4, 18, 27])  # float32, float64 and int64
@pytest.mark.parametrize("rows", [1, 681, 682, 683, 2000])
def test_the_bias_reaches_every_row_however_many_there_are(bits, rows):
    rng = np.random.default_rng(bits)
    accumulator = FixedPoint(64, 64)
    kernel = rng.integers(-(1 << bits), 1 << bits, (5, 3))
    bias = np.array([-3, 5, 7])
    ends = np.full((1, 5), float(1 << bits))
    plan = plan_sum(0, -ends, ends, Weights(kernel, 0, bias, 0), accumulator)
    assert plan.method == "exact"
    terms = rng.integers(-(1 << bits), 1 << bits, (rows, 5))
    assert np.array_equal(plan.run(terms).astype(np.int64), terms @ kernel + bias)


def test_a_wrapping_sum_beyond_float_is_made_modulo_two_to_the_64():
    rng = np.random.default_rng(9)
    weights, _ = random_sum(rng, bits=40, accumulator=FixedPoint(64, 40))
    accumulator = FixedPoint(50, 50 - weights.fraction)
    bias = np.zeros(3, dtype=np.int64)
    terms = rng.integers(-(1 << 40), 1 << 40, (12, 5))
    low, high = np.full((1, 5), -(2.0**40)), np.full((1, 5), 2.0**40)
    plan = plan_sum(0, low, high, Weights(weights.kernel, weights.fraction, bias, 0), accumulator)
    assert (plan.method, plan.arithmetic) == ("wrapping", "int64")
    wanted = exact_sums(terms, weights, accumulator)
    assert values(plan.run(terms), plan.fraction) == wanted


def test_sums_by_channel_add_each_channel_by_itself():
    rng = np.random.default_rng(3)
    for _ in range(40):
        weights, accumulator = random_sum(rng, n_terms=4)
        weights = Weights(
            weights.kernel, weights.fraction, weights.bias, weights.bias_fraction, by_channel=True
        )
        order = np.argsort(rng.random((4, 3)), axis=0)
        terms = rng.integers(-16, 16, (9, 4, 3)).astype(np.float32)
        low, high = np.full((1, 4, 3), -16.0), np.full((1, 4, 3), 15.0)
        plan = plan_sum(2, low, high, weights, accumulator, order)
        bias = values(weights.bias, weights.bias_fraction)
        wanted = [
            reference(
                row[:, j], 2, weights.kernel[:, j], weights.fraction, bias[j], accumulator, order[:, j]
            )[0]
            for row in terms
            for j in range(3)
        ]
        assert values(plan.run(terms), plan.fraction) == wanted


def test_the_extremes_are_reached_by_some_input():
    rng = np.random.default_rng(4)
    weights, _ = random_sum(rng)
    low, high = np.full((1, 5), -8.0), np.full((1, 5), 7.0)
    plan = plan_sum(1, low, high, weights, FixedPoint(32, 16))
    kernel = weights.kernel
    worst = np.concatenate([np.where(kernel > 0, 7, -8).T, np.where(kernel > 0, -8, 7).T]).astype(np.float64)
    reached = plan.run(worst) * 2.0**-plan.fraction
    assert (reached.min(), reached.max()) == (plan.least, plan.most)


def test_whole_codes_are_as_coarse_as_the_values():
    codes, fraction = whole_codes(np.array([0.5, -1.0, 0.0]), FixedPoint(16, 6))
    assert (codes.tolist(), fraction) == ([1, -2, 0], 1)
    codes, fraction = whole_codes(np.array([8.0, -24.0]), FixedPoint(16, 10))
    assert (codes.tolist(), fraction) == ([1, -3], -3)
    codes, fraction = whole_codes(np.zeros(3), FixedPoint(16, 6))
    assert (codes.tolist(), fraction) == ([0, 0, 0], 0)
