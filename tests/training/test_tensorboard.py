"""TensorBoard logs of trainings, read back as TensorBoard reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf
from learning_tasks import clouds, dense
from tensorflow.core.util.event_pb2 import Event

from codesign.errors import OutputFolderError
from codesign.settings import TrainingSettings
from codesign.training.fit import fit
from codesign.training.losses import DistillationLoss, pack_targets
from codesign.training.tensorboard import TensorBoardLogs


def test_every_epoch_of_a_training_is_logged(tmp_path: Path) -> None:
    data = clouds()
    parts = [(x, pack_targets(y)) for x, y in (data.part("train"), data.part("validation"))]
    logs = TensorBoardLogs(tmp_path / "deep" / "logs")
    logs.step("scan", 1, 2, "no values")
    settings = TrainingSettings(epochs=3, learning_rate=0.01)
    history = fit(dense(data, 4), DistillationLoss(), *parts, settings, progress=logs, what="the student")
    (file,) = (tmp_path / "deep" / "logs").rglob("events.out.tfevents.*")
    assert file.parent.name == "the_student"
    events = [Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file))]
    assert events[0].file_version == "brain.Event:2"
    kept = [
        (event.step, value.tag, value.simple_value) for event in events[1:] for value in event.summary.value
    ]
    assert [value for _, tag, value in kept if tag == "validation_loss"] == pytest.approx(
        history.validation_loss
    )
    assert [step for step, tag, _ in kept if tag == "loss"] == [1, 2, 3]
    assert {tag for _, tag, _ in kept} == {"loss", "validation_loss", "accuracy", "validation_accuracy"}


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderError, match=r"^--tensorboard: .*file/logs cannot be made"):
        TensorBoardLogs(tmp_path / "file" / "logs")
