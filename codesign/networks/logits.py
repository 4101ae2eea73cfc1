"""Networks that end at their logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from codesign.core.ports import Port, apart, row_shape, side_by_side
from codesign.errors import ConversionError
from codesign.networks.joined import copied, every_layer, input_ports, joined, output_ports, outputs_of
from codesign.networks.keras_graph import functional

NOISE = 1e-4
"""The difference of float32 sums in another order, relative to the largest output."""

BATCH_SIZE = 4096
"""Samples that are computed at once."""

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
    return without_endings(model)[0]


def without_endings(model: keras.Model) -> tuple[keras.Model, tuple[str | None, ...]]:
    """What `ending_in_logits` makes, and the function that was left out at each output."""
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
    _check_same(model, cut, ends)
    return cut, tuple(ends)


def _check_same(model: keras.Model, copy: keras.Model, endings: Sequence[str | None]) -> None:
    """Compare a model with a copy of it whose last function was left out at each output that names one.

    Raises
    ------
    ConversionError
        If the copy, followed by these functions, computes other numbers.
    """
    ports = input_ports(model)
    if any(size is None for port in ports for size in port.shape):
        return
    x = np.random.default_rng(0).normal(size=(16, *row_shape(ports))).astype(np.float32)
    given = side_by_side(outputs_of(model, x))
    made = ended(side_by_side(outputs_of(copy, x)), output_ports(model), endings)
    if not np.isfinite(given).all():
        for layer in every_layer(model):
            if not isinstance(layer, keras.Model):  # whose own layers follow
                require_finite(layer, layer.name)
        raise ConversionError(
            f"the model {model.name!r} computes outputs that are not finite of inputs between -4 and 4, though its weights are; "
            "one of its layers has weights or number formats too large for float32"
        )
    if np.abs(given - made).max(initial=0.0) > NOISE * max(float(np.abs(given).max(initial=0.0)), 1e-30):
        raise ConversionError(
            f"a copy of the model {model.name!r} that ends at its logits computes other numbers (by up to "
            f"{np.abs(given - made).max():.3g}); one of its layers keeps values that are no weights, or is random at inference"
        )


def require_finite(layer: Any, name: str) -> None:
    """Refuse a layer with NaN or infinite weights: `ConversionError` names it as `name`."""
    for variable in layer.variables if isinstance(layer, keras.Layer) else ():
        values = np.asarray(keras.ops.convert_to_numpy(variable))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ConversionError(
                f"layer {name!r} has values in {variable.name} that are not finite; "
                "train it again, or give a file of a training that went well"
            )


def ended(logits: np.ndarray, ports: Sequence[Port], endings: Sequence[str | None]) -> np.ndarray:
    """Outputs of logits `(n_samples, n_outputs)`: each output followed by the function that was left out, if any."""
    if not any(endings):
        return logits
    parts = [
        values if end is None else keras.ops.convert_to_numpy(getattr(keras.activations, end)(values))
        for values, end in zip(apart(ports, logits), endings, strict=True)
    ]
    return side_by_side(parts)


def _is_read_once(opened: Any, tensor: Any) -> bool:
    """Whether an output is one once, and nothing in the model reads it."""
    readers = [
        given
        for nodes in opened._nodes_by_depth.values()
        for node in nodes
        for given in node.arguments.keras_tensors
    ]
    return sum(other is tensor for other in [*readers, *opened.outputs]) == 1


def last_operation(model: keras.Model) -> Any:
    """The layer or operation that the only output of a functional or sequential model comes from."""
    return functional(model).outputs[0]._keras_history.operation


def last_operations(model: keras.Model) -> tuple[Any, ...]:
    """The layers or operations that a functional or sequential model's outputs come from."""
    return tuple(tensor._keras_history.operation for tensor in functional(model).outputs)


def are_probabilities(values: np.ndarray) -> bool:
    """Whether outputs of shape `(n_samples, n_outputs)` look like probabilities: all in 0 to 1, and not all the same."""
    least, most = float(values.min(initial=1.0)), float(values.max(initial=0.0))
    return least >= 0 and most <= 1 and (least < most or values.shape[1] == 1)


def predict_logits(model: keras.Model, x: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
    """The outputs of a model, float32 of shape `(n_samples, n_outputs)`, float64 of a model that computes in it.

    Samples and outputs as in `codesign.core.ports`.
    """
    return outputs_of(model, x, batch_size)
