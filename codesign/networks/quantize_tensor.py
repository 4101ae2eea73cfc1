"""Fixed-point quantization of Keras tensors, with straight-through gradients."""

from __future__ import annotations

from typing import Any

from keras import ops

from codesign.core.fixed_point import FixedPoint
from codesign.core.rounding import overflow_codes, round_floats
from codesign.errors import ConversionError

_MANTISSA_BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def quantize_tensor(precision: FixedPoint, x: Any) -> Any:
    """Quantize a tensor to the numbers that `FixedPoint.quantize` gives, and let gradients through.

    Parameters
    ----------
    precision
        The format, without saturation bits.
    x
        A float tensor of any shape, finite.

    Returns
    -------
    tensor
        Shape and dtype of `x`. The gradient is 1 where the value is in range and, for the modes that saturate, 0
        outside (the straight-through estimator with clipping, Bengio et al. 2013, arXiv:1308.3432); the modes that
        wrap let all gradients through.

    Raises
    ------
    ConversionError
        For a format whose values the tensor's dtype does not hold, or with saturation bits.

    Notes
    -----
    TensorFlow takes subnormal numbers (below 1.2e-38 in float32) for zero.
    """
    x = ops.convert_to_tensor(x)
    _refuse_what_does_not_fit(precision, ops.dtype(x))
    scaled = x * 2.0**precision.fractional_bits
    codes = round_floats(scaled, precision.rounding, ops=ops)
    least, most = precision.kept_codes
    wraps = precision.overflow.startswith("WRAP")
    inside = ops.logical_and(codes >= least, codes <= most)
    codes = overflow_codes(
        codes,
        precision.overflow,
        (least, most),
        precision.width,
        precision.signed,
        truncated=ops.floor(scaled),
        ops=ops,
    )
    passing = x if wraps else ops.where(inside, x, ops.stop_gradient(x))
    return ops.stop_gradient(codes * precision.step) + (passing - ops.stop_gradient(passing))


def _refuse_what_does_not_fit(precision: FixedPoint, dtype: str) -> None:
    if dtype not in _MANTISSA_BITS:
        raise ConversionError(f"only float tensors can be quantized to {precision}, not {dtype}; cast first")
    bits = _MANTISSA_BITS[dtype]
    if precision.width > bits or abs(precision.fractional_bits) > 100:
        raise ConversionError(
            f"a {dtype} tensor cannot hold {precision}; use at most {bits} bits and 100 fractional bits, "
            "or quantize a NumPy array"
        )
    if precision.saturation_bits and precision.overflow.startswith("WRAP"):
        raise ConversionError(f"tensors cannot be quantized with saturation bits, {precision}; set them to 0")
