"""Make a float Keras or a QKeras model from a `Network`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from codesign.core.precision_map import PrecisionMap
from codesign.networks.description import ACTIVATION_KINDS, WEIGHT_KINDS, LayerSpec, Network
from codesign.networks.qkeras_formats import qkeras_bits, qkeras_relu


def build_float(network: Network) -> keras.Model:
    """A float32 Keras model with the network's layers, names and weights; it ends at the logits."""
    return _build(network, _float_layer)


def build_quantized(network: Network, precision: PrecisionMap) -> keras.Model:
    """A QKeras model with the network's weights and the map's formats.

    The input passes a `QActivation` named ``<input>_grid``, so that any float input is put on the input grid first;
    kernels and biases are float variables that QKeras quantizes in the forward pass. A kernel whose weights have widths
    of their own (`LayerPrecision.weight_widths`) begins on their grids: QKeras knows one width a kernel.

    Parameters
    ----------
    network
        A network without batch normalisation (see `codesign.networks.prepare`), whose quantization points are
        explicit (`linear` layers).
    precision
        Formats of every weight layer's `weight` and `bias` and of every activation's `result`.
    """
    import qkeras

    def make(layer: LayerSpec) -> Any:
        if layer.kind in WEIGHT_KINDS:
            formats = precision[layer.name]
            kernel = "depthwise_quantizer" if layer.kind == "depthwise_conv2d" else "kernel_quantizer"
            quantizers = {kernel: qkeras_bits(formats.weight)}
            if "bias" in layer.weights:
                quantizers["bias_quantizer"] = qkeras_bits(formats.bias)
            return _weight_layer(layer, _quantized_kinds(qkeras)[layer.kind], **quantizers)
        if layer.kind == "relu":
            return qkeras.QActivation(qkeras_relu(precision[layer.name].result), name=layer.name)
        if layer.kind == "linear":
            return qkeras.QActivation(qkeras_bits(precision[layer.name].result), name=layer.name)
        return _float_layer(layer)

    def begin(layer: LayerSpec) -> LayerSpec:
        formats = precision.layers.get(layer.name)
        if layer.kind not in WEIGHT_KINDS or formats is None or formats.weight_widths is None:
            return layer
        return layer.with_weights(kernel=formats.on_grid(layer.weights["kernel"], layer.name))

    grid = qkeras.QActivation(qkeras_bits(precision.input), name=f"{network.layers[0].name}_grid")
    return _build(network.map_layers(begin), make, grid)


def read_weights(network: Network, model: keras.Model) -> Network:
    """The network with the weights that `model`, built from it, has now."""

    def read(layer: LayerSpec) -> LayerSpec:
        if not layer.weights:
            return layer
        variables = _variables(layer, model.get_layer(layer.name))
        return layer.with_weights(
            **{key: keras.ops.convert_to_numpy(value) for key, value in variables.items()}
        )

    return network.map_layers(read)


def write_weights(network: Network, model: keras.Model) -> None:
    """Put the weights of a network into a model that was built from one of the same layers and shapes."""
    for layer in network.layers:
        if layer.weights:
            for key, variable in _variables(layer, model.get_layer(layer.name)).items():
                variable.assign(layer.weights[key])


def _build(network: Network, make: Callable[[LayerSpec], Any], grid: Any = None) -> keras.Model:
    tensors: dict[str, Any] = {}
    for layer in network.layers:
        if layer.kind == "input":
            tensor = keras.Input(shape=tuple(layer.config["shape"]), name=layer.name)
            tensors[layer.name] = source = tensor
            if grid is not None:
                tensors[layer.name] = grid(tensor)
        else:
            inputs = [tensors[name] for name in layer.inputs]
            tensors[layer.name] = make(layer)(inputs if layer.kind in ("add", "concatenate") else inputs[0])
    model = keras.Model(source, tensors[network.output.name], name=network.name)
    write_weights(network, model)
    return model


def _variables(layer: LayerSpec, built: Any) -> Mapping[str, Any]:
    if layer.kind == "batch_norm":
        return {
            "gamma": built.gamma,
            "beta": built.beta,
            "mean": built.moving_mean,
            "variance": built.moving_variance,
        }
    return {key: kernel_variable(built) if key == "kernel" else getattr(built, key) for key in layer.weights}


def kernel_variable(built: Any) -> Any:
    """The kernel of a Keras or QKeras layer; `QDepthwiseConv2D` has its own name for it."""
    return built.depthwise_kernel if hasattr(built, "depthwise_kernel") else built.kernel


def _weight_layer(layer: LayerSpec, make: Callable[..., Any], **options: Any) -> Any:
    kernel = layer.weights["kernel"]
    options = {"name": layer.name, "use_bias": "bias" in layer.weights, **options}
    if layer.kind == "dense":
        return make(kernel.shape[-1], **options)
    options |= {"strides": tuple(layer.config["strides"]), "padding": layer.config["padding"]}
    size = kernel.shape[: 1 if layer.kind == "conv1d" else 2]
    if layer.kind == "depthwise_conv2d":
        return make(kernel_size=size, **options)
    return make(filters=kernel.shape[-1], kernel_size=size, **options)


def _quantized_kinds(qkeras: Any) -> Mapping[str, Any]:
    return {
        "dense": qkeras.QDense,
        "conv1d": qkeras.QConv1D,
        "conv2d": qkeras.QConv2D,
        "depthwise_conv2d": qkeras.QDepthwiseConv2D,
    }


_FLOAT_LAYERS: Mapping[str, Any] = {
    "dense": keras.layers.Dense,
    "conv1d": keras.layers.Conv1D,
    "conv2d": keras.layers.Conv2D,
    "depthwise_conv2d": keras.layers.DepthwiseConv2D,
    "batch_norm": keras.layers.BatchNormalization,
    "flatten": keras.layers.Flatten,
    "reshape": keras.layers.Reshape,
    "zero_padding1d": keras.layers.ZeroPadding1D,
    "zero_padding2d": keras.layers.ZeroPadding2D,
    "max_pool1d": keras.layers.MaxPooling1D,
    "max_pool2d": keras.layers.MaxPooling2D,
    "average_pool1d": keras.layers.AveragePooling1D,
    "average_pool2d": keras.layers.AveragePooling2D,
    "add": keras.layers.Add,
    "concatenate": keras.layers.Concatenate,
}


def _float_layer(layer: LayerSpec) -> Any:
    if layer.kind in ACTIVATION_KINDS:
        # a keras.layers.ReLU would reach hls4ml 1.3 as a ReLU with a threshold of its own type
        return keras.layers.Activation(layer.kind, name=layer.name)
    make = _FLOAT_LAYERS[layer.kind]
    if layer.kind in WEIGHT_KINDS:
        return _weight_layer(layer, make)
    config = {key: _tuples(value) for key, value in layer.config.items()}
    return make(name=layer.name, **config)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value


def weights_in(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight of a model by its place and kind, for digests.

    Names of layers that Keras numbered itself and the state of random numbers differ between sessions, so they do not
    count.
    """
    return {
        f"{index}/{variable.name}": keras.ops.convert_to_numpy(variable)
        for index, variable in enumerate(model.weights)
    }
