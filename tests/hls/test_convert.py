"""Conversion by hls4ml: every type as the map says, weights and zeros unchanged, reuse factors as asked or refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import MODELS, prepared, random_precision

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.target import Target
from codesign.errors import ConversionError, SettingsError
from codesign.hls.convert import HardwareChoices, LayerHardware, convert_graph, hls_config, unrolling_notes
from codesign.hls.graph import read_graph
from codesign.networks.build import build_float
from codesign.networks.prepare import hardware_form


@cache
def hardware(name: str) -> Any:
    network = prepared(name, seed=2, zeros=0.4)
    return hardware_form(network, random_precision(network, 2))


def convert(name: str, folder: Path, target: Target = Target(), **choices: Any) -> Any:  # noqa: B008 - frozen
    network, precision = hardware(name)
    return convert_graph(build_float(network), precision, target, HardwareChoices(**choices), folder)


@pytest.mark.parametrize("name", MODELS)
def test_every_type_is_what_the_map_says(name: str, tmp_path: Path) -> None:
    _, precision = hardware(name)
    graph = read_graph(convert(name, tmp_path / "project"))
    assert graph[graph.inputs[0]].result == precision.input
    for layer, tensor, expected in precision.items():
        assert graph[layer].types[tensor] == expected, f"{layer} {tensor}"
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("name", MODELS)
def test_weights_and_their_zeros_arrive_unchanged(name: str, tmp_path: Path) -> None:
    network, _ = hardware(name)
    graph = read_graph(convert(name, tmp_path))
    for layer in network.weight_layers:
        weights = graph[layer.name].weights
        np.testing.assert_array_equal(
            weights["weight"].ravel(), layer.weights["kernel"].astype(np.float64).ravel()
        )
        assert (weights["weight"] == 0).sum() == (layer.weights["kernel"] == 0).sum() > 0
        if "bias" in layer.weights:
            np.testing.assert_array_equal(weights["bias"], layer.weights["bias"])


def test_accumulators_hold_every_sum(tmp_path: Path) -> None:
    network, precision = hardware("dense")
    graph = read_graph(convert("dense", tmp_path))
    (first,) = [layer for layer in network.weight_layers if layer.name == "fc1"]
    worst = (
        np.abs(first.weights["kernel"].astype(np.float64)).sum(axis=0).max()
        * max(abs(precision.input.minimum), precision.input.maximum)
        + np.abs(first.weights["bias"]).max()
    )
    accumulator = graph["fc1"].types["accum"]
    weight = precision["fc1"].weight
    assert weight is not None
    assert accumulator.maximum >= worst
    assert accumulator.fractional_bits >= precision.input.fractional_bits + weight.fractional_bits


def test_the_target_and_the_choices_reach_hls4ml(tmp_path: Path) -> None:
    target = Target("xcku115-flva1517-2-e", 3.2, "Vivado", "io_stream")
    choices = {"strategy": "resource", "reuse_factor": 5, "layers": {"fc2": LayerHardware(4, "latency")}}
    choices["layers"]["fc1"] = LayerHardware(2)
    graph = convert("dense", tmp_path, target, **choices)
    config = graph.config.config
    assert (config["Part"], config["ClockPeriod"], config["Backend"], config["IOType"]) == (
        "xcku115-flva1517-2-e",
        3.2,
        "Vivado",
        "io_stream",
    )
    layers = {layer.name: layer for layer in graph.get_layers()}
    assert [layers[name].get_attr("reuse_factor") for name in ("fc1", "fc2", "fc3")] == [2, 4, 5]
    strategies = [layers[name].get_attr("strategy").lower() for name in ("fc1", "fc2", "fc3")]
    assert strategies == ["resource", "latency", "resource"]


def refusal(kind: type[Exception], folder: Path, **choices: Any) -> str:
    with pytest.raises(kind) as caught:
        convert("dense", folder, **choices)
    return str(caught.value)


def test_a_reuse_factor_that_hls4ml_would_change_is_refused(tmp_path: Path) -> None:
    # fc2 has 8 x 5 weights
    assert refusal(SettingsError, tmp_path, strategy="resource", layers={"fc2": LayerHardware(7)}) == (
        "hardware.layers.fc2.reuse_factor: 7 is not legal for the 8 x 5 weights of 'fc2' with strategy 'resource' under "
        "'io_parallel', hls4ml would silently build 8; choose 4 or 8"
    )


def test_all_reuse_factors_that_would_be_changed_are_named_together(tmp_path: Path) -> None:
    message = refusal(SettingsError, tmp_path, strategy="resource", reuse_factor=5)
    assert message.startswith(
        "2 settings cannot be used\n  - hardware.layers.fc1.reuse_factor: 5 is not legal "
    )
    assert "\n  - hardware.layers.fc2.reuse_factor: 5 is not legal " in message
    assert "fc3" not in message


def test_names_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    known = "features, fc1, relu1, fc2, fc2_relu, fc3"
    assert refusal(ConversionError, tmp_path, layers={"fc9": LayerHardware(1)}) == (
        f"the hardware settings names fc9, but the model has {known}"
    )
    network, precision = hardware("dense")
    stray = replace(precision, layers={**precision.layers, "fc9": LayerPrecision()})
    with pytest.raises(ConversionError, match=f"^the precision map names fc9, but the model has {known}$"):
        hls_config(build_float(network), stray, HardwareChoices())


def test_what_hls4ml_refuses_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hls4ml

    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(hls4ml.converters, "convert_from_keras_model", fail)
    assert refusal(ConversionError, tmp_path) == "hls4ml cannot convert 'dense': ValueError: no such thing"


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    convert("dense", tmp_path)
    assert capfd.readouterr().out == ""


def test_a_layer_without_bias_gets_a_zero_one(tmp_path: Path) -> None:
    from keras import Input, Sequential, layers

    model = Sequential([Input((3,), name="features"), layers.Dense(2, use_bias=False, name="fc")])
    grid = FixedPoint(4, 1, True, "RND_CONV", "SAT")
    model.get_layer("fc").set_weights([grid.quantize(np.ones((3, 2)) * 0.5)])
    precision = PrecisionMap(grid, {"fc": LayerPrecision(grid)})
    graph = read_graph(convert_graph(model, precision, Target(), HardwareChoices(), tmp_path))
    assert graph["fc"].weights["bias"].tolist() == [0, 0]


def test_a_layer_above_the_unrolling_limit_is_said_with_the_choice_that_fits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import keras

    model = keras.Sequential([keras.Input((80,)), keras.layers.Dense(64, name="wide")])
    grid = FixedPoint(6, 1, True, "RND_CONV", "SAT")
    precision = PrecisionMap(FixedPoint(8, 3), {"wide": LayerPrecision(grid, grid)})
    graph = convert_graph(model, precision, Target(), HardwareChoices(), tmp_path)
    said = (
        "wide: 5,120 products at once with strategy latency, and the vendor's synthesis stops unrolling at 4,096; set "
        "hardware.layers.wide to strategy resource and reuse_factor 2 or more, or prune its units"
    )
    assert unrolling_notes(graph, Target()) == (said,)
    assert said in caplog.text
    fitting = HardwareChoices(layers={"wide": LayerHardware(2, "resource")})
    assert unrolling_notes(convert_graph(model, precision, Target(), fitting, tmp_path), Target()) == ()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bilinear", r"^layer 'odd' interpolates \(bilinear\), and hls4ml would silently repeat"),
        (
            "bidirectional",
            r"^layer 'odd' is a Bidirectional of GRU, whose second bias hls4ml's reader loses; use",
        ),
    ],
)
def test_what_hls4ml_would_drop_is_refused(kind: str, message: str, tmp_path: Path) -> None:
    import keras

    if kind == "bilinear":
        shape, layer = (4, 4, 1), keras.layers.UpSampling2D(interpolation="bilinear", name="odd")
    elif kind == "merged":
        shape, layer = (4, 2), keras.layers.Bidirectional(keras.layers.LSTM(2), merge_mode="sum", name="odd")
    else:
        shape, layer = (4, 2), keras.layers.Bidirectional(keras.layers.GRU(2), name="odd")
    model = keras.Sequential([keras.Input(shape), layer])
    with pytest.raises(ConversionError, match=message):
        convert_graph(model, PrecisionMap(FixedPoint(8, 3), {}), Target(), HardwareChoices(), tmp_path)
