"""What every layer of a Keras or QKeras model computes, under the names that the hardware has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from codesign.core.layer_trace import LayerTrace
from codesign.networks.joined import fed

_MERGED = ("QActivation", "Activation", "BatchNormalization", "Dropout", "ReLU")
"""Layers that hardware may compute inside the layer before them."""


def trace_layers(
    model: keras.Model, x: np.ndarray, names: Sequence[str], *, batch_size: int = 4096
) -> LayerTrace:
    """Run a model and keep the result of every layer that the hardware has.

    A layer that the hardware does not have (a `linear` quantization point, a normalisation that hls4ml fused) is
    computed there inside the layer before it: then the last of such a chain is that layer's result.

    Parameters
    ----------
    model
        A sequential or functional model.
    x
        Inputs `(n_samples, *input_shape)`; several side by side.
    names
        The hardware's layers, the input first; of several inputs those of the model's own names.

    Returns
    -------
    LayerTrace
        float32 results; what has no counterpart is left out.
    """
    functional = model._functional if isinstance(model, keras.Sequential) else model
    chains = _chains(functional, names)
    tensors = [chain[-1].output for chain in chains.values()]
    inputs = functional.inputs[0] if len(functional.inputs) == 1 else functional._inputs_struct
    outputs = keras.Model(inputs, tensors).predict(
        fed(functional, np.asarray(x)), batch_size=batch_size, verbose=0
    )
    outputs = [outputs] if len(tensors) == 1 and not isinstance(outputs, list) else outputs
    return LayerTrace(
        {name: np.asarray(values) for name, values in zip(chains, outputs, strict=True)},
        {name: tuple(type(layer).__name__ for layer in chain) for name, chain in chains.items()},
        {name: weights for name, chain in chains.items() if (weights := _weights(chain[0]))},
    )


def _chains(functional: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """The model's layers that each of the hardware's layers computes, in order."""
    found: dict[int, str] = {}
    users: dict[int, list[Any]] = {}
    for layer in functional.layers:
        for tensor in _sources(layer):
            users.setdefault(id(tensor._keras_history.operation), []).append(layer)
    chains: dict[str, list[Any]] = {}
    for layer in functional.layers:
        name = _hardware_name(layer, names, len(functional.inputs) == 1)
        if name is not None and name not in chains:
            found[id(layer)] = name
            chains[name] = [layer]
            continue
        if type(layer).__name__ not in _MERGED:
            continue
        before = _sources(layer)[0]._keras_history.operation
        if id(before) in found and len(users[id(before)]) == 1:
            found[id(layer)] = found[id(before)]
            chains[found[id(before)]].append(layer)
    return chains


def _sources(layer: Any) -> list[Any]:
    return list(layer._inbound_nodes[0].arguments.keras_tensors) if layer._inbound_nodes else []


def _hardware_name(layer: Any, names: Sequence[str], one_input: bool) -> str | None:
    if isinstance(layer, keras.layers.InputLayer) and one_input:
        return names[0]
    name = re.sub(r"\W", "_", layer.name)
    # hls4ml makes a layer of its own of an activation inside a layer
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    inner = f"{name}_{activation}"
    return inner if inner in names else name if name in names else None


def _weights(layer: Any) -> dict[str, np.ndarray]:
    """The kernel and bias that a layer multiplies with; nothing for a layer without a kernel."""
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return {}
    quantizer = getattr(layer, "depthwise_quantizer_internal", None) or getattr(
        layer, "kernel_quantizer_internal", None
    )
    weights = {"weight": _quantized(quantizer, kernel)}
    if getattr(layer, "bias", None) is not None:
        weights["bias"] = _quantized(getattr(layer, "bias_quantizer_internal", None), layer.bias)
    return weights


def _quantized(quantizer: Any, variable: Any) -> np.ndarray:
    values = variable if quantizer is None else quantizer(variable)
    return np.asarray(keras.ops.convert_to_numpy(values), dtype=np.float64)
