"""Fixed-point quantization of Keras tensors, with straight-through gradients."""

from __future__ import annotations

from typing import Any

from keras import ops
from quantizers import get_fixed_quantizer

from codesign.core.fixed_point import FixedPoint
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
    `quantizers` computes the modes that it does exactly in the tensor's own precision: TRN, TRN_ZERO and RND_CONV
    with SAT and SAT_SYM. It adds 0.5 before a floor for the other roundings, which is off by one step just below a
    tie, and wraps with an offset that large values lose; those are computed here as `core.fixed_quantize` does.
    TensorFlow takes subnormal numbers (below 1.2e-38 in float32) for zero.
    """
    x = ops.convert_to_tensor(x)
    _refuse_what_does_not_fit(precision, ops.dtype(x))
    if precision.overflow in ("SAT", "SAT_SYM") and precision.rounding in ("TRN", "TRN_ZERO", "RND_CONV"):
        sign = int(precision.signed)
        quantizer = get_fixed_quantizer(precision.rounding, precision.overflow)
        return quantizer(
            x, float(sign), float(precision.integer_bits - sign), float(precision.fractional_bits)
        )
    scaled = x * 2.0**precision.fractional_bits
    codes = _rounded(precision.rounding, scaled)
    least, most = precision.code_limits
    if precision.overflow == "SAT_SYM" and precision.signed:
        least = -most
    inside = ops.logical_and(codes >= least, codes <= most)
    if precision.overflow == "SAT_ZERO":
        codes = ops.where(inside, codes, ops.zeros_like(codes))
    elif precision.overflow in ("SAT", "SAT_SYM"):
        codes = ops.clip(codes, least, most)
    else:
        codes = ops.where(inside, codes, _wrapped(precision, codes, ops.floor(scaled)))
    passing = x if precision.overflow.startswith("WRAP") else ops.where(inside, x, ops.stop_gradient(x))
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


def _rounded(mode: str, scaled: Any) -> Any:
    """Round exactly: the fraction of a float is a float, so ties are seen as they are."""
    if mode == "TRN":
        return ops.floor(scaled)
    if mode in ("RND_CONV", "RND", "RND_MIN_INF"):
        nearest = ops.round(scaled)
        if mode == "RND_CONV":
            return nearest
        side = 1.0 if mode == "RND" else -1.0
        return nearest + side * ops.cast(scaled - nearest == side * 0.5, scaled.dtype)
    whole = ops.trunc(scaled)
    rest = scaled - whole
    return whole + {"TRN_ZERO": ops.zeros_like, "RND_ZERO": ops.round, "RND_INF": _doubled_whole}[mode](rest)


def _doubled_whole(rest: Any) -> Any:
    return ops.trunc(rest + rest)


def _wrapped(precision: FixedPoint, codes: Any, truncated: Any) -> Any:
    """Drop the bits above the format, exactly; WRAP_SM mirrors where the lowest deleted bit is not the sign."""
    span = 2.0**precision.width
    wrapped = codes - span * ops.floor(codes / span)
    if precision.signed:
        wrapped = wrapped - span * ops.floor(wrapped / (span / 2))
    if precision.overflow == "WRAP":
        return wrapped
    upper = ops.floor(truncated / span)
    deleted = upper - 2.0 * ops.floor(upper / 2.0)
    return ops.where((deleted > 0.5) != (wrapped < 0), -1.0 - wrapped, wrapped)
