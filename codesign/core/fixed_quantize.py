"""Quantization of NumPy arrays exactly as the `ap_fixed` headers do it.

A *code* is the whole number `value / step`. Everything here scales by powers of two, rounds with floor, trunc
and rint, and subtracts multiples of powers of two: each of those is exact in floating point, so no result
depends on the size of the mantissa. The few modes and widths that floating point cannot follow (codes past 53
bits, saturation bits, sign-magnitude wrapping) take `fixed_overflow`'s whole numbers for the values out of
range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.core.fixed_overflow import overflowed_code
from codesign.errors import DataError

if TYPE_CHECKING:
    from codesign.core.fixed_point import FixedPoint

Floats = NDArray[Any]

_CHUNK = 1 << 14  # elements at a time, so that all passes but the first find them in the cache


def result_dtype(precision: FixedPoint, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the type of `quantize`'s result: float32 for float32 input and a format that float32 holds."""
    small = precision.width <= 24 and abs(precision.fractional_bits) <= 100
    return np.dtype(np.float32 if small and dtype == np.float32 else np.float64)


def real_array(x: ArrayLike) -> Floats:
    """`x` as C-contiguous float32 (if it is float32) or float64; refuses what float64 cannot hold."""
    given = np.asarray(x)
    if given.dtype in (np.float32, np.float64):
        return given if given.flags.c_contiguous else given.copy(order="C")
    if given.dtype.kind not in "fiub":
        raise DataError(f"x must be real numbers, not {given.dtype}")
    converted = given.astype(np.float64)
    if given.dtype.itemsize >= 8 and not np.array_equal(converted.astype(given.dtype), given, equal_nan=True):
        raise DataError(f"x holds {given.dtype} values that float64 cannot hold; keep them below 2**53")
    return converted


def quantize(precision: FixedPoint, x: ArrayLike, out: Floats | None = None) -> Floats:
    """See `FixedPoint.quantize`."""
    array = real_array(x)
    dtype = result_dtype(precision, array.dtype)
    result = np.empty(array.shape, dtype) if out is None else out
    if result.shape != array.shape or result.dtype != dtype:
        raise DataError(
            f"out must be {dtype} of shape {array.shape} for {precision}, "
            f"not {result.dtype} of shape {result.shape}"
        )
    same = array.ctypes.data == result.ctypes.data
    direct = result.flags.c_contiguous and (same or not np.may_share_memory(array, result))
    target = result if direct else np.empty(array.shape, dtype)
    _quantize_flat(precision, array.reshape(-1), target.reshape(-1), precision.step)
    if target is not result:
        result[...] = target
    return result


def to_integers(precision: FixedPoint, x: ArrayLike) -> NDArray[Any]:
    """See `FixedPoint.to_integers`."""
    array = real_array(x)
    if precision.width <= 53:
        codes = np.empty(array.shape, np.float64)
        _quantize_flat(precision, array.astype(np.float64, copy=False).reshape(-1), codes.reshape(-1), 1.0)
        return codes.astype(np.int64)
    flat = array.reshape(-1).astype(np.float64)
    rounded = np.empty_like(flat)
    _scale(precision, flat, rounded)
    _refuse_unusable(precision, flat)
    outside, exact = _round_inside(precision, flat, rounded, np.empty_like(flat))
    unsigned_64 = precision.width == 64 and not precision.signed
    integers = rounded.astype(np.uint64 if unsigned_64 else np.int64)
    integers[outside] = exact
    return integers.reshape(array.shape)


def from_integers(precision: FixedPoint, codes: ArrayLike) -> NDArray[np.float64]:
    """See `FixedPoint.from_integers`."""
    whole = np.asarray(codes)
    if whole.dtype.kind not in "iub":
        raise DataError(f"codes must be integers, not {whole.dtype}")
    least, most = precision.code_limits
    outside = np.array([]) if whole.size == 0 else np.flatnonzero((whole < least) | (whole > most))
    if outside.size:
        raise DataError(
            f"code {whole.reshape(-1)[outside[0]]} at index {outside[0]} is not one of {precision}, "
            f"which are {least} to {most}"
        )
    return real_array(whole) * precision.step


def is_representable(precision: FixedPoint, x: ArrayLike) -> NDArray[np.bool_]:
    """See `FixedPoint.is_representable`."""
    array = real_array(x).astype(np.float64)
    scaled = np.empty_like(array)
    _scale(precision, array, scaled)
    bound = 2.0 ** (precision.width - precision.signed)
    low = -bound if precision.signed else 0.0
    return (scaled >= low) & (scaled < bound) & (np.floor(scaled) == scaled)


def _quantize_flat(precision: FixedPoint, x: Floats, out: Floats, factor: float) -> None:
    """Fill `out` with codes times `factor`, chunk by chunk; `x` may be `out`."""
    size = min(_CHUNK, x.size)
    scratch, spare = np.empty(size, out.dtype), np.empty(size, out.dtype)
    for start in range(0, x.size, _CHUNK):
        part = x[start : start + _CHUNK]
        codes = scratch[: part.size]
        _codes(precision, part, codes, spare[: part.size], x)
        np.add(codes, 0.0, out=codes)  # makes -0.0 the 0.0 that ap_fixed has
        np.multiply(codes, factor, out=out[start : start + _CHUNK])


def _codes(precision: FixedPoint, x: Floats, codes: Floats, spare: Floats, everything: Floats) -> None:
    """Fill `codes` with the codes of `x`; `spare` is scratch of the same shape."""
    _scale(precision, x, codes)
    first, last = _limits(precision)
    low, high = codes.min(), codes.max()
    if first <= low and high <= last:  # rounding cannot leave a range whose ends are whole
        _round(precision, codes, spare)
        return
    if np.isnan(low) or (precision.overflow.startswith("WRAP") and np.isinf(x).any()):
        _refuse_unusable(precision, everything)
    if precision.width > 53 or precision.saturation_bits or precision.overflow == "WRAP_SM":
        outside, exact = _round_inside(precision, x, codes, spare)
        codes[outside] = _as_floats(precision, exact)
    elif precision.overflow == "WRAP":
        np.copyto(codes, 0.0, where=np.isinf(codes))  # so far out that every bit of the format is zero
        _round(precision, codes, spare)
        _wrap(precision, codes, spare)
    elif precision.overflow == "SAT_ZERO":
        np.clip(codes, first - 1, last + 1, out=codes)
        _round(precision, codes, spare)
        np.copyto(codes, 0.0, where=(codes < first) | (codes > last))
    else:
        np.clip(codes, first, last, out=codes)
        _round(precision, codes, spare)


def _round_inside(
    precision: FixedPoint, x: Floats, codes: Floats, spare: Floats
) -> tuple[NDArray[np.intp], list[int]]:
    """Round the codes in range, zero the others; give the places and the exact codes of the others."""
    first, last = _limits(precision)
    outside = np.flatnonzero((codes < first) | (codes > last))
    codes[outside] = 0.0
    _round(precision, codes, spare)
    return outside, [overflowed_code(precision, float(value)) for value in x[outside]]


def _limits(precision: FixedPoint) -> tuple[float, float]:
    """Give the least and the greatest code that overflow handling leaves alone, as floats inside."""
    bound = 2.0 ** (precision.width - precision.signed)
    last = bound - 1.0 if bound <= 2.0**53 else float(np.nextafter(bound, 0.0))
    if not precision.signed:
        return 0.0, last
    return (-last if precision.overflow == "SAT_SYM" else -bound), last


def _scale(precision: FixedPoint, x: Floats, out: Floats) -> None:
    """`x / step`: exact, but for infinity where it exceeds the type and the sign alone where it vanishes."""
    with np.errstate(over="ignore", under="ignore"):
        np.multiply(x, 2.0**precision.fractional_bits, out=out, dtype=out.dtype)
    if precision.fractional_bits < 0:
        np.copyto(out, np.copysign(2.0**-100, x), where=(out == 0) & (x != 0), casting="same_kind")


def _round(precision: FixedPoint, codes: Floats, spare: Floats) -> None:
    """Round `codes` in place; each formula is exact (the fraction of a float is a float)."""
    mode = precision.rounding
    if mode == "TRN":
        np.floor(codes, out=codes)
    elif mode == "TRN_ZERO":
        np.trunc(codes, out=codes)
    elif mode == "RND_CONV":
        np.rint(codes, out=codes)
    elif mode in ("RND", "RND_MIN_INF"):  # to nearest even, then mend the ties that went the other way
        np.rint(codes, out=spare)
        np.subtract(codes, spare, out=codes)
        ties = codes == (0.5 if mode == "RND" else -0.5)
        (np.add if mode == "RND" else np.subtract)(spare, ties, out=codes)
    else:  # RND_ZERO, RND_INF: rint(+-0.5) is 0, trunc(2 * +-0.5) is +-1
        np.trunc(codes, out=spare)
        np.subtract(codes, spare, out=codes)
        if mode == "RND_ZERO":
            np.rint(codes, out=codes)
        else:
            np.add(codes, codes, out=codes)
            np.trunc(codes, out=codes)
        np.add(spare, codes, out=codes)


def _wrap(precision: FixedPoint, codes: Floats, spare: Floats) -> None:
    """Keep the lowest `width` bits of whole numbers, in two's complement if signed."""
    for bits in (precision.width, precision.width - 1)[: 1 + precision.signed]:
        np.multiply(codes, 2.0**-bits, out=spare)
        np.floor(spare, out=spare)
        np.multiply(spare, 2.0**precision.width, out=spare)
        np.subtract(codes, spare, out=codes)


def _as_floats(precision: FixedPoint, codes: list[int]) -> list[float]:
    floats = [float(code) for code in codes]
    for code, value in zip(codes, floats, strict=True):
        if int(value) != code:
            raise DataError(
                f"x overflows {precision} and becomes {code} steps, which float64 cannot hold; "
                "use to_integers"
            )
    return floats


def _refuse_unusable(precision: FixedPoint, x: Floats) -> None:
    """Raise for NaN, and for infinities where they do not saturate."""
    bad = np.flatnonzero(~np.isfinite(x) if precision.overflow.startswith("WRAP") else np.isnan(x))
    if bad.size:
        raise DataError(
            f"x has {x[bad[0]]} at index {bad[0]} (of {x.size} values), which {precision} cannot take"
        )
