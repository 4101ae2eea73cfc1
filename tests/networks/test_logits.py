"""Models that end at their logits: the same numbers before the softmax, the given model unchanged."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import qkeras
from keras import layers, ops

from codesign.errors import ConversionError
from codesign.networks.logits import ending_in_logits, predict_logits

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)


def inside(function: str) -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, "relu"), layers.Dense(3, function)], name="mine"
    )


def behind(layer: layers.Layer) -> keras.Model:
    given = keras.Input((4,))
    return keras.Model(given, layer(layers.Dense(3)(layers.Dense(5, "relu")(given))), name="mine")


def operation() -> keras.Model:
    given = keras.Input((4,))
    return keras.Model(given, ops.softmax(layers.Dense(3)(given)), name="mine")


SOFTMAX: list[Callable[[], keras.Model]] = [
    lambda: inside("softmax"),
    lambda: behind(layers.Softmax()),
    lambda: behind(layers.Activation("softmax")),
    operation,
]


@pytest.mark.parametrize("make", SOFTMAX)
def test_a_last_softmax_is_left_out(make: Callable[[], keras.Model]) -> None:
    model = make()
    before = model.get_weights()
    probabilities = predict_logits(model, X)
    logits = predict_logits(ending_in_logits(model), X)
    assert not np.allclose(logits.sum(axis=1), 1)
    np.testing.assert_allclose(keras.ops.softmax(logits), probabilities, atol=1e-6)
    # the caller's model computes what it did
    np.testing.assert_array_equal(predict_logits(model, X), probabilities)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_last_sigmoid_is_left_out() -> None:
    for model in (inside("sigmoid"), behind(layers.Activation("sigmoid"))):
        logits = predict_logits(ending_in_logits(model), X)
        np.testing.assert_allclose(keras.ops.sigmoid(logits), predict_logits(model, X), atol=1e-6)


@pytest.mark.parametrize(
    "make", [lambda: inside("linear"), lambda: inside("relu"), lambda: behind(layers.Dense(2))]
)
def test_another_ending_stays(make: Callable[[], keras.Model]) -> None:
    model = make()
    copy = ending_in_logits(model)
    assert copy is not model
    assert copy.name == "mine"
    np.testing.assert_array_equal(predict_logits(copy, X), predict_logits(model, X))


def test_training_the_copy_leaves_the_given_model() -> None:
    model = inside("softmax")
    before = predict_logits(model, X)
    copy = ending_in_logits(model)
    copy.set_weights([weight + 1 for weight in copy.get_weights()])
    np.testing.assert_allclose(predict_logits(model, X), before, rtol=0)


def test_logits_do_not_depend_on_the_batch() -> None:
    model = inside("linear")
    whole = predict_logits(model, X)
    np.testing.assert_allclose(predict_logits(model, X, batch_size=7), whole, atol=1e-6)
    assert whole.dtype == np.float32
    assert whole.shape == (40, 3)


@pytest.mark.parametrize("make", [layers.Dense, qkeras.QDense])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_layer_with_weights_that_are_not_finite_is_named(make: type, value: float) -> None:
    nested = keras.Sequential([keras.Input((4,)), make(3, name="inner")])
    model = keras.Sequential([keras.Input((4,)), nested, layers.Dense(2)], name="mine")
    kernel = model.layers[0].layers[0].kernel
    kernel.assign(np.where(np.arange(12).reshape(4, 3) == 5, value, 0.5))
    with pytest.raises(
        ConversionError, match=r"^layer 'inner' has values in kernel that are not finite; train it again"
    ):
        ending_in_logits(model)


def test_finite_weights_with_outputs_that_are_not_are_told_apart() -> None:
    model = inside("linear")
    for layer in model.layers:
        layer.kernel.assign(np.full(layer.kernel.shape, 1e30))
    with pytest.raises(
        ConversionError,
        match=r"^the model 'mine' computes outputs that are not finite .*too large for float32$",
    ):
        ending_in_logits(model)
