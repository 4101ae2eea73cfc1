"""Sizes and formats read from Keras, QKeras and network descriptions agree with one another."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT, LayerShape
from codesign.errors import ConversionError
from codesign.networks.build import build_quantized
from codesign.networks.describe import describe
from codesign.networks.description import WEIGHT_KINDS, Network
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.shapes import layer_shapes

L = keras.layers


def dense_model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16,)),
            L.Dense(8, activation="relu", name="a"),
            L.Dense(4, name="b"),
            L.BatchNormalization(),
            L.ReLU(name="r"),
            L.Dropout(0.1),
            L.Dense(3, activation="softmax", name="c"),
        ],
        name="dense",
    )


def branching_model() -> keras.Model:
    x = keras.Input((8, 8, 3))
    conv = L.ReLU(name="r")(L.BatchNormalization()(L.Conv2D(4, 3, padding="same", strides=2, name="c1")(x)))
    depthwise = L.DepthwiseConv2D(3, name="dw", padding="same")(conv)
    pointwise = L.Conv2D(6, 1, activation="relu", name="c2")(L.MaxPooling2D(2)(depthwise))
    average = L.AveragePooling2D(2, name="ap")(depthwise)
    values = L.Flatten()(L.Concatenate()([pointwise, average]))
    return keras.Model(x, L.Dense(5, name="out")(values), name="branching")


def quantized(network: Network) -> keras.Model:
    signed, unsigned = (FixedPoint(6, 2, signed, "RND_CONV", "SAT") for signed in (True, False))
    formats = {
        layer.name: LayerPrecision(signed, signed)
        if layer.kind in WEIGHT_KINDS
        else LayerPrecision(result=unsigned if layer.kind == "relu" else signed)
        for layer in network.layers
        if layer.kind in (*WEIGHT_KINDS, "relu", "linear")
    }
    return build_quantized(network, PrecisionMap(signed, formats))


def test_a_dense_chain():
    assert layer_shapes(dense_model()) == (
        LayerShape("a", "dense", 16, 8, activations=("a_relu",)),
        LayerShape("b", "dense", 8, 4, sources=("a_relu",), activations=("r",)),
        LayerShape("c", "dense", 4, 3, sources=("r",), activations=("c_softmax",), shared=True),
    )


def test_convolutions_and_branches():
    shapes = layer_shapes(prepare_for_quantization(describe(branching_model())))
    assert shapes == (
        LayerShape("c1", "conv2d", 3, 4, 9, 16, activations=("r",)),
        LayerShape(
            "dw",
            "depthwise_conv2d",
            4,
            4,
            9,
            16,
            groups=4,
            sources=("r",),
            activations=("dw_out",),
            shared=True,
        ),
        LayerShape("c2", "conv2d", 4, 6, 1, 4, sources=("dw_out",), activations=("c2_relu",)),
        LayerShape("out", "dense", 40, 5, sources=("c2_relu", "ap_out"), shared=True),
    )


def test_grouped_and_one_dimensional_convolutions():
    model = keras.Sequential([keras.Input((10, 4)), L.Conv1D(6, 3, groups=2, name="c"), L.Dense(2, name="d")])
    assert layer_shapes(model) == (
        LayerShape("c", "conv1d", 4, 6, 3, 8, groups=2),
        LayerShape("d", "dense", 6, 2, output_positions=8, sources=("c",), shared=True),
    )


@pytest.mark.parametrize("make", [dense_model, branching_model])
def test_sizes_agree_with_keras_and_with_the_description(make):
    model = make()
    network = prepare_for_quantization(describe(model))
    for shape in layer_shapes(model):
        assert shape.n_weights == np.prod(network[shape.name].weights["kernel"].shape)
    described = {shape.name: shape for shape in layer_shapes(network)}
    for shape in layer_shapes(model):
        assert described[shape.name].n_multiplications == shape.n_multiplications


def test_qkeras_gives_the_same_as_the_description():
    network = prepare_for_quantization(describe(dense_model()))
    assert layer_shapes(quantized(network)) == layer_shapes(network)
    assert layer_shapes(network)[0].sources == (INPUT,)


def test_qkeras_convolutions():
    import qkeras

    x = keras.Input((6, 6, 2))
    bits = qkeras.quantized_bits(4, 0, alpha=1)
    y = qkeras.QConv2D(3, 3, kernel_quantizer=bits, bias_quantizer=bits, name="c")(x)
    y = qkeras.QActivation("quantized_relu(4)", name="r")(y)
    y = qkeras.QDepthwiseConv2D(2, depthwise_quantizer=bits, name="d")(y)
    assert layer_shapes(keras.Model(x, y)) == (
        LayerShape("c", "conv2d", 2, 3, 9, 16, activations=("r",)),
        LayerShape("d", "depthwise_conv2d", 3, 3, 4, 9, groups=3, sources=("r",), shared=True),
    )


def test_an_addition_shares_what_it_reads():
    x = keras.Input((4,))
    first = L.ReLU(name="ra")(L.Dense(4, name="a")(x))
    second = L.Dense(4, name="b")(first)
    shapes = layer_shapes(keras.Model(x, L.Add(name="sum")([first, second])))
    assert [(shape.name, shape.shared) for shape in shapes] == [("a", True), ("b", True)]


def test_all_faults_are_named_together():
    x = keras.Input((None, 4))
    shared = L.Dense(4, name="twice")
    y = L.LSTM(3, name="lstm")(shared(shared(L.Conv1D(4, 1, name="open")(x))))
    with pytest.raises(ConversionError) as caught:
        layer_shapes(keras.Model(x, y, name="bad"))
    assert str(caught.value).split("\n  - ") == [
        "the costs of 'bad' cannot be counted",
        "layer 'open' has the output shape (None, 4); give the network's input a fixed shape",
        "layer 'twice' has the output shape (None, 4); give the network's input a fixed shape",
        "layer 'twice' has the output shape (None, 4); give the network's input a fixed shape",
        "layer 'lstm' is a LSTM, whose products cannot be counted; known are Dense, Conv1D, Conv2D, DepthwiseConv2D",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: keras.Sequential([L.Dense(3)], name="open"),
            "the model 'open' is not built; give its first layer an input shape",
        ),
        (
            lambda: keras.Model(name="own"),
            "the model 'own' must be sequential or functional, not Model",
        ),
    ],
)
def test_models_without_a_graph_are_refused(make, message):
    with pytest.raises(ConversionError, match=f"^{re.escape(message)}$"):
        layer_shapes(make())


def test_a_layer_used_twice_and_channels_first_are_refused():
    x = keras.Input((4,))
    twice = L.Dense(4, name="twice")
    with pytest.raises(
        ConversionError, match=r"layer 'twice' is used twice; give each use a layer of its own$"
    ):
        layer_shapes(keras.Model(x, twice(twice(x))))
    image = keras.Input((2, 5, 5))
    first = L.Conv2D(3, 3, data_format="channels_first", name="cf")(image)
    message = "layer 'cf' has data_format='channels_first'; only 'channels_last' is supported"
    with pytest.raises(ConversionError, match=f"{re.escape(message)}$"):
        layer_shapes(keras.Model(image, first))
