"""The teacher of an anomaly score: an autoencoder that was trained on normal samples, whose error is the score.

A student that regresses the score needs no decoder (Govorkova et al., arXiv:2108.03986, cut it off; CICADA distils it,
arXiv:2510.15672). The score is the logarithm of the error, which ranges over decades, and is standardised on the train part:
its order, and so every threshold on a rate, stays.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from codesign.core.progress import SILENT, Progress
from codesign.core.task import Reconstruction
from codesign.data import Dataset
from codesign.errors import DataError
from codesign.networks.joined import copied, joined
from codesign.networks.logits import predict_logits
from codesign.settings import TeacherSettings
from codesign.training.fit import History, fit, make_reproducible
from codesign.training.losses import pack_targets
from codesign.training.losses_combined import targets_loss

_LEAST = 1e-12
"""An error that is no less; of float32 features it is exact reconstruction."""


@keras.saving.register_keras_serializable("codesign")
class ReconstructionScore(keras.layers.Layer):
    """`(log(mean squared difference of inputs and reconstruction) - offset) / divisor`, shape `(n, 1)`.

    Parameters
    ----------
    offset, divisor
        Mean and standard deviation of the logarithm.
    """

    def __init__(self, offset: float = 0.0, divisor: float = 1.0, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.offset, self.divisor = offset, divisor

    def call(self, inputs: Any) -> Any:
        """Of `[inputs, reconstruction]`, which have as many values."""
        size = math.prod(inputs[0].shape[1:])
        given, found = (ops.reshape(one, (-1, size)) for one in inputs)
        error = ops.mean(ops.square(found - given), axis=-1, keepdims=True)
        return (ops.log(ops.maximum(error, _LEAST)) - self.offset) / self.divisor

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        """One score a sample."""
        return (input_shape[0][0], 1)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().get_config(), "offset": self.offset, "divisor": self.divisor}


def scoring(model: keras.Model, dataset: Dataset) -> keras.Model:
    """A trained network as a standardised anomaly score.

    Parameters
    ----------
    model
        Ends at one score, or at a reconstruction of its inputs.
    dataset
        On its train part the score has mean 0 and standard deviation 1.

    Raises
    ------
    DataError
        If the score is the same for every sample.
    """
    if math.prod(model.output_shape[1:]) == 1:
        offset, divisor = _spread(predict_logits(model, dataset.x_train), model, dataset)
        scaled = keras.layers.Rescaling(1 / divisor, -offset / divisor, name="score")
        return keras.Model(model.inputs, scaled(model.outputs[0]), name=model.name)
    pair = [model.inputs[0], model.outputs[0]]
    raw = keras.Model(model.inputs, ReconstructionScore(name="score")(pair))
    offset, divisor = _spread(predict_logits(raw, dataset.x_train), model, dataset)
    return keras.Model(
        model.inputs, ReconstructionScore(offset, divisor, name="score")(pair), name=model.name
    )


def score_scaling(model: keras.Model | None) -> dict[str, float]:
    """Offset and divisor with which `scoring` standardised a score; empty for any other network."""
    last = None if model is None else model.layers[-1]
    if isinstance(last, ReconstructionScore):
        return {"score_offset": last.offset, "score_divisor": last.divisor}
    if isinstance(last, keras.layers.Rescaling) and last.name == "score":
        divisor = 1 / float(np.asarray(last.scale))
        return {"score_offset": -float(np.asarray(last.offset)) * divisor, "score_divisor": divisor}
    return {}


def train_autoencoder(
    model: keras.Model,
    dataset: Dataset,
    settings: TeacherSettings,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[keras.Model, History]:
    """Train an autoencoder to reconstruct the normal samples of the train part, and take its error as the score.

    Parameters
    ----------
    model
        Untrained, with as many outputs as inputs; not changed.
    dataset
        Of the task `score`: samples of label 1 are left out of the loss.
    settings
        Epochs, batch size, learning rate.
    seed
        Of the initial weights, the order of the samples and dropout.
    progress
        Told after every epoch.

    Raises
    ------
    DataError
        If the model has one output: there are no scores that it could be trained on.
    TrainingError
        If the loss is not finite.
    """
    if math.prod(model.output_shape[1:]) == 1:
        raise DataError(
            f"the teacher {model.name!r}: the data hold no scores to train one output on; let build_teacher return an "
            "autoencoder, with as many outputs as inputs, or name a trained teacher.file"
        )
    make_reproducible(seed)
    network = joined(copied(model, trained=False))
    task = Reconstruction(dataset.feature_names, labelled=True)
    flat = keras.layers.Reshape((dataset.n_features,), name="reconstruction_values")(network.outputs[0])
    parts = []
    for part in ("train", "validation"):
        x, y = dataset.part(part)
        targets = np.concatenate([x.reshape(len(x), -1), y[:, None]], axis=1)
        parts.append(dataset.weighted(part, x, pack_targets(targets)))
    train, validation = parts
    history = fit(
        keras.Model(network.inputs, flat),
        targets_loss(task, dataset.n_features),
        train,
        validation,
        settings,
        task=task,
        progress=progress,
        what="teacher",
    )
    return scoring(network, dataset), history


def _spread(scores: np.ndarray, model: keras.Model, dataset: Dataset) -> tuple[float, float]:
    offset, divisor = float(scores.mean(dtype=np.float64)), float(scores.std(dtype=np.float64))
    if not (math.isfinite(offset) and math.isfinite(divisor)) or divisor <= 1e-6 * abs(offset):
        raise DataError(
            f"the teacher {model.name!r}: its score is {scores.flat[0]:g} for every sample of the train part of "
            f"{dataset.name!r}, so that there is nothing to learn from it"
        )
    return offset, divisor
