"""What there is to know of a teacher that was trained elsewhere: the units of its values, whether it saw the test part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from codesign.core.task import Heads, Regression, Task
from codesign.data import Dataset
from codesign.errors import DataError
from codesign.networks.logits import predict_logits
from codesign.training.score_teacher import scoring

_UNITS = "values_to_scale"
"""The layer that brings values in the units of the data to the scale of the targets."""

_SURE = 4.0
"""Standard errors between the test and the validation part that chance does not explain."""


def fitted_to(model: keras.Model, dataset: Dataset) -> keras.Model:
    """A trained network with outputs as the targets are: a score standardised, values in the units of the data scaled."""
    task = dataset.task
    if not task.learns_targets:
        return scoring(model, dataset)
    offset, divisor = _raw_scaling(task)
    if offset is None or divisor is None:
        return model
    outputs = predict_logits(model, dataset.x_validation)
    scaled = (outputs - offset) / divisor
    if task.quality(dataset.y_validation, outputs) >= task.quality(dataset.y_validation, scaled):
        return model
    layer = keras.layers.Rescaling((1 / divisor).tolist(), (-offset / divisor).tolist(), name=_UNITS)
    return keras.Model(model.inputs, layer(model.outputs[0]), name=model.name)


def require_knowledge(model: keras.Model, what: str, dataset: Dataset) -> None:
    """Refuse a trained network whose values explain less than a constant does: `DataError`."""
    task = dataset.task
    if _raw_scaling(task)[0] is None:
        return
    reached = task.quality(dataset.y_validation, predict_logits(model, dataset.x_validation))
    guess = task.guess(dataset.y_validation)
    if reached < guess:
        raise DataError(
            f"{what} reaches {task.measure} {reached:.4g} on the validation part, and {task.a_guess} gets {guess:.4g}: it was "
            "trained for other targets, another order of them, or another task"
        )


def is_rescaled(model: keras.Model) -> bool:
    """Whether `fitted_to` found values in the units of the data."""
    return model.layers[-1].name == _UNITS


def suspicion(metrics: Mapping[str, Any], dataset: Dataset, what: str) -> tuple[str, ...]:
    """A sentence on a teacher that is better on the test part than on the validation part, beyond chance.

    Parameters
    ----------
    metrics
        Of its record.
    dataset
        What it was measured on.
    what
        The teacher, for the sentence.
    """
    task = dataset.task
    on_validation, on_test = (float(metrics[f"{part}_{task.measure}"]) for part in ("validation", "test"))
    errors = [
        task.standard_error(quality, len(dataset.part(part)[0]))
        for part, quality in (("validation", on_validation), ("test", on_test))
    ]
    if on_test - on_validation <= _SURE * math.hypot(*errors):
        return ()
    return (
        f"{what} reaches {task.measure} {on_test:.4f} on the test part and {on_validation:.4f} on the validation part, more than "
        "chance explains: if it was trained on samples of the test part, its figures there are too good, and what the student "
        "learns from it too",
    )


def _raw_scaling(task: Task) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Offset and divisor of each output whose targets were scaled; none where nothing was."""
    if isinstance(task, Heads):
        parts = [
            (head.task.offset, head.task.divisor)
            if isinstance(head.task, Regression)
            else ((0.0,) * head.task.n_outputs, (1.0,) * head.task.n_outputs)
            for head in task.heads
        ]
        offset, divisor = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
    elif isinstance(task, Regression) and task.needs_targets:
        offset, divisor = np.array(task.offset), np.array(task.divisor)
    else:
        return None, None
    return (None, None) if not offset.any() and (divisor == 1).all() else (offset, divisor)
