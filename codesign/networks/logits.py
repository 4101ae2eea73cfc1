"""Networks that end at their logits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from codesign.networks.faithful import check_same
from codesign.networks.joined import copied, every_layer, joined, outputs_of
from codesign.networks.keras_graph import functional

_PROBABILITIES = (keras.activations.softmax, keras.activations.sigmoid)


def ending_in_logits(model: keras.Model) -> keras.Model:
    """A copy of a model, with its weights, whose last softmax or sigmoid (if it has one) is left out at every output.

    Parameters
    ----------
    model
        A built Keras model; it is not changed.

    Returns
    -------
    keras.Model
        With one input and one output: those of several stand side by side (`codesign.networks.joined`).

    Raises
    ------
    ConversionError
        If the copy does not compute what the model computes.
    """
    copy = copied(model)
    opened = functional(copy)
    outputs, ends = [], []
    for tensor in opened.outputs:
        last, alone = tensor._keras_history.operation, _is_read_once(opened, tensor)
        activation = getattr(last, "activation", None)
        name = activation.__name__ if activation in _PROBABILITIES else None
        # the last may also be an operation, as keras.ops.softmax makes it
        if type(last).__name__ in ("Softmax", "Sigmoid"):
            name = type(last).__name__.lower()
        ends.append(name if alone else None)
        if name is None or not alone:
            outputs.append(tensor)
        elif isinstance(last, keras.layers.Activation) or type(last).__name__ in ("Softmax", "Sigmoid"):
            outputs.append(last.input)
        else:
            last.activation = keras.activations.linear
            outputs.append(tensor)
    if any(ends):
        # a list of one would be another structure than the tensor that the model is called with
        inputs = opened.inputs[0] if len(opened.inputs) == 1 else opened._inputs_struct
        made = outputs[0] if len(outputs) == 1 else outputs
        copy = keras.Model(inputs, made, name=model.name)
    cut = joined(copy)
    check_same(model, cut, ends)
    return cut


def _is_read_once(opened: Any, tensor: Any) -> bool:
    """Whether an output is one once, and nothing in the model reads it."""
    readers = [
        given
        for nodes in opened._nodes_by_depth.values()
        for node in nodes
        for given in node.arguments.keras_tensors
    ]
    return sum(other is tensor for other in [*readers, *opened.outputs]) == 1


def untrained_copy(model: keras.Model) -> keras.Model:
    """A copy of a model with newly drawn weights; what its normalisations were adapted to stays."""
    copy = keras.models.clone_model(model)
    for given, made in zip(every_layer(model), every_layer(copy), strict=True):
        if hasattr(made, "finalize_state") and given.built:
            made.set_weights(given.get_weights())
            made.finalize_state()
    return copy


def last_operation(model: keras.Model) -> Any:
    """The layer or operation that the only output of a functional or sequential model comes from."""
    return functional(model).outputs[0]._keras_history.operation


def last_operations(model: keras.Model) -> tuple[Any, ...]:
    """The layers or operations that a functional or sequential model's outputs come from."""
    return tuple(tensor._keras_history.operation for tensor in functional(model).outputs)


def are_probabilities(values: np.ndarray) -> bool:
    """Whether outputs of shape `(n_samples, n_outputs)` look like probabilities: one in 0 to 1, or several that sum to 1."""
    if values.min(initial=0.0) < 0:
        return False
    if values.shape[1] == 1:
        return bool(values.max(initial=0.0) <= 1)
    return bool(np.allclose(values.sum(axis=1), 1.0, atol=1e-3))


def predict_logits(model: keras.Model, x: np.ndarray, batch_size: int = 4096) -> np.ndarray:
    """The outputs of a model, float32 of shape `(n_samples, n_outputs)`, float64 of a model that computes in it.

    Samples and outputs as in `codesign.core.ports`.
    """
    return outputs_of(model, x, batch_size)
