"""A student to scan from a Keras file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import keras

from codesign.core.record import Record
from codesign.core.shown import ShownStudent
from codesign.data import Dataset
from codesign.networks.description import Network
from codesign.networks.design import check_fits
from codesign.networks.loading import load_model
from codesign.networks.read_keras import read_keras


class AnyStudent(Protocol):
    """A distilled or a pruned student, or one from a file."""

    @property
    def network(self) -> Network:
        """Layers and weights."""
        ...

    @property
    def record(self) -> Record:
        """The stage's evidence."""
        ...


@dataclass(frozen=True)
class FloatStudent(ShownStudent):
    """A float student that was trained elsewhere.

    Parameters
    ----------
    network
        Its layers and weights, ending at the logits.
    record
        Where it came from.
    """

    network: Network
    record: Record


def read_student(path: str | Path, dataset: Dataset) -> FloatStudent:
    """Take a trained float Keras model, a `.keras` or `.h5` file, as the student; a softmax or sigmoid at its end is left out.

    Raises
    ------
    DataError
        If the file is missing or unreadable, or its inputs or classes are not those of the data.
    ConversionError
        If a layer cannot become hardware, for example a softmax in the middle, every fault named; or if the network that was
        read computes other numbers than the model on the data.
    """
    return float_student_of(load_model(path, "the student"), dataset, f"the student {path}")


def float_student_of(model: keras.Model, dataset: Dataset, what: str | None = None) -> FloatStudent:
    """Take a trained float Keras model as the student; as `read_student`, without the file.

    Parameters
    ----------
    model
        Built and trained; it is not changed.
    dataset
        Its inputs and classes.
    what
        What it is, for sentences.
    """
    what = f"the student {model.name!r}" if what is None else what
    check_fits(model, what, dataset.sample_shape, dataset.task)
    network = read_keras(model, dataset.x_validation)
    metrics = {"parameters": network.n_parameters, "sparsity": network.sparsity}
    return FloatStudent(network, Record.of(network.digest, metrics))


def as_student(student: AnyStudent | keras.Model, dataset: Dataset) -> AnyStudent:
    """A student as it is, or a trained float Keras model as one; see `float_student_of`."""
    return float_student_of(student, dataset) if isinstance(student, keras.Model) else student
