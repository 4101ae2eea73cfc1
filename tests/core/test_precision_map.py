"""Precision maps: values that change by copy, are read back exactly, and name every fault of a file."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import TENSORS, LayerPrecision, PrecisionMap, WeightWidths
from codesign.errors import SettingsError

FORMATS = st.builds(
    FixedPoint,
    st.integers(2, 32),
    st.integers(-8, 24),
    st.booleans(),
    st.sampled_from(["TRN", "RND_CONV"]),
    st.sampled_from(["WRAP", "SAT"]),
)
LAYERS = st.builds(LayerPrecision, *[st.none() | FORMATS] * len(TENSORS))
FINE = st.builds(
    LayerPrecision,
    st.builds(FixedPoint, st.just(16), st.integers(-8, 24), st.booleans()),
    weight_widths=st.lists(st.integers(0, 16), min_size=1, max_size=12).map(WeightWidths.of),
)
MAPS = st.builds(
    PrecisionMap,
    FORMATS,
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True), LAYERS | FINE),
)


def fixed(width: int, integer_bits: int, signed: bool = True) -> FixedPoint:
    return FixedPoint(width, integer_bits, signed, "RND_CONV", "SAT")


@pytest.fixture
def dense() -> PrecisionMap:
    return PrecisionMap(
        fixed(6, 1, False),
        {
            "fc1": LayerPrecision(fixed(6, 1), fixed(8, 2)),
            "relu1": LayerPrecision(result=fixed(5, 2, False)),
            "fc2": LayerPrecision(fixed(4, 1), fixed(4, 1)),
        },
    )


@given(MAPS)
def test_a_map_survives_json_and_pickle(value: PrecisionMap) -> None:
    for copy in (
        PrecisionMap.from_dict(json.loads(json.dumps(value.to_dict()))),
        pickle.loads(pickle.dumps(value)),
    ):
        assert copy == value
        assert (copy.digest, hash(copy)) == (value.digest, hash(value))
        assert list(copy.layers) == list(value.layers)


def test_a_map_survives_a_file(tmp_path: Path, dense: PrecisionMap) -> None:
    assert PrecisionMap.load(dense.save(tmp_path / "map.json")) == dense
    assert json.loads((tmp_path / "map.json").read_text())["layers"]["relu1"] == {
        "result": str(fixed(5, 2, False))
    }


def test_a_map_is_changed_by_copy_only(dense: PrecisionMap) -> None:
    changed = dense.replaced("fc2", "weight", fixed(3, 1))
    assert dense["fc2"].weight == fixed(4, 1)
    assert changed["fc2"] == LayerPrecision(fixed(3, 1), fixed(4, 1))
    assert changed.replaced("fc2", "weight", fixed(4, 1)) == dense
    assert changed.digest != dense.digest
    with pytest.raises(TypeError, match="does not support item assignment"):
        dense.layers["fc1"] = LayerPrecision()  # type: ignore[index]


def test_the_given_layers_may_change_afterwards() -> None:
    layers = {"fc1": LayerPrecision(fixed(6, 1))}
    value = PrecisionMap(fixed(6, 1), layers)
    layers["fc2"] = LayerPrecision()
    assert list(value.layers) == ["fc1"]


def test_items_are_what_is_set(dense: PrecisionMap) -> None:
    assert [(layer, tensor) for layer, tensor, _ in dense.items()] == [
        ("fc1", "weight"),
        ("fc1", "bias"),
        ("relu1", "result"),
        ("fc2", "weight"),
        ("fc2", "bias"),
    ]
    assert all(dense[layer].get(tensor) == precision for layer, tensor, precision in dense.items())


def test_average_bits_are_means_over_the_layers(dense: PrecisionMap) -> None:
    assert [dense.average_bits(tensor) for tensor in ("weight", "bias", "result")] == [
        (6 + 4) / 2,
        (8 + 4) / 2,
        5.0,
    ]
    with pytest.raises(SettingsError, match=r"^the precision map has no bias formats, so no average width$"):
        dense.replaced("fc1", "bias", None).replaced("fc2", "bias", None).average_bits("bias")


def test_an_unknown_layer_names_the_known_ones(dense: PrecisionMap) -> None:
    with pytest.raises(KeyError, match="no layer 'fc3' in the precision map; it has fc1, relu1, fc2"):
        dense["fc3"]


def test_all_faults_of_a_file_come_together() -> None:
    with pytest.raises(SettingsError) as caught:
        PrecisionMap.from_dict(
            {
                "inputs": "fixed<8,1>",
                "layers": {
                    "fc1": {"weight": "fixed<8>", "kernel": "fixed<8,1>"},
                    "fc2": {"bias": "fixed<8,1>"},
                },
            }
        )
    first, *rest = caught.value.faults
    assert first == "inputs: unknown key; known are input, layers"
    assert rest[0] == "input: missing"
    assert rest[1] == f"layers.fc1.kernel: unknown tensor; known are {', '.join(TENSORS)}, weight_widths"
    assert rest[2].startswith("layers.fc1.weight: ")
    assert len(rest) == 3
    assert str(caught.value).startswith("precision map: 4 settings cannot be used\n  - inputs: ")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "must be a mapping with input and layers, not list"),
        ({"input": "fixed<8,1>", "layers": []}, "layers: must be a mapping of layers, not list"),
        (
            {"input": "fixed<8,1>", "layers": {"fc1": "fixed<8,1>"}},
            "layers.fc1: must be a mapping of tensors, not str",
        ),
    ],
)
def test_another_shape_is_no_map(value: object, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PrecisionMap.from_dict(value)  # type: ignore[arg-type]
    assert caught.value.faults == (fault,)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"input": "fixed<8,1>", "layers": {}, "input": "fixed<9,1>"}', "input stands twice"),
        ('{"input": "fixed<8,1>", "layers": {"fc": {}, "fc": {}}}', "fc stands twice"),
        ("[" * 100_000, "it is nested too deep"),
    ],
)
def test_a_file_that_says_a_thing_twice_or_has_no_end_is_no_map(
    tmp_path: Path, text: str, fault: str
) -> None:
    path = tmp_path / "map.json"
    path.write_text(text)
    with pytest.raises(
        SettingsError, match=rf"map.json: is no JSON \({fault}\); give a map that the scan saved$"
    ):
        PrecisionMap.load(path)


def test_a_file_that_is_no_map_is_named(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"input": "fixed<8,1>"')
    with pytest.raises(SettingsError, match=r"map.json: is no JSON \(.*\); give a map that the scan saved$"):
        PrecisionMap.load(path)
    path.write_text('{"input": "fixed<8,1>"}')
    with pytest.raises(SettingsError, match=r"^.*map.json: layers: missing$"):
        PrecisionMap.load(path)
    with pytest.raises(SettingsError, match=r"nothing.json cannot be read \(No such file or directory\)"):
        PrecisionMap.load(tmp_path / "nothing.json")


def test_each_weight_is_a_multiple_of_the_step_that_its_width_leaves():
    kernel = np.array([[0.7, -0.7], [0.3, 3.0]], np.float32)
    widths = np.array([[6, 3], [0, 2]])
    layer = LayerPrecision(fixed(6, 2), weight_widths=WeightWidths.of(widths))
    # steps of 1/16, 1/2, none and 1; two integer bits hold -2 to below 2
    assert layer.on_grid(kernel, "fc").tolist() == [[0.6875, -0.5], [0.0, 1.0]]
    for (row, column), width in np.ndenumerate(widths):
        value = layer.on_grid(kernel, "fc")[row, column]
        expected = replace(layer.weight, width=int(width)).quantize(kernel[row, column]) if width else 0.0
        assert value == expected
        assert layer.weight.is_representable(value)
    channels = LayerPrecision(fixed(6, 2), weight_widths=WeightWidths.of([6, 0]))
    assert channels.on_grid(kernel, "fc").tolist() == [[0.6875, 0.0], [0.3125, 0.0]]
    assert layer.mean_weight_width == 11 / 4
    assert PrecisionMap(fixed(4, 1), {"fc": layer}).average_bits("weight") == 11 / 4


def test_a_map_of_elements_is_small_on_disk(tmp_path):
    widths = np.random.default_rng(0).integers(0, 9, (64, 32))
    layer = LayerPrecision(fixed(8, 2), weight_widths=WeightWidths.of(widths))
    whole = PrecisionMap(fixed(4, 1), {"fc": layer})
    path = whole.save(tmp_path / "map.json")
    assert path.stat().st_size < 1.2 * widths.size
    again = PrecisionMap.load(path)
    assert again == whole
    np.testing.assert_array_equal(again["fc"].weight_widths.array, widths)


def test_another_format_of_the_weights_forgets_their_widths():
    layer = LayerPrecision(fixed(6, 2), fixed(6, 2), weight_widths=WeightWidths.of([3]))
    assert layer.replaced("bias", None).weight_widths == layer.weight_widths
    assert layer.replaced("weight", fixed(5, 2)).weight_widths is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"shape": [2], "bits": "3"}, "weight_widths: the shape (2,) needs as many widths, not 1"),
        ({"shape": [1], "bits": "?"}, "weight_widths: bits: must be a text of one of"),
        ({"shape": [0], "bits": ""}, "weight_widths: shape: must be whole numbers above 0, not [0]"),
        ({"shape": [1]}, "weight_widths: must be a mapping of shape and bits, not dict"),
        ("33", "weight_widths: must be a mapping of shape and bits, not str"),
        ({"shape": [1], "bits": "9"}, "weight_widths: must be at most the 6 bits of weight, not 9"),
    ],
)
def test_widths_of_a_file_that_make_no_sense_are_told(given, sentence):
    value = {"input": "fixed<4,1>", "layers": {"fc": {"weight": "fixed<6,2>", "weight_widths": given}}}
    with pytest.raises(SettingsError) as error:
        PrecisionMap.from_dict(value)
    assert f"layers.fc.{sentence}" in str(error.value)


def test_widths_that_fit_no_kernel_or_no_format_are_refused():
    layer = LayerPrecision(fixed(6, 2), weight_widths=WeightWidths.of(np.ones((3, 4), int)))
    with pytest.raises(SettingsError) as error:
        layer.on_grid(np.zeros((3, 5)), "fc")
    assert "layers.fc.weight_widths: their shape (3, 4) does not fit the kernel's, (3, 5);" in str(
        error.value
    )
    with pytest.raises(SettingsError, match=r"^weight_widths: the weights have no format"):
        LayerPrecision(weight_widths=WeightWidths.of([3]))
    for wrong, sentence in (
        ([-1], "0 to 64 bits, not -1"),
        ([65], "0 to 64 bits, not 65"),
        ([0.5], "whole numbers"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            WeightWidths.of(wrong)
