"""Strategies beyond latency and resource: what they need, where they hold, and that they change no bit."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import inputs, prepared, random_precision

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.target import Target
from codesign.errors import ConversionError
from codesign.hls.convert import HardwareChoices, LayerHardware, convert_graph, hls_config
from codesign.hls.csim import run_csim
from codesign.hls.graph import read_graph
from codesign.hls.project import write_project
from codesign.hls.reuse import legal_reuse_factors, shape_of
from codesign.hls.reuse_table import advise_graph
from codesign.networks.build import build_float, build_quantized
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import hardware_form
from codesign.verification import diagnose_project

DISTRIBUTED = HardwareChoices("distributed_arithmetic")


def agree(name: str, target: Target, choices: Any, folder: Path) -> Any:
    """Convert a random network, compare its C++ with QKeras on 300 samples, and give hls4ml's graph."""
    network = prepared(name, 5, zeros=0.3)
    precision = random_precision(network, 5)
    hardware, formats = hardware_form(network, precision)
    model = build_float(hardware)
    if callable(choices):
        choices = choices(convert_graph(model, formats, target, HardwareChoices(), folder))
    graph = convert_graph(model, formats, target, choices, folder)
    student = build_quantized(network, precision)
    x = precision.input.quantize(inputs(network, 300))
    golden = predict_logits(student, x)
    project = write_project(graph, folder, target, vectors=x[:20], golden=golden[:20])
    np.testing.assert_array_equal(run_csim(project, x).outputs, golden.astype(np.float64))
    assert len(np.unique(golden)) > 20
    assert diagnose_project(project, x, golden) is None
    return graph


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_distributed_arithmetic_changes_no_bit(tmp_path: Path, io_type: Any) -> None:
    pytest.importorskip("da4ml", reason="pip install 'codesign[da]'", exc_type=ImportError)
    graph = agree("dense", Target(io_type=io_type), DISTRIBUTED, tmp_path / "p")
    values = read_graph(graph)
    dense = [node for node in values if node.kind == "dense"]
    assert {node.attributes["strategy"] for node in dense} == {"distributed_arithmetic"}
    assert all(node.weights["weight"].any() for node in dense)
    assert {(layer.strategy, layer.now) for layer in advise_graph(values)} == {("distributed_arithmetic", 1)}
    assert (
        "dense_da_" in (tmp_path / "p" / "firmware" / "codesign_top.cpp").read_text()
        or io_type == "io_stream"
    )


@pytest.mark.slow
def test_the_unrolled_strategy_changes_no_bit(tmp_path: Path) -> None:
    target = Target()

    def unrolled(graph: Any) -> HardwareChoices:
        shapes = {layer.name: shape for layer in graph.get_layers() if (shape := shape_of(layer)) is not None}
        legal = {
            name: legal_reuse_factors(shape, "unrolled", target.io_type) for name, shape in shapes.items()
        }
        return HardwareChoices(
            layers={name: LayerHardware(found[0], "unrolled") for name, found in legal.items() if found}
        )

    graph = agree("dense", target, unrolled, tmp_path / "p")
    strategies = {layer.get_attr("strategy") for layer in graph.get_layers() if shape_of(layer) is not None}
    assert strategies == {"resource_unrolled"}


def test_distributed_arithmetic_holds_for_matrix_products_alone() -> None:
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.DepthwiseConv2D(2, name="depthwise"),
            layers.Conv2D(3, 1, name="pointwise"),
            layers.Flatten(name="flat"),
            layers.Dense(2, name="logits"),
        ]
    )
    fine = FixedPoint(8, 3)
    precision = PrecisionMap(fine, {"logits": LayerPrecision(fine, fine, accum=FixedPoint(9, 4))})
    config = hls_config(model, precision, DISTRIBUTED)
    assert {name: layer["Strategy"] for name, layer in config["LayerName"].items()} == {
        "depthwise": "latency",
        "pointwise": "distributed_arithmetic",
        "flat": "latency",
        "logits": "distributed_arithmetic",
    }
    assert config["Model"]["Strategy"] == "latency"
    # its adders are exact; only what they give has a type
    assert config["LayerName"]["logits"]["Precision"]["accum"] == "auto"
    assert config["LayerName"]["logits"]["Precision"]["result"] == str(FixedPoint(9, 4))
    latency = hls_config(model, precision, replace(DISTRIBUTED, strategy="latency"))
    assert latency["LayerName"]["logits"]["Precision"]["accum"] == str(FixedPoint(9, 4))


def test_without_its_package_distributed_arithmetic_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "da4ml" else found(name, *more)
    )
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="logits")])
    fine = FixedPoint(8, 3)
    precision = PrecisionMap(fine, {"logits": LayerPrecision(fine, fine)})
    with pytest.raises(ConversionError) as caught:
        convert_graph(model, precision, Target(), DISTRIBUTED, tmp_path / "p")
    assert str(caught.value) == (
        "the strategy 'distributed_arithmetic' of logits needs the package da4ml; pip install 'codesign[da]', or "
        "choose another strategy"
    )
