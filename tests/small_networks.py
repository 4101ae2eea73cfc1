"""Small Keras models of every supported layer, with random weights and formats, for exact comparisons."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from codesign.compression.formats import Widths, measure_ranges, precision_of
from codesign.core.precision_map import PrecisionMap
from codesign.networks.description import Network
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.read_keras import read_keras


def dense_model() -> keras.Model:
    """Dense layers with and without bias, batch normalisation, ReLUs inside and outside layers, dropout."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, use_bias=False, name="fc1"),
            layers.BatchNormalization(name="norm1"),
            layers.Activation("relu", name="relu1"),
            layers.Dropout(0.2),
            layers.Dense(5, activation="relu", name="fc2"),
            layers.Dense(3, activation="softmax", name="fc3"),
        ],
        name="dense",
    )


def conv1d_model() -> keras.Model:
    """One-dimensional convolutions and pools."""
    return keras.Sequential(
        [
            keras.Input((12, 2)),
            layers.ZeroPadding1D((1, 2), name="pad"),
            layers.Conv1D(4, 3, strides=2, padding="valid", activation="relu", name="conv1"),
            layers.Conv1D(3, 3, padding="same", use_bias=False, name="conv2"),
            layers.BatchNormalization(scale=False, name="norm2"),
            layers.ReLU(name="relu2"),
            layers.MaxPooling1D(2, name="pool"),
            layers.AveragePooling1D(2, strides=1, name="mean"),
            layers.Flatten(name="flat"),
            layers.Dense(3, name="out"),
        ],
        name="conv1d",
    )


def conv2d_model() -> keras.Model:
    """Two-dimensional convolutions, a depthwise one, both pools, an addition and a concatenation."""
    image = keras.Input((36,), name="pixels")
    x = layers.Reshape((6, 6, 1), name="image")(image)
    x = layers.ZeroPadding2D(((1, 0), (0, 1)), name="pad")(x)
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="conv1")(x)
    x = layers.BatchNormalization(center=False, name="norm1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = layers.BatchNormalization(name="norm2")(y)
    x = layers.Add(name="sum")([x, y])
    x = layers.Activation("relu", name="relu2")(x)
    low = layers.AveragePooling2D(2, name="mean")(x)
    high = layers.MaxPooling2D(2, name="largest")(x)
    x = layers.Concatenate(name="both")([low, high])
    x = layers.Conv2D(4, (2, 1), strides=(1, 2), activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(image, layers.Dense(3, name="out")(x), name="conv2d")


def residual_model() -> keras.Model:
    """An addition that feeds a layer with weights as it is, and the output."""
    features = keras.Input((6,), name="features")
    x = layers.Dense(5, name="first")(features)
    x = layers.Add(name="sum")([x, layers.Dense(5, activation="relu", name="second")(x)])
    return keras.Model(features, layers.Dense(3, name="out")(x), name="residual")


MODELS = {
    "dense": dense_model,
    "conv1d": conv1d_model,
    "conv2d": conv2d_model,
    "residual": residual_model,
}


def randomized(model: keras.Model, seed: int, zeros: float = 0.0) -> keras.Model:
    """The model with random weights in place of its own; `zeros` is the fraction of kernel values that are zero."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.path.endswith("seed_generator_state"):
            continue
        values = random.normal(0, 0.6, variable.shape)
        if "variance" in variable.path or "gamma" in variable.path:
            values = random.uniform(0.5, 1.5, variable.shape)
        if "kernel" in variable.path:
            values[random.random(variable.shape) < zeros] = 0
        variable.assign(values.astype(np.float32))
    return model


def prepared(name: str, seed: int = 1, zeros: float = 0.0) -> Network:
    """One of `MODELS` with random weights, folded, with explicit quantization points."""
    return prepare_for_quantization(read_keras(randomized(MODELS[name](), seed, zeros)))


def inputs(network: Network, n: int, seed: int = 0) -> np.ndarray:
    """Inputs of shape `(n, *input_shape)`, some beyond what a calibration set of another seed holds."""
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (n, *network.input_shape)).astype(np.float32)


def random_precision(network: Network, seed: int, least: int = 4, most: int = 8) -> PrecisionMap:
    """Formats that fit the ranges, every tensor of another width."""
    random = np.random.default_rng(seed)

    def bits(names: list[str]) -> dict[str, int]:
        return {name: int(random.integers(least, most + 1)) for name in names}

    widths = Widths(
        int(random.integers(least, most + 1)),
        bits([layer.name for layer in network.weight_layers]),
        bits([layer.name for layer in network.activations]),
    )
    return precision_of(network, measure_ranges(network, inputs(network, 200, seed=99)), widths)
