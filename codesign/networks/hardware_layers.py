"""Keras layers that compute what hls4ml's C++ computes, where neither Keras nor QKeras has such a layer.

They stand in the quantized student, so that its training sees the numbers of the hardware to the last bit; gradients are
those of the function that they approximate, 0 where the result saturates (straight-through, arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from codesign.core.fixed_point import FixedPoint
from codesign.emulation.tables import activation_table
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


def table_index(function: str, x: Any, size: int) -> Any:
    """The place in the table, `int(x * size / divisor)` plus an offset, kept within the table."""
    if function in ("elu", "selu"):
        place = ops.trunc(x * (size / -8.0))
    else:
        divisor = 8.0 if function == "tanh" else 16.0
        place = ops.trunc(x * (size / divisor)) + size // 2
    return ops.cast(ops.clip(place, 0, size - 1), "int32")


def _format(text: str | None) -> FixedPoint | None:
    return None if text is None else FixedPoint.parse(text)


def exact_value(value: Any, like: Any, limits: FixedPoint) -> Any:
    """The values of `value`, with the gradient of `like` where it is within the limits of the result."""
    smooth = ops.clip(like, limits.minimum, limits.maximum)
    return ops.stop_gradient(value) + (smooth - ops.stop_gradient(smooth))


@keras.saving.register_keras_serializable("codesign")
class Scale(keras.layers.Layer):
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
class FixedLookup(keras.layers.Layer):
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
class FixedSlope(keras.layers.Layer):
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
class FixedAverage(keras.layers.Layer):
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
