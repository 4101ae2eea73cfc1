"""Cropping, upsampling and multiplication of tensors equal hls4ml's C++ in both forms, and as RTL."""

from __future__ import annotations

import numpy as np
import pytest
from csim_harness import assert_equal_to_csim, convert, layer_config
from random_networks import Builder

from codesign.errors import DataError
from codesign.hls.graph import read_graph
from codesign.rtl import trace_graph
from codesign.rtl.packing import Port, flat_inputs


def assert_rtl_equals(emulator, x):
    """Compare the interpreted logic of all outputs with the emulated ones."""
    graph = emulator.graph
    ports = [Port(name, graph[name].output_shape, graph[name].result, ()) for name in graph.inputs]
    results = emulator.run(x)
    flat = [
        np.asarray(part).reshape(len(x), -1) for part in (results if isinstance(results, list) else [results])
    ]
    np.testing.assert_array_equal(
        trace_graph(graph).predict(flat_inputs(ports, x)), np.concatenate(flat, axis=1)
    )


def cuts(build, rank):
    """A convolution (so that values have many bits), each layer under test after it."""
    import keras

    layers = keras.layers
    shape = (7, 3) if rank == 1 else (6, 5, 2)
    inputs = keras.Input(shape, name="inp")
    convolution = layers.Conv1D if rank == 1 else layers.Conv2D
    x = convolution(2, 1, name="conv", kernel_initializer=build.initializer())(inputs)
    crop = (2, 1) if rank == 1 else ((1, 2), (2, 0))
    size = 3 if rank == 1 else (2, 3)
    kinds = (f"Cropping{rank}D", f"UpSampling{rank}D")
    outputs = [
        getattr(layers, kind)(option, name=kind.lower())(x)
        for kind, option in zip(kinds, (crop, size), strict=True)
    ]
    model = keras.Model(inputs, outputs)
    config = layer_config(model, build.backend, "fixed<12,4>")
    config["LayerName"]["conv"]["Precision"]["result"] = str(build.format(4, 10))
    config["LayerName"][kinds[0].lower()]["Precision"]["result"] = str(build.format(3, 8))
    return model, config, shape


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_cuts_and_upsampling_equal_the_cpp(rank, io_type, tmp_path):
    build = Builder([rank, len(io_type)], io_type=io_type)
    model, config, shape = cuts(build, rank)
    hls_model = convert(model, tmp_path, config, io_type=io_type, backend=build.backend)
    x = build.rng.normal(0, 2, (60, *shape))
    emulator = assert_equal_to_csim(hls_model, x)
    assert {"resize", f"cropping_{rank}d"} <= {node.kind for node in emulator.graph}
    assert_rtl_equals(emulator, x)


def test_an_upsampling_keeps_the_type_of_its_input_whatever_is_asked_for(tmp_path):
    import keras

    inputs = keras.Input((4, 3), name="inp")
    model = keras.Model(inputs, keras.layers.UpSampling1D(2, name="up")(inputs))
    config = layer_config(model, default="fixed<12,4>")
    config["LayerName"]["up"]["Precision"]["result"] = "fixed<6,3>"
    assert str(read_graph(convert(model, tmp_path, config))["up"].result) == "fixed<12,4>"


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_products_of_two_tensors_equal_the_cpp(io_type, tmp_path):
    import keras

    build = Builder(21, io_type=io_type)
    inputs = keras.Input((5,), name="inp")
    a, b = (
        keras.layers.Dense(4, name=name, kernel_initializer=build.initializer())(inputs)
        for name in ("left", "right")
    )
    model = keras.Model(inputs, keras.layers.Multiply(name="product")([a, b]))
    config = layer_config(model, build.backend, "fixed<10,4>")
    for name in ("left", "right"):
        config["LayerName"][name]["Precision"]["result"] = "fixed<9,3,RND,SAT>"
    hls_model = convert(model, tmp_path, config, io_type=io_type, backend=build.backend)
    x = build.rng.normal(0, 2, (100, 5))
    emulator = assert_equal_to_csim(hls_model, x)
    assert_rtl_equals(emulator, x)


def test_a_rectifier_with_a_limit_equals_the_cpp_in_every_mode(tmp_path):
    import keras

    build = Builder(22, io_type="io_parallel")
    inputs = keras.Input((6,), name="inp")
    names = [f"limit{index}" for index in range(8)]
    model = keras.Model(inputs, [keras.layers.Activation("relu6", name=name)(inputs) for name in names])
    config = layer_config(model, build.backend, "fixed<12,4>")
    config["LayerName"]["inp"]["Precision"]["result"] = "fixed<12,6>"
    for name in names:
        config["LayerName"][name]["Precision"]["result"] = str(build.format(2, 9, integer=(1, 5)))
    hls_model = convert(model, tmp_path, config, backend=build.backend)
    x = build.rng.normal(0, 6, (150, 6))
    assert_rtl_equals(assert_equal_to_csim(hls_model, x), x)


@pytest.mark.parametrize(
    ("equation", "shape", "output", "bias"),
    [
        ("abc,cd->abd", (4, 3), (None, 5), "d"),
        ("abc,bcd->abd", (4, 3), (None, 2), "bd"),
        pytest.param("abcd,dec->abe", (3, 2, 4), (None, 5), None, marks=pytest.mark.slow),
        pytest.param("abc,cd->adb", (4, 3), (5, None), "d", marks=pytest.mark.slow),
    ],
)
def test_an_einsum_equals_the_cpp(equation, shape, output, bias, tmp_path):
    import keras

    build = Builder([31, *equation.encode()], io_type="io_parallel")
    inputs = keras.Input(shape, name="inp")
    layer = keras.layers.EinsumDense(
        equation, tuple(size or shape[0] for size in output), bias_axes=bias, name="sums",
        kernel_initializer=build.initializer(), bias_initializer=build.initializer(),
    )  # fmt: skip
    model = keras.Model(inputs, layer(inputs))
    config = layer_config(model, build.backend, "fixed<14,6>")
    config["LayerName"]["sums"]["Precision"].update(weight="fixed<6,2>", bias="fixed<7,3>", accum="fixed<14,6,RND,SAT>",
                                                    result=str(build.format(4, 10)))  # fmt: skip
    hls_model = convert(model, tmp_path, config, backend=build.backend)
    x = build.rng.normal(0, 2, (80, *shape))
    assert_rtl_equals(assert_equal_to_csim(hls_model, x), x)


@pytest.mark.parametrize("io_type", ["io_parallel", pytest.param("io_stream", marks=pytest.mark.slow)])
def test_an_embedding_equals_the_cpp_and_refuses_an_index_without_a_row(io_type, tmp_path):
    import keras

    build = Builder(41, io_type=io_type)
    inputs = keras.Input((4,), name="inp")
    model = keras.Model(
        inputs, keras.layers.Embedding(9, 3, name="rows", embeddings_initializer="normal")(inputs)
    )
    config = layer_config(model, build.backend, "fixed<12,4>")
    config["LayerName"]["inp"]["Precision"]["result"] = "ufixed<5,5>"
    config["LayerName"]["rows"]["Precision"]["result"] = "fixed<7,1,RND,SAT>"
    hls_model = convert(model, tmp_path, config, io_type=io_type, backend=build.backend)
    x = build.rng.integers(0, 9, (60, 4)).astype(float)
    emulator = assert_equal_to_csim(hls_model, x)
    assert_rtl_equals(emulator, x)
    with pytest.raises(DataError, match=r"^rows has rows 0 to 8, and its input holds 11$"):
        emulator.run(np.full((1, 4), 11.0))
