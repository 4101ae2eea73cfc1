"""Losses, metrics and callbacks of the user's own, passed through to the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from codesign.core.shown import Brief
from codesign.data import Dataset
from codesign.errors import DataError, SettingsError
from codesign.networks.logits import predict_logits

OwnLoss: TypeAlias = str | Callable[[Any, Any], Any] | Any
"""A loss on `(targets, outputs)`, a name of Keras, a function, or a `keras.losses.Loss`; outputs are
logits where the task has any."""

OwnMetrics = Mapping[str, Callable[[np.ndarray, np.ndarray], float]]
"""By name, `(targets, outputs) -> number` on the validation part."""


class WithOwnLoss(keras.losses.Loss):
    """A loss of the user's own on packed targets, alone or beside one of this package.

    Parameters
    ----------
    own
        See `OwnLoss`. It must give a value for each sample, or one for the batch.
    dataset
        Whose targets it is told: class numbers, int32 `(n,)`, or the target columns, float32 `(n, n_columns)`.
    n_outputs
        Of the network.
    beside
        Added to it; its `packed_accuracy` is kept.

    Raises
    ------
    SettingsError
        If the name is none of Keras' losses, or it is no loss at all.
    """

    def __init__(
        self, own: OwnLoss, dataset: Dataset, n_outputs: int, beside: keras.losses.Loss | None = None
    ) -> None:
        super().__init__(name="own")
        try:
            found = keras.losses.get(own)
        except ValueError:
            found = None
        if not callable(found):
            raise SettingsError(
                f"loss: {own!r} is no loss of Keras; give a name, a function of (targets, outputs), or a keras.losses.Loss"
            )
        self.own = found.call if isinstance(found, keras.losses.Loss) else found
        self.classes, self.columns = dataset.task.has_classes, dataset.task.n_columns
        self.n_outputs, self.beside = n_outputs, beside
        counted = getattr(beside, "packed_accuracy", None)
        if counted is not None:
            self.packed_accuracy = counted

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample."""
        targets = ops.cast(y_true[:, 0], "int32") if self.classes else y_true[:, : self.columns]
        loss = self.own(targets, y_pred[:, : self.n_outputs])
        return loss if self.beside is None else loss + self.beside.call(y_true, y_pred)


@dataclass(frozen=True)
class Own(Brief):
    """What a training gets of the user's own.

    Parameters
    ----------
    callbacks
        Keras callbacks; they are told of epochs, not of steps.
    loss
        On `(targets, outputs)`, added to what is learnt; outputs are logits.
    metrics
        By name, `(targets, outputs) -> number`: measured on the validation part after each epoch (`history.measured`).
    """

    callbacks: Sequence[keras.callbacks.Callback] = ()
    loss: OwnLoss | None = None
    metrics: OwnMetrics = field(default_factory=dict)

    def beside(self, loss: keras.losses.Loss, dataset: Dataset, n_outputs: int) -> keras.losses.Loss:
        """A loss with the own one added, if there is one."""
        return loss if self.loss is None else WithOwnLoss(self.loss, dataset, n_outputs, loss)


NOTHING = Own()


class OwnMetricsCallback(keras.callbacks.Callback):
    """Measures on the validation part after each epoch; `rows` has the numbers by name.

    Parameters
    ----------
    metrics, dataset, n_outputs
        What is measured, on whose validation part, of how many outputs.

    Raises
    ------
    DataError
        While training: a metric that gives no number, by its name.
    """

    def __init__(self, metrics: OwnMetrics, dataset: Dataset, n_outputs: int) -> None:
        super().__init__()
        self.metrics, self.n_outputs = metrics, n_outputs
        self.x, self.targets = dataset.part("validation")
        self.rows: dict[str, list[float]] = {name: [] for name in metrics}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure."""
        outputs = predict_logits(self.model, self.x)[:, : self.n_outputs]
        for name, measure in self.metrics.items():
            value = measure(self.targets, outputs)
            try:
                self.rows[name].append(float(value))
            except (TypeError, ValueError):
                raise DataError(
                    f"metrics: {name!r} must give a number, not {type(value).__name__}; reduce it over the samples"
                ) from None

    @property
    def measured(self) -> dict[str, tuple[float, ...]]:
        """The numbers by name, one an epoch."""
        return {name: tuple(values) for name, values in self.rows.items()}
