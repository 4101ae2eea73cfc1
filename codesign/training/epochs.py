"""Epochs of a compiled Keras model on data that stay in memory: what a small network's training spends its time on.

`keras.Model.fit` builds a `tf.data` pipeline, an iterator and a function call for every step; a step of a student of
some thousand weights takes less time than that. Here many steps are one call, each of them the model's own
`train_step`, so that losses, metrics, optimizer and constraints are Keras'.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from codesign.core.interrupt import stop_if_asked

_STEPS_TOGETHER = 256  # between two returns to Python, where Ctrl-C and a loss that is not finite are seen
_VALIDATION_BATCH = 4096

Part = tuple[np.ndarray, ...]
"""Inputs, targets and perhaps the samples' weights."""


class Epochs:
    """A model and its data, ready to train epoch by epoch.

    Parameters
    ----------
    model
        Compiled; trained in place.
    train, validation
        Inputs and targets, float32, the same number of samples in both.
    batch_size
        Samples of a step; the last step of an epoch has what is left.
    """

    def __init__(self, model: keras.Model, train: Part, validation: Part, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size
        self.train_data = tuple(tf.constant(array) for array in train)
        self.validation_data = tuple(tf.constant(array) for array in validation)
        # metrics and optimizer make their variables now: a traced function may not
        model.test_step(tuple(array[:1] for array in self.train_data))
        model.optimizer.build(model.trainable_variables)
        signature = [tf.TensorSpec([None], tf.int64)]
        self._train = tf.function(self._train_steps, input_signature=signature)
        self._validate = tf.function(self._validation_steps, input_signature=[])
        self._outputs = tf.function(self._validation_outputs, input_signature=[])

    def train(self) -> dict[str, float]:
        """Train on every sample once, in a new order; the metrics' means over the epoch.

        It ends early at a loss that is not finite, which is among the metrics returned.
        """
        self.model.reset_metrics()
        order = keras.ops.convert_to_numpy(keras.random.shuffle(np.arange(len(self.train_data[0]))))
        together = self.batch_size * _STEPS_TOGETHER
        for start in range(0, len(order), together):
            stop_if_asked()
            self._train(order[start : start + together])
            if not math.isfinite(_floats(self.model.get_metrics_result())["loss"]):
                break
        return _floats(self.model.get_metrics_result())

    def validate(self) -> dict[str, float]:
        """The metrics on the validation data."""
        self.model.reset_metrics()
        self._validate()
        return _floats(self.model.get_metrics_result())

    def validation_outputs(self) -> np.ndarray:
        """What the model says of the validation data, float32 of shape `(n_samples, n_outputs)`."""
        return np.asarray(self._outputs())

    def _train_steps(self, order: Any) -> None:
        for start in tf.range(0, tf.size(order, tf.int64), self.batch_size):
            rows = order[start : start + self.batch_size]
            self.model.train_step(tuple(tf.gather(array, rows) for array in self.train_data))

    def _validation_steps(self) -> None:
        for start in range(0, len(self.validation_data[0]), _VALIDATION_BATCH):
            self.model.test_step(
                tuple(array[start : start + _VALIDATION_BATCH] for array in self.validation_data)
            )

    def _validation_outputs(self) -> Any:
        inputs = self.validation_data[0]
        parts = range(0, len(inputs), _VALIDATION_BATCH)
        return tf.concat(
            [self.model(inputs[start : start + _VALIDATION_BATCH], training=False) for start in parts], 0
        )


def _floats(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}
