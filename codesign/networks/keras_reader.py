"""Read the calls of a Keras model into the layers of a `Network`: names, activations, faults.

What each class is stands in `codesign.networks.keras_classes` and `codesign.networks.qkeras_classes`.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import qkeras
from keras import activations, layers

from codesign.core.fixed_point import FixedPoint
from codesign.core.layers import LAYERS, supported
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.errors import ConversionError
from codesign.networks import keras_classes, qkeras_classes, qkeras_recurrent
from codesign.networks.build import HARDWARE_LAYERS, exact_formats
from codesign.networks.description import LayerSpec, Network
from codesign.networks.keras_classes import NOTHING, OPERATIONS, LayerReader, refuse_unexpected, short
from codesign.networks.keras_graph import Call, KerasGraph
from codesign.networks.logits import require_finite
from codesign.networks.qkeras_classes import (
    Instead,
    is_quantizer,
    read_quantizer,
    separable_parts,
    weight_formats,
)

_RESERVED = (
    "input",
    "features",
    "signed",
    "unsigned",
    "register",
    "template",
    "class",
    "namespace",
    "typedef",
)

_FUNCTIONS: Mapping[Any, tuple[str, Mapping[str, float]]] = {
    function: (
        row.kind,
        {option: inspect.signature(function).parameters[option].default for option in row.options},
    )
    for row in LAYERS
    if row.role == "point" and row.kind != "linear" and (function := getattr(activations, row.kind, None))
}
"""Keras' own activations that a row is named for, known by the function itself; its parameters have their defaults."""

_CLIPPED: Mapping[Any, tuple[float, float, float, float]] = {
    activations.relu6: (1.0, 0.0, 0.0, 6.0),
    activations.hard_sigmoid: (1 / 6, 0.5, 0.0, 1.0),
    activations.hard_tanh: (1.0, 0.0, -1.0, 1.0),
}
"""Activations that are a line between two limits: factor and term of the line, lower and upper limit."""

_GATED: Mapping[Any, tuple[Any, ...]] = {
    activations.silu: (activations.sigmoid,),
    activations.hard_silu: (activations.hard_sigmoid,),
    activations.mish: (activations.softplus, activations.tanh),
}
"""Activations that are what they read times functions of it, one behind the other."""

_INSTEAD = (
    "use relu, tanh, sigmoid, softmax, softplus, softsign, elu, selu, leaky_relu, relu6, hard_sigmoid, hard_tanh, silu, "
    "hard_silu or mish"
)

_NONE: Mapping[Any, str] = {
    activations.gelu: "hls4ml's C++ for Vitis has none; the nearest is silu, else relu",
    activations.exponential: "hls4ml's C++ for Vitis has none, and no fixed range holds it; use softplus",
}
"""What to use in place of activations that people ask for."""

PROBABILITIES = (activations.softmax, activations.sigmoid)
_READERS: dict[type, LayerReader] = {
    **keras_classes.CLASSES,
    **qkeras_classes.CLASSES,
    **qkeras_recurrent.CLASSES,
}
"""How each class is read: looked up by the class itself, so that one of the user's own is never taken for it."""

CLASSES: tuple[type, ...] = tuple(_READERS)
"""Every class that is read."""

_OF_SEVERAL = frozenset(name for row in LAYERS if row.many for name in row.keras) | {"Dot"}
"""Classes, and operations of the same names, that read several tensors."""

_OWN_ACTIVATION = (
    layers.Activation,
    layers.TimeDistributed,
    layers.Bidirectional,
    layers.GRU,
    layers.LSTM,
    layers.SimpleRNN,
    *qkeras_recurrent.CLASSES,
    *HARDWARE_LAYERS,
    qkeras.QActivation,
)
"""Classes whose readers look at the activation themselves."""


class Reader:
    """Collects the layers of a model and every fault.

    Attributes
    ----------
    layers
        What was read, by name.
    of
        The layer that makes each tensor of the graph.
    formats
        What QKeras' quantizers say, by layer.
    input_format
        What is known of the inputs of a QKeras model.
    instead
        Layers of a QKeras model that the hardware computes with other numbers, by name.
    dropped
        The function that was left out at an end, ``softmax`` or ``sigmoid``, by the output's tensor.
    faults
        Sentences.
    """

    def __init__(self, graph: KerasGraph, input_format: FixedPoint | None = None) -> None:
        self.graph, self.input_format = graph, input_format
        self.instead: dict[str, Instead] = {}
        self.layers: dict[str, LayerSpec] = {}
        self.of: dict[int, str] = {}
        self.formats: dict[str, LayerPrecision] = {}
        self.dropped: dict[int, str] = {}
        self.faults: list[str] = []

    def read(self, call: Call) -> None:
        """Read one call; a fault is noted, and reading goes on behind it."""
        inputs = tuple(self.of[number] for number in call.inputs)
        try:
            self.of[call.outputs[0]] = self._read_call(call, inputs)
        except ConversionError as fault:
            self.faults.append(str(fault))
            self.of |= dict.fromkeys(call.outputs, inputs[0] if inputs else "?")

    def _read_call(self, call: Call, inputs: tuple[str, ...]) -> str:
        layer, what = call.layer, type(call.layer).__name__
        if len(call.outputs) != 1:
            raise ConversionError(
                f"layer {call.name!r} ({what}) has {len(call.outputs)} outputs; only one is supported"
            )
        if type(layer) in NOTHING and call.input_shapes == call.output_shapes and not call.constants:
            return inputs[0]
        _reader_of(call)
        if call.constants:
            name, value = next(iter(call.constants.items()))
            if any(isinstance(part, keras.KerasTensor) for part in keras.tree.flatten(value)):
                raise ConversionError(
                    f"layer {call.name!r} ({what}) is given a tensor as {name}, which is not supported; call it "
                    "with its input alone"
                )
            raise ConversionError(
                f"layer {call.name!r} ({what}) is called with {name}={short(value)}, which cannot be read; "
                "call it with tensors of the graph alone, or put constants into a layer (Rescaling, Dense)"
            )
        return self._known(call, inputs)

    def _known(self, call: Call, inputs: tuple[str, ...]) -> str:
        layer = call.layer
        read = _reader_of(call)
        if len(inputs) > 1 and type(layer).__name__ not in _OF_SEVERAL:
            raise ConversionError(
                f"layer {call.name!r} ({type(layer).__name__}) is called with {len(inputs)} tensors; call it with its input "
                "alone: masks and initial states are not supported"
            )
        refuse_unexpected(layer, call.name)
        for shape in (*call.input_shapes, *call.output_shapes):
            if any(size is None for size in shape):
                raise ConversionError(
                    f"layer {call.name!r} has the shape {shape}; give the network's input a fixed shape"
                )
        require_finite(layer, call.name)
        source = read(self, call, inputs)
        return source if not _has_activation(layer) else self.activated(layer.activation, source, call)

    def add(
        self,
        name: str,
        kind: str,
        inputs: tuple[str, ...],
        config: Mapping[str, Any] | None = None,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> str:
        """Add a layer under a name that C++ and hls4ml accept and nothing else has; returns that name."""
        name = self._free(name)
        self.layers[name] = LayerSpec(name, kind, inputs, config or {}, weights or {})
        return name

    def _free(self, name: str) -> str:
        name = identifier(name)
        taken = {other.lower() for other in self.layers}
        free, number = name, 2
        while free.lower() in taken:
            free, number = f"{name}_{number}", number + 1
        return free

    def activated(self, activation: Any, source: str, call: Call, *, alone: bool = False) -> str:
        """Add what an activation does, known by the object itself; returns the name of its output's layer."""
        name = call.name if alone else f"{call.name}_{getattr(activation, '__name__', 'act')}"
        if activation is None or activation is activations.linear:
            return source
        if isinstance(activation, keras.Layer) and type(activation) in _READERS:
            if not activation.built:
                raise ConversionError(
                    f"layer {call.name!r} has a {type(activation).__name__} as activation, whose weights were never made; put it "
                    "behind the layer as a layer of its own"
                )
            inside = replace(call, layer=activation, name=name, input_shapes=call.output_shapes)
            return self._known(inside, (source,))
        if is_quantizer(activation):
            return read_quantizer(self, activation, source, call, alone=alone)
        if activation in PROBABILITIES and call.outputs and call.outputs[0] in self.graph.outputs:
            readers = self.graph.users(call.outputs[0])
            if readers:
                raise ConversionError(
                    f"layer {call.name!r} has the activation {activation.__name__!r}, is an output and is read by "
                    f"{readers[0].name!r}; the hardware's outputs are logits: give what reads it a layer of its own with that "
                    "activation"
                )
            self.dropped[call.outputs[0]] = activation.__name__
            return source
        if activation in _FUNCTIONS:
            kind, config = _FUNCTIONS[activation]
            return self.add(name, kind, (source,), config)
        if activation in _CLIPPED:
            factor, term, low, high = _CLIPPED[activation]
            return self.clipped(name, source, call, low, high, factor, term)
        if activation in _GATED:
            gate = source
            for number, function in enumerate(_GATED[activation], 1):
                part = replace(call, name=f"{name}_gate{number}", outputs=())
                gate = self.activated(function, gate, part, alone=True)
            return self.add(name, "multiply", (source, gate))
        shown = getattr(activation, "__name__", None) or short(activation)
        raise ConversionError(
            f"layer {call.name!r} has the activation {shown} ({type(activation).__name__}), which is not supported; "
            f"{_NONE.get(activation, _INSTEAD)}"
        )

    def clipped(
        self,
        name: str,
        source: str,
        call: Call,
        low: float,
        high: float,
        factor: float = 1.0,
        term: float = 0.0,
    ) -> str:
        """A line between two limits: `relu(y - low) - relu(y - high) + low` with `y = factor x + term`."""
        channels = call.output_shapes[0][-1]

        def line(suffix: str, of: str, scale: float, shift: float) -> str:
            if scale == 1 and shift == 0:
                return of
            weights = {"kernel": np.full(channels, scale), "bias": np.full(channels, shift)}
            return self.add(f"{name}_{suffix}", "scale", (of,), {}, weights)

        above = self.add(f"{name}_low", "relu", (line("above", source, factor, term - low),))
        beyond = self.add(f"{name}_high", "relu", (line("beyond", source, factor, term - high),))
        between = self.add(name, "subtract", (above, beyond))
        return line("shifted", between, 1.0, low)

    def with_formats(self, layer: Any, weights: dict[str, np.ndarray], call: Call) -> dict[str, np.ndarray]:
        """The weights that a layer computes with, and the formats of a QKeras layer noted."""
        weights, formats = weight_formats(layer, weights, call.name)
        if formats is not None:
            self.formats[self._free(call.name)] = formats
        return weights

    def with_formats_of_parts(
        self, layer: Any, call: Call
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The weights of both parts of a separable convolution, and the formats of a QKeras layer noted."""
        parts = separable_parts(layer, call.name)
        for name, (_, formats) in zip((f"{call.name}_depthwise", call.name), parts, strict=True):
            if formats is not None:
                self.formats[self._free(name)] = formats
        return parts[0][0], parts[1][0]

    def _so_far(self) -> Network:
        return Network(tuple(self.layers.values()))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of what a layer that was read puts out, of one sample."""
        return self._so_far().shapes()[name]

    def exact_format(self, name: str) -> FixedPoint | None:
        """A format that holds what a layer puts out exactly; ``None`` where a format is missing on the way."""
        unknown = FixedPoint(1, 1)  # of the inputs: what reads them directly has no format
        grid = self.input_format or unknown
        return exact_formats(self._so_far(), PrecisionMap(grid, self.formats))[name]

    @property
    def endings(self) -> tuple[str | None, ...]:
        """The function that was left out at each output, if any."""
        return tuple(self.dropped.get(number) for number in self.graph.outputs)

    def network(self, name: str) -> Network:
        """The layers that the outputs need, inputs before users; the output last if there is one.

        Raises
        ------
        ConversionError
            For inputs and outputs that no hardware has: an input that nothing reads, an output that is an input, two that are
            the same; and without any weights.
        """
        inputs = [self.of[number] for number in self.graph.inputs]
        outputs = [self.of[number] for number in self.graph.outputs]
        order: dict[str, LayerSpec] = {}

        def visit(layer: str) -> None:
            if layer not in order:
                for source in self.layers[layer].inputs:
                    visit(source)
                order[layer] = self.layers[layer]

        for end in (*inputs, *outputs):
            visit(end)
        network = Network(tuple(order.values()), name, tuple(outputs) if len(outputs) > 1 else ())
        self._check_ends(name, inputs, outputs)
        if not any(layer.weights for layer in network.layers):
            raise ConversionError(
                f"the model {name!r} has no layer that multiplies by weights; nothing is to be built"
            )
        if not any(layer.row.role in ("product", "norm") for layer in network.layers):
            kinds = ", ".join(layer.kind for layer in network.layers if layer.weights)
            raise ConversionError(
                f"the model {name!r} has weights in {kinds} alone; end it with a Dense layer, whose formats and costs are counted"
            )
        return network

    def _check_ends(self, name: str, inputs: list[str], outputs: list[str]) -> None:
        used = {source for layer in self.layers.values() for source in layer.inputs}
        for end in inputs:
            if end not in used and end not in outputs:
                raise ConversionError(f"the model {name!r} never reads its input {end!r}; leave it out")
        for number, end in enumerate(outputs, start=1):
            if end in inputs:
                raise ConversionError(
                    f"output {number} of the model {name!r} is its input {end!r} itself; leave it out"
                )
            if end in outputs[: number - 1]:
                raise ConversionError(
                    f"outputs {outputs.index(end) + 1} and {number} of the model {name!r} are the same values, those of "
                    f"{end!r} (a softmax or sigmoid at the end is left out); leave one of them out"
                )


def require_own_indices(network: Network) -> None:
    """Refuse a table whose places are not an input of their own: places have a format of whole numbers."""
    for port in network.index_sizes():
        ends = list(network.consumers(port))
        while ends:
            layer = ends.pop()
            if layer.row.holds_results:
                continue
            if layer.row.role != "move" or layer.row.many or layer.name in network.output_names:
                raise ConversionError(
                    f"input {port!r} of {network.name!r} is read by an Embedding and by {layer.name!r}; give the Embedding an "
                    "input of its own, of whole numbers"
                )
            ends += network.consumers(layer.name)


def _reader_of(call: Call) -> LayerReader:
    """The function that reads a call; `ConversionError` says what its layer is, if there is none."""
    layer = call.layer
    named = "" if isinstance(layer, keras.Layer) else type(layer).__name__
    read = _READERS.get(type(layer)) or OPERATIONS.get(named)
    if read is None:
        raise ConversionError(_unknown(call))
    return read


def identifier(name: str) -> str:
    """A layer name that C++ and hls4ml accept.

    hls4ml gives layers whose name is a part of the word "input" another name, without their types.
    """
    name = re.sub(r"[^0-9A-Za-z_]", "_", name)
    name = name if re.match(r"[A-Za-z_]", name) else f"layer_{name}"
    if name in "input" or name.lower() in _RESERVED or keyword.iskeyword(name):
        return f"{name}_layer"
    return name


def _unknown(call: Call) -> str:
    layer, what = call.layer, type(call.layer).__name__
    base = next((known for known in type(layer).__mro__[1:] if known in _READERS), None)
    if base is not None and what not in _HINTS:
        return (
            f"layer {call.name!r} is a {what} of {type(layer).__module__}, made from {base.__name__}: what it computes cannot "
            f"be known; use {base.__name__} itself"
        )
    hint = _HINTS.get(what)
    if not isinstance(layer, keras.Layer):
        return f"the graph has the operation {what} ({call.name}), which is not supported; " + (
            hint or f"use a layer instead: {supported()}"
        )
    return f"layer {call.name!r} is a {what}, which is not supported; " + (
        hint or f"supported are {supported()}"
    )


_HINTS: Mapping[str, str] = {
    "LayerNormalization": "it divides by the spread of each sample, of which hls4ml 1.3 has C++ for sequences with axis=2 alone "
    "and the emulation none; use BatchNormalization",
    "GroupNormalization": "hls4ml 1.3 has none; use BatchNormalization",
    "UnitNormalization": "hls4ml 1.3 has none; use BatchNormalization",
    "MultiHeadAttention": "hls4ml 1.3 has HGQ2's alone; use Dense per particle and GlobalAveragePooling1D",
    "Attention": "hls4ml 1.3 has none; use Dense per particle and GlobalAveragePooling1D",
    "Conv1DTranspose": "hls4ml 1.3 has none; use UpSampling1D and Conv1D",
    "Conv2DTranspose": "hls4ml 1.3 has none; use UpSampling2D and Conv2D",
    "Conv3D": "hls4ml 1.3 has none; use Conv2D with the depth as channels",
    "Lambda": "its function cannot be read; use layers",
    "Masking": "hardware has a fixed length; pad with zeros and let the network learn",
    "QConv2DTranspose": "hls4ml 1.3 has none; use UpSampling2D and QConv2D",
    "QAdaptiveActivation": "its format changes with its training; use QActivation",
    "Discretization": "bin the values before the network",
    "ThresholdedReLU": "use ReLU behind a Dense with a bias",
    "RNN": "use GRU, LSTM or SimpleRNN, which have their cells in themselves",
    "SpectralNormalization": "put the layer itself there, with the kernel that it was trained to",
    "NotEqual": "a mask computes it (Masking, mask_zero); hardware has a fixed length: pad with zeros and let the network learn",
    "Any": "a mask computes it (Masking, mask_zero); hardware has a fixed length: pad with zeros and let the network learn",
    "GetItem": "use Cropping1D or Cropping2D, or give the network several inputs",
    "Split": "use Cropping1D or Cropping2D, or give the network several inputs",
    "Mean": "use GlobalAveragePooling1D or AveragePooling1D",
    "Sum": "use GlobalAveragePooling1D, which differs by a constant factor",
    "Max": "use GlobalMaxPooling1D",
    "Amax": "use GlobalMaxPooling1D",
    "Negative": "use Rescaling(-1)",
    "TrueDivide": "use Rescaling with the inverse",
    "Divide": "use Rescaling with the inverse",
    "Absolute": "use relu of the values and of Rescaling(-1) of them, and Add",
    "Clip": "use ReLU(max_value=...) or hard_tanh",
    "Matmul": "use Dense",
    "Square": "use Multiply of the values with themselves",
    "Stack": "use Reshape and Concatenate",
}


def _has_activation(layer: Any) -> bool:
    return hasattr(layer, "activation") and type(layer) not in _OWN_ACTIVATION
