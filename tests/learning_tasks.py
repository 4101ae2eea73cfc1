"""Small tasks and networks for tests of training and compression."""

from __future__ import annotations

import keras
import numpy as np

from codesign.data import Dataset
from codesign.data.load import dataset_from_arrays

layers = keras.layers


def clouds(
    n_classes: int = 3, n: int = 360, n_features: int = 5, spread: float = 0.9, seed: int = 0
) -> Dataset:
    """Gaussian clouds around random centres; class 0 and 1 lie close together."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 2, (n_classes, n_features))
    centres[1] = centres[0] + rng.normal(0, 0.4, n_features)
    y = np.arange(n) % n_classes
    x = centres[y] + spread * rng.normal(size=(n, n_features))
    return dataset_from_arrays(x, y, name="clouds", seed=1)


def images(n: int = 240, size: int = 6, seed: int = 0) -> Dataset:
    """Pictures of one channel with a bright corner: three classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.normal(0, 0.6, (n, size, size, 1))
    half = size // 2
    for label, (row, column) in enumerate([(0, 0), (0, half), (half, 0)]):
        x[y == label, row : row + half, column : column + half] += 1.0
    return dataset_from_arrays(x.reshape(n, -1), y, name="images", seed=1, input_shape=(size, size, 1))


def dense(
    dataset: Dataset, *widths: int, outputs: int | None = None, name: str = "net", norm: bool = False
) -> keras.Model:
    """Dense layers ``fc1``, ``fc2``, ... with ReLUs, and ``logits``."""
    model = keras.Sequential([keras.Input(dataset.input_shape)], name=name)
    for number, width in enumerate(widths, 1):
        if norm:
            model.add(layers.Dense(width, use_bias=False, name=f"fc{number}"))
            model.add(layers.BatchNormalization(name=f"norm{number}"))
            model.add(layers.Activation("relu", name=f"relu{number}"))
        else:
            model.add(layers.Dense(width, activation="relu", name=f"fc{number}"))
    model.add(layers.Dense(outputs or dataset.n_classes, name="logits"))
    return model


def convolutional(dataset: Dataset, *filters: int, name: str = "conv") -> keras.Model:
    """3 x 3 convolutions ``conv1``, ... with ReLUs and normalisations, a pool, and ``logits``."""
    model = keras.Sequential([keras.Input(dataset.input_shape)], name=name)
    for number, width in enumerate(filters, 1):
        model.add(layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"conv{number}"))
        model.add(layers.BatchNormalization(name=f"norm{number}"))
        model.add(layers.Activation("relu", name=f"relu{number}"))
    model.add(layers.MaxPooling2D(2, name="pool"))
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(dataset.n_classes, name="logits"))
    return model
