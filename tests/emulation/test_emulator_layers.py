"""Layers that random networks do not reach equal hls4ml's C++ as well."""

from __future__ import annotations

import numpy as np
import pytest
from csim_harness import assert_equal_to_csim, convert, layer_config
from random_networks import Builder


def swap_activation(hls_model, name, activation, function):
    """Let the C++ of a converted layer call another activation of the same arguments."""
    layer = hls_model.graph[name]
    called = str(layer.get_attr("function_cpp"))
    before = called.split("nnet::")[1].split("<")[0]
    layer.set_attr("activation", activation)
    layer.set_attr("function_cpp", called.replace(f"nnet::{before}<", f"nnet::{function}<", 1))


@pytest.mark.parametrize(
    ("io_type", "backend"),
    [pytest.param("io_parallel", "Vitis", marks=pytest.mark.slow), ("io_stream", "Vivado")],
)
def test_activations_that_keras_does_not_have(io_type, backend, tmp_path):
    import keras

    swaps = {
        "hard_tanh": ("hard_sigmoid", "hard_tanh"),
        "binary_tanh": ("relu", "binary_tanh"),
        "ternary_tanh": ("relu", "ternary_tanh"),
        "thresholdedrelu": ("leaky", "thresholded_relu"),
    }
    inputs = keras.Input((6,), name="inp")
    outputs = []
    for kind, (base, _) in swaps.items():
        x = keras.layers.Dense(6, name=f"fc_{kind}")(inputs)
        if base == "leaky":
            outputs.append(keras.layers.LeakyReLU(negative_slope=0.7, name=kind)(x))
        else:
            outputs.append(keras.layers.Activation(base, name=kind)(x))
    model = keras.Model(inputs, outputs)
    config = layer_config(model, backend)
    for kind in swaps:
        config["LayerName"][f"fc_{kind}"]["Precision"]["result"] = "fixed<7,3,RND,SAT>"
        config["LayerName"][kind]["Precision"]["result"] = "fixed<6,2,RND_CONV,SAT>"
    hls_model = convert(model, tmp_path, config, io_type=io_type, backend=backend)
    for kind, (_, function) in swaps.items():
        swap_activation(hls_model, kind, kind, function)
    assert_equal_to_csim(hls_model, np.random.default_rng(0).normal(0, 2, (200, 6)))


@pytest.mark.parametrize(
    ("io_type", "backend"),
    [("io_parallel", "Vivado"), pytest.param("io_stream", "Vitis", marks=pytest.mark.slow)],
)
def test_several_inputs_and_outputs_and_moved_axes(io_type, backend, tmp_path):
    import keras

    layers = keras.layers
    first, second = keras.Input((6,), name="first"), keras.Input((4, 3), name="second")
    x = layers.Reshape((4, 3), name="repacked")(layers.Dense(12, name="fc1", activation="relu")(first))
    y = layers.Dense(3, name="pixels")(second)
    total = layers.Add(name="total")([x, y])
    rows = layers.Concatenate(axis=1, name="rows")([total, y])
    columns = layers.Concatenate(axis=-1, name="columns")([total, y])
    chances = layers.Softmax(name="chances")(columns)
    flat = layers.Flatten(name="flat")(layers.Permute((2, 1), name="turned")(rows))
    model = keras.Model([first, second], [layers.Dense(5, name="fc2")(flat), chances])
    hls_model = convert(
        model, tmp_path, layer_config(model, backend, "fixed<12,5>"), io_type=io_type, backend=backend
    )
    rng = np.random.default_rng(1)
    emulator = assert_equal_to_csim(hls_model, [rng.normal(size=(40, 6)), rng.normal(size=(40, 4, 3))])
    assert [node.name for node in emulator.graph if node.kind == "input"] == ["first", "second"]


@pytest.mark.slow
def test_a_softmax_over_another_axis_and_a_broadcast_product(tmp_path):
    import keras

    inputs = keras.Input((4, 3, 2), name="inp")
    x = keras.layers.Softmax(axis=1, name="rows")(
        keras.layers.Conv2D(3, 2, padding="same", name="conv")(inputs)
    )
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    model = keras.Model(inputs, keras.layers.Multiply(name="product")([x, mean]))
    hls_model = convert(model, tmp_path, layer_config(model, default="fixed<14,5>"))
    assert_equal_to_csim(hls_model, np.random.default_rng(2).normal(size=(40, 4, 3, 2)))


@pytest.mark.parametrize("io_type", ["io_parallel", pytest.param("io_stream", marks=pytest.mark.slow)])
def test_saturating_accumulators_add_in_the_order_of_the_strategy(io_type, tmp_path):
    import keras

    build = Builder(11)
    inputs = keras.Input((6,), name="inp")
    branches = []
    strategies = {"latency": 1, "resource": 3, "resource_unrolled": 2}
    for strategy in strategies:
        kernel, bias = build.initializer(), build.initializer()
        branches.append(
            keras.layers.Dense(4, name=strategy, kernel_initializer=kernel, bias_initializer=bias)(inputs)
        )
    model = keras.Model(inputs, branches)
    config = layer_config(model, default="fixed<14,5>")
    for strategy, reuse_factor in strategies.items():
        config["LayerName"][strategy].update(Strategy=strategy, ReuseFactor=reuse_factor)
        config["LayerName"][strategy]["Precision"]["accum"] = "fixed<7,3,RND_CONV,SAT>"
    hls_model = convert(model, tmp_path, config, io_type=io_type)
    emulator = assert_equal_to_csim(hls_model, np.random.default_rng(3).normal(0, 3, (300, 6)))
    assert {layer.method for layer in emulator.accumulators.values()} == {"stepwise"}


@pytest.mark.parametrize(
    ("width", "arithmetic"), [pytest.param(36, "int64", marks=pytest.mark.slow), (44, "object")]
)
def test_types_beyond_floating_point(width, arithmetic, tmp_path):
    import keras

    build = Builder(12)
    inputs = keras.Input((5,), name="inp")
    x = keras.layers.Dense(5, name="fc1", kernel_initializer=build.initializer())(inputs)
    x = keras.layers.Dense(4, name="fc2", kernel_initializer=build.initializer())(x)
    model = keras.Model(inputs, keras.layers.LeakyReLU(negative_slope=0.3, name="end")(x))
    config = layer_config(model)
    layers = config["LayerName"]
    layers["inp"]["Precision"]["result"] = f"fixed<{width},12>"
    fc1 = {"weight": "fixed<24,3>", "bias": "fixed<20,3>", "accum": "fixed<64,19,RND,SAT>"}
    layers["fc1"]["Precision"].update(fc1, result=f"fixed<{width},12,RND,SAT>")
    layers["fc2"]["Precision"].update(
        weight="fixed<24,3>", bias="fixed<20,3>", accum="fixed<50,14>", result="fixed<50,14>"
    )
    layers["end"]["Precision"]["result"] = "fixed<44,14,RND_CONV,SAT>"
    hls_model = convert(model, tmp_path, config)
    emulator = assert_equal_to_csim(hls_model, np.random.default_rng(4).normal(0, 900, (100, 5)))
    assert arithmetic in emulator.arithmetic.values()
