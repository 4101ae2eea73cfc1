"""Which outputs of a layer anything reads, and between which limits: what a synthesis tool removes or narrows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import PrecisionMap
from codesign.cost.layer_shape import INPUT, LayerShape

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
