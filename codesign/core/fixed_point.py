"""Fixed-point number formats as `ap_fixed<W, I, Q, O, N>` means them."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.core.fixed_qkeras import FLOAT32_BITS, read_qkeras, write_qkeras
from codesign.core.rounding import (
    Overflow,
    Rounding,
    overflow_codes,
    round_floats,
    saturate_top_bits,
    shift_right,
)
from codesign.core.text_table import counted
from codesign.errors import DataError, SettingsError

__all__ = ["ACCEPTED_FORMS", "FLOAT32_BITS", "FixedPoint", "Overflow", "Rounding", "real_array"]

Floats = NDArray[Any]

ACCEPTED_FORMS = (
    "ap_fixed<W,I>, ap_ufixed<W,I>, ap_int<W>, ap_uint<W>, the same without 'ap_', "
    "and ap_fixed<W,I,Q,O,N> with modes such as AP_RND_CONV or RND_CONV"
)

_FORM = re.compile(r"(?:ap_)?(u?)(fixed|int)<([^<>]*)>")
_FURTHEST_BIT = 512
_CHUNK = 1 << 14  # elements at a time, so that all passes but the first find them in the cache


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point format.

    Parameters
    ----------
    width
        Total bits, 1 to 64.
    integer_bits
        Bits left of the binary point, **including the sign bit** of a signed format, as in `ap_fixed<W, I>`;
        may be negative or larger than `width`, to -512 and 512 (float64 ends there with room for arithmetic).
    signed
        Two's complement if true.
    rounding
        The quantization mode of `ap_fixed`, without its `AP_`.
    overflow
        The overflow mode of `ap_fixed`, without its `AP_`.
    saturation_bits
        The `N` of `ap_fixed`: how many of the highest bits AP_WRAP and AP_WRAP_SM saturate; of no effect in
        the other modes.

    Raises
    ------
    SettingsError
        For a width outside 1 to 64, an unknown mode, or a format that cannot hold what its modes promise.
    """

    width: int
    integer_bits: int
    signed: bool = True
    rounding: Rounding = "TRN"
    overflow: Overflow = "WRAP"
    saturation_bits: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "integer_bits", "saturation_bits"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise SettingsError(f"{name} must be a whole number, not {value!r}")
            object.__setattr__(self, name, int(value))
        if not 1 <= self.width <= 64:
            raise SettingsError(f"width must be 1 to 64 bits, not {self.width!r}")
        if self.rounding not in get_args(Rounding):
            raise SettingsError(
                f"rounding must be one of {', '.join(get_args(Rounding))}, not {self.rounding!r}"
            )
        if self.overflow not in get_args(Overflow):
            raise SettingsError(
                f"overflow must be one of {', '.join(get_args(Overflow))}, not {self.overflow!r}"
            )
        if not -_FURTHEST_BIT <= self.integer_bits <= _FURTHEST_BIT:
            raise SettingsError(
                f"integer_bits must be -{_FURTHEST_BIT} to {_FURTHEST_BIT}, not {self.integer_bits}; "
                "a format further out holds no value that float64 can compute with"
            )
        self._check_modes()

    def _check_modes(self) -> None:
        if not 0 <= self.saturation_bits <= self.width:
            raise SettingsError(
                f"saturation_bits must be 0 to the width, {self.width}, not {self.saturation_bits}"
            )
        if self.overflow == "WRAP_SM" and not self.signed:
            raise SettingsError(
                "overflow WRAP_SM needs a signed format, the ap_fixed headers refuse it for ap_ufixed; "
                "use WRAP"
            )
        if self.overflow == "SAT_SYM" and self.signed and self.width == 1:
            raise SettingsError(
                "a signed format of 1 bit cannot hold any value but zero with overflow SAT_SYM; "
                "use SAT or 2 bits"
            )

    @classmethod
    def parse(cls, text: Any) -> FixedPoint:
        """Read any spelling that users meet.

        Parameters
        ----------
        text
            `ap_fixed<16,6>`, `ap_fixed<16,6,AP_RND_CONV,AP_SAT>`, `ap_ufixed<8,0>`, `ap_int<8>`,
            `ap_uint<8>`, or hls4ml's `fixed<16,6,RND,SAT,0>`, `ufixed<8,0>`, `int<8>`, `uint<8>`; blanks and the
            case of the modes do not matter.

        Raises
        ------
        SettingsError
            For any other text, with what was given and the accepted forms; for bits or modes that cannot be.
        """
        arguments = _parsed(text)
        try:
            return cls(**arguments)
        except SettingsError as error:
            raise SettingsError(error.faults, source=text) from None

    @classmethod
    def narrowest(cls, x: ArrayLike, widest: int = FLOAT32_BITS) -> FixedPoint | None:
        """Give the narrowest signed format that holds `x` exactly, of at least 2 bits, with RND_CONV and SAT.

        Parameters
        ----------
        x
            Real numbers of any shape.
        widest
            The most bits that it may have, up to 64.

        Returns
        -------
        FixedPoint or None
            ``None`` if no format of so many bits holds them: NaN and infinities are in none.
        """
        values = real_array(x).astype(np.float64)
        if not np.isfinite(values).all():
            return None
        used = values[values != 0]
        if not used.size:
            return cls(2, 1, True, "RND_CONV", "SAT")
        mantissas, exponents = np.frexp(used)
        whole = (mantissas * 2.0**53).astype(np.int64)
        trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
        fraction = int((53 - trailing - exponents).max())
        integers = int((exponents + (mantissas != -0.5)).max())  # the least code is a negative power of two
        width = max(integers + fraction, 2)
        return cls(width, width - fraction, True, "RND_CONV", "SAT") if width <= widest else None

    @classmethod
    def from_qkeras(cls, quantizer: Any) -> FixedPoint:
        """Read the format that a QKeras quantizer computes; see `codesign.core.fixed_qkeras.read_qkeras`."""
        return cls(**read_qkeras(quantizer))

    def to_qkeras(self, relu: bool = False) -> dict[str, Any]:
        """Give the serialized QKeras quantizer; see `codesign.core.fixed_qkeras.write_qkeras`."""
        return write_qkeras(asdict(self), relu, str(self))

    @property
    def fractional_bits(self) -> int:
        """Bits right of the binary point: `width - integer_bits`."""
        return self.width - self.integer_bits

    @property
    def step(self) -> float:
        """The least significant bit's value, `2 ** -fractional_bits`."""
        return 2.0**-self.fractional_bits

    @property
    def code_limits(self) -> tuple[int, int]:
        """The least and the greatest code (value / step), exact for every width."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1

    @property
    def minimum(self) -> float:
        """The smallest value of the format (AP_SAT_SYM still *holds* it, but never makes it)."""
        return self.code_limits[0] * self.step

    @property
    def maximum(self) -> float:
        """The largest value of the format, rounded to float64 where the format has more than 53 bits."""
        return self.code_limits[1] * self.step

    @property
    def kept_codes(self) -> tuple[int, int]:
        """The least and the greatest code that overflow handling leaves as they are."""
        least, most = self.code_limits
        return (-most if self.signed and self.overflow == "SAT_SYM" else least), most

    def with_modes(self, rounding: Rounding, overflow: Overflow) -> FixedPoint:
        """Give the same bits with other modes."""
        return replace(self, rounding=rounding, overflow=overflow)

    def with_sign(self) -> FixedPoint:
        """Give the format that has the same values and, if it had no sign, as many below zero."""
        if self.signed:
            return self
        return replace(self, width=self.width + 1, integer_bits=self.integer_bits + 1, signed=True)

    def quantize(self, x: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Round and overflow `x` exactly as an assignment to this `ap_fixed` type does.

        Parameters
        ----------
        x
            Real numbers of any shape.
        out
            Where to put the result; may be `x` itself.

        Returns
        -------
        ndarray
            The shape of `x`. float32 for float32 input and a format of at most 24 bits, all of whose values
            float32 holds (fractional bits -100 to 100); float64 for everything else. Never a negative zero.

        Raises
        ------
        DataError
            For NaN; for an infinity that does not saturate; for an overflow of a format wider than 53 bits
            whose result float64 cannot hold (`to_integers` gives it); for an `out` of another shape or type.

        Notes
        -----
        Equal to the headers that hls4ml ships for every rounding and overflow mode
        (`tests/core/test_fixed_point_headers.py`).
        """
        array = real_array(x)
        small = self.width <= 24 and abs(self.fractional_bits) <= 100
        dtype = np.dtype(np.float32 if small and array.dtype == np.float32 else np.float64)
        result = np.empty(array.shape, dtype) if out is None else out
        if result.shape != array.shape or result.dtype != dtype:
            raise DataError(
                f"out must be {dtype} of shape {array.shape} for {self}, "
                f"not {result.dtype} of shape {result.shape}"
            )
        same = array.ctypes.data == result.ctypes.data
        direct = result.flags.c_contiguous and (same or not np.may_share_memory(array, result))
        target = result if direct else np.empty(array.shape, dtype)
        _quantize_flat(self, array.reshape(-1), target.reshape(-1), self.step)
        if target is not result:
            result[...] = target
        return result

    def is_representable(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Which of `x` (any shape) the format holds exactly; false for NaN and infinities."""
        array = real_array(x).astype(np.float64)
        scaled = np.empty_like(array)
        _scale(self, array, scaled)
        bound = 2.0 ** (self.width - self.signed)
        low = -bound if self.signed else 0.0
        return (scaled >= low) & (scaled < bound) & (np.floor(scaled) == scaled)

    def to_integers(self, x: ArrayLike) -> NDArray[Any]:
        """Quantize `x` and give the codes, `quantize(x) / step`, exact for every width.

        Returns
        -------
        ndarray
            int64 of the shape of `x`; uint64 for an unsigned format of 64 bits.

        Raises
        ------
        DataError
            As `quantize`, but never for the width.
        """
        array = real_array(x)
        if self.width <= 53:
            codes = np.empty(array.shape, np.float64)
            _quantize_flat(self, array.astype(np.float64, copy=False).reshape(-1), codes.reshape(-1), 1.0)
            return codes.astype(np.int64)
        flat = array.reshape(-1).astype(np.float64)
        rounded = np.empty_like(flat)
        _scale(self, flat, rounded)
        _refuse_unusable(self, flat)
        outside, exact = _round_inside(self, flat, rounded)
        integers = rounded.astype(np.uint64 if self.width == 64 and not self.signed else np.int64)
        integers[outside] = exact
        return integers.reshape(array.shape)

    def from_integers(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Give the values of codes, `codes * step`.

        Parameters
        ----------
        codes
            Integers of any shape.

        Raises
        ------
        DataError
            For what is no integer, not a code of the format, or not exact in float64.
        """
        whole = np.asarray(codes)
        if whole.dtype.kind not in "iub":
            raise DataError(f"codes must be integers, not {whole.dtype}")
        least, most = self.code_limits
        outside = np.array([]) if whole.size == 0 else np.flatnonzero((whole < least) | (whole > most))
        if outside.size:
            raise DataError(
                f"code {whole.reshape(-1)[outside[0]]} at index {outside[0]} is not one of {self}, "
                f"which are {least} to {most}"
            )
        return real_array(whole) * self.step

    def __str__(self) -> str:
        """hls4ml's spelling, `fixed<16,6>` or `ufixed<8,0,RND_CONV,SAT,0>`; default modes are left out."""
        head = f"{'' if self.signed else 'u'}fixed<{self.width},{self.integer_bits}"
        if (self.rounding, self.overflow, self.saturation_bits) == ("TRN", "WRAP", 0):
            return head + ">"
        return head + f",{self.rounding},{self.overflow},{self.saturation_bits}>"

    def ap(self) -> str:
        """Spell as C++ does, `ap_fixed<16,6,AP_RND_CONV,AP_SAT>`; defaults are left out."""
        head = f"ap_{'' if self.signed else 'u'}fixed<{self.width},{self.integer_bits}"
        if self.saturation_bits:
            return head + f",AP_{self.rounding},AP_{self.overflow},{self.saturation_bits}>"
        if (self.rounding, self.overflow) == ("TRN", "WRAP"):
            return head + ">"
        return head + f",AP_{self.rounding},AP_{self.overflow}>"


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


def _quantize_flat(precision: FixedPoint, x: Floats, out: Floats, factor: float) -> None:
    """Fill `out` with codes times `factor`, chunk by chunk; `x` may be `out`."""
    scratch = np.empty(min(_CHUNK, x.size), out.dtype)
    for start in range(0, x.size, _CHUNK):
        part = x[start : start + _CHUNK]
        codes = scratch[: part.size]
        _fill_codes(precision, part, codes, x)
        np.add(codes, 0.0, out=codes)  # makes -0.0 the 0.0 that ap_fixed has
        np.multiply(codes, factor, out=out[start : start + _CHUNK])


def _fill_codes(precision: FixedPoint, x: Floats, codes: Floats, everything: Floats) -> None:
    """Fill `codes` with the codes of `x`; every step is exact in floating point, or is made in whole numbers."""
    _scale(precision, x, codes)
    first, last = _float_ends(precision)
    low, high = codes.min(), codes.max()
    wraps = precision.overflow.startswith("WRAP")
    if first <= low and high <= last:  # rounding cannot leave a range whose ends are whole
        round_floats(codes, precision.rounding, codes)
        return
    if np.isnan(low) or (wraps and np.isinf(x).any()):
        _refuse_unusable(precision, everything)
    if precision.width > 53 or precision.saturation_bits:
        outside, exact = _round_inside(precision, x, codes)
        codes[outside] = _as_floats(precision, exact)
        return
    truncated = None
    if precision.overflow in ("SAT", "SAT_SYM"):  # commutes with rounding, and brings infinities in
        round_floats(np.clip(codes, first, last, out=codes), precision.rounding, codes)
        return
    if wraps:
        np.copyto(codes, 0.0, where=np.isinf(codes))  # so far out that every bit of the format is zero
        truncated = np.floor(codes) if precision.overflow == "WRAP_SM" else None
    else:
        np.clip(codes, first - 1, last + 1, out=codes)
    round_floats(codes, precision.rounding, codes)
    result = overflow_codes(
        codes,
        precision.overflow,
        precision.kept_codes,
        precision.width,
        precision.signed,
        truncated=truncated,
        out=codes,
    )
    if result is not codes:
        np.copyto(codes, result)


def _round_inside(precision: FixedPoint, x: Floats, codes: Floats) -> tuple[NDArray[np.intp], list[int]]:
    """Round the codes in range, zero the others; give the places and the exact codes of the others."""
    first, last = _float_ends(precision)
    outside = np.flatnonzero((codes < first) | (codes > last))
    codes[outside] = 0.0
    round_floats(codes, precision.rounding, codes)
    return outside, [_exact_code(precision, float(value)) for value in x[outside]]


def _exact_code(precision: FixedPoint, value: float) -> int:
    """Give the code of any value in whole numbers, after the `ap_fixed` headers (`overflow_adjust`)."""
    if math.isinf(value):
        value = math.copysign(2.0**1000, value)  # past every format
    numerator, denominator = value.as_integer_ratio()
    count = denominator.bit_length() - 1 - precision.fractional_bits
    code = shift_right(numerator, count, precision.rounding)
    least, most = precision.kept_codes
    if least <= code <= most:
        return int(code)
    overflow, width, signed = precision.overflow, precision.width, precision.signed
    if precision.saturation_bits and overflow.startswith("WRAP"):
        return saturate_top_bits(code, overflow, width, signed, precision.saturation_bits)
    alone, truncated = (np.array([number], object) for number in (code, shift_right(numerator, count, "TRN")))
    return int(overflow_codes(alone, overflow, (least, most), width, signed, truncated=truncated)[0])


def _float_ends(precision: FixedPoint) -> tuple[float, float]:
    """Give the least and the greatest code that overflow handling leaves alone, as floats inside."""
    least, most = (float(code) for code in precision.kept_codes)
    if precision.width - precision.signed > 53:  # the greatest code has no float: the one below it
        most = float(np.nextafter(2.0 ** (precision.width - precision.signed), 0.0))
        least = -most if precision.overflow == "SAT_SYM" and precision.signed else least
    return least, most


def _scale(precision: FixedPoint, x: Floats, out: Floats) -> None:
    """`x / step`: exact, but for infinity where it exceeds the type and the sign alone where it vanishes."""
    with np.errstate(over="ignore", under="ignore"):
        np.multiply(x, 2.0**precision.fractional_bits, out=out, dtype=out.dtype)
    if precision.fractional_bits < 0:
        np.copyto(out, np.copysign(2.0**-100, x), where=(out == 0) & (x != 0), casting="same_kind")


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
            f"x has {x[bad[0]]} at index {bad[0]} (of {counted(x.size, 'value')}), which {precision} cannot take"
        )


def _parsed(text: Any) -> dict[str, Any]:
    """Read one spelling: the arguments of `FixedPoint` that the text sets."""
    if not isinstance(text, str):
        raise _unreadable(text, f"it is {type(text).__name__}, not text")
    match = _FORM.fullmatch("".join(text.split()))
    if match is None:
        raise _unreadable(text)
    unsigned, kind, inside = match.groups()
    fields = inside.split(",")
    if kind == "int":
        if len(fields) != 1:
            raise _unreadable(text, "an integer type has one argument, its width")
        width = _whole_number(text, fields[0], "width")
        return {"width": width, "integer_bits": width, "signed": not unsigned}
    if not 2 <= len(fields) <= 5:
        raise _unreadable(text, f"a fixed-point type has 2 to 5 arguments, not {len(fields)}")
    found: dict[str, Any] = {
        "width": _whole_number(text, fields[0], "width"),
        "integer_bits": _whole_number(text, fields[1], "integer bits"),
        "signed": not unsigned,
    }
    for name, field in zip(("rounding", "overflow"), fields[2:4], strict=False):
        found[name] = field.upper().removeprefix("AP_")
    if len(fields) == 5:
        found["saturation_bits"] = _whole_number(text, fields[4], "number of saturation bits")
    return found


def _whole_number(text: str, field: str, what: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", field):
        raise _unreadable(text, f"its {what} must be a whole number, not {field!r}")
    return int(field)


def _unreadable(text: Any, why: str | None = None) -> SettingsError:
    reason = f": {why}" if why else ""
    return SettingsError(f"{text!r} is not a fixed-point format{reason}; accepted are {ACCEPTED_FORMS}")
