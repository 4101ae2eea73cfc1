"""Losses and qualities of trainings as TensorBoard logs."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codesign.core.progress import Progress
from codesign.errors import OutputFolderError


class TensorBoardLogs(Progress):
    """A `Progress` that writes what trainings measure, a run of TensorBoard for each training.

    Parameters
    ----------
    folder
        Where the logs go: ``tensorboard --logdir FOLDER`` shows them.

    Raises
    ------
    OutputFolderError
        If the folder cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFolderError(
                f"--tensorboard: {folder} cannot be made ({error.strerror}); choose another folder"
            ) from error
        self._writers: dict[str, Any] = {}

    def show(self, what: str, done: int, total: int, note: str, values: Mapping[str, float]) -> None:
        """Write the values of an epoch."""
        if not values:
            return
        writer = self._writers.get(what)
        if writer is None:
            writer = self._writers[what] = self._open(what)
        writer.write(_event(done, values))
        writer.flush()

    def _open(self, what: str) -> Any:
        """An event file, which is TensorFlow's records of events; TensorBoard itself need not be installed."""
        import tensorflow as tf
        from tensorflow.core.util.event_pb2 import Event

        folder = self.folder / re.sub(r"[^A-Za-z0-9._-]+", "_", what)
        folder.mkdir(exist_ok=True)
        writer = tf.io.TFRecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}.codesign"))
        writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        return writer


def _event(step: int, values: Mapping[str, float]) -> bytes:
    from tensorflow.core.framework.summary_pb2 import Summary
    from tensorflow.core.util.event_pb2 import Event

    rows = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    made: bytes = Event(wall_time=time.time(), step=step, summary=Summary(value=rows)).SerializeToString()
    return made
