"""What each layer costs, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.core.precision_map import PrecisionMap
from codesign.cost.bops import layer_bops, layer_ebops
from codesign.cost.layer_shape import LayerShape, input_format, live_weight_width, weight_codes, weight_format
from codesign.errors import DataError


@dataclass(frozen=True)
class LayerCost:
    """The costs of one layer for one sample.

    Parameters
    ----------
    name
        The layer.
    weight_bits, input_bits
        Width of its weights' format and of the activations that it reads, in bits.
    n_weights, n_zeros
        Values of its kernel, and how many are exactly zero in the weight format.
    bops, ebops
        See `layer_bops` and `layer_ebops`.
    """

    name: str
    weight_bits: int
    input_bits: int
    n_weights: int
    n_zeros: int
    bops: float
    ebops: float

    @property
    def sparsity(self) -> float:
        """The fraction of zeros in the kernel."""
        return self.n_zeros / self.n_weights


def layer_costs(
    shapes: Sequence[LayerShape], precision: PrecisionMap, kernels: Mapping[str, np.ndarray]
) -> tuple[LayerCost, ...]:
    """The costs of every layer of a network with number formats.

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
    costs = []
    for shape in shapes:
        stored, reads = weight_format(shape, precision).width, input_format(shape, precision).width
        codes = weight_codes(shape, precision, kernels)
        n_zeros = int((codes == 0).sum())
        operations = layer_bops(shape, live_weight_width(shape, precision), reads, n_zeros / codes.size)
        effective = layer_ebops(shape, codes, reads)
        costs.append(LayerCost(shape.name, stored, reads, codes.size, n_zeros, operations, effective))
    return tuple(costs)


def weight_bits_of(shapes: Sequence[LayerShape], precision: PrecisionMap) -> int:
    """Bits to store every kernel of a network, zeros included, biases not."""
    return sum(shape.n_weights * weight_format(shape, precision).width for shape in shapes)


def sparsity(kernels: Mapping[str, np.ndarray]) -> float:
    """The fraction of exact zeros among all values of the given arrays.

    Raises
    ------
    DataError
        If there are no values.
    """
    total = sum(kernel.size for kernel in kernels.values())
    if total == 0:
        raise DataError("kernels must hold at least one value for a sparsity, not none")
    return sum(int((kernel == 0).sum()) for kernel in kernels.values()) / total
