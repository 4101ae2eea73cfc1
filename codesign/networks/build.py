"""Make a float Keras or a QKeras model from a `Network`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost.layer_shape import hull
from codesign.errors import ConversionError
from codesign.networks.description import LayerSpec, Network
from codesign.networks.hardware_layers import (
    DepthwiseConv1D,
    FixedAverage,
    FixedLookup,
    FixedSlope,
    Scale,
)
from codesign.networks.hardware_recurrent import FixedGRU, FixedLSTM, gru_accumulator, lstm_type
from codesign.networks.joined import begin_joined, end_joined
from codesign.networks.qkeras_formats import qkeras_bits, qkeras_relu


def build_float(network: Network, *, side_by_side: bool = False) -> keras.Model:
    """A float32 Keras model with the network's layers, names and weights; it ends at the logits.

    Parameters
    ----------
    network
        Any network.
    side_by_side
        Whether several inputs or outputs become one, as training takes them (`codesign.networks.joined`).
    """
    return build_of(network, float_layer, None, side_by_side)


def build_quantized(
    network: Network,
    precision: PrecisionMap,
    instead: Mapping[str, keras.layers.Layer] | None = None,
    *,
    side_by_side: bool = False,
) -> keras.Model:
    """A QKeras model with the network's weights and the map's formats.

    An input passes a `QActivation` named ``<input>_grid``, so that any float input is put on the input grid first;
    kernels and biases are float variables that QKeras quantizes in the forward pass. A kernel whose weights have widths
    of their own (`LayerPrecision.weight_widths`) begins on their grids: QKeras knows one width a kernel.

    Parameters
    ----------
    network
        A network without batch normalisation (see `codesign.networks.prepare`), whose quantization points are
        explicit (`linear` layers).
    precision
        Formats of every weight layer's `weight` and `bias` and of every activation's `result`.
    instead
        Layers to put in the place of some, by name.
    side_by_side
        As for `build_float`.
    """
    import qkeras

    formats = value_formats(network, precision)

    def make(layer: LayerSpec) -> Any:
        given = (instead or {}).get(layer.name)
        return given or quantized_layer(layer, precision, [formats[name] for name in layer.inputs])

    def begin(layer: LayerSpec) -> LayerSpec:
        formats = precision.layers.get(layer.name)
        if layer.row.role != "product" or formats is None or formats.weight_widths is None:
            return layer
        return layer.with_weights(kernel=formats.on_grid(layer.weights["kernel"], layer.name))

    def grid(name: str) -> Any:
        return qkeras.QActivation(qkeras_bits(precision.of_input(name)), name=f"{name}_grid")

    return build_of(network.map_layers(begin), make, grid, side_by_side)


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


def build_of(
    network: Network,
    make: Callable[[LayerSpec], Any],
    grid: Callable[[str], Any] | None = None,
    side_by_side: bool = False,
) -> keras.Model:
    """A model of the layers that `make` makes, behind layers that put inputs on their grids, with the network's weights."""
    ports, names = network.inputs, {layer.name for layer in network.layers}
    if side_by_side:
        source, given = begin_joined(ports, names)
    else:
        given = [keras.Input(shape=port.shape, name=port.name) for port in ports]
        source = given[0] if len(ports) == 1 else given
    tensors: dict[str, Any] = {
        port.name: tensor if grid is None else grid(port.name)(tensor)
        for port, tensor in zip(ports, given, strict=True)
    }
    for layer in network.layers:
        if layer.kind != "input":
            inputs = [tensors[name] for name in layer.inputs]
            tensors[layer.name] = make(layer)(inputs if layer.row.many else inputs[0])
    ends = [tensors[name] for name in network.output_names]
    end = end_joined(ends, names) if side_by_side else ends[0] if len(ends) == 1 else ends
    model = keras.Model(source, end, name=network.name)
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
    if layer.row.recurrent:
        return {key: getattr(built.cell, key) for key in layer.weights}
    return {key: kernel_variable(built) if key == "kernel" else getattr(built, key) for key in layer.weights}


def kernel_variable(built: Any) -> Any:
    """The kernel of a Keras or QKeras layer; `QDepthwiseConv2D` has its own name for it."""
    return built.depthwise_kernel if hasattr(built, "depthwise_kernel") else built.kernel


def _weight_options(layer: LayerSpec) -> dict[str, Any]:
    """What makes a layer with a kernel, Keras' or QKeras'."""
    kernel = layer.weights["kernel"]
    options: dict[str, Any] = {"name": layer.name, "use_bias": "bias" in layer.weights}
    if layer.kind == "scale":
        return options
    if layer.kind == "dense":
        return {**options, "units": kernel.shape[-1]}
    options |= {"strides": tuple(layer.config["strides"]), "padding": layer.config["padding"]}
    options["kernel_size"] = kernel.shape[:-2]
    return options if layer.row.per_channel else {**options, "filters": kernel.shape[-1]}


def _recurrent_options(layer: LayerSpec) -> dict[str, Any]:
    return {
        "units": layer.weights["recurrent_kernel"].shape[0],
        "use_bias": "bias" in layer.weights,
        "return_sequences": layer.config["return_sequences"],
        "name": layer.name,
    }


def accumulator_of(layer: LayerSpec, own: LayerPrecision, source: FixedPoint | None) -> FixedPoint | None:
    """The accumulator that a layer needs whatever it is built with; ``None`` where hls4ml infers it.

    Raises
    ------
    ConversionError
        If the map has another one for such a layer, or there is none (see `codesign.networks.hardware_recurrent`).
    """
    if not layer.row.recurrent or own.weight is None or own.result is None:
        return own.accum
    n_inputs, units = (layer.weights[key].shape[0] for key in ("kernel", "recurrent_kernel"))
    needed_by = gru_accumulator if layer.kind == "gru" else lstm_type
    needed = needed_by(layer.name, source, own.weight, own.result, n_inputs, units)
    if own.accum not in (None, needed):
        raise ConversionError(
            f"layers.{layer.name}.accum: {own.accum} is not the accumulator that this {layer.row.keras[0]} needs, {needed}; "
            "leave it out"
        )
    return needed


def float_layer(layer: LayerSpec) -> Any:
    """The Keras layer of a kind, untrained."""
    name = layer.row.keras[0] if layer.row.keras else ""
    if name in ("ReLU", "Activation"):
        # a keras.layers.ReLU would reach hls4ml 1.3 as a ReLU with a threshold of its own type
        return keras.layers.Activation(layer.kind, name=layer.name)
    make = Scale if layer.kind == "scale" else getattr(keras.layers, name)
    if layer.row.role == "product":
        return make(**_weight_options(layer))
    if layer.row.recurrent:
        return make(**_recurrent_options(layer))
    config = {key: _tuples(value) for key, value in layer.config.items()}
    if layer.kind == "upsampling1d":
        (config["size"],) = config["size"]
    return make(name=layer.name, **config)


def quantized_layer(
    layer: LayerSpec, precision: PrecisionMap, sources: Sequence[FixedPoint | None]
) -> keras.layers.Layer:
    """The layer that computes what the hardware computes, given the formats of what it reads."""
    import qkeras

    role = layer.row.role
    own = precision[layer.name] if role in ("product", "point") else LayerPrecision()
    if layer.kind == "scale":
        bias = str(own.bias) if "bias" in layer.weights else None
        return Scale(weight=str(own.weight), bias=bias, **_weight_options(layer))
    if role == "product":
        make = {
            "dense": qkeras.QDense,
            "conv1d": qkeras.QConv1D,
            "conv2d": qkeras.QConv2D,
            "depthwise_conv1d": DepthwiseConv1D,
            "depthwise_conv2d": qkeras.QDepthwiseConv2D,
        }[layer.kind]
        quantizers = {
            "depthwise_quantizer" if layer.row.per_channel else "kernel_quantizer": qkeras_bits(own.weight)
        }
        if "bias" in layer.weights:
            quantizers["bias_quantizer"] = qkeras_bits(own.bias)
        return make(**_weight_options(layer), **quantizers)
    if role == "point":
        if layer.kind in ("relu", "linear"):
            quantizer = qkeras_relu if layer.kind == "relu" else qkeras_bits
            return qkeras.QActivation(quantizer(own.result), name=layer.name)
        if own.result is None or (layer.row.parameter and own.weight is None):
            raise ConversionError(
                f"layer {layer.name!r} ({layer.kind}) has no format for its result"
                + (" or its parameter" if layer.row.parameter else "")
                + " in the precision map; give it one"
            )
        if layer.kind == "gru":
            formats = own.weight, accumulator_of(layer, own, sources[0]), own.result
            texts = dict(zip(("weight", "accum", "result"), map(str, formats), strict=True))
            return FixedGRU(**_recurrent_options(layer), **texts)
        if layer.kind == "lstm":
            state = accumulator_of(layer, own, sources[0])
            return FixedLSTM(**_recurrent_options(layer), weight=str(own.weight), state=str(state))
        parameter = str(own.weight) if layer.row.parameter else None
        if layer.kind in ("leaky_relu", "prelu"):
            return FixedSlope(
                str(own.result), str(parameter), layer.config.get("negative_slope"), name=layer.name
            )
        alpha = layer.config.get("alpha", 1.0)
        return FixedLookup(layer.kind, str(own.result), parameter, alpha, name=layer.name)
    if layer.kind in ("average_pool1d", "average_pool2d"):
        config = {key: _tuples(value) for key, value in layer.config.items()}
        return FixedAverage(source=str(sources[0]), name=layer.name, **config)
    return float_layer(layer)


def value_formats(network: Network, precision: PrecisionMap) -> dict[str, FixedPoint | None]:
    """The format of every layer's output; ``None`` where it is as wide as an accumulator."""
    formats: dict[str, FixedPoint | None] = {}
    for layer in network.layers:
        given = [found for name in layer.inputs if (found := formats[name]) is not None]
        own = precision.layers.get(layer.name)
        match layer.row.role:
            case "input":
                formats[layer.name] = precision.of_input(layer.name)
            case "move":
                formats[layer.name] = hull(given) if len(given) == len(layer.inputs) else None
            case _:
                formats[layer.name] = own.result if own is not None else None
                if layer.kind == "lstm" and own is not None:
                    formats[layer.name] = accumulator_of(layer, own, formats[layer.inputs[0]])
    return formats


def exact_formats(network: Network, precision: PrecisionMap) -> dict[str, FixedPoint | None]:
    """A format that holds every layer's output exactly, that of a sum included; ``None`` where a layer's own is missing."""
    formats = value_formats(network, precision)
    for layer in network.layers:
        given = [formats[name] for name in layer.inputs]
        known = [each for each in given if each is not None]
        if formats[layer.name] is None and given and len(known) == len(given):
            formats[layer.name] = _exact(layer, precision.layers.get(layer.name, LayerPrecision()), known)
    return formats


def _exact(layer: LayerSpec, own: LayerPrecision, given: list[FixedPoint]) -> FixedPoint | None:
    fraction, integer = max(each.fractional_bits for each in given), max(each.integer_bits for each in given)
    match layer.kind:
        case _ if layer.row.role == "product":
            if own.accum is not None or own.weight is None:
                return own.accum
            shape = layer.weights["kernel"].shape
            terms = int(np.prod(shape[:-2] if layer.row.per_channel else shape[:-1]))
            fraction += own.weight.fractional_bits
            integer += own.weight.integer_bits + (max(terms, 1) - 1).bit_length()
            if own.bias is not None:
                fraction, integer = (
                    max(fraction, own.bias.fractional_bits),
                    max(integer, own.bias.integer_bits),
                )
            integer += 1
        case "multiply":
            fraction = sum(each.fractional_bits for each in given)
            integer = sum(each.integer_bits for each in given)
        case "average_pool1d" | "average_pool2d":
            fraction += (int(np.prod(layer.config["pool_size"])) - 1).bit_length()
        case "average":
            fraction += 1
        case "add" | "subtract":
            integer += 1
        case _ if layer.row.role == "move":
            return hull(given)
        case _:
            return None
    return FixedPoint(fraction + integer + 1, integer + 1)


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
