"""Keras models of several inputs or outputs, and their form with one of each: what training loops take.

The joined form takes all inputs side by side and gives all outputs side by side (see `codesign.core.ports`); it has the
model's own layers between, by their own names, and is read as the model that it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from codesign.core.ports import Port, apart, n_values, row_shape, side_by_side
from codesign.networks.description import free_name
from codesign.networks.keras_graph import JoinOutputs, TakeInput, called_on, functional


def input_ports(model: keras.Model) -> tuple[Port, ...]:
    """The inputs of a model, by the names of its input layers; a joined one has those that it was made of."""
    opened = functional(model)
    takes = [layer for layer in model.layers if isinstance(layer, TakeInput)]
    if takes:
        takes.sort(key=lambda layer: layer.start)
        return tuple(Port(layer.name, layer.shape) for layer in takes)
    return tuple(Port(_layer_of(tensor).name, tuple(tensor.shape[1:])) for tensor in opened.inputs)


def output_ports(model: keras.Model) -> tuple[Port, ...]:
    """The outputs of a model, by the names of the layers that they come from."""
    opened = functional(model)
    last = _layer_of(opened.outputs[0])
    tensors = (
        last._inbound_nodes[0].arguments.keras_tensors if isinstance(last, JoinOutputs) else opened.outputs
    )
    return tuple(Port(_layer_of(tensor).name, tuple(tensor.shape[1:])) for tensor in tensors)


def n_outputs(model: keras.Model) -> int:
    """How many values a model gives for a sample, at all outputs together."""
    return n_values(output_ports(model))


def outputs_of(model: keras.Model, x: np.ndarray, batch_size: int | None = None) -> np.ndarray:
    """What a model gives for samples: float32, float64 of a model that computes in it.

    Parameters
    ----------
    model
        With any number of inputs and outputs, or joined.
    x
        Samples `(n_samples, ...)`; of several inputs side by side.
    batch_size
        Most samples at once; by default all.

    Returns
    -------
    ndarray
        `(n_samples, *output_shape)`; several outputs side by side, `(n_samples, n_outputs)`.
    """
    arrays = each_output_of(model, fed(model, x), batch_size)
    arrays = [each if each.dtype == np.float64 else each.astype(np.float32, copy=False) for each in arrays]
    return arrays[0] if len(arrays) == 1 else side_by_side(arrays)


def each_output_of(model: keras.Model, given: Any, batch_size: int | None = None) -> list[np.ndarray]:
    """What each output of a model gives for samples as it is called with them (`fed`), `(n_samples, *output_shape)`."""
    # keras warns where a single input is given to a model that was made of a list
    given = keras.tree.pack_sequence_as(functional(model)._inputs_struct, keras.tree.flatten(given))
    # predict compiles a function for each model, which takes ten times as long as a batch of a quantized one
    if batch_size is None or all(len(each) <= batch_size for each in keras.tree.flatten(given)):
        found = model(given, training=False)
    else:
        found = model.predict(given, batch_size=batch_size, verbose=0)
    return [np.asarray(ops.convert_to_numpy(values)) for values in keras.tree.flatten(found)]


def fed(model: keras.Model, x: np.ndarray) -> Any:
    """Samples as a model is called with them: the array itself, or an array for each of several inputs."""
    opened = functional(model)
    if len(opened.inputs) == 1:
        return x
    return keras.tree.pack_sequence_as(opened._inputs_struct, apart(input_ports(model), x))


def joined(model: keras.Model) -> keras.Model:
    """The joined form of a model: itself if it has one input and one output, else new layers with its weights."""
    opened = functional(model)
    if len(opened.inputs) == len(opened.outputs) == 1:
        return model
    ports = input_ports(model)
    names = {layer.name for layer in opened.layers}
    source, tensors = begin_joined(ports, names)
    made = called_on(opened, tensors)
    shared = keras.Model(source, end_joined(made, names), name=model.name)
    # the layers of the given model stay its own
    return copied(shared)


def begin_joined(ports: Sequence[Port], taken: set[str]) -> tuple[Any, list[Any]]:
    """The symbolic input of a joined model, and that of each port."""
    if len(ports) == 1:
        source = keras.Input(ports[0].shape, name=ports[0].name)
        return source, [source]
    source = keras.Input(row_shape(ports), name=free_name("all_inputs", taken))
    tensors, start = [], 0
    for port in ports:
        tensors.append(TakeInput(start, port.shape, name=port.name)(source))
        start += port.size
    return source, tensors


def end_joined(tensors: Sequence[Any], taken: set[str]) -> Any:
    """The symbolic output of a joined model."""
    return (
        tensors[0] if len(tensors) == 1 else JoinOutputs(name=free_name("all_outputs", taken))(list(tensors))
    )


def copied(
    model: keras.Model,
    clone: Callable[[keras.Model], keras.Model] = keras.models.clone_model,
    *,
    trained: bool = True,
) -> keras.Model:
    """A copy of a model, made by `clone`: with its weights, or newly drawn ones; what normalisations were adapted to stays."""
    copy = clone(model)
    if trained:
        copy.set_weights(model.get_weights())
    for given, made in zip(every_layer(model), every_layer(copy), strict=True):
        # an adapted normalisation computes with values that it makes of its weights
        if hasattr(made, "finalize_state") and given.built:
            made.set_weights(given.get_weights())
            made.finalize_state()
    return copy


def every_layer(model: keras.Model) -> list[Any]:
    """All layers of a model, those of nested models too."""
    return list(model._flatten_layers(include_self=False))


def _layer_of(tensor: Any) -> Any:
    return tensor._keras_history.operation
