"""Folding and quantization points: the same function, explicit formats everywhere, zeros that stay."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import MODELS, inputs, prepared, random_precision, randomized

from codesign.core.fixed_point import FixedPoint
from codesign.errors import SettingsError
from codesign.networks.build import build_float, build_quantized
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import (
    add_quantization_points,
    fold_batch_norm,
    hardware_form,
    prepare_for_quantization,
)
from codesign.networks.read_keras import read_keras

FORMAT = FixedPoint(6, 2, True, "RND_CONV", "SAT")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_folding_keeps_the_function(name: str, seed: int) -> None:
    network = read_keras(randomized(MODELS[name](), seed))
    x = inputs(network, 64)
    before, after = (predict_logits(build_float(n), x) for n in (network, prepare_for_quantization(network)))
    # only the float32 rounding of the folded weights differs
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


def test_folding_by_hand() -> None:
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(1, name="fc"), layers.BatchNormalization(epsilon=0.75, name="norm")]
    )
    model.get_layer("fc").set_weights([np.array([[2.0], [-4.0]]), np.array([3.0])])
    # gamma, beta, mean, variance: the scale is 6 / sqrt(0.25 + 0.75) = 6
    model.get_layer("norm").set_weights([np.array([6.0]), np.array([1.0]), np.array([5.0]), np.array([0.25])])
    (folded,) = fold_batch_norm(read_keras(model)).weight_layers
    assert folded.weights["kernel"].tolist() == [[12.0], [-24.0]]
    assert folded.weights["bias"].tolist() == [(3 - 5) * 6 + 1]


@pytest.mark.parametrize("name", MODELS)
def test_zeros_stay_zero_and_only_they(name: str) -> None:
    network = read_keras(randomized(MODELS[name](), 1, zeros=0.4))
    folded = prepare_for_quantization(network)
    for layer in network.weight_layers:
        kernel = folded[layer.name].weights["kernel"]
        np.testing.assert_array_equal(kernel == 0, layer.weights["kernel"] == 0)


@pytest.mark.parametrize("name", MODELS)
def test_no_wide_result_reaches_another_layer_unquantized(name: str) -> None:
    network = prepared(name)
    assert not any(layer.kind == "batch_norm" for layer in network.layers)
    for layer in network.layers:
        if layer.kind in (
            "dense",
            "conv1d",
            "conv2d",
            "depthwise_conv2d",
            "add",
            "average_pool1d",
            "average_pool2d",
        ):
            assert {user.kind for user in network.consumers(layer.name)} <= {"relu", "linear"}


def test_where_the_points_of_the_convolution_are() -> None:
    points = [(layer.name, layer.inputs) for layer in prepared("conv2d").layers if layer.kind == "linear"]
    assert points == [("depthwise_out", ("depthwise",)), ("mean_out", ("mean",))]


def test_points_are_added_once() -> None:
    network = prepared("conv2d")
    assert [layer.name for layer in add_quantization_points(network).layers] == [
        layer.name for layer in network.layers
    ]


def test_a_point_never_takes_the_name_of_a_layer() -> None:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, name="fc"),
            layers.Dense(3, name="fc_out"),
            layers.Dense(2, name="out"),
        ]
    )
    names = [layer.name for layer in prepare_for_quantization(read_keras(model)).layers]
    assert names == ["features", "fc", "fc_out_", "fc_out", "fc_out_out", "out"]


def norm_first() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.BatchNormalization(name="norm"), layers.Dense(2)])


def norm_after_relu() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="relu", name="fc"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(2, use_bias=False),
        ]
    )


def norm_before_flatten() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 2)),
            layers.Conv1D(3, 2, activation="relu"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def norm_between_convolutions() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.Conv2D(3, 2, activation="relu"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(2, 2, strides=2),
        ]
    )


def norm_before_depthwise() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6, 6, 2)), layers.BatchNormalization(name="norm"), layers.DepthwiseConv2D(3)]
    )


def norm_at_the_end() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="relu", name="fc"),
            layers.BatchNormalization(name="norm"),
        ]
    )


def norm_before_padding() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6, 2)), layers.BatchNormalization(name="norm"), layers.Conv1D(3, 3, padding="same")]
    )


def norm_beside_another_user() -> keras.Model:
    given = keras.Input((4,))
    dense = layers.Dense(4, name="fc")(given)
    return keras.Model(given, layers.Add()([dense, layers.BatchNormalization(name="norm")(dense)]))


FOLDED = (norm_first, norm_after_relu, norm_before_flatten, norm_between_convolutions, norm_before_depthwise)
KEPT = (norm_at_the_end, norm_before_padding, norm_beside_another_user)


@pytest.mark.parametrize("make", [*FOLDED, *KEPT])
def test_a_normalisation_goes_into_what_is_behind_it_or_stays_as_a_scale(make: object) -> None:
    network = read_keras(randomized(make(), 3))  # type: ignore[operator]
    folded = fold_batch_norm(network)
    assert [layer.kind for layer in folded.layers].count("scale") == (make in KEPT)
    assert not any(layer.kind == "batch_norm" for layer in folded.layers)
    x = inputs(network, 50)
    before, after = (predict_logits(build_float(n), x) for n in (network, folded))
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


@pytest.mark.parametrize("name", MODELS)
def test_the_hardware_form_has_weights_on_their_grids_and_no_points(name: str) -> None:
    network = prepared(name, zeros=0.3)
    precision = random_precision(network, 5)
    hardware, formats = hardware_form(network, precision)
    assert not any(layer.kind == "linear" for layer in hardware.layers)
    for layer in hardware.weight_layers:
        for key, tensor in (("kernel", formats[layer.name].weight), ("bias", formats[layer.name].bias)):
            if key in layer.weights:
                assert tensor is not None
                np.testing.assert_array_equal(tensor.quantize(layer.weights[key]), layer.weights[key])
        assert (layer.weights["kernel"][network[layer.name].weights["kernel"] == 0] == 0).all()
    # each point's format is now the result of the layer that it followed
    for point in network.layers:
        if point.kind == "linear":
            assert formats[point.inputs[0]].result == precision[point.name].result
    assert formats.input == precision.input
    assert set(formats.layers) <= {layer.name for layer in hardware.layers}


def test_a_layer_without_formats_is_named() -> None:
    network = prepared("dense")
    whole = random_precision(network, 1)
    lacking = replace(whole, input=None).replaced("fc2", "bias", None).replaced("relu1", "result", None)
    with pytest.raises(SettingsError) as caught:
        hardware_form(network, lacking)
    expected = [
        "input: missing; give the format of the values of the network's input",
        "layers.relu1.result: missing; give the format of what 'fc1' (dense) computes, rounded here",
        "layers.fc2.bias: missing; give the format of the bias of this dense",
    ]
    assert list(caught.value.faults) == expected
    with pytest.raises(SettingsError, match=r"layers\.fc2\.bias: missing"):
        build_quantized(network, lacking)
