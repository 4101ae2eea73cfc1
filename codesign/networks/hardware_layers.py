"""Keras layers that compute what hls4ml's C++ computes, where neither Keras nor QKeras has such a layer.

They stand in the quantized student, so that its training sees the numbers of the hardware to the last bit; gradients are
those of the function that they approximate, 0 where the result saturates (straight-through, arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from codesign.core.fixed_point import FixedPoint
from codesign.core.layers import SOFTMAX_ADDRESS, softmax_types
from codesign.core.precision_map import LayerPrecision
from codesign.core.shown import Brief
from codesign.emulation.tables import activation_table, addressed_values, assigned, exponentials
from codesign.errors import ConversionError
from codesign.networks.description import LayerSpec
from codesign.networks.quantize_tensor import quantize_tensor

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "elu": ops.elu,
    "selu": ops.selu,
}
"""What can be looked up."""

_SELU_LINE = FixedPoint(16, 1, signed=False).quantize(np.array(1.0507009873554804934193349852946)).item()
"""The slope of hls4ml's SELU for what is not negative, a constant of 16 bits with io_parallel."""


@dataclass(frozen=True)
class Needs:
    """Types that hls4ml's C++ of a layer needs besides those that the map gives it; ``None`` leaves one as it is.

    Parameters
    ----------
    reads
        Of what it reads.
    accum, result
        Of its sums, and of what it puts out.
    """

    reads: FixedPoint | None = None
    accum: FixedPoint | None = None
    result: FixedPoint | None = None


@dataclass(frozen=True)
class Described(Brief):
    """What a layer of the student is in a `Network`; fields as of `LayerSpec`, and its formats, if it has any."""

    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)
    formats: LayerPrecision | None = None


class HardwareLayer:
    """A layer of the student that is made of a layer of a network, and read back."""

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None]) -> Self:
        """The layer, untrained, given its formats and those of what it reads."""
        raise NotImplementedError

    @classmethod
    def needs(cls, layer: LayerSpec, own: LayerPrecision, source: FixedPoint | None) -> Needs:
        """The types that its C++ needs; by default those of the map."""
        return Needs()

    def described(self) -> Described:
        """What it is in a network."""
        raise NotImplementedError


def tuples(value: Any) -> Any:
    """What a `LayerSpec` keeps as lists, as Keras takes it."""
    return tuple(tuples(entry) for entry in value) if isinstance(value, list) else value


def table_index(function: str, x: Any, size: int) -> Any:
    """The place in the table, `int(x * size / divisor)` plus an offset, kept within the table."""
    if function in ("elu", "selu"):
        place = ops.trunc(x * (size / -8.0))
    else:
        divisor = 8.0 if function == "tanh" else 16.0
        place = ops.trunc(x * (size / divisor)) + size // 2
    return ops.cast(ops.clip(place, 0, size - 1), "int32")


def _text(precision: FixedPoint | None) -> str | None:
    return None if precision is None else str(precision)


def _format(text: str | None) -> FixedPoint | None:
    return None if text is None else FixedPoint.parse(text)


def exact_value(value: Any, like: Any, limits: FixedPoint) -> Any:
    """The values of `value`, with the gradient of `like` where it is within the limits of the result."""
    smooth = ops.clip(like, limits.minimum, limits.maximum)
    return ops.stop_gradient(value) + (smooth - ops.stop_gradient(smooth))


@keras.saving.register_keras_serializable("codesign")
class Scale(HardwareLayer, keras.layers.Layer):
    """Each channel times a constant plus a constant; with formats, as hls4ml's BatchNormalization computes it.

    Parameters
    ----------
    use_bias
        Whether anything is added.
    weight, bias
        The formats of the constants as text; ``None`` for float32.
    trainable_constants
        Whether they are trained: a normalisation that the user fixed is not.
    """

    def __init__(
        self, use_bias: bool = True, weight: str | None = None, bias: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.use_bias, self.weight, self.bias_format = use_bias, weight, bias

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None] = ()) -> Self:
        """With the formats of the map; float32 without."""
        has_bias = "bias" in layer.weights
        return cls(has_bias, _text(own.weight), _text(own.bias) if has_bias else None, name=layer.name)

    def described(self) -> Described:
        """Its constants and their formats."""
        weights = {"kernel": self.kernel, **({} if self.bias is None else {"bias": self.bias})}
        formats = LayerPrecision(_format(self.weight), _format(self.bias_format)) if self.weight else None
        return Described("scale", {}, weights, formats)

    def build(self, input_shape: Any) -> None:
        """Make the constants, shape `(channels,)`."""
        channels = (int(input_shape[-1]),)
        self.kernel = self.add_weight(shape=channels, initializer="ones", name="kernel", trainable=False)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=channels, initializer="zeros", name="bias", trainable=False)

    def call(self, inputs: Any) -> Any:
        """Multiply and add."""
        weight, bias = _format(self.weight), _format(self.bias_format)
        outputs = inputs * (self.kernel if weight is None else quantize_tensor(weight, self.kernel))
        if self.bias is None:
            return outputs
        return outputs + (self.bias if bias is None else quantize_tensor(bias, self.bias))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "weight": self.weight,
            "bias": self.bias_format,
        }


@keras.saving.register_keras_serializable("codesign")
class FixedLookup(HardwareLayer, keras.layers.Layer):
    """An activation that is looked up in a table, as hls4ml computes it.

    Parameters
    ----------
    function
        ``tanh``, ``sigmoid``, ``softplus``, ``softsign``, ``elu`` or ``selu``.
    result
        The format of the table's entries and of the result, as text.
    parameter
        The format of `alpha`, as text, where the function has one.
    alpha
        What an ELU's table is multiplied by.
    size
        Entries of the table.
    """

    def __init__(
        self,
        function: str,
        result: str,
        parameter: str | None = None,
        alpha: float = 1.0,
        size: int = 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function, self.result, self.parameter = function, result, parameter
        self.alpha, self.size = alpha, size

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None] = ()) -> Self:
        """With the format of its entries, and of its parameter if it has one."""
        parameter = _text(own.weight) if layer.row.parameter else None
        return cls(layer.kind, str(own.result), parameter, layer.config.get("alpha", 1.0), name=layer.name)

    def described(self) -> Described:
        """Its function."""
        config = {"alpha": self.alpha} if self.function == "elu" else {}
        formats = LayerPrecision(weight=_format(self.parameter), result=_format(self.result))
        return Described(self.function, config, {}, formats)

    def compute_output_spec(self, inputs: Any) -> Any:
        """As the input: Keras cannot find it where float64 is on the way."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def call(self, inputs: Any) -> Any:
        """Look up."""
        result = FixedPoint.parse(self.result)
        table = result.quantize(activation_table(self.function, self.size).astype(np.float64))
        wide = ops.cast(inputs, "float64")
        value = ops.take(ops.convert_to_tensor(table), table_index(self.function, wide, self.size))
        inputs = ops.cast(inputs, self.compute_dtype)
        like = _FUNCTIONS[self.function](inputs)
        if self.function in ("elu", "selu"):
            line = _SELU_LINE if self.function == "selu" else 1.0
            parameter = _format(self.parameter)
            if parameter is not None:
                value = value * parameter.quantize(np.array(self.alpha)).item()
                like = ops.elu(inputs, self.alpha)
            value = quantize_tensor(result, ops.where(wide >= ops.zeros_like(wide), wide * line, value))
        return exact_value(ops.cast(value, inputs.dtype), like, result)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        own = {name: getattr(self, name) for name in ("function", "result", "parameter", "alpha", "size")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("codesign")
class FixedSoftmax(HardwareLayer, keras.layers.Layer):
    """A softmax over the last axis as hls4ml's `stable` one computes it: a table of exponentials, a sum, a table of inverses.

    Parameters
    ----------
    result
        The format of the result, as text.
    source
        That of what it reads, as text.
    """

    def __init__(self, result: str, source: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result, self.source = result, source

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None]) -> Self:
        """With its result's format and that of what it reads."""
        return cls(str(own.result), str(_known(sources[0], layer.name)), name=layer.name)

    @classmethod
    def needs(cls, layer: LayerSpec, own: LayerPrecision, source: FixedPoint | None) -> Needs:
        """A type of what it reads in whose upper half differences fit, of as many bits as address a table.

        hls4ml keeps a difference to the largest value in that type without its sign, where one of opposite values wraps.
        """
        if own.result is None:
            return Needs()
        spread = _differences(_known(source, layer.name))
        sign = int(_known(source, layer.name).signed)
        return Needs(
            reads=FixedPoint(spread.width + sign, spread.integer_bits + sign, bool(sign), "RND_CONV", "SAT")
        )

    def described(self) -> Described:
        """Its format."""
        return Described("softmax", {}, {}, LayerPrecision(result=_format(self.result)))

    def compute_output_spec(self, inputs: Any) -> Any:
        """As the input: Keras cannot find it where float64 is on the way."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def call(self, inputs: Any) -> Any:
        """Look up the exponentials, sum them, look up the inverse of the sum, multiply."""
        result, spread = FixedPoint.parse(self.result), _differences(FixedPoint.parse(self.source))
        types = softmax_types(result, int(inputs.shape[-1]))
        entries = 1 << SOFTMAX_ADDRESS

        def table(values: np.ndarray, precision: FixedPoint) -> Any:
            return ops.convert_to_tensor(assigned(values, precision) * precision.step)

        def top_bits(values: Any, precision: FixedPoint) -> Any:
            place = ops.floor(values * 2.0 ** (SOFTMAX_ADDRESS - precision.integer_bits))
            return ops.cast(ops.clip(place, 0, entries - 1), "int32")

        exponential = table(exponentials(-addressed_values(spread, entries)), types["exp_table"])
        with np.errstate(divide="ignore"):
            inverses = np.float32(1) / addressed_values(types["inv_inp"], entries)
        inverse = table(inverses, types["inv_table"])
        wide = ops.cast(inputs, "float64")
        powers = ops.take(exponential, top_bits(ops.max(wide, axis=-1, keepdims=True) - wide, spread))
        total = ops.sum(powers, axis=-1, keepdims=True)
        value = quantize_tensor(result, powers * ops.take(inverse, top_bits(total, types["inv_inp"])))
        inputs = ops.cast(inputs, self.compute_dtype)
        return exact_value(ops.cast(value, inputs.dtype), ops.softmax(inputs), result)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "result": self.result, "source": self.source}


def _known(source: FixedPoint | None, layer: str) -> FixedPoint:
    if source is None:
        raise ConversionError(f"layer {layer!r} reads values without a format; round them before it")
    return source


def _differences(source: FixedPoint) -> FixedPoint:
    """The type of the differences of two values of a format, of at least as many bits as address a softmax's table."""
    bits = source.integer_bits
    return FixedPoint(max(source.width, SOFTMAX_ADDRESS), bits, False)


@keras.saving.register_keras_serializable("codesign")
class FixedEmbedding(HardwareLayer, keras.layers.Embedding):
    """An embedding whose table holds values of a format.

    Parameters
    ----------
    rows
        How many rows of the table there are indices for: the others fill it up.
    result
        The format, as text.
    *args, **kwargs
        As of Keras' Embedding.
    """

    def __init__(self, *args: Any, rows: int, result: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows, self.result = rows, result

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None]) -> Self:
        """With the format of its entries."""
        shape, rows = layer.weights["embeddings"].shape, layer.config["input_dim"]
        return cls(*shape, rows=rows, result=str(own.result), name=layer.name)

    def described(self) -> Described:
        """Its table and their format."""
        formats = LayerPrecision(result=_format(self.result))
        return Described("embedding", {"input_dim": self.rows}, {"embeddings": self.embeddings}, formats)

    def call(self, inputs: Any) -> Any:
        """Look up."""
        table = quantize_tensor(FixedPoint.parse(self.result), ops.convert_to_tensor(self.embeddings))
        return ops.take(table, ops.cast(inputs, "int32"), axis=0)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "rows": self.rows, "result": self.result}


@keras.saving.register_keras_serializable("codesign")
class FixedSlope(HardwareLayer, keras.layers.Layer):
    """A rectifier with a slope for what is not positive (LeakyReLU, PReLU), rounded once.

    Parameters
    ----------
    result, parameter
        The formats of the result and of the slopes, as text.
    slope
        One slope for all; ``None`` for one for each value of a sample, which are trained.
    """

    def __init__(self, result: str, parameter: str, slope: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result, self.parameter, self.slope = result, parameter, slope

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None] = ()) -> Self:
        """With the formats of its result and its slopes."""
        return cls(str(own.result), str(own.weight), layer.config.get("negative_slope"), name=layer.name)

    def described(self) -> Described:
        """Its slopes."""
        formats = LayerPrecision(weight=_format(self.parameter), result=_format(self.result))
        if self.slope is None:
            return Described("prelu", {}, {"alpha": self.alpha}, formats)
        return Described("leaky_relu", {"negative_slope": self.slope}, {}, formats)

    def build(self, input_shape: Any) -> None:
        """Make the slopes."""
        if self.slope is None:
            self.alpha = self.add_weight(shape=input_shape[1:], initializer="zeros", name="alpha")

    def compute_output_spec(self, inputs: Any) -> Any:
        """As the input: Keras cannot find it where float64 is on the way."""
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def call(self, inputs: Any) -> Any:
        """Multiply what is not positive."""
        result, parameter = FixedPoint.parse(self.result), FixedPoint.parse(self.parameter)
        wide = ops.cast(inputs, "float64")
        if self.slope is None:
            exact = slopes = quantize_tensor(parameter, self.alpha)
        else:
            exact = slopes = parameter.quantize(np.array(self.slope)).astype(np.float32)
        value = ops.where(wide > ops.zeros_like(wide), wide, wide * ops.cast(exact, "float64"))
        value = ops.cast(quantize_tensor(result, value), inputs.dtype)
        return exact_value(value, ops.where(inputs > 0, inputs, inputs * slopes), result)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        own = {name: getattr(self, name) for name in ("result", "parameter", "slope")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("codesign")
class FixedAverage(HardwareLayer, keras.layers.Layer):
    """An average over windows as hls4ml computes it: an exact sum, then a division towards zero.

    Parameters
    ----------
    pool_size, strides, padding
        As of Keras' average pooling, for one axis or two.
    source
        The format of what is averaged, as text: hls4ml divides with `ceil(log2 n)` fractional bits more than that has.
    """

    def __init__(
        self, pool_size: tuple[int, ...], strides: tuple[int, ...], padding: str, source: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = tuple(pool_size), tuple(strides), padding
        self.source = source

    @classmethod
    def of(cls, layer: LayerSpec, own: LayerPrecision, sources: Sequence[FixedPoint | None]) -> Self:
        """With the format of what it averages."""
        config = {key: tuples(value) for key, value in layer.config.items()}
        return cls(**config, source=str(sources[0]), name=layer.name)

    def described(self) -> Described:
        """Its windows."""
        config = {"pool_size": [*self.pool_size], "strides": [*self.strides], "padding": self.padding}
        return Described(f"average_pool{len(self.pool_size)}d", config)

    def call(self, inputs: Any) -> Any:
        """Sum, divide, cut."""
        count = int(np.prod(self.pool_size))
        pooled = ops.average_pool(
            inputs, self.pool_size, strides=self.strides, padding=self.padding, data_format="channels_last"
        )
        if count & (count - 1) == 0:
            return pooled  # as many bits more as the division needs: nothing is cut
        fraction = FixedPoint.parse(self.source).fractional_bits
        step = 2.0 ** (fraction + (count - 1).bit_length())
        # the sum in units of the source's step is a whole number, however the average was rounded
        total = ops.round(ops.cast(pooled, "float64") * (count * 2.0**fraction))
        value = ops.trunc(total * (step / 2.0**fraction) / count) / step
        return ops.stop_gradient(ops.cast(value, inputs.dtype)) + (pooled - ops.stop_gradient(pooled))

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        own = {name: getattr(self, name) for name in ("pool_size", "strides", "padding", "source")}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("codesign")
class DepthwiseConv1D(keras.layers.DepthwiseConv1D):
    """A depthwise convolution along one axis whose kernel and bias QKeras quantizes; QKeras itself has none.

    Parameters
    ----------
    depthwise_quantizer, bias_quantizer
        QKeras quantizers; others as of Keras' layer.
    """

    def __init__(
        self, *args: Any, depthwise_quantizer: Any, bias_quantizer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        from qkeras import get_quantizer

        self.depthwise_quantizer, self.bias_quantizer = depthwise_quantizer, bias_quantizer
        self.depthwise_quantizer_internal = get_quantizer(depthwise_quantizer)
        self.bias_quantizer_internal = get_quantizer(bias_quantizer)

    def call(self, inputs: Any) -> Any:
        """Convolve with the quantized kernel."""
        outputs = ops.depthwise_conv(
            inputs,
            self.depthwise_quantizer_internal(self.kernel),
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
        )
        return outputs if self.bias is None else outputs + self.bias_quantizer_internal(self.bias)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        quantizers = {
            name: keras.saving.serialize_keras_object(getattr(self, f"{name}_internal"))
            for name in ("depthwise_quantizer", "bias_quantizer")
        }
        return {**super().get_config(), **quantizers}
