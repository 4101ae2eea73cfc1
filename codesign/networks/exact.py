"""Quantized models in float64: where sums have more bits than float32, QKeras is the inexact side of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from codesign.core.fixed_point import FLOAT32_BITS, FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.networks.build import (
    build_of,
    exact_formats,
    float_layer,
    format_of,
    quantized_layer,
    require_formats,
    value_formats,
    weights_on_grid,
)
from codesign.networks.description import LayerSpec, Network
from codesign.networks.joined import copied, every_layer, outputs_of
from codesign.networks.quantize_tensor import quantize_tensor


@keras.saving.register_keras_serializable("codesign")
class Rounded(keras.layers.Layer):
    """A number format, of what is not negative alone or of all values, in the precision of the layer's dtype.

    Parameters
    ----------
    result
        The format, as text.
    """

    def __init__(self, result: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.result = result

    def call(self, inputs: Any) -> Any:
        """Round and saturate."""
        return quantize_tensor(FixedPoint.parse(self.result), inputs)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "result": self.result}


def exceeds_float32(network: Network, precision: PrecisionMap) -> bool:
    """Whether the formats allow sums that float32 cannot all hold, so that QKeras may round them."""
    exact = exact_formats(network, precision)
    sums = [exact[layer.name] for layer in network.layers if layer.row.needs_point]
    return any(found is not None and found.width - 1 > FLOAT32_BITS for found in sums)


def build_exact(network: Network, precision: PrecisionMap) -> keras.Model:
    """A float64 model that computes what `build_quantized`'s would with exact sums: layers, names and inputs are the same.

    Parameters
    ----------
    network, precision
        As for `codesign.networks.build.build_quantized`.
    """
    require_formats(network, precision)
    formats = value_formats(network, precision)

    def make(layer: LayerSpec) -> keras.layers.Layer:
        own = precision.layers.get(layer.name, LayerPrecision())
        if layer.row.role == "point" and not layer.row.student and own.result is not None:
            return Rounded(str(own.result), name=layer.name, dtype="float64")
        sources = [formats[name] for name in layer.inputs]
        made = (
            float_layer(layer) if layer.row.role == "product" else quantized_layer(layer, precision, sources)
        )
        return type(made).from_config({**made.get_config(), "dtype": "float64"})

    def grid(name: str) -> keras.layers.Layer:
        return Rounded(str(precision.of_input(name)), name=f"{name}_grid", dtype="float64")

    on_grid = network.map_layers(lambda layer: weights_on_grid(layer, precision.layers.get(layer.name)))
    return build_of(on_grid, make, grid)


def float64_outputs(model: keras.Model, x: np.ndarray, batch_size: int | None = None) -> np.ndarray:
    """What a QKeras model gives for samples if it computes in float64: exact sums for all formats that hardware has.

    Its weights are those that it quantizes in float32; what its `quantized_relu` and `quantized_linear` read, which QKeras casts
    to float32 first, is rounded here.

    Parameters
    ----------
    model
        A model that `codesign.networks.read_keras.read_qkeras` takes; it is not changed.
    x, batch_size
        As for `codesign.networks.joined.outputs_of`.

    Returns
    -------
    ndarray
        float64, of the shape that `outputs_of` gives.

    Raises
    ------
    ConversionError
        For an activation `quantized_linear` that computes more than a format.
    """
    import qkeras

    of_float32 = (qkeras.quantized_relu, qkeras.quantized_linear)
    folded = {
        number: _folded(layer)
        for number, layer in enumerate(every_layer(model))
        if hasattr(layer, "get_folded_weights")
    }
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    # QKeras' quantizers compute in the first, whatever the dtype of their layers, and its recurrent layers in the second
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        copy = copied(model, lambda given: type(given).from_config(_in_float64(given.get_config())))
        for number, layer in enumerate(every_layer(copy)):
            if number in folded:
                layer.call = partial(_of_folded, layer, *folded[number])
            for place, given in list(vars(layer).items()):
                if place.endswith("_quantizer_internal") and given is not None:
                    setattr(layer, place, _of_float32(given))
                elif place in _ACTIVATIONS and isinstance(given, of_float32):
                    setattr(layer, place, partial(quantize_tensor, format_of(given)))
        return outputs_of(copy, np.asarray(x, np.float64), batch_size)
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)


def _folded(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """The kernel and bias that a layer with a normalisation inside multiplies by, as it folds and quantizes them in float32."""
    quantizers = (
        getattr(layer, "depthwise_quantizer_internal", None) or layer.kernel_quantizer_internal,
        layer.bias_quantizer_internal,
    )
    kernel, bias = (
        ops.convert_to_numpy(weights if quantizer is None else quantizer(weights)).astype(np.float64)
        for weights, quantizer in zip(layer.get_folded_weights(), quantizers, strict=True)
    )
    return kernel, bias


def _of_folded(layer: Any, kernel: np.ndarray, bias: np.ndarray, inputs: Any, training: Any = None) -> Any:
    """What such a layer gives at inference, its sums in float64."""
    if kernel.ndim == 2:
        sums = ops.matmul(inputs, kernel)
    else:
        product = ops.depthwise_conv if hasattr(layer, "depthwise_kernel") else ops.conv
        sums = product(
            inputs,
            kernel,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
    return sums + bias if layer.activation is None else layer.activation(sums + bias)


_ACTIVATIONS = ("activation", "quantizer")
"""Where QKeras' layers keep what quantizes values."""


def _of_float32(quantizer: Any) -> Callable[[Any], Any]:
    """A quantizer of weights, which are float32, as it computes in a model of float32."""

    def quantized(weights: Any) -> Any:
        keras.config.set_floatx("float32")
        try:
            return ops.cast(quantizer(ops.cast(weights, "float32")), "float64")
        finally:
            keras.config.set_floatx("float64")

    return quantized


def _in_float64(config: Any) -> Any:
    """The configuration of a layer or model with float64 wherever it names float32 as a dtype."""
    if isinstance(config, (list, tuple)):
        return type(config)(map(_in_float64, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return {**config, "config": {**config["config"], "name": "float64"}}
    return {
        key: "float64" if key == "dtype" and value == "float32" else _in_float64(value)
        for key, value in config.items()
    }
