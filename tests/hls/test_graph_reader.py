"""What is read of a converted graph is what its C++ gets."""

from __future__ import annotations

import contextlib
import io
import re

import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.errors import ConversionError
from codesign.hls.graph import read_graph


def convert(layers, shape, folder, options=None, *, io_type="io_parallel", backend="Vitis"):
    """Convert a chain of Keras layers; `options` update hls4ml's configuration by layer."""
    import hls4ml
    import keras

    x = inputs = keras.Input(shape, name="inp")
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, x)
    with contextlib.redirect_stdout(io.StringIO()):
        config = hls4ml.utils.config_from_keras_model(
            model, granularity="name", backend=backend, default_precision="fixed<16,6>"
        )
        for name, values in (options or {}).items():
            for key, value in values.items():
                part = config["LayerName"][name]
                part.setdefault(key, {}).update(value) if isinstance(value, dict) else part.update(
                    {key: value}
                )
        return hls4ml.converters.convert_from_keras_model(
            model,
            hls_config=config,
            output_dir=str(folder),
            io_type=io_type,
            backend=backend,
            allow_da_fallback=False,
        )


def conv(filters, size, **how):
    import keras

    how.setdefault("kernel_initializer", keras.initializers.RandomNormal(0, 0.4, seed=filters))
    return keras.layers.Conv2D(filters, size, **how)


def dense(units, **how):
    import keras

    how.setdefault("kernel_initializer", keras.initializers.RandomNormal(0, 0.4, seed=units))
    how.setdefault("bias_initializer", keras.initializers.RandomNormal(0, 0.4, seed=units))
    return keras.layers.Dense(units, **how)


def test_weights_are_those_of_the_printed_files(tmp_path):
    coarse = {
        "Precision": {"weight": "fixed<5,2,RND_CONV,SAT>", "bias": "fixed<4,1>", "accum": "fixed<20,8>"}
    }
    layers = [dense(6, name="fc1"), dense(4, name="fc2")]
    hls_model = convert(
        layers, (5,), tmp_path, {"fc1": coarse, "fc2": {**coarse, "Strategy": "Resource", "ReuseFactor": 3}}
    )
    with contextlib.redirect_stdout(io.StringIO()):
        hls_model.write()
    graph = read_graph(hls_model)
    for name in ("fc1", "fc2"):
        for key in ("weight", "bias"):
            variable = hls_model.graph[name].weights[key]
            text = (tmp_path / "firmware" / "weights" / f"{variable.name}.txt").read_text()
            printed = np.array([float(number) for number in text.split(",")])
            ours = graph[name].weights[key]
            ours = ours.T if (name, key) == ("fc2", "weight") else ours
            np.testing.assert_array_equal(ours.ravel(), graph[name].types[key].quantize(printed))


def test_decimal_rounding_carries_a_weight_over_a_step_as_in_the_project(tmp_path):
    import keras

    layer = dense(2, name="fc", kernel_initializer=keras.initializers.Constant(0.249))
    hls_model = convert([layer], (3,), tmp_path, {"fc": {"Precision": {"weight": "fixed<4,2>"}}})
    node = read_graph(hls_model)["fc"]
    assert next(iter(hls_model.graph["fc"].weights["weight"])) == "0.25"
    np.testing.assert_array_equal(node.weights["weight"], np.full((3, 2), 0.25))
    np.testing.assert_array_equal(node.types["weight"].quantize(node.sources["weight"]), np.zeros((3, 2)))


def test_kernels_have_keras_layout_whatever_the_strategy(tmp_path):
    import keras

    shapes = {}
    for strategy in ("Latency", "Resource"):
        layers = [conv(3, 2, name="conv"), keras.layers.Flatten(name="flat"), dense(4, name="fc")]
        options = {name: {"Strategy": strategy, "ReuseFactor": 2} for name in ("conv", "fc")}
        graph = read_graph(convert(layers, (4, 4, 2), tmp_path / strategy, options))
        shapes[strategy] = [graph[name].weights["weight"] for name in ("conv", "fc")]
        assert [graph[name].attributes["strategy"] for name in ("conv", "fc")] == [strategy.lower()] * 2
    for latency, resource in zip(*shapes.values(), strict=True):
        np.testing.assert_array_equal(latency, resource)
    assert [kernel.shape for kernel in shapes["Latency"]] == [(2, 2, 2, 3), (27, 4)]


def test_types_are_those_of_the_written_header(tmp_path):
    import keras

    layers = [dense(6, name="fc1", activation="tanh"), dense(4, name="fc2"), keras.layers.Softmax(name="end")]
    hls_model = convert(layers, (5,), tmp_path, {"fc1": {"Precision": {"result": "fixed<9,4,RND,SAT>"}}})
    with contextlib.redirect_stdout(io.StringIO()):
        hls_model.write()
    header = (tmp_path / "firmware" / "defines.h").read_text()
    written = {
        name: FixedPoint.parse(text) for text, name in re.findall(r"typedef (ap_\S+?>) (\w+);", header)
    }
    graph = read_graph(hls_model)
    for node in graph:
        layer = hls_model.graph[node.name]
        assert node.result == written[layer.get_output_variable().type.name]
        for key in ("accum", "weight", "bias", "exp_table", "inv_table"):
            if key in node.types:
                assert node.types[key] == written[layer.get_attr(f"{key}_t").name], (node.name, key)
    assert graph["fc1"].result == FixedPoint(9, 4, True, "RND", "SAT")
    assert graph["fc2"].attributes["inferred"] == ["accum", "bias", "result", "weight"]
    assert graph["fc1"].attributes["inferred"] == ["accum", "bias", "weight"]


def test_cloned_streams_and_pads_are_nodes_of_their_own(tmp_path):
    import keras

    def doubled(x):
        return keras.layers.Add(name="sum")([x, conv(2, 3, padding="same", name="conv2")(x)])

    layers = [conv(2, 3, padding="same", name="conv1"), doubled]
    graph = read_graph(convert(layers, (4, 4, 2), tmp_path, io_type="io_stream"))
    assert [(node.name, node.kind) for node in graph] == [
        ("inp", "input"),
        ("zp2d_conv1", "zero_padding_2d"),
        ("conv1", "conv_2d"),
        ("clone_conv1", "clone"),
        ("zp2d_conv2", "zero_padding_2d"),
        ("conv2", "conv_2d"),
        ("sum", "merge"),
    ]
    assert graph["sum"].inputs == ("clone_conv1", "conv2")
    assert graph["clone_conv1"].attributes["inferred"] == ["result"]


def unsupported(layer, message, folder, *, shape=(6, 6, 2), options=None, io_type="io_parallel"):
    hls_model = convert([layer], shape, folder, options, io_type=io_type)
    with pytest.raises(ConversionError) as caught:
        read_graph(hls_model)
    first, fault, supported = str(caught.value).splitlines()
    assert first == "the graph has parts that are not supported:"
    assert fault == f"  - {message}"
    assert supported.startswith("supported layers: Activation, ApplyAlpha, BatchNormalization, ")
    assert supported.endswith("activations: linear, relu, relu6, sigmoid, tanh, softplus, softsign, elu, selu, "
                              "binary_tanh, ternary_tanh")  # fmt: skip


def test_unsupported_layers_are_named(tmp_path):
    import keras

    layers = keras.layers
    unsupported(
        layers.Activation("silu", name="act"),
        "act (Activation): activation 'silu' is read by hls4ml, but its C++ has no such function",
        tmp_path,
    )
    unsupported(
        layers.DepthwiseConv2D(2, depth_multiplier=2, name="dw"),
        "dw (DepthwiseConv2D): hls4ml's C++ computes a depth multiplier of 1 only, not 2",
        tmp_path,
    )
    unsupported(
        layers.DepthwiseConv2D(2, name="dw"),
        "dw (DepthwiseConv2D): hls4ml has no depthwise convolution of resource strategy for io_parallel; use latency",
        tmp_path,
        options={"dw": {"Strategy": "Resource", "ReuseFactor": 2}},
    )
    unsupported(
        layers.MaxPooling2D(3, strides=2, name="pool"),
        "pool (Pooling2D): with io_stream the stride of pooling must equal the pool",
        tmp_path,
        io_type="io_stream",
    )
    unsupported(
        conv(2, 2, groups=2, name="conv"),
        "conv (Conv2D): its kernel is (2, 2, 1, 2), not (2, 2, 2, 2); grouped convolutions are not supported",
        tmp_path,
    )
    unsupported(
        conv(2, (2, 1), dilation_rate=(2, 1), name="conv"),
        "conv (Conv2D): its output height is 4, not 5; dilated convolutions are not supported",
        tmp_path,
        io_type="io_stream",
    )


def test_types_too_wide_are_named(tmp_path):
    wide = {"Precision": {"weight": "fixed<40,8>"}}
    hls_model = convert(
        [dense(4, name="fc")], (5,), tmp_path, {"fc": wide, "inp": {"Precision": {"result": "fixed<40,8>"}}}
    )
    with pytest.raises(
        ConversionError,
        match=r"^type 'accum' of layer fc is fixed<84,20,TRN,WRAP,0>: width must be 1 to 64 bits, not 84; "
        r"give the layer an explicit fixed-point precision$",
    ):
        read_graph(hls_model)
