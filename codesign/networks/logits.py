"""Networks that end at their logits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

_PROBABILITIES = ("softmax", "sigmoid")


def ending_in_logits(model: keras.Model) -> keras.Model:
    """A copy of a model, with its weights, whose last softmax or sigmoid (if it has one) is left out.

    Parameters
    ----------
    model
        A built Keras model; it is not changed.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    functional, last = _functional(copy), last_operation(copy)
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    # the last may also be an operation, as keras.ops.softmax makes it
    if type(last).__name__ in ("Softmax", "Sigmoid") or (
        isinstance(last, keras.layers.Activation) and activation in _PROBABILITIES
    ):
        return keras.Model(functional.inputs, last.input, name=model.name)
    if activation in _PROBABILITIES:
        last.activation = keras.activations.linear
        return keras.Model(functional.inputs, functional.outputs, name=model.name)
    return copy


def last_operation(model: keras.Model) -> Any:
    """The layer or operation that a functional or sequential model's outputs come from."""
    return _functional(model).outputs[0]._keras_history.operation


def _functional(model: keras.Model) -> keras.Model:
    """A sequential model's functional one, which has the graph."""
    return model._functional if isinstance(model, keras.Sequential) else model


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
