"""Read a Keras model into a `Network`, or say which layer cannot become hardware and what can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.errors import ConversionError
from codesign.networks.build import kernel_variable
from codesign.networks.description import LayerSpec, Network

_DROPPED = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianDropout",
    "GaussianNoise",
    "AlphaDropout",
)
_FINAL_ACTIVATIONS = ("softmax", "sigmoid")
_SUPPORTED = (
    "Dense, Conv1D, Conv2D, DepthwiseConv2D, BatchNormalization, ReLU and Activation (relu, linear; softmax or "
    "sigmoid at the end), Flatten, Reshape, ZeroPadding1D/2D, MaxPooling1D/2D, AveragePooling1D/2D, Add, Concatenate "
    "and the dropouts"
)


def describe(model: keras.Model) -> Network:
    """Describe a trained or untrained float Keras model.

    Dropout is left out, an activation inside a layer becomes a layer of its own, and a softmax or sigmoid at the end
    is left out: the network ends at its logits.

    Parameters
    ----------
    model
        A built sequential or functional Keras 3 model with one input and one output, `channels_last`.

    Raises
    ------
    ConversionError
        For a layer or an option that has no hardware form here; every fault of the model is named.
    """
    reader = _read(model)
    return Network(reader.in_order(reader.layer_of(reader.output)), model.name)


def describe_quantized(model: keras.Model) -> tuple[Network, PrecisionMap]:
    """Describe a QKeras model: its float weights, and the formats of its quantizers.

    Parameters
    ----------
    model
        As for `describe`, with `QDense`, `QConv1D`, `QConv2D`, `QDepthwiseConv2D` and `QActivation` layers whose
        quantizers are `quantized_bits(..., alpha=1)` or `quantized_relu`; the input passes a `QActivation` first.

    Raises
    ------
    ConversionError
        As `describe`, and for a layer or an input without a quantizer, or one that is no fixed-point format.
    """
    reader = _read(model)
    network = Network(reader.in_order(reader.layer_of(reader.output)), model.name)
    first = network.consumers(network.layers[0].name)
    if len(first) != 1 or first[0].kind != "linear":
        raise ConversionError(
            f"the input of {model.name!r} is not quantized; put QActivation(quantized_bits(...)) directly after it"
        )
    grid = first[0]
    bare = [layer.name for layer in network.weight_layers if layer.name not in reader.formats]
    if bare:
        raise ConversionError(
            f"{', '.join(bare)} of {model.name!r} have no kernel quantizer; give each layer one"
        )
    formats = {
        layer.name: reader.formats[layer.name] for layer in network.layers if layer.name in reader.formats
    }
    precision = formats.pop(grid.name).result
    assert precision is not None
    layers = tuple(
        replace(layer, inputs=tuple(grid.inputs[0] if name == grid.name else name for name in layer.inputs))
        for layer in network.layers
        if layer is not grid
    )
    return replace(network, layers=layers), PrecisionMap(precision, formats)


def _read(model: keras.Model) -> _Reader:
    name = getattr(model, "name", "")
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ConversionError(f"the model {name!r} is not built; give its first layer an input shape")
        # it has a name of its own, another one in each session
        model = model._functional
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise ConversionError(
            f"the model must be a sequential or functional keras.Model, not {type(model).__name__}"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConversionError(
            f"the model {name!r} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            "it must have one of each"
        )
    reader = _Reader(model.outputs[0])
    for nodes in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in nodes[1]:
            reader.read(node)
    if reader.faults:
        raise ConversionError("\n  - ".join([f"the model {name!r} cannot become hardware", *reader.faults]))
    return reader


class _Reader:
    """Collects layers and faults; `of` maps a Keras tensor to the name of the layer that makes it here."""

    def __init__(self, output: Any) -> None:
        self.output = output
        self.layers: dict[str, LayerSpec] = {}
        self.owners: dict[str, Any] = {}
        self.faults: list[str] = []
        self.of: dict[int, str] = {}
        self.formats: dict[str, LayerPrecision] = {}

    def layer_of(self, tensor: Any) -> str:
        return self.of[id(tensor)]

    def read(self, node: Any) -> None:
        layer = node.operation
        inputs = tuple(self.of[id(tensor)] for tensor in node.arguments.keras_tensors)
        kind = _FLOAT_KINDS.get(type(layer).__name__, type(layer).__name__)
        if kind in _DROPPED or (kind == "Activation" and layer.activation is keras.activations.linear):
            self.of[id(node.outputs[0])] = inputs[0]
            return
        # hls4ml reserves the name "input"; Keras numbers its own
        name = "features" if kind == "InputLayer" else _identifier(layer.name)
        activation = getattr(layer, "activation", None)
        reader = _READERS.get(kind)
        if reader is not None:
            try:
                spec_kind, config, weights = reader(layer)
                self._add(layer, LayerSpec(name, spec_kind, inputs, config, weights))
                self._note_formats(layer, name)
            except ConversionError as fault:
                self.faults.append(str(fault))
        elif kind not in ("Activation", "Softmax"):
            self.faults.append(
                f"layer {layer.name!r} is a {kind}, which is not supported; supported are {_SUPPORTED}"
            )
            self.of[id(node.outputs[0])] = inputs[0]
            return
        source = name if reader is not None else inputs[0]
        last = node.outputs[0] is self.output
        self.of[id(node.outputs[0])] = self._activated(layer, kind, name, source, activation, last)

    def _add(self, layer: Any, spec: LayerSpec) -> None:
        owner = self.owners.setdefault(spec.name, layer)
        if spec.name not in self.layers:
            self.layers[spec.name] = spec
        elif owner is layer:
            self.faults.append(f"layer {layer.name!r} is used twice; give each use a layer of its own")
        else:
            self.faults.append(
                f"layers {owner.name!r} and {layer.name!r} would both be called {spec.name} in C++; rename one"
            )

    def _activated(self, layer: Any, kind: str, name: str, source: str, activation: Any, last: bool) -> str:
        function = "softmax" if kind == "Softmax" else getattr(activation, "__name__", "linear")
        if type(activation).__name__ in ("quantized_relu", "quantized_bits"):
            return self._quantized(layer, kind, name, source, activation)
        if function == "linear":
            return source
        if function == "relu":
            relu = name if kind == "Activation" else f"{name}_relu"
            self._add(layer, LayerSpec(relu, "relu", (source,)))
            return relu
        if function in _FINAL_ACTIVATIONS and last:
            return source
        where = " in the middle of the network" if function in _FINAL_ACTIVATIONS else ""
        self.faults.append(
            f"layer {layer.name!r} has the activation {function!r}{where}; "
            "supported are relu, linear, and softmax or sigmoid at the end"
        )
        return source

    def _quantized(self, layer: Any, kind: str, name: str, source: str, quantizer: Any) -> str:
        point, suffix = (
            ("relu", "relu") if type(quantizer).__name__ == "quantized_relu" else ("linear", "out")
        )
        point_name = name if kind == "Activation" else f"{name}_{suffix}"
        self._add(layer, LayerSpec(point_name, point, (source,)))
        try:
            self.formats[point_name] = LayerPrecision(result=FixedPoint.from_qkeras(quantizer))
        except ConversionError as fault:
            self.faults.append(f"layer {layer.name!r}: {fault}")
        return point_name

    def _note_formats(self, layer: Any, name: str) -> None:
        kernel = getattr(layer, "depthwise_quantizer_internal", None) or getattr(
            layer, "kernel_quantizer_internal", None
        )
        if kernel is None:
            return
        bias = layer.bias_quantizer_internal if layer.use_bias else None
        try:
            self.formats[name] = LayerPrecision(
                FixedPoint.from_qkeras(kernel), FixedPoint.from_qkeras(bias) if bias is not None else None
            )
        except ConversionError as fault:
            self.faults.append(f"layer {layer.name!r}: {fault}")

    def in_order(self, output: str) -> tuple[LayerSpec, ...]:
        """The layers that the output needs, inputs before users, the output last."""
        order: dict[str, LayerSpec] = {}

        def visit(name: str) -> None:
            if name not in order:
                for source in self.layers[name].inputs:
                    visit(source)
                order[name] = self.layers[name]

        visit(output)
        return tuple(order.values())


def _identifier(name: str) -> str:
    """A layer name that C++ accepts."""
    name = re.sub(r"\W", "_", name)
    return name if re.match(r"[A-Za-z_]", name) else f"layer_{name}"


def _array(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)


def _kernel(layer: Any) -> Mapping[str, np.ndarray]:
    weights = {"kernel": _array(kernel_variable(layer))}
    if layer.use_bias:
        weights["bias"] = _array(layer.bias)
    return weights


def _only(layer: Any, **expected: Any) -> None:
    for option, value in expected.items():
        if getattr(layer, option, value) != value:
            raise ConversionError(
                f"layer {layer.name!r} has {option}={getattr(layer, option)!r}; only {option}={value!r} is supported"
            )


def _dense(layer: Any) -> Any:
    if layer.kernel.ndim != 2 or len(layer.input.shape) != 2:
        raise ConversionError(
            f"layer {layer.name!r} is a Dense on shape {tuple(layer.input.shape)[1:]}; put a Flatten before it"
        )
    return "dense", {}, _kernel(layer)


def _conv(kind: str) -> Any:
    def read(layer: Any) -> Any:
        rank = int(kind[4])
        _only(layer, groups=1, data_format="channels_last", dilation_rate=(1,) * rank)
        if layer.padding not in ("valid", "same"):
            raise ConversionError(
                f"layer {layer.name!r} has padding={layer.padding!r}; only 'valid' and 'same' are supported"
            )
        return kind, {"strides": list(layer.strides), "padding": layer.padding}, _kernel(layer)

    return read


def _depthwise(layer: Any) -> Any:
    _only(layer, data_format="channels_last", dilation_rate=(1, 1), depth_multiplier=1)
    return "depthwise_conv2d", {"strides": list(layer.strides), "padding": layer.padding}, _kernel(layer)


def _pool(kind: str) -> Any:
    def read(layer: Any) -> Any:
        _only(layer, data_format="channels_last")
        config = {
            "pool_size": list(layer.pool_size),
            "strides": list(layer.strides),
            "padding": layer.padding,
        }
        if kind.startswith("average"):
            size = int(np.prod(config["pool_size"]))
            if size & (size - 1):
                raise ConversionError(
                    f"layer {layer.name!r} averages {size} values; "
                    "only windows of 2, 4, 8, ... values are exact in fixed point"
                )
            _only(layer, padding="valid")
        return kind, config, {}

    return read


def _batch_norm(layer: Any) -> Any:
    if layer.axis not in (-1, len(layer.input.shape) - 1):
        raise ConversionError(
            f"layer {layer.name!r} normalises axis {layer.axis}; only the last axis is supported"
        )
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    gamma = _array(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = _array(layer.beta) if layer.center else np.zeros_like(mean)
    weights = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    return "batch_norm", {"epsilon": float(layer.epsilon), "momentum": float(layer.momentum)}, weights


def _relu(layer: Any) -> Any:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise ConversionError(
            f"layer {layer.name!r} is a ReLU with a limit, slope or threshold; only the plain ReLU is supported"
        )
    return "relu", {}, {}


def _plain(kind: str, *options: str) -> Any:
    def read(layer: Any) -> Any:
        config = {}
        for option in options:
            value = getattr(layer, option)
            config[option] = (
                [list(v) if isinstance(v, tuple) else v for v in value] if isinstance(value, tuple) else value
            )
        return kind, config, {}

    return read


def _concatenate(layer: Any) -> Any:
    if layer.axis not in (-1, len(layer.output.shape) - 1):
        raise ConversionError(
            f"layer {layer.name!r} concatenates axis {layer.axis}; only the last axis is supported"
        )
    return "concatenate", {}, {}


_FLOAT_KINDS = {
    "QDense": "Dense",
    "QConv1D": "Conv1D",
    "QConv2D": "Conv2D",
    "QDepthwiseConv2D": "DepthwiseConv2D",
    "QActivation": "Activation",
}

_READERS: Mapping[str, Any] = {
    "InputLayer": lambda layer: ("input", {"shape": [int(n) for n in layer.batch_shape[1:]]}, {}),
    "Dense": _dense,
    "Conv1D": _conv("conv1d"),
    "Conv2D": _conv("conv2d"),
    "DepthwiseConv2D": _depthwise,
    "BatchNormalization": _batch_norm,
    "ReLU": _relu,
    "Flatten": _plain("flatten"),
    "Reshape": _plain("reshape", "target_shape"),
    "ZeroPadding1D": _plain("zero_padding1d", "padding"),
    "ZeroPadding2D": _plain("zero_padding2d", "padding"),
    "MaxPooling1D": _pool("max_pool1d"),
    "MaxPooling2D": _pool("max_pool2d"),
    "AveragePooling1D": _pool("average_pool1d"),
    "AveragePooling2D": _pool("average_pool2d"),
    "Add": _plain("add"),
    "Concatenate": _concatenate,
}
