"""The costs of every choice of widths, as the terms that `choose_widths` takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from codesign.compression.sensitivity import Sensitivity, TensorName, with_tensor_width
from codesign.compression.width_program import CostTerm
from codesign.core.precision_map import PrecisionMap
from codesign.core.target import IoType
from codesign.cost import LayerShape, bops_of, estimate_luts, weight_bits_of
from codesign.cost.live_values import result_formats, used_outputs


def weight_bit_terms(
    shapes: Sequence[LayerShape], precision: PrecisionMap, rows: Sequence[Sensitivity]
) -> tuple[CostTerm, ...]:
    """Bits of the stored kernels, zeros included.

    Parameters
    ----------
    shapes
        The network's layers.
    precision
        Formats of the tensors that have no row.
    rows
        The tensors whose widths are to be chosen.
    """
    return tuple(
        _term(
            shape, [(shape.name, "weight")], rows, precision, lambda one, trial: weight_bits_of([one], trial)
        )
        for shape in shapes
    )


def bops_terms(
    shapes: Sequence[LayerShape],
    precision: PrecisionMap,
    kernels: Mapping[str, np.ndarray],
    rows: Sequence[Sensitivity],
) -> tuple[CostTerm, ...]:
    """BOPs of each layer for each pair of weight and activation widths (see `codesign.cost.bops_of`).

    Parameters
    ----------
    shapes
        The network's layers.
    precision
        Integer bits and modes of all tensors, and widths of those that have no row.
    kernels
        The kernels by layer; zeros are counted after rounding to each width.
    rows
        The tensors whose widths are to be chosen.
    """
    return tuple(
        _term(shape, _factors(shape), rows, precision, lambda one, trial: bops_of([one], trial, kernels))
        for shape in shapes
    )


def lut_terms(
    shapes: Sequence[LayerShape],
    precision: PrecisionMap,
    kernels: Mapping[str, np.ndarray],
    rows: Sequence[Sensitivity],
    *,
    biases: Mapping[str, np.ndarray] | None = None,
    io_type: IoType = "io_parallel",
) -> tuple[CostTerm, ...]:
    """Estimated LUTs of each layer for each choice of weight, input and result widths.

    A layer is estimated by itself (see `codesign.cost.estimate_luts`): outputs that no weight reads cost nothing,
    but limits that a layer before it narrows are not known, so the sum is an estimate from above of the estimate of
    the whole network. Each combination is solved once and takes about 0.1 s for a layer of 64 x 32 weights: give few
    widths where activations are chosen too.

    Parameters
    ----------
    shapes
        The network's layers.
    precision
        Integer bits and modes of all tensors, and widths of those that have no row.
    kernels, biases
        By layer, in Keras' layout.
    rows
        The tensors whose widths are to be chosen.
    io_type
        As in `estimate_luts`.
    """
    used = used_outputs(shapes, kernels)

    def luts(shape: LayerShape, trial: PrecisionMap) -> float:
        kernel = {shape.name: _masked(shape, kernels[shape.name], used)}
        return estimate_luts([shape], trial, kernel, biases, io_type=io_type)

    terms = []
    for shape in shapes:
        results: list[TensorName] = [(name, "result") for name in result_formats(shape, precision)]
        terms.append(_term(shape, [*_factors(shape), *results], rows, precision, luts))
    return tuple(terms)


def _factors(shape: LayerShape) -> list[TensorName]:
    """The tensors that a layer multiplies."""
    return [(shape.name, "weight"), *((source, "result") for source in shape.sources)]


def _masked(shape: LayerShape, kernel: np.ndarray, used: Mapping[str, np.ndarray]) -> np.ndarray:
    """The kernel with zeros for the outputs that no later weight reads."""
    mask = used[shape.name]
    return kernel * (mask.reshape(kernel.shape[-2:]) if shape.kind == "depthwise_conv2d" else mask)


def _term(
    shape: LayerShape,
    tensors: Sequence[TensorName],
    rows: Sequence[Sensitivity],
    precision: PrecisionMap,
    cost: Callable[[LayerShape, PrecisionMap], float],
) -> CostTerm:
    """A layer's cost at every combination of the widths of those `tensors` that have a row."""
    chosen = {row.name: row for row in rows}
    free = [name for name in dict.fromkeys(tensors) if name in chosen]
    values = np.empty([len(chosen[name].widths) for name in free])
    for indices in itertools.product(*(range(size) for size in values.shape)):
        trial = precision
        for name, index in zip(free, indices, strict=True):
            trial = with_tensor_width(trial, name, chosen[name].widths[index])
        values[indices] = cost(shape, trial)
    return CostTerm(tuple(free), values)
