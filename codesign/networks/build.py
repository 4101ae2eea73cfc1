"""Make a float Keras or a QKeras model from a `Network`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap, Tensor
from codesign.cost.layer_shape import hull
from codesign.errors import ConversionError, SettingsError
from codesign.networks import hardware_layers, hardware_recurrent
from codesign.networks.description import LayerSpec, Network
from codesign.networks.hardware_layers import HardwareLayer, Needs, tuples
from codesign.networks.hardware_recurrent import recurrent_options
from codesign.networks.joined import begin_joined, end_joined


def format_of(quantizer: Any) -> FixedPoint:
    """The format of a QKeras quantizer object, also of the newer `quantized_linear`: without a scale it is `quantized_bits`.

    Raises
    ------
    ConversionError
        For a quantizer that computes more than a format (see `FixedPoint.from_qkeras`).
    """
    import qkeras

    if isinstance(quantizer, qkeras.quantized_linear):
        options = ("bits", "integer", "symmetric", "keep_negative", "alpha", "qnoise_factor")
        own = {key: getattr(quantizer, key) for key in (*options, "use_stochastic_rounding")}
        quantizer = qkeras.quantized_bits(**own)
    return FixedPoint.from_qkeras(quantizer)


def qkeras_bits(precision: FixedPoint | None) -> Any:
    """Make the `quantized_bits` that computes exactly what `precision` does.

    Raises
    ------
    ConversionError
        For a missing format, or one that QKeras cannot compute (see `FixedPoint.to_qkeras`).
    """
    return _quantizer(precision, relu=False)


def qkeras_relu(precision: FixedPoint | None) -> Any:
    """Make the `quantized_relu` that computes exactly what an unsigned `precision` does.

    Raises
    ------
    ConversionError
        For a missing format, or one that QKeras cannot compute (see `FixedPoint.to_qkeras`).
    """
    return _quantizer(precision, relu=True)


def _quantizer(precision: FixedPoint | None, relu: bool) -> Any:
    import qkeras

    if precision is None:
        raise ConversionError(
            "a tensor that QKeras quantizes has no format in the precision map; give it one"
        )
    serialized = precision.to_qkeras(relu)
    return getattr(qkeras, serialized["class_name"])(**serialized["config"])


_OWN: Mapping[str, Any] = {
    name: found
    for module in (hardware_layers, hardware_recurrent)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, keras.layers.Layer)
}
"""The layers of this package, by the names that the rows of `codesign.core.layers` have for them."""

HARDWARE_LAYERS: tuple[type, ...] = tuple(made for made in _OWN.values() if issubclass(made, HardwareLayer))
"""Those that are read back as they were made."""


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

    require_formats(network, precision, apart=instead or ())
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
        if layer.row.role != "input":
            inputs = [tensors[name] for name in layer.inputs]
            tensors[layer.name] = make(layer)(inputs if layer.row.many else inputs[0])
    ends = [tensors[name] for name in network.output_names]
    end = end_joined(ends, names) if side_by_side else ends[0] if len(ends) == 1 else ends
    model = keras.Model(source, end, name=network.name)
    write_weights(network, model)
    return model


_VARIABLES: Mapping[str, str] = {"mean": "moving_mean", "variance": "moving_variance"}
"""Keras' names of weights that have another one in a `LayerSpec`."""


def _variables(layer: LayerSpec, built: Any) -> Mapping[str, Any]:
    holder = built.cell if layer.row.recurrent else built
    return {
        key: kernel_variable(holder) if key == "kernel" else getattr(holder, _VARIABLES.get(key, key))
        for key in layer.weights
    }


def kernel_variable(built: Any) -> Any:
    """The kernel of a Keras or QKeras layer; `QDepthwiseConv2D` has its own name for it."""
    return built.depthwise_kernel if hasattr(built, "depthwise_kernel") else built.kernel


def _weight_options(layer: LayerSpec) -> dict[str, Any]:
    """What makes a layer with a kernel, Keras' or QKeras'."""
    kernel = layer.weights["kernel"]
    options: dict[str, Any] = {"name": layer.name, "use_bias": "bias" in layer.weights}
    if "strides" not in layer.row.options:
        return {**options, "units": kernel.shape[-1]}
    options |= {"strides": tuple(layer.config["strides"]), "padding": layer.config["padding"]}
    options["kernel_size"] = kernel.shape[:-2]
    return options if layer.row.per_channel else {**options, "filters": kernel.shape[-1]}


def needed_formats(network: Network) -> dict[tuple[str, Tensor], str]:
    """The formats that a map must have for a network, by layer and tensor, and in words what each is for.

    That of an only input stands at the map itself.
    """
    needed: dict[tuple[str, Tensor], str] = {}
    for layer in network.layers:
        match layer.row.role:
            case "input" if len(network.inputs) > 1:
                needed[layer.name, "result"] = "the values of this input"
            case "product":
                needed[layer.name, "weight"] = f"the kernel of this {layer.kind}"
                if "bias" in layer.weights:
                    needed[layer.name, "bias"] = f"the bias of this {layer.kind}"
            case "point":
                if layer.row.parameter:
                    needed[layer.name, "weight"] = f"what this {layer.kind} multiplies by"
                source = layer.inputs[0]
                needed[layer.name, "result"] = (
                    f"what {source!r} ({network[source].kind}) computes, rounded here"
                    if layer.row.rounds
                    else f"the values that this {layer.kind} puts out"
                )
    return needed


def missing_formats(network: Network, precision: PrecisionMap, apart: Collection[str] = ()) -> list[str]:
    """A sentence for each format that a network needs, some of its layers left out, and a map lacks."""
    own = {name for name, formats in precision.layers.items() if formats.result is not None}
    faults = [
        "input: missing; give the format of the values of the network's input"
        for port in network.inputs
        if len(network.inputs) == 1 and precision.input is None and port.name not in own
    ]
    return faults + [
        f"layers.{layer}.{tensor}: missing; give the format of {what}"
        for (layer, tensor), what in needed_formats(network).items()
        if layer not in apart and precision.layers.get(layer, LayerPrecision()).get(tensor) is None
    ]


def require_formats(network: Network, precision: PrecisionMap, apart: Collection[str] = ()) -> None:
    """Refuse a map that lacks a format: `SettingsError` names every one, and where it stands; as `missing_formats`."""
    faults = missing_formats(network, precision, apart)
    if faults:
        raise SettingsError(faults, "precision map")


def needs_of(layer: LayerSpec, own: LayerPrecision, source: FixedPoint | None) -> Needs:
    """The types that a layer needs whatever it is built with, given those of the map and of what it reads.

    Raises
    ------
    ConversionError
        If the map has another accumulator for such a layer, or there is none (see `codesign.networks.hardware_recurrent`).
    """
    made = _OWN.get(layer.row.student)
    needs: Needs = made.needs(layer, own, source) if made in HARDWARE_LAYERS else Needs()
    if needs.accum is not None and own.accum not in (None, needs.accum):
        raise ConversionError(
            f"layers.{layer.name}.accum: {own.accum} is not the accumulator that this {layer.row.keras[0]} needs, {needs.accum}; "
            "leave it out"
        )
    return needs


def float_layer(layer: LayerSpec) -> Any:
    """The Keras layer of a kind, untrained."""
    name = layer.row.float_class
    if name == "Activation":
        # a keras.layers.ReLU would reach hls4ml 1.3 as a ReLU with a threshold of its own type
        return keras.layers.Activation(layer.kind, name=layer.name)
    if _OWN.get(name) in HARDWARE_LAYERS:
        return _OWN[name].of(layer, LayerPrecision(), ())
    make = getattr(keras.layers, name)
    if layer.row.role == "product":
        return make(**_weight_options(layer))
    if layer.row.recurrent:
        return make(**recurrent_options(layer))
    if layer.row.holds_results:
        (table,) = layer.weights.values()
        return make(*table.shape, name=layer.name)
    config = {key: tuples(value) for key, value in layer.config.items()}
    if len(config.get("size", ())) == 1:  # Keras' UpSampling1D takes no tuple
        (config["size"],) = config["size"]
    return make(name=layer.name, **config)


def quantized_layer(
    layer: LayerSpec, precision: PrecisionMap, sources: Sequence[FixedPoint | None]
) -> keras.layers.Layer:
    """The layer that computes what the hardware computes, given the formats of what it reads."""
    import qkeras

    role, made = layer.row.role, _OWN.get(layer.row.student)
    own = precision[layer.name] if role in ("product", "point") else LayerPrecision()
    if made in HARDWARE_LAYERS:
        needs_of(layer, own, sources[0] if sources else None)
        return made.of(layer, own, sources)
    if role == "product":
        quantizers = {
            "depthwise_quantizer" if layer.row.per_channel else "kernel_quantizer": qkeras_bits(own.weight)
        }
        if "bias" in layer.weights:
            quantizers["bias_quantizer"] = qkeras_bits(own.bias)
        make = made or getattr(qkeras, layer.row.qkeras[0])
        return make(**_weight_options(layer), **quantizers)
    if role == "point":
        quantizer = qkeras_bits if layer.row.signed else qkeras_relu
        return qkeras.QActivation(quantizer(own.result), name=layer.name)
    return float_layer(layer)


def weights_on_grid(layer: LayerSpec, own: LayerPrecision | None) -> LayerSpec:
    """A layer whose weights are values of their formats; one whose weights have none as it is."""
    held = None
    if own is not None and (layer.row.recurrent or layer.row.holds_results):
        held = own.result if layer.row.holds_results else own.weight
    if held is not None:
        return layer.with_weights(**{key: held.quantize(values) for key, values in layer.weights.items()})
    if layer.row.role != "product" or own is None:
        return layer
    weights = {"kernel": own.on_grid(layer.weights["kernel"], layer.name)}
    if "bias" in layer.weights and own.bias is not None:
        weights["bias"] = own.bias.quantize(layer.weights["bias"])
    return layer.with_weights(**weights)


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
                result = own.result if own is not None else None
                if own is not None and layer.inputs:
                    result = needs_of(layer, own, formats[layer.inputs[0]]).result or result
                formats[layer.name] = result
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


_MOST_BITS = 64


def _exact(layer: LayerSpec, own: LayerPrecision, given: list[FixedPoint]) -> FixedPoint | None:
    if layer.row.role == "move":
        return hull(given)
    fraction, integer = max(each.fractional_bits for each in given), max(each.integer_bits for each in given)
    if layer.row.role == "product":
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
    match layer.row.grows:
        case "sum":
            integer += 1
        case "product":
            fraction = sum(each.fractional_bits for each in given)
            integer = sum(each.integer_bits for each in given)
        case "mean":
            fraction += (int(np.prod(layer.config.get("pool_size", len(given)))) - 1).bit_length()
        case _ if layer.row.role != "product":
            return None
    width = fraction + integer + 1
    if width > _MOST_BITS:
        raise ConversionError(
            f"layer {layer.name!r} computes numbers of {width} bits, and at most {_MOST_BITS} are emulated; give "
            "it and what it reads narrower formats, or scale inputs and weights towards 1"
        )
    return FixedPoint(width, integer + 1)


def weights_in(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight of a model by its place and kind, for digests.

    Names of layers that Keras numbered itself and the state of random numbers differ between sessions, so they do not
    count.
    """
    return {
        f"{index}/{variable.name}": keras.ops.convert_to_numpy(variable)
        for index, variable in enumerate(model.weights)
    }
