"""The roundings and the overflows of `ap_fixed`, each written once for every kind of number.

A *code* is a value divided by the step of its format; to assign a value to a format is to round its code to a whole
number and to bring that into the format's range. Two kinds of numbers take two ways to round:

- Whole numbers that are divided by a power of two (Python's own, NumPy's) and the wires of a design have a last bit, so
  that every rounding is *down* after something was added: `OFFSETS`, `shift_right`.
- Real numbers in floating point (NumPy's arrays, Keras' tensors) have their last bit anywhere. Their fractions are
  floating-point numbers again, so that ties are seen as they are: `round_floats`.

What follows takes whole numbers of any kind, floating-point ones among them: `overflow_codes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Rounding = Literal["RND", "RND_ZERO", "RND_MIN_INF", "RND_INF", "RND_CONV", "TRN", "TRN_ZERO"]
Overflow = Literal["SAT", "SAT_ZERO", "SAT_SYM", "WRAP", "WRAP_SM"]

Codes = Any
"""An array (float32, float64, int64, object), a tensor or a Python integer."""


@dataclass(frozen=True)
class Offset:
    """What a rounding adds before it goes down to a whole step.

    Each part is two numbers: how many halves of the step, and how many of the last bits that the number has.

    Parameters
    ----------
    always
        Added to every number.
    if_negative
        Added to negative ones.
    if_odd
        Added where the whole step below is an odd one.
    """

    always: tuple[int, int] = (0, 0)
    if_negative: tuple[int, int] = (0, 0)
    if_odd: tuple[int, int] = (0, 0)


OFFSETS: Mapping[Rounding, Offset] = {
    "TRN": Offset(),
    "TRN_ZERO": Offset(if_negative=(2, -1)),
    "RND": Offset((1, 0)),
    "RND_MIN_INF": Offset((1, -1)),
    "RND_ZERO": Offset((1, -1), if_negative=(0, 1)),
    "RND_INF": Offset((1, 0), if_negative=(0, -1)),
    "RND_CONV": Offset((1, -1), if_odd=(0, 1)),
}
"""The quantization modes of `ap_fixed` for numbers with a last bit."""

_ONE_STEP: Mapping[str, str] = {"TRN": "floor", "TRN_ZERO": "trunc", "RND_CONV": "round"}


def shift_right(codes: Codes, count: int, rounding: Rounding, out: Codes = None) -> Codes:
    """Divide whole numbers by `2**count` and round.

    Parameters
    ----------
    codes
        A Python integer or an array. `|codes| + 2**(count - 1)` must be exact in a floating-point type, and twice that
        in int64.
    count
        How many bits are rounded away; of integers negative ones are added.
    out
        An array for the result of floating-point numbers; may be `codes`.
    """
    floats = _is_float(codes)
    if floats and rounding in _ONE_STEP:
        quotient = np.multiply(codes, codes.dtype.type(2.0**-count), out=out)
        return round_floats(quotient, rounding, quotient)
    if count <= 0:
        return codes << -count
    half, offset = 1 << (count - 1), OFFSETS[rounding]
    always, negative, odd = (
        halves * half + units for halves, units in (offset.always, offset.if_negative, offset.if_odd)
    )
    added = always  # all of it is known before `out`, which may be `codes`, is written
    if negative:
        added = added + _flags(codes < 0, codes) * negative
    if odd:
        added = added + (codes >> count & 1) * odd
    if not floats:
        return (codes + added if offset != OFFSETS["TRN"] else codes) >> count
    total = np.add(codes, added, out=out)
    quotient = np.multiply(total, total.dtype.type(2.0**-count), out=total)
    return np.floor(quotient, out=quotient)


def constant_for_nearest(constant: float, whole: float, step: float) -> float | None:
    """The constant with which rounding a sum *down* to `step` is rounding it to nearest even, if there is one.

    A sum of whole steps `whole` (a power of two, as `step` is) and a constant that is no whole number of half steps away
    from one lies nowhere half-way between two values of the type. Then rounding to nearest even is rounding to nearest, which is
    half a step in the constant, and what the constant has below the finer of the two steps can be left out.
    """
    grid = min(whole, step)
    if (constant - step / 2) % grid == 0:
        return None
    return math.floor((constant + step / 2) / grid) * grid


def round_floats(x: Codes, rounding: Rounding, out: Codes = None, ops: Any = np) -> Codes:
    """Round floating-point numbers to whole ones, exactly, whatever their mantissa.

    Parameters
    ----------
    x
        Finite numbers of any shape.
    rounding
        The quantization mode.
    out
        An array for the result; may be `x`.
    ops
        The module that has the functions for `x`: NumPy, or `keras.ops` for tensors.
    """
    if rounding in _ONE_STEP:
        function = getattr(ops, _ONE_STEP[rounding])
        return function(x) if out is None else function(x, out=out)
    if rounding in ("RND", "RND_MIN_INF"):  # to nearest even, then mend the ties that went the other way
        side = 1.0 if rounding == "RND" else -1.0
        nearest = ops.round(x)
        result = ops.where(x - nearest == side / 2, nearest + side, nearest)
    else:  # round(+-0.5) is 0, trunc(2 * +-0.5) is +-1
        whole = ops.trunc(x)
        rest = x - whole
        result = whole + (ops.round(rest) if rounding == "RND_ZERO" else ops.trunc(rest + rest))
    if out is None:
        return result
    np.copyto(out, result)
    return out


def wrap(codes: Codes, width: int, signed: bool, out: Codes = None, ops: Any = np) -> Codes:
    """Keep the lowest `width` bits of whole numbers, in two's complement if `signed`.

    Parameters
    ----------
    codes
        Whole numbers, finite.
    width
        May be zero or negative: then nothing is left.
    signed
        Whether the highest bit that is kept is a sign.
    out
        An array for the result of floating-point numbers; may be `codes`.
    ops
        As for `round_floats`.
    """
    if width <= 0:
        return codes * 0
    if ops is np and not _is_float(codes):
        if getattr(codes, "dtype", None) == np.int64 and width >= 64:
            return codes  # int64 has wrapped by itself
        low = codes & ((1 << width) - 1)
        return low - (low >> (width - 1) << width) if signed else low
    # scaling by powers of two is exact, and so is the one difference: it is no larger than the code, or has all its bits
    turns = codes * 2.0 ** (signed - width)
    if ops is not np:
        turns = ops.ceil(ops.floor(turns) * 0.5) if signed else ops.floor(turns)
        return codes - turns * 2.0**width
    np.floor(turns, out=turns)
    if signed:
        np.ceil(np.multiply(turns, 0.5, out=turns), out=turns)
    return np.subtract(codes, np.multiply(turns, 2.0**width, out=turns), out=out)


def overflow_codes(
    codes: Codes,
    overflow: Overflow,
    ends: tuple[int, int],
    width: int,
    signed: bool,
    *,
    truncated: Codes = None,
    out: Codes = None,
    ops: Any = np,
) -> Codes:
    """Bring whole numbers into the range of a format without saturation bits.

    Parameters
    ----------
    codes
        Whole numbers; finite where the format wraps.
    overflow
        The overflow mode.
    ends
        The least and the greatest code that stays as it is.
    width, signed
        The format's bits.
    truncated
        For AP_WRAP_SM: the codes rounded down, since the headers look at the source before its rounding.
    out
        An array that may take the result; may be `codes`.
    ops
        As for `round_floats`.
    """
    if overflow == "WRAP":
        return wrap(codes, width, signed, out, ops)
    least, most = (like(codes, end) for end in ends) if ops is np else ends
    if overflow in ("SAT", "SAT_SYM"):
        return ops.clip(codes, least, most) if out is None else ops.clip(codes, least, most, out=out)
    outside = (codes < least) | (codes > most)
    if overflow == "SAT_ZERO":
        return ops.where(outside, codes * 0, codes)
    kept = wrap(codes, width, signed, None, ops)
    # mirror the bits where the lowest one that is deleted and the sign of the remaining ones disagree
    deleted = wrap(truncated, width + 1, False, None, ops) >= like(codes, 1 << width, ops)
    return ops.where(outside & (deleted != (kept < 0)), -1 - kept, kept)


def saturate_top_bits(code: int, overflow: Overflow, width: int, signed: bool, count: int) -> int:
    """Wrap a whole number that is out of range into a format with `count` saturation bits, at least one.

    The highest `count` bits say that it overflowed; AP_WRAP_SM mirrors the others where they disagree with the sign.
    """
    mask, negative = (1 << width) - 1, code < 0
    bits = code & mask
    low = (1 << (width - count)) - 1
    if not signed:
        return bits & low | mask & ~low
    if overflow == "WRAP_SM":
        agrees = bits >> (width - 1) == negative if count == 1 else bits >> (width - count) & 1 != negative
        bits = bits if agrees else bits ^ mask
    top = 1 << (count - 1) if negative else (1 << (count - 1)) - 1
    return wrap(bits & low | top << (width - count), width, True)


def like(codes: Codes, value: float, ops: Any = np) -> Any:
    """Give a number in the type of `codes`, so that nothing is promoted; limits past int64 become its ends."""
    if ops is not np or not isinstance(codes, np.ndarray | np.generic):
        return value
    if codes.dtype == object:
        return int(value)
    if codes.dtype == np.int64:
        value = min(max(int(value), -(1 << 63)), (1 << 63) - 1)
    return codes.dtype.type(value)


def _is_float(codes: Codes) -> bool:
    return isinstance(codes, float) or getattr(getattr(codes, "dtype", None), "kind", "") == "f"


def _flags(condition: Any, codes: Codes) -> Any:
    """Give 0 and 1 in the type of `codes`."""
    return condition.astype(codes.dtype) if isinstance(codes, np.ndarray) else int(condition)
