"""Read a Keras model into a `Network`, or say which layer cannot become hardware and what can.

Nothing of a model is taken for its default unseen: a layer is known by its class itself, every argument of the class is
read, is harmless, or must have its default (`codesign.networks.keras_arguments`), and what was read is computed beside the
model before it is believed (`codesign.networks.faithful`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import Model

from codesign.core.fixed_point import FLOAT32_BITS, FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.shown import Brief
from codesign.errors import ConversionError
from codesign.networks.build import HARDWARE_LAYERS, value_formats
from codesign.networks.description import LayerSpec, Network
from codesign.networks.faithful import check_float, check_quantized
from codesign.networks.hardware_layers import tuples
from codesign.networks.keras_graph import graph_of
from codesign.networks.keras_reader import Reader, require_own_indices
from codesign.networks.prepare import with_scales
from codesign.networks.qkeras_classes import Instead, constant_formats, without_quantizer

_log = logging.getLogger(__name__)


def read_keras(model: Model, x: np.ndarray | None = None, *, check: bool = True) -> Network:
    """Describe a trained or untrained float Keras model.

    Dropout and whatever else does nothing at inference is left out, an activation inside a layer becomes a layer of its own,
    nested models are opened, a layer that is used several times becomes several of the same weights, and a softmax or
    sigmoid at the end is left out: the network ends at its logits.

    Parameters
    ----------
    model
        A built sequential or functional Keras 3 model, `channels_last`, with one or several inputs and outputs.
    x
        Inputs `(n_samples, *input_shape)`, several side by side, on which the network is compared with the model; random ones
        without.
    check
        Whether to compare; only for models that this package has just built of a network.

    Raises
    ------
    ConversionError
        For a layer or an option that has no hardware form here, every fault of the model named; or if the network computes
        other numbers than the model.
    """
    reader = _reader_of(model)
    network = reader.network(model.name)
    require_own_indices(network)
    if reader.formats:
        raise ConversionError(
            f"the model {model.name!r} has QKeras quantizers ({', '.join(reader.formats)}); "
            "give the float model, or convert this one as it is (codesign convert)"
        )
    if check:
        check_float(model, network, reader, x)
    return network


@dataclass(frozen=True)
class QuantizedReading(Brief):
    """What a QKeras model is.

    Parameters
    ----------
    network, precision
        They compute what the model computes, to the last bit, for inputs on the grid.
    changes
        But for these: a sentence for each activation that hls4ml computes with other numbers than QKeras.
    """

    network: Network
    precision: PrecisionMap
    changes: tuple[str, ...] = ()


def read_qkeras(
    model: Model, x: np.ndarray | None = None, *, input_format: FixedPoint | None = None
) -> QuantizedReading:
    """Describe a QKeras model: its float weights, and the formats of its quantizers.

    Parameters
    ----------
    model
        As for `read_keras`, with QKeras layers; see `codesign.networks.qkeras_classes` for the quantizers.
    x
        Inputs on which the network is compared with the model, put on the input grid first; random ones without.
    input_format
        The format of the inputs that the model does not quantize itself.

    Raises
    ------
    ConversionError
        As `read_keras`, and for a layer or an input without a quantizer, or one that is no fixed-point format.
    """
    reader = _reader_of(model, input_format)
    network = reader.network(model.name)
    if not reader.formats:
        raise ConversionError(
            f"the model {model.name!r} is a float one: no layer of it has a quantizer; codesign scan chooses formats for it, "
            "and codesign convert --precision SCAN/precision_map.json takes them"
        )
    network = _with_constant_scales(network, reader)
    network, grids = _without_input_grids(network, reader.formats, input_format)
    require_own_indices(network)
    _require_formats(network, reader.formats)
    known = {**reader.formats, **(grids if len(grids) > 1 else {})}
    formats = {layer.name: known[layer.name] for layer in network.layers if layer.name in known}
    only = next(iter(grids.values())).result if len(grids) == 1 else None
    precision = _with_exact_averages(network, PrecisionMap(only, formats))
    _note_cut_averages(network, reader)
    changes = check_quantized(model, network, precision, reader, x)
    for change in changes:
        _log.warning("%s", change)
    return QuantizedReading(network, precision, changes)


def _reader_of(model: Model, input_format: FixedPoint | None = None) -> Reader:
    graph = graph_of(model)
    reader = Reader(graph, input_format)
    for call in graph.calls:
        reader.read(call)
    if reader.faults:
        raise ConversionError(
            "\n  - ".join([f"the model {model.name!r} cannot become hardware", *reader.faults])
        )
    return reader


def _with_constant_scales(network: Network, reader: Reader) -> Network:
    """The network with each normalisation as a `scale`, and the formats of those without a quantizer noted.

    They hold the constants exactly where a format does; else these are rounded, which the reading says.
    """
    network = with_scales(network)
    # the first: what does nothing behind a layer has its name too
    calls = {reader.of[call.outputs[0]]: call for call in reversed(reader.graph.calls)}
    faults = []
    for layer in network.weight_layers:
        if not layer.row.fused or layer.name in reader.formats:
            continue
        reader.formats[layer.name], is_exact = constant_formats(layer)
        own = None if is_exact else without_quantizer(calls.get(layer.name), layer.inputs[0])
        if own is not None:
            reader.instead[layer.name] = own
        elif not is_exact:
            faults.append(
                f"layer {layer.name!r} has no quantizer, and its factor or term is of no format of {FLOAT32_BITS} bits; "
                "use powers of two"
            )
    if faults:
        raise ConversionError("\n  - ".join([f"the model {network.name!r} cannot become hardware", *faults]))
    return network


def _without_input_grids(
    network: Network, formats: Mapping[str, LayerPrecision], given: FixedPoint | None
) -> tuple[Network, dict[str, LayerPrecision]]:
    """The network without the quantizers of its inputs, and their formats by input."""
    grids: dict[str, LayerPrecision] = {}
    dropped: dict[str, str] = {}
    for port in network.inputs:
        what = f"the input {'' if len(network.inputs) == 1 else repr(port.name) + ' '}of {network.name!r}"
        readers = network.consumers(port.name)
        own = len(readers) == 1 and readers[0].row.only_rounds and readers[0].name in formats
        if not own and given is None:
            raise ConversionError(
                f"{what} is not quantized; put QActivation(quantized_bits(...)) directly after it, "
                "or give the format of its values (--input-format)"
            )
        if not own:
            grids[port.name] = LayerPrecision(result=given)
            continue
        grid = readers[0].name
        if given not in (None, formats[grid].result):
            raise ConversionError(
                f"{what} is quantized to {formats[grid].result} by the model itself, not to {given}; leave it out"
            )
        if grid in network.output_names:
            raise ConversionError(
                f"output {grid!r} of {network.name!r} is an input on its grid, which nothing computes; leave it out"
            )
        grids[port.name] = formats[grid]
        dropped[grid] = port.name
    return network.without(dropped), grids


def _require_formats(network: Network, formats: Mapping[str, LayerPrecision]) -> None:
    faults = []
    bare = [layer.name for layer in network.weight_layers if layer.name not in formats]
    if bare:
        faults.append(f"{', '.join(bare)} have no kernel quantizer; give each layer one")
    for layer in network.weight_layers:
        if layer.name in formats and "bias" in layer.weights and formats[layer.name].bias is None:
            faults.append(f"layer {layer.name!r} has a bias without a quantizer; give it a bias_quantizer")
    for layer in network.activations:
        if layer.name not in formats:
            faults.append(
                f"the activation {layer.name!r} ({layer.kind}) has no quantizer; " + _quantized_instead(layer)
            )
    if faults:
        raise ConversionError(
            "\n  - ".join([f"the model {network.name!r} cannot become hardware", *faults])
            if len(faults) > 1
            else f"the model {network.name!r} cannot become hardware: {faults[0]}"
        )


def _quantized_instead(layer: LayerSpec) -> str:
    """What has a quantizer in place of a layer of a float model."""
    if layer.row.recurrent:
        return f"use Q{layer.row.keras[0]}"
    if layer.row.holds_results:
        return "give the network one-hot values and QDense"
    if layer.row.qkeras:
        return "use QActivation(quantized_relu(...))"
    return "put a QActivation behind a linear layer, such as of quantized_tanh(...) or quantized_bits(...)"


def _with_exact_averages(network: Network, precision: PrecisionMap) -> PrecisionMap:
    """Formats of averages that round as the quantizer behind does, or hold every mean: hls4ml would cut its bits."""
    for layer in network.layers:
        users = network.consumers(layer.name)
        if layer.row.grows != "mean" or layer.name in precision.layers:
            continue
        if users and all(user.row.only_rounds for user in users):
            continue  # which takes their formats where it can
        behind = _rounded_behind(network, precision, layer.name)
        source = value_formats(network, precision)[layer.inputs[0]]
        count = int(np.prod(layer.config["pool_size"])) if "pool_size" in layer.config else 2
        if len(behind) == 1 and (rounded := next(iter(behind))) is not None:
            result = rounded
        elif source is None or count & (count - 1):
            what = "quantizers of several formats follow" if None not in behind else "no quantizer follows"
            raise ConversionError(
                f"layer {layer.name!r} averages {count} values and {what} it; "
                "put QActivation(quantized_bits(...)) behind it"
            )
        else:
            extra = count.bit_length() - 1
            result = FixedPoint(source.width + extra, source.integer_bits, source.signed, "RND_CONV", "SAT")
        formats = {**precision.layers, layer.name: LayerPrecision(result=result)}
        precision = PrecisionMap(precision.input, formats)
    return precision


def _note_cut_averages(network: Network, reader: Reader) -> None:
    """Note the averages that hls4ml cuts where the model does not; those of a student of this package cut as it does."""
    own = {reader.of[call.outputs[0]] for call in reader.graph.calls if type(call.layer) in HARDWARE_LAYERS}
    for layer in network.layers:
        count = int(np.prod(layer.config.get("pool_size", 1)))
        if layer.row.grows == "mean" and count & (count - 1) and layer.name not in own:
            why = (
                f"hls4ml divides a sum of {count} values with {(count - 1).bit_length()} bits more than these have, "
                "and cuts the rest"
            )
            reader.instead[layer.name] = Instead(layer.inputs[0], layer.row.keras[0], _plain(layer), why)


def _plain(layer: LayerSpec) -> Callable[[str], keras.layers.Layer]:
    """What makes the Keras layer of a kind without weights, of any name."""
    make = getattr(keras.layers, layer.row.keras[0])
    config = {key: tuples(value) for key, value in layer.config.items()}
    return lambda name: make(name=name, **config)


def _rounded_behind(network: Network, precision: PrecisionMap, name: str) -> set[FixedPoint | None]:
    """The formats that everything which reads a layer rounds it to, whatever moves its values before; ``None`` for unrounded.

    What is rounded to one of them before it is moved, chosen or rectified is the same afterwards.
    """
    found: set[FixedPoint | None] = {None} if name in network.output_names else set()
    for user in network.consumers(name):
        if user.row.role == "move":
            found |= _rounded_behind(network, precision, user.name)
        elif user.row.role == "point" and user.row.qkeras:
            own = precision.layers[user.name].result
            found.add(own if own is None or user.row.signed else own.with_sign())
        else:
            found.add(None)
    return found
