"""The assignment of one fixed-point value to another type, planned once for all the data, and what it loses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from codesign.core.fixed_point import FixedPoint, Rounding
from codesign.core.rounding import like, shift_right
from codesign.emulation.codes import (
    Arithmetic,
    Array,
    arithmetic_for,
    convert,
    is_float,
    kept_codes,
    limited,
    magnitude,
    outside,
    scaled,
)
from codesign.errors import ConversionError

Tensor = Literal["input", "weight", "bias", "accumulator", "result"]
TENSORS: tuple[Tensor, ...] = get_args(Tensor)

_FURTHEST_SHIFT = 62


@dataclass
class Tally:
    """A running count for one tensor, over batches.

    Parameters
    ----------
    values
        How many values were assigned to the tensor's type.
    wrapped
        How many were out of its range and lost their highest bits.
    saturated
        How many were out of its range and became its limit (or zero, with AP_SAT_ZERO).
    lost
        How many were not zero and became zero.
    """

    values: int = 0
    wrapped: int = 0
    saturated: int = 0
    lost: int = 0

    def add(self, values: int, *, overflowed: int = 0, wraps: bool = True, lost: int = 0) -> None:
        """Count some more values of a type that wraps or saturates."""
        self.values += values
        self.lost += lost
        if wraps:
            self.wrapped += overflowed
        else:
            self.saturated += overflowed


@dataclass(frozen=True, eq=False)
class Cast:
    """A planned assignment to `precision`.

    Parameters
    ----------
    source
        The fraction of the incoming codes.
    fraction, low, high
        The outgoing codes: their fraction and their bounds.
    precision
        The type that is assigned to.
    overflows
        Whether some value within the incoming bounds leaves the type's range.
    work
        The number type in which the computation is exact.
    """

    source: int
    fraction: int
    low: Array
    high: Array
    precision: FixedPoint
    overflows: bool
    work: Arithmetic

    @property
    def is_nothing(self) -> bool:
        """Whether no value changes."""
        return not self.overflows and self.fraction == self.source

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """The cheapest number type of the outgoing codes."""
        return arithmetic_for(magnitude(self.low, self.high))

    def apply(
        self,
        codes: Array,
        tally: Tally | None = None,
        *,
        relu: bool = False,
        own: bool = False,
        out: Array | None = None,
    ) -> Array:
        """Convert codes.

        Parameters
        ----------
        codes
            Whole numbers at `source`, within the bounds that the plan was made for.
        tally
            Where to count overflows and lost values.
        relu
            Replace negative values by zero first; only for a plan made with `relu`.
        own
            Whether `codes` may be overwritten.
        out
            An array of the type `work` that may be overwritten instead.

        Returns
        -------
        Array
            Codes at `fraction` in the number type `arithmetic`; may be `codes` itself or `out`.
        """
        given = codes
        codes = convert(codes, self.work)
        own = own or codes is not given
        out = codes if own else out
        if relu and self.overflows and self.precision.overflow not in ("SAT", "SAT_SYM"):
            codes, relu = np.maximum(codes, like(codes, 0)), False
            own, out = True, codes
        if tally is not None:  # the counts need both sides
            own, out = False, None
        rounded = self._rounded(codes, out)
        if tally is not None:
            self._count(codes, rounded, tally, relu)
        out = rounded if own or rounded is not codes else out
        if relu:  # clipping at zero commutes with rounding and with saturation
            most = kept_codes(self.precision, self.fraction)[1] if self.overflows else np.inf
            limits = (like(rounded, 0), most if rounded.dtype == object else like(rounded, most))
            rounded = np.clip(rounded, *limits, out=out)
        elif self.overflows:
            rounded = limited(rounded, self.precision, out=out)
        return convert(rounded, self.arithmetic)

    def _rounded(self, codes: Array, out: Array | None) -> Array:
        if self.fraction > self.source:
            return scaled(codes, self.fraction - self.source, out)
        if self.fraction < self.source:
            return shift_right(codes, self.source - self.fraction, self.precision.rounding, out)
        return codes

    def _count(self, codes: Array, rounded: Array, tally: Tally, relu: bool) -> None:
        counted = codes > 0 if relu else codes != 0
        gone = counted & outside(rounded, self.precision, self.fraction) if self.overflows else None
        lost = counted & (rounded == 0) if self.fraction < self.source else None
        tally.add(
            codes.size,
            overflowed=0 if gone is None else int(np.count_nonzero(gone)),
            wraps=self.precision.overflow.startswith("WRAP"),
            lost=0 if lost is None else int(np.count_nonzero(lost)),
        )


def plan_cast(source: int, low: Array, high: Array, precision: FixedPoint, *, relu: bool = False) -> Cast:
    """Plan the assignment of codes at fraction `source` between `low` and `high` (float64, any shape) to a type.

    Parameters
    ----------
    source, low, high
        The incoming codes.
    precision
        The type that is assigned to.
    relu
        Whether negative values become zero first; `low` and `high` are the bounds before that.

    Raises
    ------
    ConversionError
        For a type with saturation bits or AP_WRAP_SM, which hls4ml does not make.
    """
    if precision.saturation_bits or precision.overflow == "WRAP_SM":
        raise ConversionError(f"{precision} is not emulated; use an overflow mode without saturation bits")
    incoming = magnitude(low, high)
    if relu:
        low, high = np.maximum(low, 0.0), np.maximum(high, 0.0)
    fraction = min(source, precision.fractional_bits)
    rounded = _rounded_bounds(source, fraction, low, high, precision.rounding)
    overflows = _leaves_range(*rounded, precision, fraction)
    if overflows:  # limits are whole only in the type's own unit
        fraction = precision.fractional_bits
        rounded = _rounded_bounds(source, fraction, low, high, precision.rounding)
    work = _work(source - fraction, incoming, magnitude(*rounded), overflows)
    if overflows:
        rounded = _limited_bounds(*rounded, precision)
    return Cast(source, fraction, *rounded, precision, overflows, work)


def _leaves_range(low: Array, high: Array, precision: FixedPoint, fraction: int) -> bool:
    least, most = kept_codes(precision, fraction)
    return bool(low.size) and (float(low.min()) < least or float(high.max()) > most)


def _rounded_bounds(
    source: int, fraction: int, low: Array, high: Array, rounding: Rounding
) -> tuple[Array, Array]:
    """Round bounds; past 53 bits, where float64 is not exact, outwards by a step."""
    if fraction >= source:
        factor = 2.0 ** (fraction - source)
        return low * factor, high * factor
    low, high = (shift_right(bound, source - fraction, rounding) for bound in (low, high))
    return (low - 1.0, high + 1.0) if magnitude(low, high) > 2.0**50 else (low, high)


def _limited_bounds(low: Array, high: Array, precision: FixedPoint) -> tuple[Array, Array]:
    least, most = (float(code) for code in precision.kept_codes)
    if precision.overflow in ("SAT", "SAT_SYM"):
        return np.clip(low, least, most), np.clip(high, least, most)
    outer = (low < least) | (high > most)
    if precision.overflow == "SAT_ZERO":
        return np.where(outer, np.clip(low, least, 0.0), low), np.where(outer, np.clip(high, 0.0, most), high)
    return np.where(outer, least, low), np.where(outer, most, high)


def _work(shift: int, incoming: float, outgoing: float, overflows: bool) -> Arithmetic:
    """Choose the number type in which every step of the cast is exact; `shift` bits are rounded away."""
    bound = max(incoming, outgoing, 2.0 * outgoing if overflows else 0.0)
    if shift > 0:
        bound = max(bound, incoming + 2.0 ** (shift - 1))
    work = arithmetic_for(bound)
    return "object" if abs(shift) > _FURTHEST_SHIFT and not is_float(work) else work


def count_assignment(x: np.ndarray, precision: FixedPoint, tally: Tally) -> None:
    """Count the overflows and losses of an assignment of `x` (real numbers, any shape) to a type."""
    least, most = (limit * precision.step for limit in precision.kept_codes)
    unlimited = FixedPoint(64, 64 - precision.fractional_bits, True, precision.rounding, "SAT")
    rounded = unlimited.quantize(x)
    tally.add(
        x.size,
        overflowed=int(np.count_nonzero((rounded < least) | (rounded > most))),
        wraps=precision.overflow.startswith("WRAP"),
        lost=int(np.count_nonzero((x != 0) & (rounded == 0))),
    )
