"""What every layer of a Keras or QKeras model computes, under the names that the hardware has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from codesign.core.layer_trace import LayerTrace
from codesign.core.layers import LAYERS
from codesign.networks.joined import each_output_of, fed
from codesign.networks.keras_classes import NOTHING
from codesign.networks.keras_graph import Call, KerasGraph, functional, graph_of

_MERGED = (
    *(
        name
        for row in LAYERS
        for name in (*row.keras, *row.qkeras)
        if row.role == "norm" or (row.role == "point" and row.qkeras)
    ),
    "Rounded",
)
"""Classes of layers that hardware may compute inside the layer before them."""


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
    opened = functional(model)
    chains = _chains(graph_of(model), names)
    tensors = [chain[-1].tensors[0] for chain in chains.values()]
    inputs = opened.inputs[0] if len(opened.inputs) == 1 else opened._inputs_struct
    outputs = each_output_of(keras.Model(inputs, tensors), fed(opened, np.asarray(x)), batch_size)
    return LayerTrace(
        dict(zip(chains, outputs, strict=True)),
        {name: tuple(type(call.layer).__name__ for call in chain) for name, chain in chains.items()},
        {name: weights for name, chain in chains.items() if (weights := _weights(chain[0].layer))},
    )


def _chains(graph: KerasGraph, names: Sequence[str]) -> dict[str, list[Call]]:
    """The model's calls that each of the hardware's layers computes, in order."""
    found: dict[int, str] = {}
    chains: dict[str, list[Call]] = {}
    for call in graph.calls:
        if call.nested:
            continue  # its tensors are the nested model's own
        name = _hardware_name(call, names, len(graph.inputs) == 1)
        if name is not None and name not in chains:
            chains[name] = [call]
        elif (type(call.layer).__name__ in _MERGED or type(call.layer) in NOTHING) and len(call.inputs) == 1:
            name = found.get(call.inputs[0])
            if name is None or len(graph.users(call.inputs[0])) > 1:
                continue
            chains[name].append(call)
        else:
            continue
        found[call.outputs[0]] = name
    return chains


def _hardware_name(call: Call, names: Sequence[str], one_input: bool) -> str | None:
    if isinstance(call.layer, keras.layers.InputLayer) and one_input:
        return names[0]
    name = re.sub(r"\W", "_", call.name)
    # hls4ml makes a layer of its own of an activation inside a layer
    activation = getattr(getattr(call.layer, "activation", None), "__name__", "linear")
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
