"""Networks that end at their logits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from codesign.networks.faithful import check_same, ended
from codesign.networks.keras_graph import functional

_PROBABILITIES = (keras.activations.softmax, keras.activations.sigmoid)


def ending_in_logits(model: keras.Model) -> keras.Model:
    """A copy of a model, with its weights, whose last softmax or sigmoid (if it has one) is left out.

    Parameters
    ----------
    model
        A built Keras model; it is not changed.

    Raises
    ------
    ConversionError
        If the copy does not compute what the model computes.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for given, made in zip(_every_layer(model), _every_layer(copy), strict=True):
        # an adapted normalisation computes with values that it makes of its weights
        if hasattr(made, "finalize_state") and given.built:
            made.finalize_state()
    opened, last = functional(copy), last_operation(copy)
    # a list of one would be another structure than the tensor that the model is called with
    inputs = opened.inputs[0] if len(opened.inputs) == 1 else opened.inputs
    activation = getattr(last, "activation", None)
    ends = next((function for function in _PROBABILITIES if activation is function), None)
    # the last may also be an operation, as keras.ops.softmax makes it
    if type(last).__name__ in ("Softmax", "Sigmoid"):
        ends = keras.activations.softmax if type(last).__name__ == "Softmax" else keras.activations.sigmoid
        cut = keras.Model(inputs, last.input, name=model.name)
    elif ends is not None and isinstance(last, keras.layers.Activation):
        cut = keras.Model(inputs, last.input, name=model.name)
    elif ends is not None:
        last.activation = keras.activations.linear
        outputs = opened.outputs[0] if len(opened.outputs) == 1 else opened.outputs
        cut = keras.Model(inputs, outputs, name=model.name)
    else:
        cut = copy
    check_same(model, cut, lambda outputs: ended(outputs, None if ends is None else ends.__name__))
    return cut


def untrained_copy(model: keras.Model) -> keras.Model:
    """A copy of a model with newly drawn weights; what its normalisations were adapted to stays."""
    copy = keras.models.clone_model(model)
    for given, made in zip(_every_layer(model), _every_layer(copy), strict=True):
        if hasattr(made, "finalize_state") and given.built:
            made.set_weights(given.get_weights())
            made.finalize_state()
    return copy


def _every_layer(model: keras.Model) -> list[Any]:
    return list(model._flatten_layers(include_self=False))


def last_operation(model: keras.Model) -> Any:
    """The layer or operation that a functional or sequential model's outputs come from."""
    return functional(model).outputs[0]._keras_history.operation


def are_probabilities(values: np.ndarray) -> bool:
    """Whether outputs of shape `(n_samples, n_outputs)` look like probabilities: one in 0 to 1, or several that sum to 1."""
    if values.min(initial=0.0) < 0:
        return False
    if values.shape[1] == 1:
        return bool(values.max(initial=0.0) <= 1)
    return bool(np.allclose(values.sum(axis=1), 1.0, atol=1e-3))


def predict_logits(model: keras.Model, x: np.ndarray, batch_size: int = 4096) -> np.ndarray:
    """The outputs of a model: float32 of shape `(n_samples, n_outputs)`."""
    return np.asarray(model.predict(x, batch_size=batch_size, verbose=0), dtype=np.float32)
