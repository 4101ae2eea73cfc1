"""The sizes that costs are counted from, read from networks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT, LayerShape
from codesign.networks.build import build_quantized
from codesign.networks.description import WEIGHT_KINDS, LayerSpec, Network
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.read_keras import read_keras, read_qkeras
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
    assert layer_shapes(read_keras(dense_model())) == (
        LayerShape("a", "dense", 16, 8, activations=("a_relu",)),
        LayerShape("b", "dense", 8, 4, sources=("a_relu",), activations=("r",)),
        LayerShape("c", "dense", 4, 3, sources=("r",), shared=True),
    )


def test_convolutions_and_branches():
    shapes = layer_shapes(prepare_for_quantization(read_keras(branching_model())))
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


@pytest.mark.parametrize("make", [dense_model, branching_model])
def test_sizes_agree_with_keras(make):
    model = make()
    network = prepare_for_quantization(read_keras(model))
    for name, shape in network.shapes().items():
        if name in (layer.name for layer in model.layers):
            assert shape == model.get_layer(name).output.shape[1:]
    for shape in layer_shapes(network):
        layer = model.get_layer(shape.name)
        assert shape.n_weights == np.prod(network[shape.name].weights["kernel"].shape)
        assert (shape.n_inputs, shape.n_outputs) == (layer.input.shape[-1], layer.output.shape[-1])
        assert shape.output_positions == np.prod(layer.output.shape[1:-1])


def test_qkeras_gives_the_same_as_the_description():
    network = prepare_for_quantization(read_keras(dense_model()))
    assert layer_shapes(read_qkeras(quantized(network)).network) == layer_shapes(network)
    assert layer_shapes(network)[0].sources == (INPUT,)


def test_a_permutation_of_axes_is_told():
    layers = (
        LayerSpec("x", "input", (), {"shape": [3, 4]}),
        LayerSpec("a", "dense", ("x",), weights={"kernel": np.ones((4, 2))}),
        LayerSpec("r", "relu", ("a",)),
        LayerSpec("p", "permute", ("r",), {"dims": [2, 1]}),
        LayerSpec("b", "dense", ("p",), weights={"kernel": np.ones((3, 5))}),
    )
    first, second = layer_shapes(Network(layers))
    assert (first.output_positions, first.in_order) == (3, True)
    assert (second.sources, second.output_positions, second.in_order) == (("r",), 2, False)


def test_an_addition_shares_what_it_reads():
    x = keras.Input((4,))
    first = L.ReLU(name="ra")(L.Dense(4, name="a")(x))
    second = L.Dense(4, name="b")(first)
    shapes = layer_shapes(read_keras(keras.Model(x, L.Add(name="sum")([first, second]))))
    assert [(shape.name, shape.shared) for shape in shapes] == [("a", True), ("b", True)]
