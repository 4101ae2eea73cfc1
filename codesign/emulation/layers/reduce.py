"""Sums with an assignment after each addition: a running sum or a balanced tree, and division."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import shift_right
from codesign.emulation.cast import Cast, Tally
from codesign.emulation.codes import (
    Arithmetic,
    Array,
    arithmetic_for,
    convert,
    kept_codes,
    limited,
    outside,
    scaled,
)


@dataclass(frozen=True, eq=False)
class TypedSum:
    """A sum over an axis, each partial sum of which is assigned to `precision`.

    Parameters
    ----------
    source
        The fraction of the terms' codes.
    fraction, low, high
        The result's codes: always in the type's own unit.
    count
        How many terms there are.
    precision
        The type of the sum.
    tree
        Whether the sum is a balanced tree of terms that were assigned to the type first, rather than a running
        sum that starts from zero.
    plain
        Whether no assignment changes anything, so that the order does not matter.
    arithmetic
        The number type of the computation.
    """

    source: int
    fraction: int
    low: Array
    high: Array
    count: int
    precision: FixedPoint
    tree: bool
    plain: bool
    arithmetic: Arithmetic

    def run(self, terms: Array, tally: Tally | None = None) -> Array:
        """Sum `terms` `(..., count, channels)` over the last axis but one."""
        terms = convert(terms, self.arithmetic)
        if self.plain:
            total = scaled(terms.sum(axis=-2, dtype=terms.dtype), self.fraction - self.source)
            if tally is not None:
                tally.add(total.size)
            return total
        gone = np.zeros((*terms.shape[:-2], terms.shape[-1]), bool)
        total = self._tree(terms, gone) if self.tree else self._running(terms, gone)
        if tally is not None:
            tally.add(
                total.size, overflowed=int(np.count_nonzero(gone)), wraps=self.precision.overflow == "WRAP"
            )
        return total

    def _running(self, terms: Array, gone: Array) -> Array:
        unit = max(self.source, self.fraction)
        total = np.zeros(gone.shape, dtype=terms.dtype)
        for index in range(self.count):
            term = scaled(terms[..., index, :], unit - self.source)
            exact = scaled(total, unit - self.fraction) + term
            total = self._assigned(exact, unit - self.fraction, gone)
        return total

    def _tree(self, terms: Array, gone: Array) -> Array:
        count = terms.shape[-2]
        if count == 1:
            return terms[..., 0, :]
        left = 1 << ((count - 1).bit_length() - 1)
        total = self._tree(terms[..., :left, :], gone) + self._tree(terms[..., left:, :], gone)
        return self._assigned(total, 0, gone)

    def _assigned(self, codes: Array, shift: int, gone: Array) -> Array:
        rounded = shift_right(codes, shift, self.precision.rounding) if shift else codes
        gone |= outside(rounded, self.precision, self.fraction)
        return limited(rounded, self.precision, out=rounded)


def plan_typed_sum(
    source: int, low: Array, high: Array, count: int, precision: FixedPoint, *, tree: bool
) -> TypedSum:
    """Plan a sum of `count` terms between `low` and `high`, float64 bounds of the shape of the result.

    With `tree` the terms must already be codes of the type in its own unit.
    """
    fraction = precision.fractional_bits
    least, most = kept_codes(precision, fraction)
    factor = 2.0 ** (fraction - source)
    sums = (np.minimum(low, 0.0) * count * factor, np.maximum(high, 0.0) * count * factor)
    plain = source <= fraction and float(sums[0].min()) >= least and float(sums[1].max()) <= most
    if plain:
        bounds = (low * count * factor, high * count * factor)
        bound = max(abs(float(sums[0].min())), abs(float(sums[1].max())))
        return TypedSum(source, fraction, *bounds, count, precision, tree, True, arithmetic_for(bound))
    unit = 2.0 ** max(0, source - fraction)
    term = max(abs(float(low.min())), abs(float(high.max()))) * max(factor, 1.0)
    bound = 2.0 * ((abs(float(least)) + abs(float(most)) + 1.0) * unit + term)
    ends = (np.full(low.shape, float(least)), np.full(low.shape, float(most)))
    return TypedSum(source, fraction, *ends, count, precision, tree, False, arithmetic_for(bound))


def divided(codes: Array, divisor: Array | int) -> Array:
    """Divide whole numbers by positive ones towards zero, as `ap_fixed` and `ap_int` do."""
    if codes.dtype.kind == "f":
        return np.trunc(codes / np.asarray(divisor, dtype=codes.dtype))
    divisor = np.asarray(divisor, dtype=codes.dtype)
    return np.where(codes < 0, -(-codes // divisor), codes // divisor)


def in_own_unit(cast: Cast, codes: Array) -> Array:
    """Bring codes that a cast made to the unit of its type."""
    shift = cast.precision.fractional_bits - cast.fraction
    if shift == 0:
        return codes
    bound = max(abs(float(cast.low.min())), abs(float(cast.high.max()))) * 2.0**shift
    arithmetic = arithmetic_for(bound)
    return scaled(convert(codes, arithmetic), shift)
