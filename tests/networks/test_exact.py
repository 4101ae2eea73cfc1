"""The student in float64: where its sums have more bits than float32, the hardware is compared with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from small_networks import randomized
from test_every_kind import NETWORKS, on_grid, random_formats

from codesign.compression.quantize import QuantizedStudent, quantized_student_of
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.record import Record
from codesign.core.target import Target
from codesign.emulation import Emulator
from codesign.errors import ConversionError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.exact import build_exact, exceeds_float32, float64_outputs
from codesign.networks.faithful import check_quantized
from codesign.networks.joined import outputs_of
from codesign.networks.layer_outputs import trace_layers
from codesign.networks.loading import load_model
from codesign.networks.logits import ending_in_logits, predict_logits
from codesign.networks.prepare import prepare_for_quantization
from codesign.verification import diagnose

WIDE = FixedPoint(20, 18, True, "RND_CONV", "SAT")


def large() -> tuple[QuantizedStudent, np.ndarray]:
    """A student of inputs around 1e5 and weights of many bits."""
    rng = np.random.default_rng(3)
    dense = {"kernel": rng.normal(size=(8, 6)), "bias": rng.normal(size=6)}
    out = {"kernel": rng.normal(size=(6, 3)), "bias": rng.normal(size=3)}
    network = Network(
        (
            LayerSpec("x", "input", (), {"shape": [8]}),
            LayerSpec("first", "dense", ("x",), weights=dense),
            LayerSpec("relu", "relu", ("first",)),
            LayerSpec("out", "dense", ("relu",), weights=out),
        )
    )
    weight = FixedPoint(12, 3, True, "RND_CONV", "SAT")
    formats = {
        "first": LayerPrecision(weight, weight),
        "relu": LayerPrecision(result=FixedPoint(20, 20, False, "RND_CONV", "SAT")),
        "out": LayerPrecision(weight, weight),
    }
    x = WIDE.quantize(rng.normal(0, 3e4, (200, 8)))
    return QuantizedStudent(network, PrecisionMap(WIDE, formats), None, Record.of("", {})), x


def test_where_float32_does_not_hold_the_sums_the_reference_is_exact(tmp_path: Path) -> None:
    student, x = large()
    assert exceeds_float32(student.network, student.precision)
    assert student.given_name == "the student in float64"
    network, precision = student.hardware()
    graph = read_graph(convert_graph(build_float(network), precision, Target(), HardwareChoices(), tmp_path))
    hardware = np.asarray(Emulator.of(graph).run(x))
    np.testing.assert_array_equal(student.outputs(x), hardware)
    rounded = predict_logits(student.qkeras(), x.astype(np.float32))
    assert (rounded != hardware).any()
    names = [node.name for node in graph]
    found = diagnose(graph, x, reference=trace_layers(student.qkeras(), x, names))
    assert found is not None
    assert "in floats" in found.sentence


QUICK = ("multiply", "elu", "prelu", "average_pool2d", "scale", "gru", "lstm")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_it_computes_what_qkeras_computes_where_both_are_exact(name: str) -> None:
    rng = np.random.default_rng(len(name))
    network = prepare_for_quantization(NETWORKS[name])
    precision = random_formats(network, rng)
    exact, qkeras = build_exact(network, precision), build_quantized(network, precision)
    x = on_grid(precision, network, 50, rng)
    outputs = predict_logits(exact, x)
    assert outputs.dtype == np.float64
    np.testing.assert_array_equal(outputs, predict_logits(qkeras, x))


def test_a_model_of_it_survives_its_file(tmp_path: Path) -> None:
    student, x = large()
    model = student.model()
    model.save(tmp_path / "exact.keras")
    again = keras.models.load_model(tmp_path / "exact.keras")
    np.testing.assert_array_equal(predict_logits(again, x), predict_logits(model, x))


def users_model(rng: np.random.Generator) -> keras.Model:
    """A QKeras model with sums that float32 does not hold, as a user makes it."""
    import qkeras

    def dense(units: int, **options: object) -> keras.layers.Layer:
        bits = qkeras.quantized_bits(12, 2, alpha=1)
        return qkeras.QDense(units, kernel_quantizer=bits, bias_quantizer=bits, **options)

    model = keras.Sequential(
        [
            keras.Input((8,)),
            qkeras.QActivation(qkeras.quantized_bits(20, 17, alpha=1)),
            dense(6),
            qkeras.QActivation("quantized_relu(20, 18)"),
            dense(6, activation=qkeras.quantized_relu(20, 20)),
            dense(3, activation="softmax"),
        ]
    )
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


@pytest.mark.parametrize("from_file", [False, True])
def test_a_users_own_model_is_compared_in_float64_where_float32_does_not_hold_its_sums(
    from_file: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    model, x = users_model(rng), rng.normal(0, 3e4, (400, 8)).astype(np.float32)
    student = quantized_student_of(model, x)
    if from_file:
        model.save(tmp_path / "student.keras")
        student = replace(student, given=tmp_path / "student.keras")
    assert student.is_wide
    assert student.given_name.endswith("in float64")
    x = student.on_grid(x)
    network, precision = student.hardware()
    graph = read_graph(
        convert_graph(build_float(network), precision, Target(), HardwareChoices(), tmp_path / "hls")
    )
    hardware = np.asarray(Emulator.of(graph).run(x))
    outputs = student.outputs(x)
    np.testing.assert_array_equal(outputs, hardware)
    np.testing.assert_array_equal(predict_logits(student.model(), x), hardware)
    rounded = predict_logits(ending_in_logits(model), x.astype(np.float32))
    assert (rounded != outputs).any()


def test_a_misread_model_of_wide_sums_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from codesign.networks import read_keras

    def misread(model: keras.Model, network: Network, precision: PrecisionMap, *rest: object) -> object:
        kernel = network["q_dense_2"].weights["kernel"].copy()
        kernel[0, 0] += 1.0
        changed = network.map_layers(
            lambda layer: layer.with_weights(kernel=kernel) if layer.name == "q_dense_2" else layer
        )
        return check_quantized(model, changed, precision, *rest)

    keras.utils.clear_session()
    rng = np.random.default_rng(0)
    model = users_model(rng)
    monkeypatch.setattr(read_keras, "check_quantized", misread)
    with pytest.raises(ConversionError, match="first layer that differs is 'q_dense_2'"):
        quantized_student_of(model, rng.normal(0, 3e4, (50, 8)).astype(np.float32))


ACTIVATIONS = (
    "quantized_bits(6, 1, alpha=1)",
    "quantized_bits(6, 1, symmetric=1, alpha=1)",
    "quantized_relu(6, 2)",
    "quantized_linear(6, 1)",
    "quantized_tanh(6)",
    "quantized_sigmoid(6)",
    "binary(alpha=1)",
    "ternary(alpha=1)",
)
KERNELS = (
    "quantized_bits(6, 1, alpha=1)",
    "quantized_bits(5, 0, alpha='auto_po2')",
    "quantized_po2(4)",
    "binary(alpha=1)",
    "ternary(alpha=1)",
)


@pytest.mark.parametrize(
    ("activation", "kernel"),
    [(activation, KERNELS[0]) for activation in ACTIVATIONS]
    + [(ACTIVATIONS[0], kernel) for kernel in KERNELS[1:]],
)
def test_a_users_model_in_float64_is_the_model_where_float32_holds_its_sums(
    activation: str, kernel: str
) -> None:
    import qkeras

    bits = qkeras.quantized_bits(8, 2, alpha=1)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            qkeras.QActivation(bits),
            qkeras.QDense(7, kernel_quantizer=kernel, bias_quantizer=bits),
            qkeras.QActivation(activation),
            qkeras.QDense(3, kernel_quantizer=kernel, bias_quantizer=bits),
        ]
    )
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    x = np.asarray(qkeras.quantized_bits(8, 2, alpha=1)(rng.normal(size=(100, 5)) * 2), np.float32)
    outputs = float64_outputs(model, x)
    assert outputs.dtype == np.float64
    assert keras.config.floatx() == "float32"
    np.testing.assert_array_equal(outputs, predict_logits(model, x))


@pytest.mark.parametrize("width", [6, 16])
def test_layers_with_a_normalisation_inside_are_folded_in_float32(width: int, tmp_path: Path) -> None:
    import qkeras

    def bits() -> object:
        return qkeras.quantized_bits(width, 2, alpha=1)

    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            qkeras.QActivation(bits()),
            qkeras.QConv2DBatchnorm(3, 2, kernel_quantizer=bits(), bias_quantizer=bits()),
            qkeras.QActivation(bits()),
            keras.layers.Flatten(),
            qkeras.QDenseBatchnorm(3, kernel_quantizer=bits(), bias_quantizer=bits()),
        ]
    )
    randomized(model, 3).save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(100, 4, 4, 2))
    student = quantized_student_of(loaded, x)
    assert exceeds_float32(student.network, student.precision) is (width == 16)
    on_grid = student.precision.quantize_inputs(student.network.inputs, x)
    exact = outputs_of(build_exact(student.network, student.precision), on_grid)
    np.testing.assert_array_equal(float64_outputs(loaded, on_grid), exact)
    if width == 6:
        np.testing.assert_array_equal(exact, predict_logits(loaded, on_grid.astype(np.float32)))
