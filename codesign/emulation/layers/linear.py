"""Dense, einsum, convolution and batch normalisation layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codesign.emulation.batches import Buffers, buffer_of
from codesign.emulation.cast import Cast, plan_cast
from codesign.emulation.codes import Array, Signal, arithmetic_for, constant_codes, convert, magnitude, widest
from codesign.emulation.layers.reduce import in_own_unit
from codesign.emulation.layers.step import Planner, Step, Tallies, result_signal, tally_of
from codesign.emulation.layers.windows import Windows, windows_of
from codesign.emulation.products import SumOfProducts, Weights, plan_sum, whole_codes
from codesign.hls.graph import Graph, Node


@dataclass(frozen=True, eq=False)
class ProductStep(Step):
    """A dense or convolution layer: windows of the input, sums of products, one assignment."""

    windows: Windows | None
    sums: SumOfProducts
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        x, layer, shape = inputs[0], self.node.name, self.node.output_shape
        if self.windows is not None and buffers is not None:
            terms = _terms(
                x,
                self.windows,
                self.sums.by_channel,
                buffers.array(layer, "terms", self.windows.shape(x), x.dtype),
            )
        else:
            terms = _terms(x, self.windows, self.sums.by_channel)
        out = buffer_of(buffers, layer, "sum", (len(terms), shape[-1]), self.sums.arithmetic)
        total = self.sums.run(terms, tally_of(tallies, "accumulator"), out)
        return self.result.apply(total.reshape(len(x), *shape), tally_of(tallies, "result"), own=True)


@dataclass(frozen=True, eq=False)
class ScaleStep(Step):
    """A batch normalisation: a product and a bias for each value, exact until the one assignment."""

    scale: Array
    bias: Array
    result: Cast

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        total = convert(inputs[0], self.arithmetic) * self.scale
        total += self.bias
        return self.result.apply(total, tally_of(tallies, "result"), own=True)


@dataclass(frozen=True, eq=False)
class EinsumStep(Step):
    """An einsum with a constant kernel, as its C++ does it: axes moved, products place by place, axes moved back."""

    places: tuple[tuple[SumOfProducts, Cast], ...]

    def run(
        self, inputs: Sequence[Array], tallies: Tallies | None = None, buffers: Buffers | None = None
    ) -> Array:
        """Compute codes of the result."""
        n, attributes = len(inputs[0]), self.node.attributes
        x = inputs[0].reshape(n, *attributes["inp_shape"])
        x = x.transpose(0, *(axis + 1 for axis in attributes["inp_tpose_idxs"])).reshape(
            n, len(self.places), -1
        )
        results = []
        for place, (sums, result) in enumerate(self.places):
            total = sums.run(np.ascontiguousarray(x[:, place]), tally_of(tallies, "accumulator"))
            codes = in_own_unit(result, result.apply(total, tally_of(tallies, "result"), own=True))
            results.append(convert(codes, self.signal.arithmetic))
        y = np.stack(results, axis=1).reshape(n, *attributes["out_interpert_shape"])
        y = y.transpose(0, *(axis + 1 for axis in attributes["out_tpose_idxs"]))
        return y.reshape(n, *self.node.output_shape)


def plan_dense(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a dense layer."""
    kernel, fraction = _kernel(node)
    return _plan_products(node, inputs[0], kernel, fraction, None)


def plan_convolution(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a convolution in one or two dimensions."""
    kernel, fraction = _kernel(node)
    windows = windows_of(node, inputs[0].shape, "filt")
    return _plan_products(node, inputs[0], kernel.reshape(-1, kernel.shape[-1]), fraction, windows)


def plan_depthwise(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a depthwise convolution with multiplier 1."""
    kernel, fraction = _kernel(node)
    windows = windows_of(node, inputs[0].shape, "filt")
    return _plan_products(
        node, inputs[0], kernel.reshape(-1, kernel.shape[-2]), fraction, windows, by_channel=True
    )


def plan_einsum_dense(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan an einsum with a constant kernel: a matrix product for each place, each with a bias of its own."""
    kernel, fraction = _kernel(node)  # (in place, contracted, free)
    accumulator, n_free = node.types["accum"], int(node.attributes["n_free_data"])
    bias, bias_fraction = whole_codes(node.weights["bias"].ravel(), accumulator)
    bias = bias.reshape(len(kernel), n_free, -1)
    into, out = (tuple(node.attributes[f"{side}_tpose_idxs"]) for side in ("inp", "out"))
    low, high = (
        end.reshape(node.attributes["inp_shape"]).transpose(into).reshape(len(kernel), n_free, -1)
        for end in (inputs[0].low, inputs[0].high)
    )
    places, ends = [], []
    for i, j in np.ndindex(low.shape[:2]):
        weights = Weights(kernel[i], fraction, bias[i, j], bias_fraction)
        sums = plan_sum(inputs[0].fraction, low[i, j][None], high[i, j][None], weights, accumulator)
        result = plan_cast(sums.fraction, sums.low[0], sums.high[0], node.result)
        places.append((sums, result))
        factor = 2.0 ** (node.result.fractional_bits - result.fraction)
        ends.append((result.low * factor, result.high * factor))
    shape = tuple(node.attributes["out_interpert_shape"])
    bounds = [
        np.stack(end).reshape(shape).transpose(out).reshape(node.output_shape)
        for end in zip(*ends, strict=True)
    ]
    integer = "result" in node.attributes["integer_types"]
    signal = Signal(node.result.fractional_bits, bounds[0], bounds[1], node.result, integer)
    widths = (kind for sums, result in places for kind in (sums.arithmetic, result.work))
    return EinsumStep(node, signal, widest(signal.arithmetic, *widths), tuple(places))


def plan_batch_normalization(node: Node, inputs: Sequence[Signal], graph: Graph) -> Step:
    """Plan a batch normalisation; scale and bias repeat over the flat input, as in the C++."""
    signal = inputs[0]
    scale, scale_fraction = whole_codes(node.weights["scale"].ravel(), node.types["scale"])
    bias, bias_fraction = whole_codes(node.weights["bias"].ravel(), node.types["bias"])
    spread = (np.arange(signal.low.size) % scale.size).reshape(signal.shape)
    scale, bias = scale[spread], bias[spread]
    natural = signal.fraction + scale_fraction
    unit = max(natural, bias_fraction)
    factor = scale.astype(np.float64) * 2.0 ** (unit - natural)
    ends = (signal.low * factor, signal.high * factor)
    offset = bias.astype(np.float64) * 2.0 ** (unit - bias_fraction)
    low, high = np.minimum(*ends) + offset, np.maximum(*ends) + offset
    result = plan_cast(unit, low, high, node.result)
    bound = max(
        magnitude(low, high), magnitude(np.minimum(*ends), np.maximum(*ends)), magnitude(offset, offset)
    )
    arithmetic = arithmetic_for(max(bound, signal.bound, magnitude(factor, factor)))
    return ScaleStep(
        node,
        result_signal(node, result),
        arithmetic,
        constant_codes(scale, unit - natural, arithmetic),
        constant_codes(bias, unit - bias_fraction, arithmetic),
        result,
    )


def _plan_products(
    node: Node,
    signal: Signal,
    kernel: Array,
    fraction: int,
    windows: Windows | None,
    *,
    by_channel: bool = False,
) -> Step:
    accumulator = node.types["accum"]
    bias, bias_fraction = whole_codes(node.weights["bias"].ravel(), accumulator)
    low, high = (_terms(end[None], windows, by_channel) for end in (signal.low, signal.high))
    weights = Weights(kernel, fraction, bias, bias_fraction, by_channel)
    strategy, reuse = str(node.attributes["strategy"]), int(node.attributes.get("reuse_factor", 1))
    order = order_of_terms(strategy, reuse, kernel, by_channel=by_channel)
    sums = plan_sum(signal.fraction, low, high, weights, accumulator, order)
    shape = node.output_shape
    result = plan_cast(sums.fraction, sums.low.reshape(shape), sums.high.reshape(shape), node.result)
    arithmetic = widest(sums.arithmetic, result.work)
    return ProductStep(node, result_signal(node, result), arithmetic, windows, sums, result)


def _terms(x: Array, windows: Windows | None, by_channel: bool, out: Array | None = None) -> Array:
    """Lay out the input as the terms of sums, `(n * n_places, n_terms)` or by channel."""
    if windows is None:
        return x.reshape(len(x), -1)
    terms = windows.gather(x, out=out)
    n, places, pixels, channels = terms.shape
    return terms.reshape((n * places, pixels, channels) if by_channel else (n * places, pixels * channels))


def _kernel(node: Node) -> tuple[Array, int]:
    """The kernel's codes and fraction, with what the C++ makes of binary and ternary weights."""
    kernel, fraction = whole_codes(node.weights["weight"], node.types["weight"])
    product = node.attributes["product"]
    if product == "mult":
        return kernel, fraction
    values = node.weights["weight"]
    if product == "weight_binary":  # 0 stands for -1
        return np.where(values == 0, -1, 1).astype(np.int64), 0
    # weight_ternary: 0 and -1 are themselves, anything else is taken for 1
    return np.where(values == 0, 0, np.where(values == -1, -1, 1)).astype(np.int64), 0


def order_of_terms(strategy: str, reuse: int, kernel: Array, *, by_channel: bool = False) -> Array | None:
    """The order in which the C++ adds the products, if it is not that of the kernel.

    The resource strategies go through the flat weights with a stride of the reuse factor.
    """
    if strategy == "latency" or reuse <= 1:
        return None
    if not by_channel:
        place = np.arange(len(kernel))
        return np.lexsort((place, place % reuse))
    place = np.arange(kernel.size).reshape(kernel.shape)
    return np.lexsort((place, place % min(reuse, kernel.size)), axis=0)


PLANNERS: Mapping[str, Planner] = {
    "dense": plan_dense,
    "einsum_dense": plan_einsum_dense,
    "conv_1d": plan_convolution,
    "conv_2d": plan_convolution,
    "depthwise_conv_1d": plan_depthwise,
    "depthwise_conv_2d": plan_depthwise,
    "batch_normalization": plan_batch_normalization,
}
"""How each kind of this family computes."""
