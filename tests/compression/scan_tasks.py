"""A trained student for tests of the scan."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import keras
from learning_tasks import clouds, dense

from codesign.data import Dataset
from codesign.networks.read_keras import read_keras


@cache
def task(outputs: int | None = None) -> tuple[SimpleNamespace, Dataset]:
    """A student of some hundred weights and its data; with `outputs` 1 the data have two classes."""
    dataset = clouds(n_classes=2 if outputs == 1 else 3, n=480)
    keras.utils.set_random_seed(1)
    model = dense(dataset, 12, 6, outputs=outputs)
    loss = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if outputs == 1
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(dataset.x_train, dataset.y_train, epochs=12, verbose=0)
    return student_of(model), dataset


def student_of(model: keras.Model) -> SimpleNamespace:
    """What the scan takes."""
    network = read_keras(model)
    return SimpleNamespace(network=network, record=SimpleNamespace(digest=network.digest))
