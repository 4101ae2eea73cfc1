"""Read from a model or a network the sizes that costs are counted from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras

from codesign.cost.layer_shape import INPUT, LayerShape
from codesign.errors import ConversionError
from codesign.networks.build import build_float
from codesign.networks.description import Network

_KINDS = {"Dense": "dense", "Conv1D": "conv1d", "Conv2D": "conv2d", "DepthwiseConv2D": "depthwise_conv2d"}
_PASSING = frozenset(
    {"Flatten", "Reshape", "Concatenate", "BatchNormalization"}
    | {"Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "AlphaDropout"}
    | {"ZeroPadding1D", "Cropping1D", "MaxPooling1D", "GlobalMaxPooling1D"}
    | {"ZeroPadding2D", "Cropping2D", "MaxPooling2D", "GlobalMaxPooling2D"}
)
"""Kinds that only move or drop values, or fold into the layer before them: their results have its formats."""

_ACTIVATIONS = ("ReLU", "Activation", "QActivation")


def layer_shapes(model: keras.Model | Network) -> tuple[LayerShape, ...]:
    """The layers of a network that multiply by constants, for `codesign.cost`.

    Parameters
    ----------
    model
        A `Network`, or a built sequential or functional Keras or QKeras model, `channels_last`. A batch normalisation
        counts as folded; an activation inside a float layer is named ``<layer>_relu``, as `describe` names it; the
        quantizer ``<input>_grid`` that `build_quantized` puts on the input counts as the input.

    Returns
    -------
    tuple of LayerShape
        In the order of execution; `sources` and `activations` name the layers whose `result` formats count.

    Raises
    ------
    ConversionError
        For a layer with weights that is no Dense, Conv1D, Conv2D or DepthwiseConv2D (or a Q form of them), a layer
        used twice, an open dimension, or a model that is not built; all faults together.
    """
    if isinstance(model, Network):
        model = build_float(model)
    name = model.name
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ConversionError(f"the model {name!r} is not built; give its first layer an input shape")
        model = model._functional
    if not hasattr(model, "_nodes_by_depth"):
        raise ConversionError(
            f"the model {name!r} must be sequential or functional, not {type(model).__name__}"
        )
    reader = _Reader()
    for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in nodes:
            reader.read(node)
    reader.read_outside(reader.values[id(output)] for output in model.outputs)
    if reader.faults:
        raise ConversionError("\n  - ".join([f"the costs of {name!r} cannot be counted", *reader.faults]))
    return tuple(reader.shapes.values())


@dataclass(frozen=True)
class _Values:
    """What a tensor holds: whose formats, and which layer's sums if nothing has rounded them yet."""

    sources: tuple[str, ...]
    sums_of: str | None = None


class _Reader:
    def __init__(self) -> None:
        self.shapes: dict[str, LayerShape] = {}
        self.faults: list[str] = []
        self.values: dict[int, _Values] = {}

    def read(self, node: Any) -> None:
        layer = node.operation
        inputs = [self.values[id(tensor)] for tensor in node.arguments.keras_tensors]
        for output in node.outputs:
            self.values[id(output)] = self._values(layer, type(layer).__name__, inputs, node)

    def _values(self, layer: Any, kind: str, inputs: list[_Values], node: Any) -> _Values:
        sources = tuple(dict.fromkeys(source for values in inputs for source in values.sources))
        if kind == "InputLayer":
            return _Values((INPUT,))
        if kind.removeprefix("Q") in _KINDS:
            return self._weight_layer(layer, kind, sources, node)
        if kind in _PASSING:
            return _Values(sources, inputs[0].sums_of if len(inputs) == 1 else None)
        if kind == "QActivation" and sources == (INPUT,) and layer.name.endswith("_grid"):
            return _Values(sources)
        if kind in _ACTIVATIONS:
            if inputs[0].sums_of is not None:
                self._add_activation(inputs[0].sums_of, layer.name)
            if inputs[0].sums_of is None:
                self.read_outside(inputs)
            return _Values((layer.name,))
        self.read_outside(inputs)
        if getattr(layer, "weights", None) and not kind.startswith("Q"):
            self.faults.append(
                f"layer {layer.name!r} is a {kind}, whose products cannot be counted; known are {', '.join(_KINDS)}"
            )
        return _Values((layer.name,))

    def _weight_layer(self, layer: Any, kind: str, sources: tuple[str, ...], node: Any) -> _Values:
        fault = _fault(layer, node)
        if layer.name in self.shapes:
            fault = f"layer {layer.name!r} is used twice; give each use a layer of its own"
        if fault:
            self.faults.append(fault)
            return _Values((layer.name,))
        self.shapes[layer.name] = _shape(layer, _KINDS[kind.removeprefix("Q")], sources, node)
        function = getattr(layer.activation, "__name__", "linear")
        if kind.startswith("Q") or function == "linear":
            return _Values((layer.name,), layer.name)
        activation = f"{layer.name}_{function}"
        self._add_activation(layer.name, activation)
        return _Values((activation,))

    def read_outside(self, inputs: Iterable[_Values]) -> None:
        """Note that something that is not counted here reads these values."""
        sources = {source for values in inputs for source in values.sources}
        for name, shape in self.shapes.items():
            if sources & {name, *shape.activations}:
                self.shapes[name] = replace(shape, shared=True)

    def _add_activation(self, layer: str, activation: str) -> None:
        shape = self.shapes.get(layer)
        if shape is not None:
            self.shapes[layer] = replace(shape, activations=(*shape.activations, activation))


def _fault(layer: Any, node: Any) -> str | None:
    shapes = [tuple(node.arguments.keras_tensors[0].shape[1:]), tuple(node.outputs[0].shape[1:])]
    if any(size is None for shape in shapes for size in shape):
        return (
            f"layer {layer.name!r} has the output shape {shapes[1]}; give the network's input a fixed shape"
        )
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return (
            f"layer {layer.name!r} has data_format={layer.data_format!r}; only 'channels_last' is supported"
        )
    return None


def _shape(layer: Any, kind: Any, sources: tuple[str, ...], node: Any) -> LayerShape:
    kernel = (
        layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel
    )  # QKeras names it so
    *window, _, _ = kernel.shape
    n_inputs = int(node.arguments.keras_tensors[0].shape[-1])
    *positions, n_outputs = node.outputs[0].shape[1:]
    groups = n_inputs if kind == "depthwise_conv2d" else int(getattr(layer, "groups", 1))
    return LayerShape(
        layer.name, kind, n_inputs, int(n_outputs), math.prod(window), math.prod(positions), groups, sources
    )
