"""Whole-number codes in the number types that NumPy computes fast.

A *code* is a value times a power of two, `value * 2**fraction`. Codes live in float32 or float64 as long as every
number on the way stays below 2**24 or 2**53 (then all steps are exact), else in int64, else in Python's own
integers (`object`). The caller proves the bounds; here are the steps. A `Signal` is what is known of a tensor of them
before any data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import like, overflow_codes

Array = np.ndarray[Any, Any]
Arithmetic = Literal["float32", "float64", "int64", "object"]

EXACT_BELOW: dict[Arithmetic, float] = {
    "float32": 2.0**24,
    "float64": 2.0**53,
    "int64": 2.0**62,
    "object": np.inf,
}
"""Up to this magnitude every whole number is exact in the type."""


def arithmetic_for(bound: float, at_least: Arithmetic = "float32") -> Arithmetic:
    """Choose the cheapest type, not below `at_least`, that holds whole numbers up to `bound` exactly."""
    kinds = list(EXACT_BELOW)
    for kind in kinds[kinds.index(at_least) :]:
        if bound <= EXACT_BELOW[kind]:
            return kind
    return "object"


def widest(*arithmetics: Arithmetic) -> Arithmetic:
    """The widest of some number types."""
    kinds = list(EXACT_BELOW)
    return max(arithmetics, key=kinds.index)


def is_float(arithmetic: Arithmetic) -> bool:
    """Whether the type is a binary floating-point type."""
    return arithmetic in ("float32", "float64")


def convert(codes: Array, arithmetic: Arithmetic) -> Array:
    """Change the number type, without a copy if it is that type already."""
    if codes.dtype == arithmetic:
        return codes
    if arithmetic == "object":
        return (codes.astype(np.int64) if codes.dtype.kind == "f" else codes).astype(object)
    return codes.astype(arithmetic)


def constant_codes(codes: Array, shift: int, arithmetic: Arithmetic) -> Array:
    """Integer codes times `2**shift`, `shift >= 0`, in a number type that holds them."""
    if is_float(arithmetic):
        return convert(codes, arithmetic) * np.dtype(arithmetic).type(2.0**shift)
    return convert(codes, arithmetic) << shift


def scaled(codes: Array, shift: int, out: Array | None = None) -> Array:
    """Multiply codes by `2**shift`, `shift >= 0` for integers, in a new array or in `out`."""
    if codes.dtype.kind == "f":
        return np.multiply(codes, codes.dtype.type(2.0**shift), out=out)
    return codes << shift


def kept_codes(precision: FixedPoint, fraction: int) -> tuple[float, float]:
    """The least and the greatest code at `fraction` that overflow handling leaves alone.

    Exact Python integers in the type's own unit; in a coarser unit they need not be whole.
    """
    least, most = precision.kept_codes
    if fraction == precision.fractional_bits:
        return least, most
    factor = 2.0 ** (fraction - precision.fractional_bits)
    return least * factor, most * factor


def outside(codes: Array, precision: FixedPoint, fraction: int) -> Array:
    """Where codes at `fraction` are out of the type's range."""
    least, most = kept_codes(precision, fraction)
    return (codes < like(codes, least)) | (codes > like(codes, most))


def limited(codes: Array, precision: FixedPoint, out: Array | None = None) -> Array:
    """Apply a type's overflow mode (not AP_WRAP_SM) to codes in its own unit; `out` is of their type, often `codes`."""
    result: Array = overflow_codes(
        codes, precision.overflow, precision.kept_codes, precision.width, precision.signed, out=out
    )
    return result


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
    """The greatest magnitude between bounds; rounded up where float64 may have rounded it down."""
    if low.size == 0:
        return 0.0
    bound = max(abs(float(low.min())), abs(float(high.max())))
    return bound if bound <= 2.0**53 else bound * (1.0 + _SLACK)


def type_bounds(precision: FixedPoint, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Bounds that say no more than the type does, in codes of its own fraction."""
    least, most = precision.code_limits
    return np.full(shape, float(least)), np.full(shape, float(most))
