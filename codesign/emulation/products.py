"""Sums of products with an accumulator type: the heart of dense and convolution layers.

In the C++ each product is assigned to `accum_t`, the sum starts from the bias in `accum_t`, and each addition is
assigned to `accum_t` again. Where no product loses bits, the order does not matter: AP_WRAP is arithmetic modulo
a power of two, and a saturating type that no partial sum can leave is plain arithmetic. Then one matrix product
does it. Otherwise the sum is made step by step, in the order of the C++.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import wrap
from codesign.emulation.cast import Cast, Tally, plan_cast
from codesign.emulation.codes import (
    Arithmetic,
    Array,
    arithmetic_for,
    constant_codes,
    convert,
    is_float,
    limited,
    magnitude,
    outside,
)

Method = Literal["exact", "wrapping", "stepwise"]

_ROW_VALUES = 1 << 11
_BLOCK_VALUES = 1 << 16  # accumulators that one step of a stepwise sum touches: they stay in the cache


@dataclass(frozen=True, eq=False)
class Weights:
    """A kernel and a bias as whole numbers of the coarsest unit that holds them.

    Parameters
    ----------
    kernel
        Codes (int64 or object): `(n_terms, n_outputs)` for a matrix product, or `(n_terms, n_channels)` where
        each channel is summed by itself.
    fraction
        The kernel's unit is `2**-fraction`.
    bias, bias_fraction
        Codes of the bias after its assignment to the accumulator type, `(n_outputs,)`, and their unit.
    by_channel
        Which of the two kernels it is.
    """

    kernel: Array
    fraction: int
    bias: Array
    bias_fraction: int
    by_channel: bool = False


@dataclass(frozen=True, eq=False)
class SumOfProducts:
    """A planned sum; `run` computes it.

    Parameters
    ----------
    fraction, low, high
        The outgoing codes: unit and float64 bounds, `(n_places, n_outputs)`.
    least, most
        The extreme values that a sum can reach, whatever the input: what the accumulator must hold so that it
        cannot overflow. For a saturating type every partial sum and product counts, for AP_WRAP the total.
    method
        ``exact`` (nothing can overflow), ``wrapping`` (one reduction at the end) or ``stepwise``.
    arithmetic
        The number type of the computation.
    accumulator, kernel, bias, by_channel
        What is summed, as codes in that type.
    product, order
        Of a stepwise sum: the assignment of a product to the accumulator's type, and the order of the terms.
    """

    fraction: int
    low: Array
    high: Array
    least: float
    most: float
    method: Method
    arithmetic: Arithmetic
    accumulator: FixedPoint
    kernel: Array
    bias: Array
    by_channel: bool
    product: Cast | None = None
    order: Array | None = None

    def run(self, terms: Array, tally: Tally | None = None, out: Array | None = None) -> Array:
        """Sum the products.

        Parameters
        ----------
        terms
            Codes, `(n, n_terms)`, or `(n, n_terms, n_channels)` for sums by channel.
        tally
            Where to count what happens to the accumulators.
        out
            An array for the result, of the type `arithmetic`.

        Returns
        -------
        Array
            Codes at `fraction`, `(n, n_outputs)`.
        """
        if self.method == "stepwise":
            return self._run_stepwise(terms, tally)
        terms = convert(terms, self.arithmetic)
        total = (
            sum_of_channels(terms, self.kernel) if self.by_channel else np.matmul(terms, self.kernel, out=out)
        )
        self._add_bias(total)
        if self.method == "exact":
            if tally is not None:
                tally.add(total.size)
            return total
        if tally is not None:
            gone = outside(total, self.accumulator, self.fraction)
            tally.add(total.size, overflowed=int(np.count_nonzero(gone)))
        bits = self.accumulator.integer_bits + self.fraction
        return wrap(total, bits, self.accumulator.signed, out=total)

    def _add_bias(self, total: Array) -> None:
        """Add the bias to every row in place: many rows as one, since NumPy is slow on short ones."""
        together = len(self._bias_rows) // self.bias.size
        whole = len(total) - len(total) % together
        if total.flags.c_contiguous:
            rows = total[:whole].reshape(-1, len(self._bias_rows))
            np.add(rows, self._bias_rows, out=rows)
            total = total[whole:]
        np.add(total, self.bias, out=total)

    @cached_property
    def _bias_rows(self) -> Array:
        """The bias again and again, some thousand values: they stay in the fastest cache."""
        return np.tile(self.bias, max(1, _ROW_VALUES // self.bias.size))

    def _run_stepwise(self, terms: Array, tally: Tally | None) -> Array:
        result = np.empty((len(terms), self.bias.size), dtype=self.arithmetic)
        rows = max(1, _BLOCK_VALUES // self.bias.size)
        for start in range(0, len(terms), rows):
            block = convert(terms[start : start + rows], self.arithmetic)
            result[start : start + rows] = self._block(block, tally)
        return result

    def _block(self, terms: Array, tally: Tally | None) -> Array:
        """Add the products one by one in the C++'s order."""
        kernel = self.kernel
        saturates = self.accumulator.overflow != "WRAP"
        total = np.broadcast_to(self.bias, (len(terms), self.bias.size)).copy()
        gone, lost = np.zeros(total.shape, bool), np.zeros(total.shape, bool)
        if self.order is not None:
            terms, kernel = _ordered(terms, kernel, self.order)
        for index in range(terms.shape[1]):
            exact = (terms[:, index] if self.by_channel else terms[:, index, None]) * kernel[index]
            product = exact if self.product is None else self.product.apply(exact)
            if tally is not None:
                lost |= (exact != 0) & (product == 0)
            total += product if is_float(self.arithmetic) else convert(product, self.arithmetic)
            if saturates:
                if tally is not None:
                    gone |= outside(total, self.accumulator, self.fraction)
                total = limited(total, self.accumulator, out=total)
        if not saturates:
            if tally is not None:
                gone = outside(total, self.accumulator, self.fraction)
            total = limited(total, self.accumulator, out=total)
        if tally is not None:
            zeroed = int(np.count_nonzero(lost & (total == 0)))
            tally.add(total.size, overflowed=int(np.count_nonzero(gone)), wraps=not saturates, lost=zeroed)
        return total


def plan_sum(
    fraction: int,
    low: Array,
    high: Array,
    weights: Weights,
    accumulator: FixedPoint,
    order: Array | None = None,
) -> SumOfProducts:
    """Plan sums of products of codes at `fraction`, between `low` and `high`, with constant weights.

    Parameters
    ----------
    fraction, low, high
        The incoming terms; float64 bounds of shape `(n_places, n_terms)`, by channel
        `(n_places, n_terms, n_channels)`.
    weights
        What they are multiplied with.
    accumulator
        The accumulator's type.
    order
        The order of the terms in the C++ if it is not their own: a permutation of `n_terms`, by channel one for
        each channel, `(n_terms, n_channels)`.
    """
    natural = fraction + weights.fraction
    reach = _reach(low, high, weights, natural, wraps=accumulator.overflow == "WRAP")
    lossy = accumulator.fractional_bits < natural and bool(np.any(weights.kernel))
    least, most = _limits(accumulator)
    fits = least <= reach.least and reach.most <= most
    if lossy or not (fits or accumulator.overflow == "WRAP"):
        return _plan_stepwise(natural, reach, weights, accumulator, order)
    unit = max(natural, weights.bias_fraction) if np.any(weights.kernel) else weights.bias_fraction
    bounds = (reach.low, reach.high)
    if not fits:
        bounds = (np.full(reach.low.shape, least), np.full(reach.low.shape, most))
    arithmetic = arithmetic_for(reach.span * 2.0**unit * (1 if fits else 2))
    if not fits and arithmetic == "object" and accumulator.width <= 62 and magnitude(low, high) < 2.0**62:
        arithmetic = "int64"  # it wraps modulo 2**64 by itself
    return SumOfProducts(
        unit,
        bounds[0] * 2.0**unit,
        bounds[1] * 2.0**unit,
        reach.least,
        reach.most,
        "exact" if fits else "wrapping",
        arithmetic,
        accumulator,
        constant_codes(weights.kernel, max(0, unit - natural), arithmetic),
        constant_codes(weights.bias, unit - weights.bias_fraction, arithmetic),
        weights.by_channel,
    )


def _plan_stepwise(
    natural: int, reach: _Reach, weights: Weights, accumulator: FixedPoint, order: Array | None
) -> SumOfProducts:
    unit = accumulator.fractional_bits
    source = max(natural, unit)
    ends = np.array([reach.product_least, reach.product_most]) * 2.0**source
    product = plan_cast(source, ends[:1], ends[1:], accumulator)
    # rounding moves each product by less than a unit
    slack = len(weights.kernel) * accumulator.step if natural > unit else 0.0
    least, most = reach.least - slack, reach.most + slack
    limits = _limits(accumulator)
    overflows = least < limits[0] or most > limits[1] or product.overflows
    bounds = (reach.low - slack, reach.high + slack)
    if overflows:
        bounds = (np.full(reach.low.shape, limits[0]), np.full(reach.low.shape, limits[1]))
    needed = max([reach.span + slack, *(abs(limit) for limit in limits if overflows)])
    if product.overflows:
        needed *= 1 + len(weights.kernel)
    arithmetic = arithmetic_for(2.0 * needed / accumulator.step, at_least=product.work)
    return SumOfProducts(
        unit,
        bounds[0] / accumulator.step,
        bounds[1] / accumulator.step,
        least,
        most,
        "stepwise",
        arithmetic,
        accumulator,
        constant_codes(weights.kernel, source - natural, arithmetic),
        constant_codes(weights.bias, unit - weights.bias_fraction, arithmetic),
        weights.by_channel,
        None if product.is_nothing else product,
        order,
    )


def _limits(precision: FixedPoint) -> tuple[float, float]:
    """The extreme values that overflow handling leaves alone."""
    least, most = precision.kept_codes
    return least * precision.step, most * precision.step


@dataclass(frozen=True, eq=False)
class _Reach:
    """How far sums go, as values.

    `low` and `high` bound the sums, `(n_places, n_outputs)`; `least` and `most` what overflow depends on; `span`
    the magnitude of every partial sum in any order; the products' bounds are those of single products.
    """

    low: Array
    high: Array
    least: float
    most: float
    span: float
    product_least: float
    product_most: float


def _reach(low: Array, high: Array, weights: Weights, natural: int, *, wraps: bool) -> _Reach:
    kernel, step = weights.kernel.astype(np.float64), 2.0**-natural
    bias = weights.bias.astype(np.float64) * 2.0**-weights.bias_fraction
    up, down = np.maximum(kernel, 0.0), np.minimum(kernel, 0.0)
    total = sum_of_channels if weights.by_channel else np.matmul

    def lower_ends(lower: Array, upper: Array) -> Array:
        result: Array = (total(lower, up) + total(upper, down)) * step
        return result

    # a partial sum has any of the terms: those of the wrong sign count as zero
    smallest = lower_ends(np.minimum(low, 0.0), np.maximum(high, 0.0))
    largest = -lower_ends(np.minimum(-high, 0.0), np.maximum(-low, 0.0))
    # past 53 bits float64 rounds: widen a little
    widened = 1.0 if magnitude(smallest, largest) / step <= 2.0**53 else 1.0 + 2.0**-40
    lowest, highest = low.min(axis=0), high.max(axis=0)
    ends = [(end if weights.by_channel else end[:, None]) * kernel * step for end in (lowest, highest)]
    products = (float(min(end.min() for end in ends)), float(max(end.max() for end in ends)))
    sums = (lower_ends(low, high) * widened + bias, -lower_ends(-high, -low) * widened + bias)
    if wraps:
        least, most = float(sums[0].min()), float(sums[1].max())
    else:
        least = min(float((smallest * widened + bias).min()), products[0])
        most = max(float((largest * widened + bias).max()), products[1])
    span = max(-float(smallest.min()), float(largest.max())) * widened + float(np.abs(bias).max())
    return _Reach(*sums, least, most, span, *products)


def sum_of_channels(terms: Array, kernel: Array) -> Array:
    """Sum `terms` `(n, n_terms, n_channels)` times `kernel` `(n_terms, n_channels)` over the terms."""
    total = terms[:, 0] * kernel[0]
    for index in range(1, terms.shape[1]):
        total += terms[:, index] * kernel[index]
    return total


def whole_codes(values: Array, precision: FixedPoint) -> tuple[Array, int]:
    """Values of a type as whole numbers of the coarsest unit `2**-fraction` that holds them all."""
    codes = precision.to_integers(values)
    if precision.width > 62:
        codes = codes.astype(object)
    together = int(np.bitwise_or.reduce(codes.ravel())) if codes.size else 0
    if together == 0:
        return codes, min(0, precision.fractional_bits)
    spare = (together & -together).bit_length() - 1
    return codes >> spare, precision.fractional_bits - spare


def _ordered(terms: Array, kernel: Array, order: Array) -> tuple[Array, Array]:
    if order.ndim == 1:
        return terms[:, order], kernel[order]
    return np.take_along_axis(terms, order[None], axis=1), np.take_along_axis(kernel, order, axis=0)
