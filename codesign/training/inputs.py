"""Whether a network that was trained elsewhere is of the data's task, and has seen the inputs as they are scaled here."""

from __future__ import annotations

import math

import keras
import numpy as np

from codesign.core.task import Task
from codesign.data import Dataset
from codesign.errors import DataError
from codesign.networks.logits import last_operation, predict_logits

_FAR = 0.05
"""A quality that is lower by more than this on the scaled than on the raw inputs, and by more than chance, says so."""


def require_outputs(model: keras.Model, what: str, task: Task) -> None:
    """Refuse a network whose outputs are not those of a task: `DataError`.

    A softmax or sigmoid at the end is left out where the outputs are logits; where they are values it would be missing.
    """
    if tuple(model.output_shape[1:]) not in [(count,) for count in task.allowed_outputs]:
        raise DataError(
            f"{what}: the output shape is {tuple(model.output_shape[1:])}, but the data have {task.outputs_sentence}; end "
            f"with " + " or ".join(f"Dense({count})" for count in task.allowed_outputs)
        )
    last = last_operation(model)
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__).lower()
    if not task.ends_in_probabilities and activation in ("softmax", "sigmoid"):
        raise DataError(
            f"{what}: it ends in a {activation}, which is left out in hardware, but the outputs of the task "
            f"{task.kind!r} are values; end with a linear layer"
        )


def raw_inputs_quality(model: keras.Model, dataset: Dataset) -> tuple[float, float] | None:
    """The quality on the scaled and on the raw features of the validation part.

    Parameters
    ----------
    model
        Ends at its logits and has the outputs of the task.
    dataset
        Its features.

    Returns
    -------
    tuple or None
        Both qualities; ``None`` where nothing was scaled, or the targets are the features themselves.
    """
    task = dataset.task
    if dataset.scaling.kind == "none" or not task.needs_targets:
        return None
    if model.output_shape[-1] not in task.allowed_outputs:
        return None
    x = dataset.x_validation
    raw = dataset.scaling.inverse(x).astype(np.float32)
    scaled_quality, raw_quality = (
        task.quality(dataset.y_validation, predict_logits(model, inputs)) for inputs in (x, raw)
    )
    return scaled_quality, raw_quality


def require_scaled_inputs(model: keras.Model, what: str, dataset: Dataset) -> None:
    """Refuse a network that was trained on raw features where the data are scaled: `DataError` with both qualities."""
    found = raw_inputs_quality(model, dataset)
    # four standard errors of a fraction near a half: an untrained network is not taken for one of raw inputs
    margin = max(_FAR, 2 / math.sqrt(len(dataset.x_validation)))
    if found is not None and found[1] > found[0] + margin:
        raise DataError(
            f"{what} reaches {dataset.task.measure} {found[0]:.4f} on the features scaled with "
            f"{dataset.scaling.kind!r} and {found[1]:.4f} on the raw ones, which it was trained on; scale the data as its "
            "training did, here with the scaling none (data.scaling, --scaling)"
        )
