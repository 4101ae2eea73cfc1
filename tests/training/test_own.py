"""Callbacks, losses and metrics of the user's own reach the training loop."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.core.files import write_json
from codesign.errors import DataError, SettingsError
from codesign.settings import DistillationSettings, TeacherSettings
from codesign.training.distill import distill_student
from codesign.training.fit import History, read_history
from codesign.training.teacher import train_teacher

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


def test_what_is_no_loss_and_no_metric_is_said() -> None:
    for wrong in ("sparse_entropy", 3):
        with pytest.raises(SettingsError, match=r"^loss: .* is no loss of Keras; give a name, a function"):
            train_teacher(dense(DATA, 6), DATA, TEACHER, loss=wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^metrics: 'all' must give a number, not ndarray"):
        train_teacher(dense(DATA, 6), DATA, TEACHER, metrics={"all": lambda y, p: p})
