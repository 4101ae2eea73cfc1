"""The lookup tables of hls4ml's activations, to the bit.

The C++ fills them in float and double arithmetic of the C library; the same operations are made here in the
same order and the same precision, with the C library's own float functions where there are any.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
from collections.abc import Callable
from functools import cache

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.codes import Array


@cache
def _float_function(name: str) -> Callable[[float], float]:
    """`expf` or `tanhf` of the C library; without one, the double function rounded to float."""
    try:
        function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name + "f")
    except (OSError, AttributeError):
        return lambda x: float(np.float32(getattr(math, name)(x)))
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    return lambda x: float(function(x))


def exponentials(x: Array) -> Array:
    """Compute `std::exp(float)` of float32 values; infinite past the range of float."""
    exp = _float_function("exp")
    return np.array([exp(float(value)) for value in x.ravel()], dtype=np.float32).reshape(x.shape)


def activation_table(name: str, size: int) -> Array:
    """Compute the values of a table before they are assigned to its type, float32 `(size,)`."""
    index = np.arange(size, dtype=np.float64)
    centred = 2 * (4.0 if name == "tanh" else 8.0) * (index - size / 2.0) / size
    negative = -8.0 * index / size
    x = (negative if name in ("elu", "selu") else centred).astype(np.float32)
    if name == "tanh":
        tanh = _float_function("tanh")
        return np.array([tanh(float(value)) for value in x], dtype=np.float32)
    if name == "softsign":
        return (x.astype(np.float64) / (np.abs(x).astype(np.float64) + 1.0)).astype(np.float32)
    e = exponentials(-x if name == "sigmoid" else x)
    if name == "sigmoid":
        return (1.0 / (np.float32(1) + e).astype(np.float64)).astype(np.float32)
    grown = e.astype(np.float64)
    if name == "softplus":
        return np.array([math.log(value + 1.0) for value in grown], dtype=np.float32)
    if name == "elu":
        return (grown - 1.0).astype(np.float32)
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return (scale * (alpha * (grown - 1.0))).astype(np.float32)


def legacy_exponentials(size: int) -> Array:
    """Compute the exponentials of the legacy softmax, float32 `(size,)`, for arguments from -8 to 8."""
    x = 2 * 8.0 * (np.arange(size, dtype=np.float64) - size / 2.0) / size
    return exponentials(x.astype(np.float32))


def legacy_inverses(size: int) -> Array:
    """Compute the inverses of the legacy softmax, float64 `(size,)`, for arguments from 0 to 64."""
    x = (64.0 * np.arange(size, dtype=np.float32) / np.float32(size)).astype(np.float32)
    return np.divide(1.0, x.astype(np.float64), out=np.zeros(size), where=x > 0)


def addressed_values(precision: FixedPoint, size: int) -> Array:
    """The value that stands for each index made of a type's top bits, float32 `(size,)`."""
    bits = size.bit_length() - 1
    codes = np.arange(size, dtype=np.int64)
    if precision.signed:
        codes = np.where(codes >= size // 2, codes - size, codes)
    return (codes * 2.0 ** (precision.integer_bits - bits)).astype(np.float32)


def assigned(values: Array, precision: FixedPoint) -> Array:
    """Assign real numbers, also infinite ones, to a type; returns codes (int64) in its own unit."""
    infinite = np.isinf(values)
    codes = precision.to_integers(np.where(infinite, 0.0, values).astype(np.float64))
    if infinite.any() and precision.overflow.startswith("SAT") and precision.overflow != "SAT_ZERO":
        least, most = precision.kept_codes
        codes = np.where(infinite, np.where(values > 0, most, least), codes)
    return codes
