"""QKeras quantizer objects of fixed-point formats."""

from __future__ import annotations

from typing import Any

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError


def qkeras_bits(precision: FixedPoint | None) -> Any:
    """Make the `quantized_bits` that computes exactly what `precision` does.

    Raises
    ------
    ConversionError
        For a missing format, or one that QKeras cannot compute (see `FixedPoint.to_qkeras`).
    """
    return _quantizer(precision, relu=False)


def qkeras_relu(precision: FixedPoint | None) -> Any:
    """Make the `quantized_relu` that computes exactly what an unsigned `precision` does.

    Raises
    ------
    ConversionError
        For a missing format, or one that QKeras cannot compute (see `FixedPoint.to_qkeras`).
    """
    return _quantizer(precision, relu=True)


def _quantizer(precision: FixedPoint | None, relu: bool) -> Any:
    import qkeras

    if precision is None:
        raise ConversionError(
            "a tensor that QKeras quantizes has no format in the precision map; give it one"
        )
    serialized = precision.to_qkeras(relu)
    return getattr(qkeras, serialized["class_name"])(**serialized["config"])
