"""Whether a network that was trained elsewhere is of the data's task, and has seen the inputs as they are scaled here."""

from __future__ import annotations

import math

import keras
import numpy as np

from codesign.data import Dataset
from codesign.data.scaling import Scaling
from codesign.errors import DataError
from codesign.networks.joined import n_outputs
from codesign.networks.logits import predict_logits

_FAR = 0.05
"""A quality that is lower by more than this than with another scaling, and by more than chance, says so."""

_WHOLE = 1e-3
"""How far unscaled whole numbers may be from whole, by float32's rounding."""


def input_qualities(model: keras.Model, dataset: Dataset) -> dict[str | float, float]:
    """The quality on the validation part with the features scaled in each way that users scale them.

    Parameters
    ----------
    model
        Ends at its logits and has the outputs of the task.
    dataset
        Its features.

    Returns
    -------
    dict
        By ``none``, ``standard``, ``minmax``, or the number that whole-numbered features such as grey values are divided by;
        the dataset's own scaling first. Empty where the targets are the features themselves.
    """
    task, own = dataset.task, dataset.scaling
    if not task.needs_targets or n_outputs(model) not in task.allowed_outputs:
        return {}
    train, validation = (own.inverse(x).astype(np.float32) for x in (dataset.x_train, dataset.x_validation))
    found = {
        scaling_of(dataset): task.quality(dataset.y_validation, predict_logits(model, dataset.x_validation))
    }
    choices: list[str | float] = ["none", "standard", "minmax"]
    whole = np.round(train)
    if whole.min() >= 0 and whole.max() > 1 and np.abs(train - whole).max() < _WHOLE:
        choices.append(float(whole.max()))
    for choice in choices:
        if choice not in found:
            scaled = Scaling.fit(choice, train).apply(validation)
            found[choice] = task.quality(dataset.y_validation, predict_logits(model, scaled))
    return found


def scaling_of(dataset: Dataset) -> str | float:
    """How a dataset's features are scaled, as the settings name it."""
    own = dataset.scaling
    return float(np.ravel(own.divisor)[0]) if own.kind == "divisor" else own.kind


def require_scaled_inputs(model: keras.Model, what: str, dataset: Dataset) -> dict[str | float, float]:
    """Refuse a network that was trained on features of another scaling: `DataError` with both qualities.

    Returns
    -------
    dict
        All qualities, as `input_qualities` gives them.
    """
    found = input_qualities(model, dataset)
    if not found:
        return found
    own, best = next(iter(found)), max(found, key=found.__getitem__)
    # an untrained network, or one of other targets, is not taken for one of another scaling
    knows = not is_near_chance(found[best], dataset)
    if knows and found[best] > found[own] + max(_FAR, _by_chance(dataset)):
        raise DataError(
            f"{what} reaches {dataset.task.measure} {found[own]:.4f} on the features with the scaling {own} and "
            f"{found[best]:.4f} with {best}: scale the data as its training did, here with the scaling {best} "
            "(data.scaling, --scaling)"
        )
    return found


def is_near_chance(quality: float, dataset: Dataset) -> bool:
    """Whether a quality on the validation part is that of a network that knows nothing."""
    task = dataset.task
    allowed = _by_chance(dataset) / 2 if task.has_classes else 0.0
    return quality <= task.guess(dataset.y_validation) + allowed


def _by_chance(dataset: Dataset) -> float:
    """Four standard errors of a fraction near a half."""
    return 2 / math.sqrt(len(dataset.x_validation))
