"""The one place where QKeras' bit counts, which leave the sign bit out, meet `ap_fixed`'s, which count it."""

from __future__ import annotations

from typing import Any

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError


def qkeras_integer(precision: FixedPoint) -> int:
    """QKeras' `integer` of a format: the integer bits without the sign bit."""
    return precision.integer_bits - int(precision.signed)


def qkeras_bits(precision: FixedPoint | None) -> Any:
    """The `quantized_bits` that computes exactly what `precision` does; its modes must be RND_CONV and SAT."""
    from qkeras import quantized_bits

    precision = _checked(precision)
    return quantized_bits(
        bits=precision.width, integer=qkeras_integer(precision), keep_negative=int(precision.signed), alpha=1
    )


def qkeras_relu(precision: FixedPoint | None) -> Any:
    """The `quantized_relu` that computes exactly what an unsigned `precision` does after a ReLU."""
    from qkeras import quantized_relu

    precision = _checked(precision)
    if precision.signed:
        raise ConversionError(f"a ReLU's result needs an unsigned format, not {precision}; give ufixed<...>")
    return quantized_relu(bits=precision.width, integer=precision.integer_bits)


def _checked(precision: FixedPoint | None) -> FixedPoint:
    if precision is None:
        raise ConversionError(
            "a tensor that QKeras quantizes has no format in the precision map; give it one"
        )
    if (precision.rounding, precision.overflow) != ("RND_CONV", "SAT"):
        raise ConversionError(
            f"QKeras rounds to nearest even and saturates, so {precision} has no QKeras form; use RND_CONV and SAT"
        )
    return precision
