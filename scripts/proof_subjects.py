"""The networks that `prove_networks.py` proves: in the style of published ones, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codesign.networks.backend import import_backend

import_backend()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

from codesign.networks.design import load_networks  # noqa: E402

Weights = Callable[[np.ndarray, np.random.Generator], np.ndarray]

_MODELS = Path(__file__).resolve().parents[1] / "models"


@dataclass(frozen=True)
class Subject:
    """A network to prove: what makes it, and what its weights are.

    Parameters
    ----------
    quick
        Whether it is in the short proof.
    trained
        Whether it is first trained under quantization (`codesign.quantize_student`).
    parallel
        Whether hls4ml computes it with io_parallel alone.
    """

    name: str
    make: Callable[[], keras.Model]
    weights: Weights | None = None
    quick: bool = False
    trained: bool = False
    parallel: bool = False


def student(design: str, n_in: int, n_classes: int) -> Callable[[], keras.Model]:
    """The student of a design of this repository."""
    return lambda: load_networks(_MODELS / design).build_student((n_in,), n_classes)


def dense(*units: int, n_in: int, normalised: bool = False) -> keras.Model:
    """Dense layers with rectifiers between."""
    x = inputs = keras.Input((n_in,))
    for index, count in enumerate(units):
        x = layers.Dense(count, name=f"fc{index + 1}")(x)
        if index < len(units) - 1:
            x = layers.BatchNormalization(name=f"bn{index + 1}")(x) if normalised else x
            x = layers.Activation("relu", name=f"relu{index + 1}")(x)
    return keras.Model(inputs, x)


def conv1d() -> keras.Model:
    """A convolution over a sequence, as for waveforms."""
    inputs = keras.Input((16, 3))
    x = layers.Conv1D(6, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling1D(2, name="pool1")(x)
    x = layers.Conv1D(4, 3, activation="relu", name="conv2")(x)
    return keras.Model(inputs, layers.Dense(5, name="logits")(layers.Flatten(name="flat")(x)))


def lenet() -> keras.Model:
    """Convolution, pooling, convolution, pooling, dense, dense (LeCun et al. 1998, made small)."""
    inputs = keras.Input((12, 12, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(6, 2, activation="relu", name="conv2")(x)
    x = layers.AveragePooling2D(2, name="pool2")(x)
    x = layers.Dense(16, activation="relu", name="fc1")(layers.Flatten(name="flat")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def separable() -> keras.Model:
    """A depthwise convolution followed by a pointwise one (Howard et al. 2017)."""
    inputs = keras.Input((8, 8, 3))
    x = layers.DepthwiseConv2D(3, name="depthwise")(inputs)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.Conv2D(6, 1, activation="relu", name="pointwise")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(layers.Flatten(name="flat")(x)))


def residual() -> keras.Model:
    """A dense block with a shortcut around it (He et al. 2016)."""
    inputs = keras.Input((16,))
    x = layers.Dense(16, activation="relu", name="fc1")(inputs)
    y = layers.Dense(16, activation="relu", name="fc2")(x)
    y = layers.Dense(16, name="fc3")(y)
    x = layers.Activation("relu", name="joined")(layers.Add(name="add")([x, y]))
    return keras.Model(inputs, layers.Dense(5, name="logits")(x))


def residual_conv() -> keras.Model:
    """A convolution with a shortcut around it."""
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv1")(inputs)
    y = layers.Conv2D(3, 3, padding="same", name="conv2")(x)
    x = layers.Activation("relu", name="joined")(layers.Add(name="add")([x, y]))
    x = layers.MaxPooling2D(2, name="pool")(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(layers.Flatten(name="flat")(x)))


def branches() -> keras.Model:
    """Two branches side by side, joined by a concatenation."""
    inputs = keras.Input((10,))
    a = layers.Dense(8, activation="relu", name="left")(inputs)
    b = layers.Dense(6, activation="relu", name="right")(inputs)
    x = layers.Dense(8, activation="relu", name="fc")(layers.Concatenate(name="both")([a, b]))
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def pooling() -> keras.Model:
    """Maximum and average pooling in both kinds of padding, and explicit zeros."""
    inputs = keras.Input((10, 10, 2))
    x = layers.ZeroPadding2D(1, name="zeros")(inputs)
    x = layers.MaxPooling2D(2, name="most")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = layers.AveragePooling2D(2, name="mean")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))


def activations() -> keras.Model:
    """Every activation with a table or a slope, side by side."""
    inputs = keras.Input((6,))
    parts = [
        layers.Activation(name, name=name)(layers.Dense(2, name=f"to_{name}")(inputs))
        for name in ("tanh", "sigmoid", "softplus", "softsign", "elu", "leaky_relu")
    ]
    x = layers.Concatenate(name="all")(parts)
    x = layers.PReLU(name="prelu")(layers.Dense(5, name="to_prelu")(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


def attention() -> keras.Model:
    """Softmax over the features of each step, and of a gated vector."""
    inputs = keras.Input((4, 3))
    x = layers.Softmax(name="weights")(layers.Dense(4, name="scores")(inputs))
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(5, activation="silu", name="gated")(x)
    x = layers.Dense(4, activation="softmax", name="shares")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


def embedded() -> keras.Model:
    """Particles by their numbers: a row of a table each."""
    inputs = keras.Input((6,))
    x = layers.Embedding(11, 3, name="table")(inputs)
    x = layers.Dense(4, activation="relu", name="each")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))


def both_directions() -> keras.Model:
    """A GRU in both directions."""
    inputs = keras.Input((4, 3))
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))


def selu() -> keras.Model:
    """A self-normalising block (Klambauer et al. 2017)."""
    inputs = keras.Input((6,))
    x = layers.Dense(6, activation="selu", name="first")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


def merges() -> keras.Model:
    """Every layer of two tensors, a normalisation that stays and one that is folded."""
    inputs = keras.Input((6,))

    def branch(name: str) -> object:
        return layers.Dense(4, activation="relu", name=name)(
            layers.BatchNormalization(name=f"norm_{name}")(inputs)
        )

    a, b = branch("a"), branch("b")
    x = [
        make(name=make.__name__.lower())([a, b])
        for make in (
            layers.Add,
            layers.Subtract,
            layers.Multiply,
            layers.Average,
            layers.Maximum,
            layers.Minimum,
        )
    ]
    x = layers.Concatenate(name="all")(x)
    x = layers.Activation("relu", name="again")(layers.BatchNormalization(name="stays")(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


def sequence() -> keras.Model:
    """What moves the values of a sequence."""
    inputs = keras.Input((12,))
    x = layers.ZeroPadding1D((0, 1), name="zeros")(layers.Reshape((6, 2), name="steps")(inputs))
    x = layers.Activation("relu", name="relu")(layers.DepthwiseConv1D(2, name="depthwise")(x))
    x = layers.UpSampling1D(2, name="up")(layers.MaxPooling1D(2, name="most")(x))
    x = layers.Permute((2, 1), name="turned")(layers.Conv1D(3, 2, activation="relu", name="conv")(x))
    x = layers.AveragePooling1D(3, name="mean")(layers.Cropping1D((0, 0), name="all")(x))
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))


def image() -> keras.Model:
    """What moves the values of an image."""
    inputs = keras.Input((4, 4, 1))
    x = layers.ZeroPadding2D(((1, 0), (0, 1)), name="zeros")(inputs)
    x = layers.Conv2D(2, 2, activation="relu", name="conv")(x)
    x = layers.Activation("relu", name="relu")(layers.DepthwiseConv2D(2, name="depthwise")(x))
    x = layers.UpSampling2D(2, name="up")(x)
    x = layers.MaxPooling2D(2, name="most")(layers.Cropping2D(((0, 2), (1, 1)), name="middle")(x))
    x = layers.AveragePooling2D((2, 1), name="mean")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten(name="flat")(x)))


def recurrent(make: type) -> Callable[[], keras.Model]:
    """A recurrent layer of each kind of result behind one another."""

    def model() -> keras.Model:
        inputs = keras.Input((5, 3))
        x = make(4, return_sequences=True, name="all_steps")(inputs)
        return keras.Model(inputs, layers.Dense(3, name="logits")(make(3, name="last_step")(x)))

    return model


def pruned(kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Zero the smallest 80 %."""
    return np.where(np.abs(kernel) < np.quantile(np.abs(kernel), 0.8), 0.0, kernel)


def binary(kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Minus one and one (Courbariaux et al. 2016)."""
    return rng.choice([-1.0, 1.0], kernel.shape)


def ternary(kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Minus one, zero and one (Li et al. 2016)."""
    return rng.choice([-1.0, 0.0, 1.0], kernel.shape)


def class_and_momentum() -> keras.Model:
    """A set of particles and features of the event in, a class and a momentum out."""
    particles, event = keras.Input((6, 3), name="particles"), keras.Input((5,), name="event")
    each = layers.Dense(5, activation="relu", name="each")(particles)
    mean = layers.GlobalAveragePooling1D(name="mean")(each)
    one = layers.Dense(5, activation="relu", name="one")(event)
    hidden = layers.Dense(8, activation="relu", name="hidden")(layers.Concatenate(name="both")([mean, one]))
    outputs = [layers.Dense(3, name="kind")(hidden), layers.Dense(1, name="pt")(hidden)]
    return keras.Model([particles, event], outputs)


SUBJECTS = (
    Subject("jets 16-64-32-32-5", student("jets", 16, 5)),
    Subject("pruned 80 % 16-64-32-32-5", student("jets", 16, 5), pruned),
    Subject("normalised 16-32-16-5", lambda: dense(32, 16, 5, n_in=16, normalised=True)),
    Subject("ternary 16-32-16-5", lambda: dense(32, 16, 5, n_in=16), ternary),
    Subject("binary 16-32-16-5", lambda: dense(32, 16, 5, n_in=16), binary),
    Subject("small 8-10-4", lambda: dense(10, 4, n_in=8), quick=True),
    Subject("pruned 80 % 16-24-5", lambda: dense(24, 5, n_in=16), pruned),
    Subject("residual add", residual),
    Subject("concatenation", branches),
    Subject("conv1d", conv1d),
    Subject("conv2d (LeNet)", lenet),
    Subject("depthwise separable", separable, quick=True),
    Subject("residual conv2d", residual_conv),
    Subject("pooling", pooling),
    Subject("magic 10-16-16-1", student("magic", 10, 2)),
    Subject("pruned 80 % digits 64-64-32-10", student("digits", 64, 10), pruned),
    Subject("activations, trained", activations, trained=True),
    Subject("selu, trained", selu, trained=True, parallel=True),
    Subject("merges, trained", merges, trained=True),
    Subject("sequence, trained", sequence, trained=True),
    Subject("image, trained", image, trained=True),
    Subject("GRU, trained", recurrent(layers.GRU), trained=True),
    Subject("LSTM, trained", recurrent(layers.LSTM), trained=True),
    Subject("softmax and silu, trained", attention, trained=True),
    Subject("embedding, trained", embedded, trained=True),
    Subject("GRU in both directions, trained", both_directions, trained=True),
    Subject("class and momentum 6 x 3 + 5", class_and_momentum),
)
