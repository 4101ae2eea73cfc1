"""Keras models as plain networks: the same numbers, every unsupported layer named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import MODELS, inputs, randomized

from codesign.errors import ConversionError
from codesign.networks.build import build_float
from codesign.networks.describe import describe
from codesign.networks.logits import ending_in_logits, predict_logits


def sequential(*built: Any, shape: tuple[int, ...] = (4,)) -> keras.Model:
    return keras.Sequential([keras.Input(shape, name="pixels"), *built], name="mine")


@pytest.mark.parametrize("name", MODELS)
def test_a_described_model_computes_the_same_numbers(name: str) -> None:
    model = randomized(MODELS[name](), 3)
    network = describe(model)
    x = inputs(network, 50)
    rebuilt = predict_logits(build_float(network), x)
    np.testing.assert_array_equal(rebuilt, predict_logits(ending_in_logits(model), x))
    assert describe(build_float(network)).digest == network.digest


def test_what_describes_a_dense_model() -> None:
    network = describe(MODELS["dense"]())
    assert [(layer.name, layer.kind, layer.inputs) for layer in network.layers] == [
        ("features", "input", ()),
        ("fc1", "dense", ("features",)),
        ("norm1", "batch_norm", ("fc1",)),
        ("relu1", "relu", ("norm1",)),
        ("fc2", "dense", ("relu1",)),
        ("fc2_relu", "relu", ("fc2",)),
        ("fc3", "dense", ("fc2_relu",)),
    ]
    assert network.name == "dense"
    assert network.input_shape == (6,)
    assert network.output.name == "fc3"
    assert network.n_parameters == 6 * 8 + 4 * 8 + (8 * 5 + 5) + (5 * 3 + 3)


def test_a_softmax_or_sigmoid_at_the_end_is_left_out_in_every_form() -> None:
    endings: list[Callable[[], list[Any]]] = [
        lambda: [layers.Dense(3, name="fc", activation="softmax")],
        lambda: [layers.Dense(3, name="fc", activation="sigmoid")],
        lambda: [layers.Dense(3, name="fc"), layers.Softmax()],
        lambda: [layers.Dense(3, name="fc"), layers.Activation("softmax")],
        lambda: [layers.Dense(3, name="fc"), layers.Activation("linear")],
        lambda: [layers.Dense(3, name="fc"), layers.Dropout(0.5)],
    ]
    for ending in endings:
        network = describe(sequential(*ending()))
        assert [layer.kind for layer in network.layers] == ["input", "dense"]


def test_names_become_identifiers_of_cpp() -> None:
    network = describe(sequential(layers.Dense(3, name="1st-layer"), layers.Dense(2, name="out put")))
    assert [layer.name for layer in network.layers] == ["features", "layer_1st_layer", "out_put"]


def test_constants_of_a_batch_normalisation_that_are_left_out_are_one_and_zero() -> None:
    network = describe(
        randomized(sequential(layers.BatchNormalization(scale=False, center=False, name="norm")), 1)
    )
    weights = network["norm"].weights
    assert weights["gamma"].tolist() == [1] * 4
    assert weights["beta"].tolist() == [0] * 4


def shared_layer() -> keras.Model:
    given = keras.Input((4,))
    dense = layers.Dense(4, name="twice")
    return keras.Model(given, dense(dense(given)), name="mine")


def two_outputs() -> keras.Model:
    given = keras.Input((4,))
    return keras.Model(given, [layers.Dense(2)(given), layers.Dense(3)(given)], name="mine")


SUPPORTED = (
    "Dense, Conv1D, Conv2D, DepthwiseConv2D, BatchNormalization, ReLU and Activation (relu, linear; softmax or sigmoid "
    "at the end), Flatten, Reshape, ZeroPadding1D/2D, MaxPooling1D/2D, AveragePooling1D/2D, Add, Concatenate and the "
    "dropouts"
)
IMAGE = (8, 8, 2)


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (
            lambda: sequential(layers.LSTM(3, name="memory"), shape=(5, 2)),
            f"layer 'memory' is a LSTM, which is not supported; supported are {SUPPORTED}",
        ),
        (
            lambda: sequential(layers.Dense(3, activation="tanh", name="fc")),
            "layer 'fc' has the activation 'tanh'; supported are relu, linear, and softmax or sigmoid at the end",
        ),
        (
            lambda: sequential(layers.Dense(3, activation="sigmoid", name="fc"), layers.Dense(2)),
            "layer 'fc' has the activation 'sigmoid' in the middle of the network; supported are relu, linear, and "
            "softmax or sigmoid at the end",
        ),
        (
            lambda: sequential(layers.ReLU(6.0, name="relu6"), layers.Dense(2)),
            "layer 'relu6' is a ReLU with a limit, slope or threshold; only the plain ReLU is supported",
        ),
        (
            lambda: sequential(layers.Dense(3, name="fc"), shape=(5, 2)),
            "layer 'fc' is a Dense on shape (5, 2); put a Flatten before it",
        ),
        (
            lambda: sequential(layers.Conv2D(4, 3, dilation_rate=2, name="conv"), shape=IMAGE),
            "layer 'conv' has dilation_rate=(2, 2); only dilation_rate=(1, 1) is supported",
        ),
        (
            lambda: sequential(layers.Conv2D(4, 3, groups=2, name="conv"), shape=IMAGE),
            "layer 'conv' has groups=2; only groups=1 is supported",
        ),
        (
            lambda: sequential(layers.Conv1D(4, 3, padding="causal", name="conv"), shape=(8, 2)),
            "layer 'conv' has padding='causal'; only 'valid' and 'same' are supported",
        ),
        (
            lambda: sequential(layers.DepthwiseConv2D(3, depth_multiplier=2, name="conv"), shape=IMAGE),
            "layer 'conv' has depth_multiplier=2; only depth_multiplier=1 is supported",
        ),
        (
            lambda: sequential(layers.AveragePooling2D(3, name="mean"), shape=IMAGE),
            "layer 'mean' averages 9 values; only windows of 2, 4, 8, ... values are exact in fixed point",
        ),
        (
            lambda: sequential(layers.AveragePooling2D(2, padding="same", name="mean"), shape=IMAGE),
            "layer 'mean' has padding='same'; only padding='valid' is supported",
        ),
        (
            lambda: sequential(layers.BatchNormalization(axis=1, name="norm"), shape=IMAGE),
            "layer 'norm' normalises axis 1; only the last axis is supported",
        ),
        (
            lambda: sequential(layers.Dense(3, name="a-b"), layers.Dense(2, name="a.b")),
            "layers 'a-b' and 'a.b' would both be called a_b in C++; rename one",
        ),
        (
            lambda: sequential(
                layers.Dense(3, name="fc_relu"), layers.Dense(2, activation="relu", name="fc")
            ),
            "layers 'fc_relu' and 'fc' would both be called fc_relu in C++; rename one",
        ),
        (
            lambda: sequential(layers.Dense(3, name="features"), layers.Dense(2)),
            "layers 'pixels' and 'features' would both be called features in C++; rename one",
        ),
        (shared_layer, "layer 'twice' is used twice; give each use a layer of its own"),
    ],
)
def test_what_has_no_hardware_form_is_named(model: Callable[[], keras.Model], fault: str) -> None:
    with pytest.raises(ConversionError) as caught:
        describe(model())
    assert str(caught.value) == f"the model 'mine' cannot become hardware\n  - {fault}"


def test_all_faults_of_a_model_come_together() -> None:
    model = sequential(
        layers.Dense(3, activation="elu", name="a"), layers.LayerNormalization(name="b"), layers.Dense(2)
    )
    with pytest.raises(ConversionError) as caught:
        describe(model)
    assert str(caught.value).count("\n  - layer ") == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: keras.Sequential([layers.Dense(2)], name="mine"),
            "the model 'mine' is not built; give its first layer an input shape",
        ),
        (two_outputs, "the model 'mine' has 1 inputs and 2 outputs; it must have one of each"),
        (
            lambda: layers.Dense(2),
            "the model must be a sequential or functional keras.Model, not Dense",
        ),
    ],
)
def test_what_is_no_chain_is_refused(model: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        describe(model())
    assert str(caught.value) == message


def test_a_branch_that_reaches_no_output_is_left_out() -> None:
    given = keras.Input((4,))
    kept = layers.Dense(2, name="kept")(given)
    layers.Dense(3, name="lost")(given)
    assert [layer.name for layer in describe(keras.Model(given, kept)).layers] == ["features", "kept"]


def test_a_model_inside_a_model_is_named() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="inner")
    with pytest.raises(
        ConversionError, match="layer 'inner' is a Sequential, which is not supported; supported are "
    ):
        describe(sequential(inner, layers.Dense(2)))
