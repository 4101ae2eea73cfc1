"""EBOPs: effective bit operations, which count only the bits of a constant that hardware has to multiply with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.core.precision_map import PrecisionMap
from codesign.cost.layer_shape import LayerShape, input_format, weight_codes
from codesign.errors import DataError


def constant_bits(codes: ArrayLike) -> NDArray[np.int64]:
    """Bits from the most to the least significant non-zero bit of each constant's magnitude, 0 for zero.

    Parameters
    ----------
    codes
        Integers of any shape, for example weights divided by their step. A constant and any power of two times it
        count the same, and so do a constant and its negative.

    Returns
    -------
    np.ndarray
        int64, the shape of `codes`: 1 for +-1, +-2, +-4 ...; 3 for 5, 7, 10.

    Raises
    ------
    DataError
        If the codes are not integers.

    Notes
    -----
    HGQ, arXiv:2405.00645: ``001xx1000`` counts 4 bits.
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise DataError(f"codes must be integers, not {codes.dtype}; divide the values by their step first")
    flat = codes.reshape(-1)
    # the magnitude of the least int64, 2**63, is itself; as uint64 it is right
    magnitude = np.where(flat < 0, -flat.astype(np.int64), flat.astype(np.int64)).astype(np.uint64)
    least = magnitude & (~magnitude + np.uint64(1))
    return (_bit_length(magnitude) - np.maximum(_bit_length(least) - 1, 0)).reshape(codes.shape)


def layer_ebops(shape: LayerShape, codes: ArrayLike, input_bits: float) -> float:
    """Effective bit operations of one layer for one sample.

    Parameters
    ----------
    shape
        The layer.
    codes
        Its weights as integers, any shape with `shape.n_weights` values.
    input_bits
        Width of the activations that it reads, in bits, the sign included.

    Returns
    -------
    float
        The sum over all products of (bits of the constant) times (bits of the activation); biases and additions
        are not counted. HGQ finds it near LUTs + 55 DSPs after place and route (arXiv:2405.00645).
    """
    return float(constant_bits(codes).sum()) * input_bits * shape.output_positions


def ebops_of(
    shapes: Sequence[LayerShape], precision: PrecisionMap, kernels: Mapping[str, np.ndarray]
) -> float:
    """Effective bit operations of a network with number formats, for one sample.

    Parameters
    ----------
    shapes
        Its layers.
    precision
        The formats; kernels are rounded to their weight format first.
    kernels
        The kernels by layer, any shape with the layer's number of weights.

    Raises
    ------
    SettingsError
        If the map lacks a weight format, or the result format of a layer whose values are multiplied.
    DataError
        If a kernel is missing or has another number of values.
    """
    return sum(
        layer_ebops(
            shape,
            weight_codes(shape, precision, kernels),
            input_format(shape, precision).width,
        )
        for shape in shapes
    )


def _bit_length(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The number of bits of each value; in two halves, since float64 rounds values of more than 53 bits."""
    high, low = values >> np.uint64(32), values & np.uint64(0xFFFFFFFF)
    bits = np.where(high > 0, 32 + np.frexp(high.astype(np.float64))[1], np.frexp(low.astype(np.float64))[1])
    return bits.astype(np.int64)
