"""Every kind of layer: the quantized student computes what the hardware computes, to the last bit."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from codesign.core.fixed_point import FixedPoint
from codesign.core.layers import LAYERS
from codesign.core.ports import side_by_side
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.target import Target
from codesign.emulation import Emulator
from codesign.errors import ConversionError, SettingsError
from codesign.hls.convert import HardwareChoices, LayerHardware, convert_graph
from codesign.hls.graph import read_graph
from codesign.hls.nodes import BY_CLASS
from codesign.hls.project import write_project
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.faithful import random_inputs
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import hardware_form, prepare_for_quantization
from codesign.networks.read_keras import read_keras, read_qkeras
from codesign.rtl.layers import TRACERS
from codesign.verification import compare, ladder_rungs

_random = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    return _random.normal(0, 0.6, shape)


def given(*shape: int) -> LayerSpec:
    return LayerSpec("x", "input", (), {"shape": list(shape)})


def dense(name: str, source: str, n_in: int, n_out: int) -> LayerSpec:
    return LayerSpec(name, "dense", (source,), weights={"kernel": values(n_in, n_out), "bias": values(n_out)})


def conv(name: str, kind: str, source: str, *kernel: int, padding: str = "valid", bias: int = 0) -> LayerSpec:
    weights = {"kernel": values(*kernel), **({"bias": values(bias)} if bias else {})}
    strides = [1] * (len(kernel) - 2)
    return LayerSpec(name, kind, (source,), {"strides": strides, "padding": padding}, weights)


def norm(source: str, channels: int) -> LayerSpec:
    weights = {name: values(channels) for name in ("gamma", "beta", "mean")}
    weights["variance"] = np.abs(values(channels)) + 0.5
    return LayerSpec("norm", "batch_norm", (source,), {"epsilon": 1e-3, "momentum": 0.9}, weights)


def activation(kind: str, **config: float) -> Network:
    weights = {"alpha": values(6)} if kind == "prelu" else {}
    act = LayerSpec("act", kind, ("first",), config, weights)
    return Network((given(8), dense("first", "x", 8, 6), act, dense("out", "act", 6, 3)))


def two(kind: str) -> Network:
    config, size = ({"axis": -1}, 12) if kind == "concatenate" else ({}, 6)
    merged = LayerSpec("merged", kind, ("one", "two"), config)
    return Network(
        (given(8), dense("one", "x", 8, 6), dense("two", "x", 8, 6), merged, dense("out", "merged", size, 3))
    )


def moved(kind: str, n: int, *shape: int, **config: object) -> Network:
    """An image or a sequence behind a convolution and a rectifier, then the layer."""
    rank = len(shape) - 1
    first = conv("first", f"conv{rank}d", "x", *[3] * rank, shape[-1], 4, padding="same", bias=4)
    between = LayerSpec("between", kind, ("relu",), config)
    flat = LayerSpec("flat", "flatten", ("between",))
    relu = LayerSpec("relu", "relu", ("first",))
    return Network((given(*shape), first, relu, between, flat, dense("out", "flat", n, 3)))


POOL = {"pool_size": [2], "strides": [2], "padding": "valid"}
POOL2 = {"pool_size": [3, 3], "strides": [3, 3], "padding": "valid"}

NETWORKS = {
    **{
        kind: activation(kind)
        for kind in ("relu", "tanh", "sigmoid", "softmax", "softplus", "softsign", "selu", "prelu")
    },
    "leaky_relu": activation("leaky_relu", negative_slope=0.3),
    "elu": activation("elu", alpha=0.7),
    **{
        kind: two(kind)
        for kind in ("add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate")
    },
    "permute": moved("permute", 40, 10, 3, dims=[2, 1]),
    "reshape": moved("reshape", 40, 10, 3, target_shape=[5, 8]),
    "max_pool1d": moved("max_pool1d", 20, 10, 3, **POOL),
    "max_pool2d": moved("max_pool2d", 16, 6, 6, 2, **POOL2),
    "average_pool1d": moved("average_pool1d", 8, 10, 3, **{**POOL, "pool_size": [5], "strides": [5]}),
    "average_pool2d": moved("average_pool2d", 16, 6, 6, 2, **POOL2),
    "zero_padding1d": moved("zero_padding1d", 52, 10, 3, padding=[1, 2]),
    "zero_padding2d": moved("zero_padding2d", 224, 6, 6, 2, padding=[[1, 0], [2, 0]]),
    "cropping1d": moved("cropping1d", 28, 10, 3, cropping=[2, 1]),
    "cropping2d": moved("cropping2d", 60, 6, 6, 2, cropping=[[1, 0], [2, 1]]),
    "upsampling1d": moved("upsampling1d", 80, 10, 3, size=[2]),
    "upsampling2d": moved("upsampling2d", 432, 6, 6, 2, size=[3, 1]),
    "dense per step": Network(
        (
            given(5, 4),
            dense("first", "x", 4, 6),
            LayerSpec("relu", "relu", ("first",)),
            LayerSpec("flat", "flatten", ("relu",)),
            dense("out", "flat", 30, 3),
        )
    ),
    "depthwise_conv1d": Network(
        (
            given(10, 3),
            conv("first", "depthwise_conv1d", "x", 3, 3, 1, padding="same", bias=3),
            LayerSpec("relu", "relu", ("first",)),
            LayerSpec("flat", "flatten", ("relu",)),
            dense("out", "flat", 30, 3),
        )
    ),
    "depthwise_conv2d": Network(
        (
            given(5, 5, 2),
            conv("first", "depthwise_conv2d", "x", 3, 3, 2, 1),
            LayerSpec("relu", "relu", ("first",)),
            LayerSpec("flat", "flatten", ("relu",)),
            dense("out", "flat", 18, 3),
        )
    ),
    "scale": Network(
        (
            given(8),
            dense("first", "x", 8, 6),
            LayerSpec("relu", "relu", ("first",)),
            norm("relu", 6),
            LayerSpec("again", "relu", ("norm",)),
            dense("out", "again", 6, 3),
        )
    ),
    "average before relu": Network(
        (
            given(6, 6, 2),
            conv("first", "conv2d", "x", 3, 3, 2, 3, bias=3),
            LayerSpec("point", "linear", ("first",)),
            LayerSpec(
                "mean", "average_pool2d", ("point",), {**POOL2, "pool_size": [2, 2], "strides": [2, 2]}
            ),
            LayerSpec("relu", "relu", ("mean",)),
            LayerSpec("flat", "flatten", ("relu",)),
            dense("out", "flat", 12, 3),
        )
    ),
    "concatenate another axis": Network(
        (
            given(4, 3),
            conv("one", "conv1d", "x", 1, 3, 2),
            conv("two", "conv1d", "x", 1, 3, 2),
            LayerSpec("merged", "concatenate", ("one", "two"), {"axis": 1}),
            LayerSpec("flat", "flatten", ("merged",)),
            dense("out", "flat", 16, 3),
        )
    ),
}
for sequences in (False, True):
    NETWORKS[f"gru{' of sequences' * sequences}"] = Network(
        (
            given(5, 4),
            dense("first", "x", 4, 3),
            LayerSpec(
                "gru",
                "gru",
                ("first",),
                {"return_sequences": sequences},
                {"kernel": values(3, 12), "recurrent_kernel": values(4, 12), "bias": values(2, 12)},
            ),
            *([LayerSpec("flat", "flatten", ("gru",))] if sequences else []),
            dense("out", "flat" if sequences else "gru", 20 if sequences else 4, 3),
        )
    )
NETWORKS["gru of inputs"] = Network(
    (
        given(4, 2),
        LayerSpec(
            "gru",
            "gru",
            ("x",),
            {"return_sequences": False},
            {"kernel": values(2, 9), "recurrent_kernel": values(3, 9)},
        ),
        dense("out", "gru", 3, 2),
    )
)
for sequences in (False, True):
    NETWORKS[f"lstm{' of sequences' * sequences}"] = Network(
        (
            given(5, 4),
            dense("first", "x", 4, 3),
            LayerSpec(
                "lstm",
                "lstm",
                ("first",),
                {"return_sequences": sequences},
                {"kernel": values(3, 16), "recurrent_kernel": values(4, 16), "bias": values(16)},
            ),
            *([LayerSpec("flat", "flatten", ("lstm",))] if sequences else []),
            dense("out", "flat" if sequences else "lstm", 20 if sequences else 4, 3),
        )
    )
NETWORKS["lstm of inputs"] = Network(
    (
        given(4, 2),
        LayerSpec(
            "lstm",
            "lstm",
            ("x",),
            {"return_sequences": False},
            {"kernel": values(2, 12), "recurrent_kernel": values(3, 12)},
        ),
        dense("out", "lstm", 3, 2),
    )
)

RELU = LayerSpec("relu", "relu", ("first",))
NETWORKS["two outputs"] = Network(
    (given(8), dense("first", "x", 8, 6), RELU, dense("kind", "relu", 6, 3), dense("pt", "relu", 6, 1)),
    ends=("kind", "pt"),
)
NETWORKS["an output that is read inside"] = Network(
    (given(8), dense("first", "x", 8, 6), RELU, dense("kind", "relu", 6, 3), dense("pt", "kind", 3, 1)),
    ends=("pt", "kind", "relu"),
)
PARTICLES = LayerSpec("x", "input", (), {"shape": [4, 3]})
GLOBALS = LayerSpec("globals", "input", (), {"shape": [5]})
NETWORKS["two inputs"] = Network(
    (
        PARTICLES,
        GLOBALS,
        dense("first", "x", 3, 4),
        RELU,
        LayerSpec("flat", "flatten", ("relu",)),
        LayerSpec("merged", "concatenate", ("globals", "flat"), {"axis": -1}),
        dense("out", "merged", 21, 3),
    )
)
NETWORKS["two inputs and outputs"] = Network(
    (*NETWORKS["two inputs"].layers, norm("globals", 5), dense("pt", "norm", 5, 1)), ends=("out", "pt")
)
NETWORKS["softmax of inputs"] = Network(
    (
        given(4, 6),
        LayerSpec("act", "softmax", ("x",)),
        LayerSpec("flat", "flatten", ("act",)),
        dense("out", "flat", 24, 3),
    )
)
TABLE = {"embeddings": values(8, 3)}
NETWORKS["embedding"] = Network(
    (
        given(5),
        LayerSpec("table", "embedding", ("x",), {"input_dim": 7}, TABLE),
        LayerSpec("flat", "flatten", ("table",)),
        dense("out", "flat", 15, 3),
    )
)
NETWORKS["embedding and features"] = Network(
    (
        LayerSpec("x", "input", (), {"shape": [4, 1]}),
        GLOBALS,
        LayerSpec("places", "reshape", ("x",), {"target_shape": [4]}),
        LayerSpec("table", "embedding", ("places",), {"input_dim": 8}, TABLE),
        LayerSpec("flat", "flatten", ("table",)),
        LayerSpec("merged", "concatenate", ("globals", "flat"), {"axis": -1}),
        dense("out", "merged", 17, 3),
    )
)
ONE_WORD = ("embedding and features",)
"""An Embedding behind a reshape, of which hls4ml's C++ reads one word of a stream."""

NOT_RTL = {
    row.kind
    for row in LAYERS
    if row.role != "input" and row.hls4ml and not {BY_CLASS[name].kind for name in row.hls4ml} <= set(TRACERS)
}
"""Kinds that the open RTL cannot trace."""


def test_recurrent_layers_alone_have_no_rtl() -> None:
    assert {row.kind for row in LAYERS if row.recurrent} == NOT_RTL


def test_every_row_of_the_table_is_tried() -> None:
    networks = [
        each for network in NETWORKS.values() for each in (network, prepare_for_quantization(network))
    ]
    tried = {layer.kind for network in networks for layer in network.layers}
    assert tried == {row.kind for row in LAYERS}


def random_formats(network: Network, rng: np.random.Generator) -> PrecisionMap:
    def fixed(least: int, most: int, integer: int, signed: bool = True) -> FixedPoint:
        width = int(rng.integers(least, most, endpoint=True))
        return FixedPoint(width, integer + signed, signed, "RND_CONV", "SAT")

    formats = {}
    for layer in network.layers:
        if layer.row.role == "product":
            bias = fixed(4, 6, 1) if "bias" in layer.weights else None
            formats[layer.name] = LayerPrecision(fixed(4, 6, 1), bias)
        elif layer.kind == "input" and len(network.inputs) > 1:
            result = fixed(4, 7, int(rng.integers(1, 3)))
            formats[layer.name] = LayerPrecision(result=network.index_formats.get(layer.name, result))
        elif layer.row.role == "point":
            slope = fixed(6, 8, 1) if layer.row.parameter else None
            result = fixed(4, 7, int(rng.integers(1, 3)), layer.row.signed)
            formats[layer.name] = LayerPrecision(weight=slope, result=result)
    return PrecisionMap(network.index_formats.get("x", fixed(5, 7, 2)), formats)


def graph_of(network: Network, precision: PrecisionMap, io_type: str, folder: Path):
    target = Target(io_type=io_type)  # type: ignore[arg-type]
    network, precision = hardware_form(network, precision)
    return convert_graph(build_float(network), precision, target, HardwareChoices(), folder), target


def on_grid(
    precision: PrecisionMap, network: Network, n: int, rng: np.random.Generator, *, in_tables: bool = False
) -> np.ndarray:
    """Any code of each input; with ``in_tables`` those alone that the user's own tables have a row for."""
    parts = []
    for port in network.inputs:
        grid = precision.of_input(port.name)
        low, high = grid.code_limits
        if in_tables:
            high = min(high, network.index_sizes().get(port.name, high + 1) - 1)
        parts.append(rng.integers(low, high, (n, *port.shape), endpoint=True) * grid.step)
    return (parts[0] if len(parts) == 1 else side_by_side(parts)).astype(np.float32)


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_student_is_the_hardware(name: str, io_type: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(len(name))
    network = NETWORKS[name]
    prepared = prepare_for_quantization(network)
    x = random_inputs(network, 20)
    before, after = (predict_logits(build_float(each), x) for each in (network, prepared))
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())
    precision = random_formats(prepared, rng)
    student = build_quantized(prepared, precision)
    if name == "selu" and io_type == "io_stream":
        with pytest.raises(ConversionError, match="use io_parallel, or another activation"):
            graph_of(prepared, precision, io_type, tmp_path)
        return
    graph, _ = graph_of(prepared, precision, io_type, tmp_path)
    if name in ONE_WORD and io_type == "io_stream":
        with pytest.raises(ConversionError, match="C\\+\\+ reads one word of its input"):
            read_graph(graph)
        return
    x = on_grid(precision, prepared, 300, rng)
    outputs = predict_logits(student, x)
    assert len(np.unique(outputs)) > 20
    np.testing.assert_array_equal(outputs, Emulator.of(read_graph(graph)).outputs(x.astype(np.float64)))


def recurrent_with_reuse(reuse_factor: int, folder: Path):
    weights = {"kernel": values(4, 12), "recurrent_kernel": values(4, 12), "bias": values(2, 12)}
    gru = LayerSpec("gru", "gru", ("x",), {"return_sequences": False}, weights)
    network = Network((given(3, 4), gru, dense("out", "gru", 4, 2)))
    precision = random_formats(network, np.random.default_rng(2))
    shared = {"gru": LayerHardware(reuse_factor, "resource")}
    on_grid, formats = hardware_form(network, precision)
    choices, target = HardwareChoices(layers=shared), Target()
    return network, precision, convert_graph(build_float(on_grid), formats, target, choices, folder)


def test_a_reuse_factor_fits_both_products_of_a_gru(tmp_path: Path) -> None:
    _, _, graph = recurrent_with_reuse(2, tmp_path)
    attributes = read_graph(graph)["gru"].attributes
    assert (attributes["reuse_factor"], attributes["recurrent_reuse_factor"]) == (2, 2)
    with pytest.raises(SettingsError) as caught:
        recurrent_with_reuse(3, tmp_path)
    assert str(caught.value) == (
        "hardware.layers.gru.reuse_factor: 3 does not divide the 4 values of a step and the 4 of the state of 'gru', whose two "
        "products share it with strategy 'resource'; choose one of 1, 2, 4, or the strategy latency"
    )


@pytest.mark.slow
@pytest.mark.parametrize("reuse_factor", [1, 2, 4])
def test_a_gru_with_reuse_is_its_cpp(reuse_factor: int, tmp_path: Path) -> None:
    network, precision, graph = recurrent_with_reuse(reuse_factor, tmp_path)
    x = on_grid(precision, network, 500, np.random.default_rng(3))
    golden = predict_logits(build_quantized(network, precision), x)
    project = write_project(graph, tmp_path, Target(), vectors=x[:20], golden=golden[:20])
    compare(project, x, golden, rungs=ladder_rungs(["emulation", "csim"])).require_agreement()


@pytest.mark.parametrize(
    "name", ["elu", "prelu", "average_pool2d", "scale", "gru", "lstm", "softmax", "embedding"]
)
def test_a_student_survives_its_file_and_learns(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    prepared = prepare_for_quantization(NETWORKS[name])
    precision = random_formats(prepared, rng)
    student = build_quantized(prepared, precision)
    x = on_grid(precision, prepared, 64, rng)
    outputs = predict_logits(student, x)
    student.save(tmp_path / "student.keras")
    np.testing.assert_array_equal(
        predict_logits(keras.models.load_model(tmp_path / "student.keras"), x), outputs
    )
    student.compile("sgd", "mse")
    before = [np.array(weight) for weight in student.trainable_weights]
    student.fit(x, outputs + 1, epochs=1, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, student.trainable_weights, strict=True)]
    assert all(changed)


@pytest.mark.parametrize("name", NETWORKS)
def test_float_models_and_students_are_read_back_as_they_were_made(name: str) -> None:
    rng = np.random.default_rng(2)
    floats = read_keras(build_float(NETWORKS[name]))
    # a point that only rounds does nothing in a float model
    rounding = [layer.kind for layer in NETWORKS[name].layers if layer.kind != "linear"]
    assert [layer.kind for layer in floats.layers] == rounding
    network = prepare_for_quantization(NETWORKS[name])
    precision = random_formats(network, rng)
    student = build_quantized(network, precision)
    x = on_grid(precision, network, 50, rng, in_tables=True)
    read = read_qkeras(student, x)
    again = build_quantized(read.network, read.precision)
    assert [layer.kind for layer in read.network.layers] == [layer.kind for layer in network.layers]
    np.testing.assert_array_equal(predict_logits(again, x), predict_logits(student, x))


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("seed", range(3))
def test_the_cpp_and_the_rtl_agree(name: str, io_type: str, seed: int, tmp_path: Path) -> None:
    if name == "selu" and io_type == "io_stream":
        pytest.skip("hls4ml's SELU is another one with io_stream")
    if name in ONE_WORD and io_type == "io_stream":
        pytest.skip("hls4ml's Embedding reads one word of a stream")
    rng = np.random.default_rng(100 * seed + len(name))
    prepared = prepare_for_quantization(NETWORKS[name])
    precision = random_formats(prepared, rng)
    graph, target = graph_of(prepared, precision, io_type, tmp_path / "hls")
    x = on_grid(precision, prepared, 1000, rng)
    golden = predict_logits(build_quantized(prepared, precision), x)
    project = write_project(graph, tmp_path / "hls", target, vectors=x[:20], golden=golden[:20])
    has_rtl = io_type == "io_parallel" and not any(layer.kind in NOT_RTL for layer in prepared.layers)
    rungs = ["emulation", "csim", *(["interpreter"] if has_rtl else [])]
    table = compare(project, x, golden, rungs=ladder_rungs(rungs))
    table.require_agreement()
    table.require_run([rung.name for rung in table.rungs])
