"""What is known of a tensor before any data: its unit, its bounds and the number type that holds it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.codes import Arithmetic, Array, arithmetic_for

_SLACK = 2.0**-40


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor of codes.

    Parameters
    ----------
    fraction
        The value is `code * 2**-fraction`; never more than the fractional bits of `precision`.
    low, high
        float64 bounds of the codes for any input on the input grid, of the tensor's shape without the batch.
    precision
        Its C++ type.
    integer
        Whether the C++ type is `ap_int` rather than `ap_fixed`.
    """

    fraction: int
    low: Array
    high: Array
    precision: FixedPoint
    integer: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape without the batch."""
        return tuple(self.low.shape)

    @cached_property
    def bound(self) -> float:
        """The greatest magnitude that a code can have."""
        return magnitude(self.low, self.high)

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """The number type of the codes."""
        return arithmetic_for(self.bound)


def magnitude(low: Array, high: Array) -> float:
    """Return the greatest magnitude between bounds; rounded up where float64 may have rounded it down."""
    if low.size == 0:
        return 0.0
    bound = max(abs(float(low.min())), abs(float(high.max())))
    return bound if bound <= 2.0**53 else bound * (1.0 + _SLACK)


def type_bounds(precision: FixedPoint, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return bounds that say no more than the type does, in codes of its own fraction."""
    least, most = precision.code_limits
    return np.full(shape, float(least)), np.full(shape, float(most))
