"""Callbacks, losses and metrics of the user's own reach the training loop."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.compression.formats import nominal_precision
from codesign.compression.prune import prune_student
from codesign.compression.quantize import quantize_student
from codesign.core.files import write_json
from codesign.errors import DataError, SettingsError
from codesign.networks.prepare import prepare_for_quantization
from codesign.settings import (
    DistillationSettings,
    PolishSettings,
    PruningSettings,
    QuantizationSettings,
    TeacherSettings,
)
from codesign.settings_learning import SearchSettings
from codesign.training.distill import Student, distill_student
from codesign.training.fit import History, read_history
from codesign.training.teacher import Teacher, train_teacher

DATA = clouds()
TEACHER = TeacherSettings(epochs=3, learning_rate=0.02)
STUDENT = DistillationSettings(epochs=2, learning_rate=0.02, alpha=0.5)


class Epochs(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append(epoch)


def confidence(targets: np.ndarray, outputs: np.ndarray) -> float:
    return float(outputs[np.arange(len(targets)), targets].mean())


def test_a_loss_that_is_the_own_one_trains_as_the_own_one() -> None:
    own = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain = train_teacher(dense(DATA, 6), DATA, TEACHER, seed=1)
    given = train_teacher(dense(DATA, 6), DATA, TEACHER, seed=1, loss=own)
    np.testing.assert_allclose(plain.test_logits, given.test_logits, rtol=1e-4, atol=1e-4)
    halved = train_teacher(dense(DATA, 6), DATA, TEACHER, seed=1, loss=lambda y, p: 0.0 * p[:, 0])
    assert not np.allclose(plain.test_logits, halved.test_logits, atol=1e-2)


def test_callbacks_and_metrics_are_told_of_every_epoch(tmp_path: Any) -> None:
    counted = Epochs()
    teacher = train_teacher(
        dense(DATA, 6), DATA, TEACHER, callbacks=[counted], metrics={"confidence": confidence}
    )
    assert counted.seen == [0, 1, 2]
    assert teacher.history is not None
    measured = teacher.history.measured["confidence"]
    assert len(measured) == 3
    if teacher.history.best_epoch == 2:
        assert measured[-1] == pytest.approx(confidence(DATA.y_validation, teacher.validation_logits))
    assert list(teacher.history.to_frame()["confidence"]) == list(measured)
    write_json(tmp_path / "history.json", teacher.history.to_json())
    again = read_history(tmp_path / "history.json")
    assert isinstance(again, History)
    assert again == teacher.history


def test_a_student_takes_an_own_loss_beside_its_lesson() -> None:
    teacher = train_teacher(dense(DATA, 6), DATA, TEACHER)
    counted = Epochs()
    plain = distill_student(dense(DATA, 4), teacher, DATA, STUDENT, callbacks=[counted])
    assert counted.seen == [0, 1]
    small = distill_student(
        dense(DATA, 4), teacher, DATA, STUDENT, loss=lambda y, p: 10 * keras.ops.mean(p**2, axis=-1)
    )
    assert small.history.validation_loss[-1] > plain.history.validation_loss[-1]
    same = distill_student(dense(DATA, 4), teacher, DATA, STUDENT, loss=lambda y, p: 0.0 * p[:, 0])
    assert same.record.digest == plain.record.digest


@pytest.fixture(scope="module")
def taught() -> tuple[Teacher, Student]:
    teacher = train_teacher(dense(DATA, 6), DATA, TEACHER)
    return teacher, distill_student(dense(DATA, 6), teacher, DATA, STUDENT)


@pytest.mark.parametrize("method", ["magnitude", "structured"])
def test_pruning_takes_what_is_the_users_own(method: str, taught: tuple[Teacher, Student]) -> None:
    teacher, student = taught
    settings = PruningSettings(method=method, sparsity=0.5, epochs=4, rounds=2, schedule="iterative")  # type: ignore[arg-type]
    counted = Epochs()
    metrics = {"confidence": confidence}
    pruned = prune_student(student, teacher, DATA, settings, STUDENT, callbacks=[counted], metrics=metrics)
    assert counted.seen == [0, 1, 0, 1]
    assert pruned.history is not None
    assert len(pruned.history.measured["confidence"]) == 4
    if method == "magnitude":  # who only looks changes nothing
        plain = prune_student(student, teacher, DATA, settings, STUDENT)
        assert plain.record.digest == pruned.record.digest
    large = {"loss": lambda y, p: 10 * keras.ops.mean(p**2, axis=-1)}
    pressed = prune_student(student, teacher, DATA, settings, STUDENT, **large)  # type: ignore[arg-type]
    assert pressed.record.digest != pruned.record.digest


def test_quantization_takes_what_is_the_users_own(taught: tuple[Teacher, Student]) -> None:
    teacher, student = taught
    metrics = {"confidence": confidence}
    precision = nominal_precision(prepare_for_quantization(student.network))
    learning = QuantizationSettings(epochs=2, polish=PolishSettings(rounds=1, epochs=1, tolerance=0.5))
    counted = Epochs()
    quantized = quantize_student(
        student, precision, teacher, DATA, learning, STUDENT, callbacks=[counted], metrics=metrics
    )
    assert counted.seen[:3] == [0, 1, 0]
    assert quantized.history is not None
    assert len(quantized.history.measured["confidence"]) == len(quantized.history.loss)
    alone = learning.model_copy(update={"polish": None})
    other = quantize_student(
        student,
        precision,
        teacher,
        DATA,
        alone,
        STUDENT,
        loss=lambda y, p: 10 * keras.ops.mean(p**2, axis=-1),
    )
    assert other.history is not None
    # the same student to begin with: what is added to the loss is seen in the first epoch
    assert other.history.validation_loss[0] > 1.5 * quantized.history.validation_loss[0]
    with pytest.raises(
        SettingsError, match=r"^quantization\.method: learned is no training with given formats"
    ):
        quantize_student(
            student, precision, teacher, DATA, alone.model_copy(update={"method": "learned"}), STUDENT
        )
    together = alone.model_copy(update={"co_study_epochs": 1})
    with pytest.raises(
        SettingsError, match=r"^quantization\.co_study_epochs: two networks learn together there"
    ):
        quantize_student(student, precision, teacher, DATA, together, STUDENT, callbacks=[counted])


def test_what_is_no_loss_and_no_metric_is_said() -> None:
    for wrong in ("sparse_entropy", 3):
        with pytest.raises(SettingsError, match=r"^loss: .* is no loss of Keras; give a name, a function"):
            train_teacher(dense(DATA, 6), DATA, TEACHER, loss=wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^metrics: 'all' must give a number, not ndarray"):
        train_teacher(dense(DATA, 6), DATA, TEACHER, metrics={"all": lambda y, p: p})


def test_callbacks_of_keras_do_their_work(tmp_path: Any) -> None:
    callbacks = keras.callbacks
    kept = tmp_path / "kept.weights.h5"
    given = [
        callbacks.EarlyStopping("val_loss", patience=0, min_delta=1e9),
        callbacks.CSVLogger(str(tmp_path / "log.csv")),
        callbacks.ModelCheckpoint(str(kept), save_weights_only=True),
        callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: (tmp_path / f"epoch{epoch}").touch()),
    ]
    teacher = train_teacher(dense(DATA, 6), DATA, TEACHER, callbacks=given)
    assert teacher.history is not None
    assert len(teacher.history.loss) == 2  # of three
    assert (tmp_path / "log.csv").read_text().startswith("epoch,loss,packed_accuracy,val_loss")
    assert kept.is_file()
    assert (tmp_path / "epoch1").is_file()


class Batches(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Does something."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Waits in vain."""


@pytest.mark.parametrize(
    ("callback", "sentence"),
    [
        (Batches(), "Batches waits for batches (on_train_batch_end), and the training tells of epochs alone"),
        (
            keras.callbacks.LambdaCallback(on_train_batch_end=print, on_epoch_end=print),
            "LambdaCallback waits for batches (on_train_batch_end)",
        ),
        (keras.callbacks.TerminateOnNaN(), "TerminateOnNaN waits for batches (on_batch_end)"),
        (keras.callbacks.ModelCheckpoint("m.keras", save_freq=7), "ModelCheckpoint waits for batches (save_freq=7)"),
        (keras.callbacks.ReduceLROnPlateau(), "ReduceLROnPlateau sets the learning rate, which falls along a cosine"),
        (Epochs, "type is no keras.callbacks.Callback; give a list of objects of that class"),
    ],
)  # fmt: skip
def test_a_callback_that_would_wait_in_vain_is_refused(callback: Any, sentence: str) -> None:
    with pytest.raises(SettingsError) as told:
        train_teacher(dense(DATA, 6), DATA, TEACHER, callbacks=[callback])
    assert str(told.value).startswith(f"callbacks: {sentence}")


def test_trials_of_temperature_and_alpha_learn_with_the_own_loss() -> None:
    teacher = train_teacher(dense(DATA, 6), DATA, TEACHER)
    search = SearchSettings(temperatures=(1.0, 4.0), alphas=(0.5,), epochs=1)
    settings = STUDENT.model_copy(update={"temperature": None, "search": search})
    counted = Epochs()
    plain, pressed = (
        distill_student(dense(DATA, 4), teacher, DATA, settings, callbacks=[counted], loss=loss).record.metrics["search"]
        for loss in (None, lambda y, p: 10 * keras.ops.mean(p**2, axis=-1))
    )  # fmt: skip
    assert counted.seen == [0, 1, 0, 1]  # of the students alone
    assert all(a["validation_loss"] != b["validation_loss"] for a, b in zip(plain, pressed, strict=True))
