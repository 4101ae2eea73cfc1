"""What there is to know of a teacher that was trained elsewhere: its scaling, its units, whether it saw the test part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from codesign.core.task import Reconstruction
from codesign.data import Dataset
from codesign.data.scaling import Scaling
from codesign.errors import DataError
from codesign.networks.joined import joined, n_outputs
from codesign.networks.logits import ending_in_logits, predict_logits
from codesign.training.score_teacher import scoring

_UNITS = "values_to_scale"
"""The layer that brings values in the units of the data to the scale of the targets."""

_SURE = 4.0
"""Standard errors between the test and the validation part that chance does not explain."""


def fitted_to(model: keras.Model, dataset: Dataset) -> keras.Model:
    """A trained network with outputs as the targets are: logits, a score standardised, values in the units of the data scaled."""
    task = dataset.task
    if not task.learns_targets:
        return scoring(joined(model), dataset)
    model = ending_in_logits(model)
    if not are_in_units({"": predict_logits(model, dataset.x_validation)}, dataset):
        return model
    offset, divisor = task.output_scaling
    layer = keras.layers.Rescaling((1 / divisor).tolist(), (-offset / divisor).tolist(), name=_UNITS)
    return keras.Model(model.inputs, layer(model.outputs[0]), name=model.name)


def require_knowledge(outputs: np.ndarray, what: str, dataset: Dataset) -> None:
    """Refuse a trained network that knows nothing of the targets, in any head: `DataError`.

    Parameters
    ----------
    outputs
        Its own for the validation part, `(n_samples, n_outputs)`.
    what
        The network, for the sentence.
    dataset
        Of a task that learns its targets; where they are the features themselves, of any other.
    """
    for head, task, targets, own in dataset.task.each(dataset.y_validation, outputs):
        if task.learns_targets and not task.is_told(targets, own):
            raise DataError(
                f"{what} reaches {task.measure} {task.quality(targets, own):.4g} on the validation part"
                f"{f' in the head {head!r}' if head else ''}, and {task.a_guess} gets {task.guess(targets):.4g}: it was trained "
                "for other targets, another order of them, or another task, or not at all"
            )


def no_logits(outputs: np.ndarray, dataset: Dataset, what: str) -> tuple[str, ...]:
    """A sentence on each head whose outputs tell the classes, but not as logits do: values of a regression, scores.

    Parameters
    ----------
    outputs
        For the validation part, `(n_samples, n_outputs)`.
    dataset
        What they were computed on.
    what
        The teacher, for the sentence.
    """
    notes = []
    for head, task, targets, own in dataset.task.each(dataset.y_validation, outputs):
        costs = task.log_loss(targets, own)
        if costs is None:
            continue
        of_head = f" of the head {head!r}" if head else ""
        if costs[0] > costs[1]:
            notes.append(
                f"the outputs{of_head} of {what}, taken as logits, cost {costs[0]:.3g} nats a sample of the validation part, and "
                f"{task.a_guess} by the frequencies alone {costs[1]:.3g}: a network of another task, such as a regression, has "
                "no logits, and its soft targets mislead; one that is only too sure of itself needs a higher temperature"
            )
            continue
        moved = float(np.median(own)) if own.shape[1] == 1 else 0.0
        at_zero, at_median = task.quality(targets, own), task.quality(targets, own - moved)
        if at_median > at_zero + max(_FAR, _by_chance(dataset)):
            notes.append(
                f"the outputs{of_head} of {what} decide at {moved:.3g} with {task.measure} {at_median:.4f}, and at 0, as logits, "
                f"with {at_zero:.4f}: a network of another task, such as a regression of 0 and 1, has no logits, and its soft "
                "targets mislead"
            )
    return tuple(notes)


def require_reconstruction(model: keras.Model, what: str, dataset: Dataset) -> None:
    """Refuse a trained network of as many outputs as features that is no autoencoder of them: `DataError`.

    Parameters
    ----------
    model
        Of one output, which is a score itself, or of a reconstruction.
    what
        The network, for the sentence.
    dataset
        Of an anomaly score.
    """
    if n_outputs(model) == 1:
        return
    task = Reconstruction(dataset.feature_names, labelled=True)
    x, labels = dataset.part("validation")
    targets = task.with_features(labels[:, None], x.reshape(len(x), -1))
    explained = task.quality(targets, predict_logits(model, x).reshape(len(x), -1))
    if explained < task.guess(targets):
        raise DataError(
            f"{what} has as many outputs as there are features and explains {explained:.4g} of their variance on the normal "
            "samples of the validation part, where their mean explains 0: it is no autoencoder of them, or was trained on "
            "features of another scaling (data.scaling)"
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


_FAR = 0.05
"""A quality that is lower by more than this than with another scaling, and by more than chance, says so."""

_WHOLE = 1e-3
"""How far unscaled whole numbers may be from whole, by float32's rounding."""


def outputs_by_scaling(model: keras.Model, dataset: Dataset) -> dict[str | float, np.ndarray]:
    """What a model gives for the validation part with the features scaled in each way that users scale them.

    Parameters
    ----------
    model
        Ends at its logits and has the outputs of the task.
    dataset
        Its features.

    Returns
    -------
    dict
        Outputs by ``none``, ``standard``, ``minmax``, or the number that whole-numbered features such as grey values are
        divided by; the dataset's own scaling first. Empty where the targets are the features themselves.
    """
    task, own = dataset.task, dataset.scaling
    if not task.needs_targets or n_outputs(model) not in task.allowed_outputs:
        return {}
    train, validation = (own.inverse(x).astype(np.float32) for x in (dataset.x_train, dataset.x_validation))
    found = {scaling_of(dataset): predict_logits(model, dataset.x_validation)}
    choices: list[str | float] = ["none", "standard", "minmax"]
    whole = np.round(train)
    if whole.min() >= 0 and whole.max() > 1 and np.abs(train - whole).max() < _WHOLE:
        choices.append(float(whole.max()))
    for choice in choices:
        if choice not in found:
            found[choice] = predict_logits(model, Scaling.fit(choice, train).apply(validation))
    return found


def qualities_of(outputs: Mapping[str | float, np.ndarray], dataset: Dataset) -> dict[str | float, float]:
    """The quality of each of several outputs for the validation part."""
    return {scaling: dataset.task.quality(dataset.y_validation, each) for scaling, each in outputs.items()}


def are_in_units(outputs: Mapping[Any, np.ndarray], dataset: Dataset) -> bool:
    """Whether the best of several outputs for the validation part is in the units of the data, not as the targets are scaled."""
    offset, divisor = dataset.task.output_scaling
    if not offset.any() and (divisor == 1).all():
        return False
    scaled = {scaling: (each - offset) / divisor for scaling, each in outputs.items()}
    best, best_scaled = (
        max(qualities_of(each, dataset).values(), default=-math.inf) for each in (outputs, scaled)
    )
    return best_scaled > best


def scaling_of(dataset: Dataset) -> str | float:
    """How a dataset's features are scaled, as the settings name it."""
    own = dataset.scaling
    return float(np.ravel(own.divisor)[0]) if own.kind == "divisor" else own.kind


def require_scaled_inputs(outputs: Mapping[str | float, np.ndarray], what: str, dataset: Dataset) -> None:
    """Refuse a network that was trained on features of another scaling: `DataError` with both qualities.

    Parameters
    ----------
    outputs
        Its, as `outputs_by_scaling` gives them.
    what
        The network, for the sentence.
    dataset
        Its features.
    """
    found = qualities_of(outputs, dataset)
    if not found:
        return
    own, best = next(iter(found)), max(found, key=found.__getitem__)
    # an untrained network, or one of other targets, is not taken for one of another scaling
    knows = dataset.task.is_told(dataset.y_validation, outputs[best])
    if knows and found[best] > found[own] + max(_FAR, _by_chance(dataset)):
        raise DataError(
            f"{what} reaches {dataset.task.measure} {found[own]:.4f} on the features with the scaling {own} and "
            f"{found[best]:.4f} with {best}: scale the data as its training did, here with the scaling {best} "
            "(data.scaling, --scaling)"
        )


def _by_chance(dataset: Dataset) -> float:
    """Four standard errors of a fraction near a half."""
    return 2 / math.sqrt(len(dataset.x_validation))
