"""The student in float64: where its sums have more bits than float32, the hardware is compared with it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from test_every_kind import NETWORKS, on_grid, random_formats

from codesign.compression.quantize import QuantizedStudent
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.record import Record
from codesign.core.target import Target
from codesign.emulation import Emulator
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.exact import build_exact, exceeds_float32
from codesign.networks.layer_outputs import trace_layers
from codesign.networks.logits import predict_logits
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
