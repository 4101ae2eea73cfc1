"""Layers to learn from: the teacher's features as arrays, the student's as further outputs of the model that trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from codesign.errors import DataError
from codesign.networks.logits import predict_logits
from codesign.settings import TermSettings
from codesign.training.losses import attention_map
from codesign.training.losses_combined import Term


def layer_output(model: keras.Model, name: str, what: str, renamed: Mapping[str, str] | None = None) -> Any:
    """The symbolic output of a layer, after its activation.

    Parameters
    ----------
    model
        A functional or sequential model.
    name
        A layer's name. In a model built from a network an activation inside the layer `name` is the layer
        ``<name>_relu``, which is then taken.
    what
        Whose layer it is, for the message (``the teacher``).
    renamed
        Names that took the place of others.

    Raises
    ------
    DataError
        If there is no such layer; the layers are listed.
    """
    layers = {layer.name: layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    name_now = (renamed or {}).get(name, name)
    for candidate in (f"{name_now}_relu", name_now):
        if candidate in layers:
            return layers[candidate].output
    raise DataError(f"{what} has no layer {name!r} to take features from; its layers are {', '.join(layers)}")


def features_of(model: keras.Model, name: str, x: np.ndarray, what: str = "the teacher") -> np.ndarray:
    """A layer's outputs: float32 of shape `(n_samples, ...)`; the errors are those of `layer_output`."""
    functional = keras.Model(model.inputs, layer_output(model, name, what))
    return predict_logits(functional, x)


def teacher_side(form: str, features: np.ndarray) -> np.ndarray:
    """What a term compares with, of the teacher's features: float32 of shape `(n_samples, n_values)`."""
    if form == "attention":
        features = np.asarray(attention_map(features))
    return features.reshape(len(features), -1)


def student_side(
    settings: TermSettings, student: Any, teacher_shape: tuple[int, ...], number: int
) -> tuple[Term, Any]:
    """A term and the symbolic student features that it compares, shape `(None, n_values)`.

    Parameters
    ----------
    settings
        The term, with both layers named.
    student
        The student's layer, symbolic, shape `(None, ...)`.
    teacher_shape
        The shape of the teacher's features of one sample.
    number
        Which term it is, for the regressor's name.

    Raises
    ------
    DataError
        If the two layers cannot be compared in this form.
    """
    size, shape = math.prod(teacher_shape), tuple(student.shape[1:])
    if settings.form == "hint":
        return Term("hint", settings.weight, size, size), _regressed(settings, student, teacher_shape, number)
    if settings.form == "attention":
        if len(shape) < 2 or shape[:-1] != teacher_shape[:-1]:
            raise DataError(
                f"attention: the teacher's layer {settings.teacher_layer!r} has shape {teacher_shape} and the "
                f"student's {settings.student_layer!r} {shape}; choose feature maps (positions..., channels) of the "
                "same positions"
            )
        positions = math.prod(shape[:-1])
        return Term("attention", settings.weight, positions, positions), attention_map(student)
    flat = keras.layers.Flatten(name=f"term_{number}_flat")(student)
    return Term(settings.form, settings.weight, size, math.prod(shape)), flat


def regressor_name(number: int) -> str:
    """The layer that brings a hint's student features to the teacher's shape."""
    return f"term_{number}_regressor"


def least_squares(layer: keras.layers.Layer, features: np.ndarray, hints: np.ndarray) -> None:
    """Give a regressor the weights with the least mean squared difference from the hints; in place.

    A student that goes on with its hints in another stage keeps what it learnt from them, and a regressor needs to be
    kept with no student.

    Parameters
    ----------
    layer
        Of `student_side`, built.
    features
        The student's, `(n_samples, ...)`, as the layer takes them.
    hints
        The teacher's, `(n_samples, ...)`.
    """
    rows = features.reshape(len(features), -1)
    kernel_shape = layer.kernel.shape
    if len(kernel_shape) > 2:
        window = tuple(kernel_shape[:-2])
        axes = tuple(range(1, 1 + len(window)))
        patches = np.lib.stride_tricks.sliding_window_view(features, window, axes)
        # (n, positions..., channels, window...) to a row for each position, in the kernel's order
        patches = np.moveaxis(patches, len(window) + 1, -1)
        rows = patches.reshape(-1, math.prod(kernel_shape[:-1]))
    targets = hints.reshape(len(rows), -1)
    rows = np.concatenate([rows, np.ones((len(rows), 1), rows.dtype)], axis=1).astype(np.float64)
    solution, *_ = np.linalg.lstsq(rows, targets.astype(np.float64), rcond=1e-6)
    layer.set_weights([solution[:-1].reshape(kernel_shape), solution[-1]])


def _regressed(settings: TermSettings, student: Any, teacher_shape: tuple[int, ...], number: int) -> Any:
    """The student's features through a regressor to the hint's shape, flattened (arXiv:1412.6550, section 2.2)."""
    shape, name = tuple(student.shape[1:]), regressor_name(number)
    flatten = keras.layers.Flatten(name=f"{name}_flat")
    if len(teacher_shape) == 1 or len(shape) != len(teacher_shape):
        return keras.layers.Dense(math.prod(teacher_shape), name=name)(flatten(student))
    # a convolution with as few weights as reach the hint's size
    window = tuple(ours - theirs + 1 for ours, theirs in zip(shape[:-1], teacher_shape[:-1], strict=True))
    if min(window) < 1:
        raise DataError(
            f"hint: the teacher's layer {settings.teacher_layer!r} has shape {teacher_shape}, larger than the "
            f"student's {settings.student_layer!r} {shape}; choose a student layer of at least its positions"
        )
    convolution = keras.layers.Conv1D if len(window) == 1 else keras.layers.Conv2D
    return flatten(convolution(teacher_shape[-1], window, name=name)(student))
