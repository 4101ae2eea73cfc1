"""LUTs of a network whose weights are constants: shift-and-add networks, found by alkaid."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import PrecisionMap
from codesign.core.target import IoType
from codesign.cost.adder_trees import matrix_luts
from codesign.cost.layer_shape import INPUT, LayerShape, input_format, matrices, weight_codes, weight_format
from codesign.errors import DataError, SettingsError

Limits = NDArray[np.int64]
"""Least and greatest code of each channel, shape `(n_channels, 2)`."""


def used_outputs(
    shapes: Sequence[LayerShape], codes: Mapping[str, np.ndarray]
) -> dict[str, NDArray[np.bool_]]:
    """Which outputs of each layer have an effect, shape `(n_outputs,)` by layer.

    An output is unused if every later weight that multiplies it is zero; the weights of an unused output do not
    count as uses.

    Parameters
    ----------
    shapes
        The layers in order of execution.
    codes
        Their kernels as integers, in Keras' layout.
    """
    used: dict[str, NDArray[np.bool_]] = {}
    for shape in reversed(shapes):
        names = {shape.name, *shape.activations}
        readers = [reader for reader in shapes if names & set(reader.sources)]
        used[shape.name] = np.ones(shape.n_outputs, dtype=bool)
        traceable = readers and not shape.shared and all(_one_source(reader, shape) for reader in readers)
        if traceable:
            uses = [_used_inputs(reader, codes[reader.name], used[reader.name]) for reader in readers]
            used[shape.name] = np.any([use.reshape(-1, shape.n_outputs).any(axis=0) for use in uses], axis=0)
    return used


def input_limits(shape: LayerShape, reads: FixedPoint, known: Mapping[str, Limits]) -> Limits:
    """The limits of each input channel, shape `(n_inputs, 2)`.

    Parameters
    ----------
    shape
        The layer.
    reads
        The format of its inputs: the limits where nothing narrower is known.
    known
        Limits by source, as `result_limits` gives them. Channels repeat when a convolution's output is flattened.
    """
    limits = known.get(shape.sources[0]) if len(shape.sources) == 1 and shape.in_order else None
    if limits is None or shape.n_inputs % len(limits):
        return np.tile(np.array(reads.code_limits), (shape.n_inputs, 1))
    return np.tile(limits, (shape.n_inputs // len(limits), 1))


def result_limits(sums: NDArray[np.float64], result: FixedPoint) -> Limits:
    """The limits after rounding sums to a format.

    Parameters
    ----------
    sums
        Least and greatest value of each sum, float64 of shape `(n_channels, 2)`.
    result
        The format.
    """
    codes = np.sort(result.to_integers(np.clip(sums, result.minimum, result.maximum)), axis=1).astype(
        np.int64
    )
    wraps = result.overflow not in ("SAT", "SAT_SYM")
    outside = (sums[:, 0] < result.minimum) | (sums[:, 1] > result.maximum)
    codes[outside & wraps] = result.code_limits
    return codes


def result_formats(shape: LayerShape, precision: PrecisionMap) -> dict[str, FixedPoint]:
    """The formats that a layer's sums are rounded to, by itself or by the activations that read it."""
    names = (name for name in (shape.name, *shape.activations) if name in precision.layers)
    formats = {name: precision.layers[name].result for name in names}
    return {name: result for name, result in formats.items() if result is not None}


def _one_source(reader: LayerShape, shape: LayerShape) -> bool:
    one = len(reader.sources) == 1 and reader.sources != (INPUT,) and reader.in_order
    return one and reader.n_inputs % shape.n_outputs == 0


def _used_inputs(reader: LayerShape, codes: np.ndarray, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which input channels of `reader` reach one of its used outputs, shape `(n_inputs,)`."""
    per_group = reader.n_outputs // reader.groups
    if reader.per_channel:
        weights = codes.reshape(reader.kernel_size, reader.n_inputs, per_group) != 0
        return (weights & used.reshape(reader.n_inputs, per_group)).any(axis=(0, 2))
    channels = reader.n_inputs // reader.groups
    weights = codes.reshape(reader.kernel_size, channels, reader.groups, per_group) != 0
    return (weights & used.reshape(reader.groups, per_group)).any(axis=(0, 3)).T.reshape(-1)


_WIDEST_CODE = 24  # alkaid takes float32 matrices
_REMEMBERED = 20_000  # a scan over a large network must not fill the memory

_memory: dict[Any, float] = {}


def estimate_luts(
    shapes: Sequence[LayerShape],
    precision: PrecisionMap,
    kernels: Mapping[str, np.ndarray],
    biases: Mapping[str, np.ndarray] | None = None,
    *,
    io_type: IoType = "io_parallel",
    thorough: bool = False,
) -> float:
    """Look-up tables of a network that multiplies by shifting and adding, without DSPs.

    For each layer: alkaid's adder trees for the constant matrix, the bias, and the ReLU, rounding and saturation of
    the activations that follow. Outputs that no later weight uses cost nothing, and sums that cannot reach a
    format's limits are as narrow as they can be. Pooling, sums of branches and softmax tables are not counted.

    Parameters
    ----------
    shapes
        Its layers, in order.
    precision
        The formats; kernels and biases are rounded to theirs first.
    kernels
        The kernels by layer, in Keras' layout (see `matrices`).
    biases
        The biases by layer, shape `(n_outputs,)`; a layer that is left out has none.
    io_type
        With `io_parallel` a convolution has its matrix once for each output position, with `io_stream` once.
    thorough
        Try every depth of matrix decomposition, as alkaid does for the final design: 1 to 5 times slower, at most
        6 % fewer LUTs on the networks tried.

    Returns
    -------
    float
        Estimated LUTs; flip-flops are not estimated.

    Raises
    ------
    SettingsError
        If the map lacks a format, or a weight format is wider than 24 bits.
    DataError
        If a kernel or bias is missing or has another number of values.

    Notes
    -----
    alkaid's cost of a whole design (da4ml, arXiv:2507.04535) against Vivado's LUTs after place and route, on 20
    published designs: mean ratio 1.05, R2 0.99, worst deviation 12 %. The sum over layers here against one alkaid
    trace of the whole network, 4 to 8 bits, 20 to 100 % of the weights left: 16-64-32-32-5 within 3 %, networks of
    some hundred weights with few of them left up to 17 % above (one trace also merges across layers). Border
    positions of a padded convolution are counted in full.

    Each layer's cost is kept in memory under the digest of its integer weights and formats: only layers that
    changed since an earlier call take time.
    """
    by_layer = luts_by_layer(shapes, precision, kernels, biases, io_type=io_type, thorough=thorough)
    return sum(by_layer.values())


def luts_by_layer(
    shapes: Sequence[LayerShape],
    precision: PrecisionMap,
    kernels: Mapping[str, np.ndarray],
    biases: Mapping[str, np.ndarray] | None = None,
    *,
    io_type: IoType = "io_parallel",
    thorough: bool = False,
) -> dict[str, float]:
    """The parts of `estimate_luts`, by layer, each with the activations after it."""
    codes = {shape.name: _codes(shape, precision, kernels) for shape in shapes}
    used = used_outputs(shapes, codes)
    known: dict[str, Limits] = {}
    luts = {}
    for shape in shapes:
        reads = input_format(shape, precision)
        # in units of the products' least significant bit, all that is left of the binary points is this shift
        shift = weight_format(shape, precision).fractional_bits + reads.fractional_bits
        results = {
            name: replace(result, integer_bits=result.integer_bits + shift)
            for name, result in result_formats(shape, precision).items()
        }
        bias = _bias_values(shape, precision, (biases or {}).get(shape.name)) * 2.0**shift
        limits = input_limits(shape, reads, known)
        total, sums = 0.0, np.zeros((shape.n_outputs, 2))
        for group, matrix in enumerate(matrices(shape, codes[shape.name])):
            rows, columns = _rows(shape, group), _columns(shape, group)
            part = _Matrix(matrix * used[shape.name][columns], limits[rows], bias[columns])
            total += part.luts(tuple(results.values()), thorough)
            sums[columns] = part.sums
        luts[shape.name] = total * (shape.output_positions if io_type == "io_parallel" else 1)
        known |= {name: result_limits(sums, result) for name, result in results.items()}
    return luts


class _Matrix:
    """One constant matrix, its bias and the limits of its inputs; its cost comes from the memory if it is there.

    Parameters
    ----------
    codes
        Integers of shape `(n_in, n_out)`.
    limits
        Of the inputs, shape `(n_in, 2)`; an input with equal limits is a constant and becomes part of the bias.
    bias
        float64 of shape `(n_out,)`, in units of the sums' least significant bit.
    """

    def __init__(self, codes: np.ndarray, limits: Limits, bias: NDArray[np.float64]) -> None:
        varies = limits[:, 0] < limits[:, 1]
        self.codes, self.limits = codes[varies], limits[varies]
        self.bias = bias + limits[~varies, 0] @ codes[~varies]
        positive, negative = np.maximum(self.codes, 0).T, np.minimum(self.codes, 0).T
        ends = [positive @ self.limits[:, k] + negative @ self.limits[:, 1 - k] for k in (0, 1)]
        self.sums = np.stack(ends, axis=1) + self.bias[:, None]

    def luts(self, results: tuple[FixedPoint, ...], thorough: bool) -> float:
        arrays = (self.codes.astype(np.int32), self.limits, self.bias)
        digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays))
        key = (digest.digest(), self.codes.shape, results, thorough)
        if key not in _memory:
            if len(_memory) >= _REMEMBERED:
                del _memory[next(iter(_memory))]
            _memory[key] = matrix_luts(self.codes, self.limits, self.bias, results, thorough=thorough)
        return _memory[key]


def _codes(shape: LayerShape, precision: PrecisionMap, kernels: Mapping[str, np.ndarray]) -> np.ndarray:
    weight = weight_format(shape, precision)
    if weight.width > _WIDEST_CODE:
        raise SettingsError(
            f"layers.{shape.name}.weight: LUTs can be estimated for at most {_WIDEST_CODE} bits, "
            f"not {weight.width}; use a narrower format or count BOPs"
        )
    return weight_codes(shape, precision, kernels)


def _bias_values(shape: LayerShape, precision: PrecisionMap, bias: np.ndarray | None) -> NDArray[np.float64]:
    if bias is None:
        return np.zeros(shape.n_outputs)
    bias = np.asarray(bias, dtype=np.float64).reshape(-1)
    if bias.size != shape.n_outputs:
        raise DataError(
            f"the bias of {shape.name!r} has {bias.size} values; its layer has {shape.n_outputs} outputs"
        )
    formats = precision.layers[shape.name]
    if formats.bias is None:
        raise SettingsError(
            f"layers.{shape.name}.bias: missing; give the bias a format", source="precision map"
        )
    return formats.bias.quantize(bias)


def _rows(shape: LayerShape, group: int) -> NDArray[np.int64]:
    """The input channels of a group's matrix, once for each position of the window."""
    channels = np.arange(shape.n_inputs).reshape(shape.groups, -1)[group]
    return np.tile(channels, shape.kernel_size)


def _columns(shape: LayerShape, group: int) -> NDArray[np.int64]:
    """The output channels of a group's matrix."""
    return np.arange(shape.n_outputs).reshape(shape.groups, -1)[group]
