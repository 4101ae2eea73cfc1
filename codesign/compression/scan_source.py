"""A student to scan from a Keras file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import keras

from codesign.core.files import file_digest
from codesign.core.record import Record
from codesign.data import Dataset
from codesign.errors import DataError
from codesign.networks.describe import describe
from codesign.networks.description import Network
from codesign.networks.design import check_fits


@dataclass(frozen=True)
class FloatStudent:
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
    """Take a trained float `.keras` model as the student; a softmax or sigmoid at its end is left out.

    Raises
    ------
    DataError
        If the file is missing or unreadable, or its inputs or classes are not those of the data.
    ConversionError
        If a layer cannot become hardware, for example a softmax in the middle; every fault is named.
    """
    started, path = time.monotonic(), Path(path)
    if not path.is_file():
        raise DataError(
            f"the student {path} does not exist; give a trained .keras file or the folder of a run"
        )
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        raise DataError(f"the student {path} cannot be loaded: {type(error).__name__}: {error}") from error
    check_fits(model, f"the student {path}", dataset.input_shape, dataset.n_classes)
    network = describe(model)
    parents = {"file": file_digest(path), "dataset": dataset.digest}
    metrics = {"parameters": network.n_parameters, "sparsity": network.sparsity}
    seconds = time.monotonic() - started
    return FloatStudent(network, Record("student", {}, None, parents, network.digest, metrics, seconds))
