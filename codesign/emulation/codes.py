"""Rounding and overflow of whole-number codes, in the number types that NumPy computes fast.

A *code* is a value times a power of two, `value * 2**fraction`. Codes live in float32 or float64 as long as every
number on the way stays below 2**24 or 2**53 (then all steps are exact), else in int64, else in Python's own
integers (`object`). The caller proves the bounds; here are the steps.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from codesign.core.fixed_point import FixedPoint

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
    """Return the widest of some number types."""
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
    """Return integer codes times `2**shift`, `shift >= 0`, in a number type that holds them."""
    if is_float(arithmetic):
        return convert(codes, arithmetic) * np.dtype(arithmetic).type(2.0**shift)
    return convert(codes, arithmetic) << shift


def scaled(codes: Array, shift: int, out: Array | None = None) -> Array:
    """Multiply codes by `2**shift`, `shift >= 0` for integers, in a new array or in `out`."""
    if codes.dtype.kind == "f":
        return np.multiply(codes, codes.dtype.type(2.0**shift), out=out)
    return codes << shift


def shift_right(codes: Array, count: int, rounding: str, out: Array | None = None) -> Array:
    """Divide codes by `2**count` and round as `ap_fixed` does, in a new array or, for float types, in `out`.

    Parameters
    ----------
    codes
        Whole numbers. For float types `|codes| + 2**(count - 1)` must be exact in the type.
    count
        At least 1.
    rounding
        A quantization mode of `FixedPoint`.
    """
    if codes.dtype.kind == "f":
        return _round_float(np.multiply(codes, codes.dtype.type(2.0**-count), out=out), rounding)
    quotient = codes >> count
    rest = codes - (quotient << count)
    half = 1 << (count - 1)
    if rounding == "TRN":
        up = rest < 0
    elif rounding == "TRN_ZERO":
        up = (codes < 0) & (rest != 0)
    else:
        tie = {
            "RND": rest == half,
            "RND_MIN_INF": rest < 0,
            "RND_CONV": (rest == half) & (quotient % 2 == 1),
            "RND_ZERO": (rest == half) & (codes < 0),
            "RND_INF": (rest == half) & (codes >= 0),
        }[rounding]
        up = (rest > half) | tie
    return quotient + up.astype(codes.dtype)


def _round_float(x: Array, rounding: str) -> Array:
    half = x.dtype.type(0.5)
    if rounding == "TRN":
        return np.floor(x, out=x)
    if rounding == "RND_CONV":
        return np.rint(x, out=x)
    if rounding == "RND":
        return np.floor(np.add(x, half, out=x), out=x)
    if rounding == "RND_MIN_INF":
        return np.ceil(np.subtract(x, half, out=x), out=x)
    if rounding == "TRN_ZERO":
        return np.trunc(x, out=x)
    magnitude = np.abs(x)
    if rounding == "RND_ZERO":
        np.ceil(np.subtract(magnitude, half, out=magnitude), out=magnitude)
    else:  # RND_INF
        np.floor(np.add(magnitude, half, out=magnitude), out=magnitude)
    return np.copysign(magnitude, x, out=x)


def wrapped(codes: Array, bits: int, signed: bool, out: Array | None = None) -> Array:
    """Keep the lowest `bits` bits of whole numbers, in two's complement if `signed`.

    Parameters
    ----------
    codes
        Whole numbers.
    bits
        May be zero or negative: then nothing is left.
    signed
        Whether the highest bit that is kept is a sign.
    out
        Where the result may be put, of a float type of `codes`; often `codes` itself.
    """
    if bits <= 0:
        return np.zeros_like(codes)
    if codes.dtype.kind == "f":
        modulus = codes.dtype.type(2.0**bits)
        turns = np.multiply(codes, codes.dtype.type(2.0**-bits))
        if signed:
            np.add(turns, codes.dtype.type(0.5), out=turns)
        np.floor(turns, out=turns)
        np.multiply(turns, modulus, out=turns)
        return np.subtract(codes, turns, out=out)
    if codes.dtype == np.int64 and bits >= 64:
        return codes  # int64 has wrapped by itself
    low = codes & ((1 << bits) - 1)
    if not signed:
        return low
    return low - ((low >> (bits - 1)) << bits)


def limit_codes(precision: FixedPoint, fraction: int) -> tuple[float, float]:
    """Return the least and the greatest code at `fraction` that overflow handling leaves alone.

    Exact Python integers in the type's own unit; in a coarser unit they need not be whole.
    """
    least, most = precision.code_limits
    if precision.overflow == "SAT_SYM" and precision.signed:
        least = -most
    if fraction == precision.fractional_bits:
        return least, most
    factor = 2.0 ** (fraction - precision.fractional_bits)
    return least * factor, most * factor


def outside(codes: Array, precision: FixedPoint, fraction: int) -> Array:
    """Return where codes at `fraction` are out of the type's range."""
    least, most = limit_codes(precision, fraction)
    return (codes < like(codes, least)) | (codes > like(codes, most))


def limited(codes: Array, precision: FixedPoint, out: Array | None = None) -> Array:
    """Apply a type's overflow mode to codes in its own unit.

    Parameters
    ----------
    codes
        Whole numbers at `precision.fractional_bits`.
    precision
        The type; its overflow mode is not AP_WRAP_SM.
    out
        Where the result may be put, of the type of `codes`; often `codes` itself.
    """
    if precision.overflow == "WRAP":
        return wrapped(codes, precision.width, precision.signed, out)
    least, most = (like(codes, limit) for limit in limit_codes(precision, precision.fractional_bits))
    if precision.overflow == "SAT_ZERO":
        return np.where((codes < least) | (codes > most), like(codes, 0), codes)
    return np.clip(codes, least, most, out=out)


def like(codes: Array, value: float) -> Any:
    """Return a scalar of the array's own type, so that nothing is promoted."""
    return int(value) if codes.dtype == object else codes.dtype.type(value)
