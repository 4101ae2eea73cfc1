"""The sizes of a layer that costs depend on, free of Keras, and the formats that reach it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.core.fixed_point import FixedPoint
from codesign.core.layers import BY_KIND, kinds
from codesign.core.precision_map import PrecisionMap
from codesign.errors import DataError, SettingsError

_KINDS = kinds("product")
"""The kinds of layers that multiply by constants."""

INPUT = "<input>"
"""Stands among `LayerShape.sources` for the network's input; no layer can have this name."""


@dataclass(frozen=True)
class LayerShape:
    """A layer that multiplies by constants, as costs see it.

    Parameters
    ----------
    name
        The layer's name, the key of precision maps and kernels.
    kind
        What it is.
    n_inputs, n_outputs
        Features, or channels of a convolution (all groups together).
    kernel_size
        Positions of the window, 1 for a dense layer.
    output_positions
        How often the kernel is applied to one sample: pixels of the output, 1 for a dense layer on a vector.
    groups
        Parts that do not mix; `n_inputs` where each channel has a kernel of its own.
    sources
        The layers whose `result` formats the values that it reads have, `INPUT` for the network's input;
        more than one after a concatenation.
    activations
        The layers that round its output (each reads it and has a `result` format).
    shared
        Whether anything besides the layers that name it, or its activations, among their `sources` reads its
        result: an addition, an average, the network's output.
    in_order
        Whether its input channels are those of its source, repeated: not behind a permutation of axes.

    Raises
    ------
    SettingsError
        For a size below 1, groups that do not divide the channels, an unknown kind or no source.
    """

    name: str
    kind: str
    n_inputs: int
    n_outputs: int
    kernel_size: int = 1
    output_positions: int = 1
    groups: int = 1
    sources: tuple[str, ...] = (INPUT,)
    activations: tuple[str, ...] = ()
    shared: bool = False
    in_order: bool = True

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise SettingsError(f"{self.name}.kind must be one of {', '.join(_KINDS)}, not {self.kind!r}")
        for size in ("n_inputs", "n_outputs", "kernel_size", "output_positions", "groups"):
            value = getattr(self, size)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise SettingsError(f"{self.name}.{size} must be a whole number of at least 1, not {value!r}")
        if self.n_inputs % self.groups or self.n_outputs % self.groups:
            raise SettingsError(
                f"{self.name}.groups must divide {self.n_inputs} inputs and {self.n_outputs} outputs, not {self.groups}"
            )
        if not self.sources:
            raise SettingsError(f"{self.name}.sources must name at least one layer or INPUT, not ()")

    @property
    def per_channel(self) -> bool:
        """Whether each channel has a kernel of its own."""
        return BY_KIND[self.kind].per_channel

    @property
    def fan_in(self) -> int:
        """Weights of one output: the products that are summed."""
        return self.kernel_size * (self.n_inputs // self.groups)

    @property
    def n_weights(self) -> int:
        """Values of the kernel, without the bias."""
        return self.fan_in * self.n_outputs

    @property
    def n_multiplications(self) -> int:
        """Products for one sample: each weight once for each output position."""
        return self.n_weights * self.output_positions


def kernel_of(shape: LayerShape, kernels: Mapping[str, np.ndarray]) -> np.ndarray:
    """A layer's kernel, checked against its shape.

    Raises
    ------
    DataError
        If it is missing or has another number of values.
    """
    if shape.name not in kernels:
        raise DataError(
            f"no kernel for layer {shape.name!r} (given: {', '.join(kernels) or 'none'}); give one"
        )
    kernel = np.asarray(kernels[shape.name])
    if kernel.size != shape.n_weights:
        raise DataError(
            f"the kernel of {shape.name!r} has shape {kernel.shape}, {kernel.size} values; "
            f"its layer has {shape.n_weights} weights"
        )
    return kernel


def matrices(shape: LayerShape, kernel: np.ndarray) -> Iterator[np.ndarray]:
    """The constant matrices that a kernel in Keras' layout stands for, one for each group.

    Parameters
    ----------
    shape
        The layer.
    kernel
        `(n_inputs, n_outputs)` dense; `(*window, n_inputs / groups, n_outputs)` a convolution;
        `(*window, n_inputs, multiplier)` a depthwise convolution; `(n_inputs,)` a scale.

    Yields
    ------
    np.ndarray
        Shape `(fan_in, n_outputs / groups)`.
    """
    per_group = shape.n_outputs // shape.groups
    if shape.per_channel:
        by_channel = kernel.reshape(shape.kernel_size, shape.n_inputs, per_group)
        yield from (by_channel[:, channel] for channel in range(shape.n_inputs))
    else:
        by_output = kernel.reshape(shape.fan_in, shape.groups, per_group)
        yield from (by_output[:, group] for group in range(shape.groups))


def weight_format(shape: LayerShape, precision: PrecisionMap) -> FixedPoint:
    """The format of a layer's kernel.

    Raises
    ------
    SettingsError
        If the map has none.
    """
    formats = precision.layers.get(shape.name)
    if formats is None or formats.weight is None:
        raise SettingsError(
            f"layers.{shape.name}.weight: missing; give the kernel a format", source="precision map"
        )
    return formats.weight


def weight_codes(
    shape: LayerShape, precision: PrecisionMap, kernels: Mapping[str, np.ndarray]
) -> NDArray[np.int64]:
    """A layer's kernel in its format and widths, as integers in steps of the format.

    Raises
    ------
    SettingsError
        If the map has no format for it, or widths that do not fit the kernel.
    DataError
        If the kernel is missing or has another number of values.
    """
    weight = weight_format(shape, precision)
    return weight.to_integers(precision.layers[shape.name].on_grid(kernel_of(shape, kernels), shape.name))


def live_weight_width(shape: LayerShape, precision: PrecisionMap) -> float:
    """The mean width of a layer's weights that have bits; that of the format where all have its width, or none any."""
    width = weight_format(shape, precision).width
    widths = precision.layers[shape.name].weight_widths
    if widths is None or not widths.array.any():
        return width
    return float(widths.array[widths.array > 0].mean())


def input_format(shape: LayerShape, precision: PrecisionMap) -> FixedPoint:
    """The format of the values that a layer reads.

    Of several sources (a concatenation) it is the smallest that holds all their values, as hls4ml infers it.

    Raises
    ------
    SettingsError
        If a source has no `result` format, or no format of 64 bits holds them all.
    """
    return hull([result_format(source, shape, precision) for source in shape.sources])


def result_format(source: str, reader: LayerShape, precision: PrecisionMap) -> FixedPoint:
    """The format of the values of one source of `reader`."""
    if source == INPUT:
        return precision.of_input("input")
    formats = precision.layers.get(source)
    if formats is None or formats.result is None:
        raise SettingsError(
            f"layers.{source}.result: missing, but layer {reader.name!r} multiplies with its values; give it a format",
            source="precision map",
        )
    return formats.result


def hull(formats: list[FixedPoint]) -> FixedPoint:
    """The smallest format that holds every value of the given ones; the first itself if they are all equal."""
    first = formats[0]
    if all(other == first for other in formats):
        return first
    signed = any(one.signed for one in formats)
    integer_bits = max(one.integer_bits + (signed and not one.signed) for one in formats)
    return FixedPoint(integer_bits + max(one.fractional_bits for one in formats), integer_bits, signed)
