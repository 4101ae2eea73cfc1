"""The assignment of wires to a fixed-point type, as `ap_fixed` does it, in every mode that hardware needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import OFFSETS, constant_for_nearest
from codesign.errors import ConversionError
from codesign.rtl.wires import (
    CONSTANT_BITS,
    Wires,
    add,
    add_constant,
    as_variable,
    choose,
    constant,
    each,
    is_constant,
    is_greater,
    is_negative,
    limited,
    negated,
    scaled,
)

if TYPE_CHECKING:
    from alkaid.trace import FVariable

_NATIVE_ROUNDING = ("TRN", "RND", "RND_CONV")
_NATIVE_OVERFLOW = ("WRAP", "SAT", "SAT_SYM")


def cast(wires: Wires, precision: FixedPoint, *, integer: bool = False) -> Wires:
    """Assign wires to a type.

    Parameters
    ----------
    wires
        Any shape.
    precision
        The type; values in its range and on its grid pass unchanged and cost nothing.
    integer
        Whether the C++ type is `ap_int`, which drops fractions towards zero and wraps.

    Raises
    ------
    ConversionError
        AP_WRAP_SM, saturation bits, or a saturating type of more than 24 bits that overflows.
    """
    if integer:
        precision = precision.with_modes("TRN_ZERO", "WRAP")
    if precision.saturation_bits or precision.overflow == "WRAP_SM":
        raise ConversionError(
            f"{precision} cannot become RTL: AP_WRAP_SM and saturation bits are not supported; use WRAP or SAT"
        )
    return each(lambda wire: cast_wire(wire, precision), wires)


def cast_wire(wire: FVariable, precision: FixedPoint) -> FVariable:
    """Assign one wire; see `cast`."""
    wire = rounded_for_free(wire, precision)
    # by rounding too, and alkaid wraps a constant to bits that are none of the type's
    if is_constant(wire):
        return constant(float(precision.quantize(wire.low)))
    if _is_native(wire, precision):
        _check_limits(wire, precision)
        sign = int(precision.signed)
        return as_variable(wire).quantize(
            sign,
            precision.integer_bits - sign,
            precision.fractional_bits,
            precision.overflow,
            precision.rounding,
        )
    return _overflowed(_rounded(wire, precision), precision)


def rounded_for_free(wire: FVariable, precision: FixedPoint) -> FVariable:
    """Round a sum to nearest by changing the constant in it and dropping bits, if that is exact; else the wire itself.

    See `codesign.core.rounding.constant_for_nearest`. Overflow is not looked at.
    """
    if precision.rounding not in ("RND", "RND_CONV") or wire.opr != "cadd":
        return wire
    (parent,) = wire._from
    factor = float(wire._factor / parent._factor)
    offset = wire.low - factor * (parent.low if factor > 0 else parent.high)
    whole, step = abs(factor) * parent.step, precision.step
    instead = constant_for_nearest(offset, whole, step)
    if step <= wire.step or is_constant(wire) or instead is None:
        return wire
    total = add_constant(scaled(parent, factor), instead)
    return total if whole >= step else _floor(total, precision)


def _is_native(wire: FVariable, precision: FixedPoint) -> bool:
    """Whether alkaid's own quantization does it.

    For RND_CONV it is the cheapest, but wrong for a single step, and for a wire whose values all lie half-way between
    two of its steps, as `2 x + 1/4` rounded to halves: alkaid adds half a step and looks at the bits below it, which
    are no longer there.
    """
    if precision.rounding not in _NATIVE_ROUNDING or precision.overflow not in _NATIVE_OVERFLOW:
        return False
    if precision.rounding != "RND_CONV":
        return True
    if (as_variable(wire) + precision.step / 2).kif[2] < wire.kif[2]:
        return False
    least, most = limits(precision) if precision.overflow != "WRAP" else (wire.low, wire.high)
    half_up = [math.floor(min(max(end, least), most) / precision.step + 0.5) for end in (wire.low, wire.high)]
    return half_up[0] < half_up[1]


def fits(wire: FVariable, precision: FixedPoint) -> bool:
    """Whether no value of a wire changes when it is assigned to a type."""
    least, most = limits(precision)
    return bool(wire.step >= precision.step and wire.low >= least and wire.high <= most) or (
        is_constant(wire) and bool(precision.quantize(wire.low) == wire.low)
    )


def limits(precision: FixedPoint) -> tuple[float, float]:
    """The least and the greatest value that overflow handling leaves alone."""
    least, most = precision.kept_codes
    return least * precision.step, most * precision.step


def _rounded(wire: FVariable, precision: FixedPoint) -> FVariable:
    """Round to the type's step: down, after adding what the mode asks for (one bit of the wire decides, at most)."""
    last_bit, step = float(wire.step), precision.step
    if last_bit >= step:
        return wire
    offset = OFFSETS[precision.rounding]
    always, if_negative, if_odd = (
        halves * step / 2 + units * last_bit
        for halves, units in (offset.always, offset.if_negative, offset.if_odd)
    )
    total = add_constant(wire, always)
    if if_negative:
        total = add(total, scaled(is_negative(wire), if_negative))
    if if_odd:
        fraction = precision.fractional_bits
        lowest_kept = as_variable(wire).quantize(0, 1 - fraction, fraction, "WRAP", "TRN")
        total = add(total, scaled(lowest_kept, if_odd / step))
    return _floor(total, precision)


def _floor(wire: FVariable, precision: FixedPoint) -> FVariable:
    """Round down to the type's step, whatever the range."""
    if is_constant(wire):
        steps = wire.low // precision.step
        return constant(steps * precision.step)
    signed, integers, _ = wire.kif
    fraction = precision.fractional_bits
    return wire.quantize(signed, max(integers, -fraction), fraction, "WRAP", "TRN")


def _overflowed(wire: FVariable, precision: FixedPoint) -> FVariable:
    """Bring a rounded wire into the type's range."""
    if fits(wire, precision):
        return wire
    if is_constant(wire):
        return constant(float(precision.quantize(wire.low)))
    least, most = limits(precision)
    if precision.overflow == "WRAP":
        sign = int(precision.signed)
        return wire.quantize(sign, precision.integer_bits - sign, precision.fractional_bits, "WRAP", "TRN")
    _check_limits(wire, precision)
    if precision.overflow != "SAT_ZERO":
        return limited(wire, least, most)
    kept = limited(wire, least, most)  # narrows the wire; what it limits is replaced here
    for outside in (is_greater(wire, most), is_greater(negated(wire), -least)):
        kept = choose(outside, constant(0.0), kept)
    return kept


def _check_limits(wire: FVariable, precision: FixedPoint) -> None:
    """Refuse limits that alkaid's constants cannot hold."""
    wide = precision.width - int(precision.signed) > CONSTANT_BITS
    if (
        wide
        and precision.overflow != "WRAP"
        and not fits(wire, precision.with_modes("TRN", precision.overflow))
    ):
        least, most = limits(precision)
        if wire.low < least or wire.high > most:
            raise ConversionError(
                f"{precision} cannot become RTL: a saturating type may have at most {CONSTANT_BITS} bits without its "
                "sign; use fewer bits or WRAP"
            )
