"""One training loop for every stage: seeded, watched, the best epoch kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from codesign.core.files import read_json
from codesign.core.interrupt import stop_if_asked
from codesign.core.progress import SILENT, Progress
from codesign.core.shown import Shown
from codesign.core.task import Task
from codesign.core.text_table import TextTable
from codesign.errors import SettingsError, TrainingError
from codesign.settings import TrainingSettings
from codesign.training.losses import packed_accuracy

if TYPE_CHECKING:
    from pandas import DataFrame

_STEPS_TOGETHER = 256  # between two returns to Python, where Ctrl-C and a loss that is not finite are seen
_VALIDATION_BATCH = 4096

Samples = tuple[np.ndarray, ...]
"""Inputs, targets and perhaps the samples' weights."""


class Epochs:
    """A model and its data in memory, ready to train epoch by epoch.

    `keras.Model.fit` builds a `tf.data` pipeline, an iterator and a function call for every step; a step of a student of
    some thousand weights takes less time than that. Here many steps are one call, each of them the model's own
    `train_step`, so that losses, metrics, optimizer and constraints are Keras'.

    Parameters
    ----------
    model
        Compiled; trained in place.
    train, validation
        Inputs and targets, float32, the same number of samples in both.
    batch_size
        Samples of a step; the last step of an epoch has what is left.
    """

    def __init__(self, model: keras.Model, train: Samples, validation: Samples, batch_size: int) -> None:
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

    def restart(self) -> None:
        """Forget what the optimizer gathered: the next training begins as the first did, with what is compiled."""
        self.model.compiled = True
        for variable in self.model.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))

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


@dataclass(frozen=True)
class History(Shown):
    """What a training went through, one value an epoch.

    Parameters
    ----------
    loss, validation_loss
        Mean loss.
    quality, validation_quality
        The task's measure; for a task without classes nothing is measured on the train part.
    best_epoch
        The epoch, counted from 0, whose weights were kept.
    measure
        What the quality is: ``accuracy``, the fraction of right classes, ``r2``, ...
    measured
        What metrics of the user's own gave, by name.
    """

    loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    quality: tuple[float, ...]
    validation_quality: tuple[float, ...]
    best_epoch: int
    measure: str = "accuracy"
    measured: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the columns of the quality have the measure's name."""
        values = {
            "loss": self.loss,
            "validation_loss": self.validation_loss,
            self.measure: self.quality,
            f"validation_{self.measure}": self.validation_quality,
        }
        own = (
            {"measured": {name: list(value) for name, value in self.measured.items()}}
            if self.measured
            else {}
        )
        return {**{name: list(value) for name, value in values.items()}, "best_epoch": self.best_epoch, **own}

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        if not self.loss:
            return {"epochs": "0"}
        return {
            "epochs": str(len(self.loss)),
            "kept epoch": str(self.best_epoch + 1),
            f"validation {self.measure}": f"{self.validation_quality[self.best_epoch]:.4f}",
            "validation loss": f"{self.validation_loss[self.best_epoch]:.4g}",
        }

    def table(self) -> TextTable:
        """The facts as a table."""
        facts = self.facts()
        return TextTable("Training", tuple(facts), (tuple(facts.values()),))

    def to_frame(self) -> DataFrame:
        """A pandas table, a row an epoch (counted from 1)."""
        import pandas

        columns = {name: value for name, value in self.to_json().items() if isinstance(value, list) and value}
        columns |= {name: list(value) for name, value in self.measured.items()}
        count = max(map(len, columns.values()), default=0)
        return pandas.DataFrame(columns, index=pandas.RangeIndex(1, count + 1, name="epoch"))


def read_history(path: Path) -> History:
    """A history that was written as JSON."""
    kept: dict[str, Any] = read_json(path)
    measure = next(name for name in kept if f"validation_{name}" in kept and name != "loss")
    return History(
        tuple(kept["loss"]),
        tuple(kept["validation_loss"]),
        tuple(kept[measure]),
        tuple(kept[f"validation_{measure}"]),
        kept["best_epoch"],
        measure,
        {name: tuple(value) for name, value in kept.get("measured", {}).items()},
    )


def make_reproducible(seed: int) -> None:
    """Seed Python, NumPy and the backend, and ask TensorFlow for deterministic operations."""
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    loss: keras.losses.Loss,
    train: Samples,
    validation: Samples,
    settings: TrainingSettings,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    keep_from: int = 0,
    keep_by: Literal["quality", "loss"] = "quality",
    task: Task | None = None,
    progress: Progress = SILENT,
    what: str = "training",
    data: Epochs | None = None,
) -> History:
    """Train a model in place and leave it with the weights of its best epoch on the validation data.

    Parameters
    ----------
    model
        Ends at its logits.
    loss
        A loss on packed targets; its `packed_accuracy`, if it has one, is how accuracy is counted.
    train, validation
        Inputs, packed targets and perhaps the weights that the samples have in the loss.
    settings
        Epochs, batch size, learning rate (Adam, cosine decay to a hundredth).
    callbacks
        Further callbacks, for example a pruning schedule; they are told of epochs, not of steps, and may end the training
        (`model.stop_training`).
    keep_from
        The first epoch that may be kept; of a shorter training the last.
    keep_by
        What makes an epoch the best: the quality (the loss decides between equals) or the loss alone.
    task
        Whose measure the quality is; by default, as for a task with classes, the accuracy.
    progress, what
        Told after every epoch.
    data
        What `ready` made of the same model, loss, samples and settings, for trainings that follow each other.

    Raises
    ------
    SettingsError
        For a callback that could do nothing: it listens to steps alone, or sets the learning rate.
    TrainingError
        Soon after the loss is not finite, within an epoch; the model keeps the weights of the last good epoch.
    """
    check_callbacks(callbacks)
    if data is None:
        data = ready(model, loss, train, validation, settings, task)
    else:
        data.restart()
    judge = _Judge(task, validation[1]) if task is not None and not task.has_classes else None
    watch = _Watch(keep_from, keep_by, settings, progress, what, judge)
    told = keras.callbacks.CallbackList([*callbacks, watch], model=model, epochs=settings.epochs, verbose=0)
    model.stop_training = False
    told.on_train_begin()
    for epoch in range(settings.epochs):
        told.on_epoch_begin(epoch)
        logs = data.train()
        logs |= {f"val_{name}": value for name, value in data.validate().items()}
        if judge is not None:
            logs[_VALIDATION_QUALITY] = judge(data.validation_outputs())
        told.on_epoch_end(epoch, logs)
        if model.stop_training:  # a callback of the user's asked for it
            break
    told.on_train_end()
    # a copy of a compiled model would be compiled again, from functions that Keras cannot find by name
    model.compiled = False
    return watch.finish()


def ready(
    model: keras.Model,
    loss: keras.losses.Loss,
    train: Samples,
    validation: Samples,
    settings: TrainingSettings,
    task: Task | None = None,
) -> Epochs:
    """What several trainings of a model may share, so that its steps are compiled once; parameters as `fit` takes them."""
    steps = math.ceil(len(train[0]) / settings.batch_size) * settings.epochs
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps, alpha=0.01)
    counted = getattr(loss, "packed_accuracy", packed_accuracy)
    metrics = [counted] if task is None or task.has_classes else []
    # XLA compiles for seconds and small networks train for seconds
    model.compile(keras.optimizers.Adam(rate), loss, metrics=metrics, jit_compile=False)
    return Epochs(model, train, validation, settings.batch_size)


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuse callbacks that this loop would leave without a word of what they wait for: `SettingsError`."""
    for callback in callbacks:
        name = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise SettingsError(
                f"callbacks: {name} is no keras.callbacks.Callback; give a list of objects of that class"
            )
        if isinstance(callback, keras.callbacks.LearningRateScheduler | keras.callbacks.ReduceLROnPlateau):
            raise SettingsError(
                f"callbacks: {name} sets the learning rate, which falls along a cosine here; leave it out and set learning_rate"
            )
        if untold := _untold(callback):
            raise SettingsError(
                f"callbacks: {name} waits for batches ({untold}), and the training tells of epochs alone; let it do its work in "
                "on_epoch_end"
            )


_BATCHES = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
"""What a callback waits for in vain: a step back to Python for each batch would take longer than the batch."""


def _untold(callback: keras.callbacks.Callback) -> str:
    """What a callback waits for in vain; empty where it needs none of it."""
    for option in ("save_freq", "update_freq"):
        if (given := getattr(callback, option, "epoch")) != "epoch":
            return f"{option}={given!r}"
    hears = {name: getattr(callback, name) for name in (*_BATCHES, "on_epoch_begin", "on_epoch_end")}
    plain = keras.callbacks.Callback
    own = [
        name for name, heard in hears.items() if getattr(heard, "__func__", heard) is not getattr(plain, name)
    ]
    # Keras' own ones listen to both, and need batches only for the options above
    by_epoch = any("epoch" in name for name in own)
    needs = [
        name
        for name in own
        if name in _BATCHES and not (by_epoch and hears[name].__module__.startswith("keras."))
    ]
    return ", ".join(needs)


_VALIDATION_QUALITY = "val_packed_accuracy"
"""What Keras calls the accuracy on the validation data."""


class _Judge:
    """A task's measure of the outputs for the validation data, whose packed targets begin with the task's columns."""

    def __init__(self, task: Task, packed: np.ndarray) -> None:
        self.task, self.targets = task, task.of_columns(packed[:, : task.n_columns])

    def __call__(self, outputs: np.ndarray) -> float:
        outputs = outputs[:, : self.task.n_outputs]
        return self.task.quality(self.targets, outputs) if np.isfinite(outputs).all() else math.nan


class _Watch(keras.callbacks.Callback):
    """Keeps the best weights, reports progress, stops at a loss that is not finite."""

    def __init__(
        self,
        keep_from: int,
        keep_by: str,
        settings: TrainingSettings,
        progress: Progress,
        what: str,
        judge: _Judge | None = None,
    ) -> None:
        super().__init__()
        self.measure = "accuracy" if judge is None else judge.task.measure
        self.columns = ["loss", "val_loss", _VALIDATION_QUALITY, *["packed_accuracy"] * (judge is None)]
        self.keep_from, self.keep_by = min(keep_from, settings.epochs - 1), keep_by
        self.settings, self.progress, self.what = settings, progress, what
        self.rows: list[tuple[float, ...]] = []
        self.best: tuple[float, float] | None = None
        self.best_epoch = 0
        self.weights: list[np.ndarray] | None = None
        self.last_good: list[np.ndarray] | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.weights = self.last_good = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        row = tuple(float(logs[key]) for key in self.columns)
        if not all(map(math.isfinite, row)):
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            self.model.set_weights(self.last_good)
            names = ("loss", "validation loss", f"validation {self.measure}", self.measure)
            name, value = next(
                (name, value) for name, value in zip(names, row, strict=False) if not math.isfinite(value)
            )
            raise TrainingError(
                f"{self.what}: the {name} is {value} in epoch {epoch + 1} at learning rate {rate:.3g}; the weights of "
                "the last good epoch are kept; lower the learning rate or check the data"
            )
        self.last_good = self.model.get_weights()
        self.rows.append(row)
        score = (row[2] if self.keep_by == "quality" else 0.0, -row[1])
        if epoch >= self.keep_from and (self.best is None or score > self.best):
            self.best, self.best_epoch, self.weights = score, epoch, self.last_good
        note = f"loss {row[0]:.4g}, validation {row[2]:.4f}"
        names = ("loss", "validation_loss", f"validation_{self.measure}", self.measure)
        values = dict(zip(names, row, strict=False))
        self.progress.step(self.what, epoch + 1, self.settings.epochs, note, values)

    def finish(self) -> History:
        if self.best is None:  # ended before the first epoch that may be kept
            self.best_epoch, self.weights = len(self.rows) - 1, self.last_good
        self.model.set_weights(self.weights)
        loss, validation_loss, validation_quality, *quality = zip(*self.rows, strict=True)
        return History(
            loss,
            validation_loss,
            quality[0] if quality else (),
            validation_quality,
            self.best_epoch,
            self.measure,
        )
