"""Dense, einsum, convolution and batch normalisation layers: constant matrices as shared adders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.hls.graph import Graph, Node
from codesign.rtl.cast import cast_wire, limits
from codesign.rtl.layers.common import Tracer, gathered, integer_type, result_of, windows_of
from codesign.rtl.wires import (
    Wires,
    add,
    add_constant,
    constant,
    each,
    is_constant,
    matrix_product,
    scaled,
)

if TYPE_CHECKING:
    from alkaid.trace import FVariable


def trace_dense(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a dense layer."""
    return result_of(node, _sums(node, inputs[0].reshape(1, -1), _kernel(node)))


def trace_convolution(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a convolution in one or two dimensions, unrolled: one matrix for each place of its window."""
    kernel = _kernel(node)
    terms = gathered(inputs[0], windows_of(node, inputs[0].shape, "filt"))
    return result_of(node, _sums(node, terms.reshape(len(terms), -1), kernel.reshape(-1, kernel.shape[-1])))


def trace_depthwise(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a depthwise convolution with multiplier 1: a sum for each channel."""
    kernel = _kernel(node)
    channels = inputs[0].shape[-1]
    if kernel.shape[-1] != 1:
        raise ConversionError(f"a depth multiplier of {kernel.shape[-1]} cannot become RTL; use 1")
    by_channel = kernel.reshape(-1, channels)
    terms = gathered(inputs[0], windows_of(node, inputs[0].shape, "filt"))
    columns = [
        _sums(node, terms[:, :, channel], by_channel[:, channel : channel + 1], channel, channels)
        for channel in range(channels)
    ]
    return result_of(node, np.concatenate(columns, axis=1))


def trace_einsum_dense(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace an einsum with a constant kernel: a matrix product for each place."""
    attributes, kernel, accumulator = node.attributes, _kernel(node), node.types["accum"]
    n_free = int(attributes["n_free_data"])
    bias = accumulator.quantize(node.weights["bias"]).reshape(len(kernel), n_free, -1)
    terms = inputs[0].reshape(attributes["inp_shape"]).transpose(attributes["inp_tpose_idxs"])
    terms = terms.reshape(len(kernel), n_free, -1)
    rows = [_row(terms[i, j], kernel[i], bias[i, j], accumulator) for i, j in np.ndindex(len(kernel), n_free)]
    moved = np.stack(rows).reshape(attributes["out_interpert_shape"]).transpose(attributes["out_tpose_idxs"])
    return result_of(node, moved)


def trace_batch_normalization(node: Node, inputs: Sequence[Wires], graph: Graph) -> Wires:
    """Trace a batch normalisation; scale and bias repeat over the flat input, as in the C++."""
    flat = inputs[0].ravel()
    scale, bias = node.weights["scale"].ravel(), node.weights["bias"].ravel()
    places = np.arange(flat.size) % scale.size
    return result_of(node, each(add_constant, each(scaled, flat, scale[places]), bias[places]))


def _kernel(node: Node) -> np.ndarray:
    """The kernel with what the C++ makes of binary and ternary weights."""
    kernel = node.weights["weight"]
    product = node.attributes.get("product", "mult")
    if product == "weight_binary":  # 0 stands for -1
        return np.where(kernel == 0, -1.0, 1.0)
    if product == "weight_ternary":  # 0 and -1 are themselves, anything else is taken for 1
        return np.where(kernel == 0, 0.0, np.where(kernel == -1, -1.0, 1.0))
    return kernel


def _sums(node: Node, terms: Wires, kernel: np.ndarray, first: int = 0, channels: int = 1) -> Wires:
    """Sum products in the accumulator's type.

    In the C++ the sum starts from the bias, and each product and each sum is assigned to the type. Where no
    product loses bits, wrapping once at the end is the same; a saturating type that no partial sum can leave
    changes nothing. Else the sum is made step by step, in the order of the C++.

    Parameters
    ----------
    node
        The layer.
    terms
        Shape `(n_places, n_terms)`.
    kernel
        float64, `(n_terms, n_outputs)`.
    first, channels
        Of a depthwise layer: which channel, of how many.
    """
    accumulator = node.types["accum"]
    if integer_type(node, "accum"):
        accumulator = accumulator.with_modes("TRN_ZERO", "WRAP")
    bias = node.weights["bias"].ravel()[first : first + kernel.shape[1]]
    bias = np.asarray(accumulator.quantize(bias), dtype=np.float64)
    order = _order(node, np.arange(len(kernel)) * channels + first, kernel.size * channels)
    return np.stack([_row(row[order], kernel[order], bias, accumulator) for row in terms])


def _order(node: Node, places: np.ndarray, size: int) -> np.ndarray:
    """The order in which the C++ adds the terms at these places of the flat weights.

    The resource strategies go through the weights with a stride of the reuse factor.
    """
    if node.attributes.get("strategy", "latency") in ("latency", "distributed_arithmetic"):
        return places.argsort()
    return np.lexsort((places, places % min(int(node.attributes.get("reuse_factor", 1)), size)))


def _row(terms: Wires, kernel: np.ndarray, bias: np.ndarray, accumulator: FixedPoint) -> Wires:
    exact = not _loses_bits(terms, kernel, accumulator)
    if exact and (accumulator.overflow == "WRAP" or _never_overflows(terms, kernel, bias, accumulator)):
        total = each(add_constant, matrix_product(terms, kernel), bias)
        return each(lambda wire: cast_wire(wire, accumulator), total)
    return each(
        lambda output: _step_by_step(terms, kernel[:, output], float(bias[output]), accumulator),
        np.arange(kernel.shape[1]),
    )


def _step_by_step(terms: Wires, weights: np.ndarray, bias: float, accumulator: FixedPoint) -> FVariable:
    total = constant(bias)
    for term, weight in zip(terms, weights, strict=True):
        if weight:
            total = cast_wire(add(total, cast_wire(scaled(term, weight), accumulator)), accumulator)
    return total


def _loses_bits(terms: Wires, kernel: np.ndarray, accumulator: FixedPoint) -> bool:
    """Whether some product has bits below the accumulator's last one."""
    for term, weights in zip(terms, kernel, strict=True):
        step = term.low if is_constant(term) else term.step
        products = weights * step
        if not _whole_steps(products, accumulator.step):
            return True
    return False


def _whole_steps(values: np.ndarray, step: float) -> bool:
    """Whether values are whole multiples of a step."""
    return bool(np.all(np.mod(values, step) == 0))


def _never_overflows(terms: Wires, kernel: np.ndarray, bias: np.ndarray, accumulator: FixedPoint) -> bool:
    """Whether no product and no partial sum can leave the accumulator's range."""
    least, most = limits(accumulator)
    lows, highs = (np.array([getattr(term, end) for term in terms])[:, None] for end in ("low", "high"))
    smallest = np.minimum(np.minimum(lows * kernel, highs * kernel), 0.0)
    largest = np.maximum(np.maximum(lows * kernel, highs * kernel), 0.0)
    low, high = smallest.sum(axis=0) + np.minimum(bias, 0.0), largest.sum(axis=0) + np.maximum(bias, 0.0)
    return bool(low.min() >= least and high.max() <= most)


TRACERS: Mapping[str, Tracer] = {
    "dense": trace_dense,
    "einsum_dense": trace_einsum_dense,
    "conv_1d": trace_convolution,
    "conv_2d": trace_convolution,
    "depthwise_conv_1d": trace_depthwise,
    "depthwise_conv_2d": trace_depthwise,
    "batch_normalization": trace_batch_normalization,
}
"""How each kind of this family is traced."""
