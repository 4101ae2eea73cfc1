"""BOPs: bit operations, as the literature of quantized networks counts them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.core.precision_map import PrecisionMap
from codesign.cost.layer_shape import INPUT, LayerShape, input_format, live_weight_width, weight_codes
from codesign.errors import DataError, SettingsError

ByLayer = float | Mapping[str, float]
"""One number for every layer, or one for each layer by name."""


def layer_bops(shape: LayerShape, weight_bits: float, input_bits: float, sparsity: float = 0.0) -> float:
    """Bit operations of one layer for one sample.

    Each output needs as many products as its fan-in `n`; a product costs `b_a b_w` bit operations, and its addition
    to an accumulator of `b_a + b_w + log2 n` bits as many as that has. Pruning saves the products, not the
    additions:

        m n [(1 - f_p) b_a b_w + b_a + b_w + log2 n]   for each output position.

    Parameters
    ----------
    shape
        The layer.
    weight_bits
        Width `b_w` of its weights in bits.
    input_bits
        Width `b_a` of the activations that it reads, in bits.
    sparsity
        Fraction `f_p` of its weights that are zero, 0 to 1.

    Returns
    -------
    float
        BOPs; not a whole number because of the logarithm.

    Raises
    ------
    SettingsError
        For bits that are not above 0 or a sparsity outside 0 to 1.

    Notes
    -----
    Dense: Hawks et al., arXiv:2102.11289, equation 8. Convolution (fan-in `n k^2`): Baskin et al. (UNIQ),
    arXiv:1804.10969; times the output positions. A depthwise convolution has the fan-in `k^2`.
    """
    faults = [
        f"{shape.name}.{name}: must be above 0, not {bits!r}"
        for name, bits in (("weight_bits", weight_bits), ("input_bits", input_bits))
        if not bits > 0
    ]
    if not 0 <= sparsity <= 1:
        faults.append(f"{shape.name}.sparsity: must be 0 to 1, not {sparsity!r}")
    if faults:
        raise SettingsError(faults)
    accumulator_bits = input_bits + weight_bits + math.log2(shape.fan_in)
    return shape.n_multiplications * ((1 - sparsity) * input_bits * weight_bits + accumulator_bits)


def bops(
    shapes: Sequence[LayerShape],
    weight_bits: ByLayer,
    activation_bits: ByLayer | None = None,
    sparsity: ByLayer = 0.0,
    *,
    input_bits: float = 32,
) -> float:
    """Bit operations of a network for one sample, from plain numbers.

    Parameters
    ----------
    shapes
        Its layers, in order.
    weight_bits
        Width of the weights, one for all or by layer.
    activation_bits
        Width of the activations that a layer reads, one for all or by the name of the reading layer. ``None`` gives
        each layer the weight bits of the layer before it, as arXiv:2102.11289 does.
    sparsity
        Fraction of zero weights, one for all or by layer.
    input_bits
        Width of the network's input.

    Raises
    ------
    SettingsError
        As `layer_bops`, and for a layer that a mapping leaves out.
    """
    total = 0.0
    for index, shape in enumerate(shapes):
        if INPUT in shape.sources or index == 0:
            reads = input_bits
        elif activation_bits is None:
            reads = _of(weight_bits, shapes[index - 1], "weight_bits")
        else:
            reads = _of(activation_bits, shape, "activation_bits")
        total += layer_bops(
            shape, _of(weight_bits, shape, "weight_bits"), reads, _of(sparsity, shape, "sparsity")
        )
    return total


def bops_of(
    shapes: Sequence[LayerShape], precision: PrecisionMap, kernels: Mapping[str, np.ndarray] | None = None
) -> float:
    """Bit operations of a network with number formats, for one sample.

    Parameters
    ----------
    shapes
        Its layers (`codesign.networks.shapes.layer_shapes` reads them from a network).
    precision
        The formats; widths count the sign bit. Where weights have widths of their own, the mean of those above 0.
    kernels
        The kernels by layer, any shape with the layer's number of weights; zeros are counted after rounding to
        the weight format. ``None`` counts no zeros.

    Raises
    ------
    SettingsError
        If the map lacks a weight format, or the result format of a layer whose values are multiplied.
    DataError
        If a kernel is missing or has another number of values.
    """
    total = 0.0
    for shape in shapes:
        width, sparsity = live_weight_width(shape, precision), 0.0
        if kernels is not None:
            sparsity = float(np.mean(weight_codes(shape, precision, kernels) == 0))
        total += layer_bops(shape, width, input_format(shape, precision).width, sparsity)
    return total


def _of(value: ByLayer, shape: LayerShape, what: str) -> float:
    if not isinstance(value, Mapping):
        return value
    if shape.name not in value:
        raise SettingsError(f"{what}.{shape.name}: missing; given are {', '.join(value) or 'none'}")
    return value[shape.name]


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
