"""Models of Keras 2 in each of its files, written here in its own layout, compute what the same network of Keras 3 does."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from qkeras import QActivation, QDense, quantized_bits, quantized_relu
from small_networks import randomized

from codesign.errors import DataError
from codesign.networks.loading import load_model

L = keras.layers
ZEROS = {"class_name": "Zeros", "config": {}, "shared_object_id": 3}


def entry(kind: str, name: str, inbound: list[Any] | None = None, **config: Any) -> dict[str, Any]:
    """A layer as Keras 2 writes it."""
    common = {} if kind == "InputLayer" else {"trainable": True}
    written = {"class_name": kind, "config": {"name": name, "dtype": "float32", **common, **config}}
    return written if inbound is None else {**written, "name": name, "inbound_nodes": inbound}


def given(name: str, *shape: int | None, **config: Any) -> dict[str, Any]:
    return entry("InputLayer", name, batch_input_shape=[None, *shape], sparse=False, ragged=False, **config)


def table() -> tuple[keras.Model, dict[str, Any]]:
    """A normalisation has its axis in a list, and a layer its policy."""
    x = keras.Input((6,))
    y = L.BatchNormalization(name="bn")(L.Dense(5, activation="relu", name="fc")(x))
    layers = [
        given("input_1", 6),
        entry("Dense", "fc", units=5, activation="relu", use_bias=True, bias_initializer=ZEROS),
        entry("BatchNormalization", "bn", axis=[1], momentum=0.99, epsilon=0.001, center=True, scale=True),
        entry(
            "Dense",
            "out",
            units=3,
            activation="softmax",
            dtype={"class_name": "Policy", "config": {"name": "float32"}},
        ),
    ]
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    return keras.Model(x, L.Dense(3, activation="softmax", name="out")(y)), config


def picture() -> tuple[keras.Model, dict[str, Any]]:
    """Depthwise and separable kernels have arguments that Keras 3 does not know."""
    x = keras.Input((6, 6, 1))
    y = L.DepthwiseConv2D(3, name="depth")(x)
    y = L.LeakyReLU(0.25, name="leaky")(L.SeparableConv2D(3, 2, name="both")(y))
    y = L.Dense(2, name="out")(L.Flatten(name="flat")(y))
    kernel = {"kernel_initializer": ZEROS, "kernel_regularizer": None, "kernel_constraint": None}
    layers = [
        entry(
            "DepthwiseConv2D",
            "depth",
            kernel_size=[3, 3],
            strides=[1, 1],
            padding="valid",
            groups=1,
            batch_input_shape=[None, 6, 6, 1],
        ),
        entry("SeparableConv2D", "both", filters=3, kernel_size=[2, 2], groups=1, **kernel),
        entry("LeakyReLU", "leaky", alpha=0.25),
        entry("Flatten", "flat", data_format="channels_last"),
        entry("Dense", "out", units=2, activation="linear"),
    ]
    return keras.Model(x, y), {"class_name": "Sequential", "config": {"name": "cnn", "layers": layers}}


def steps() -> tuple[keras.Model, dict[str, Any]]:
    x = keras.Input((4, 3))
    y = L.Dense(2, name="out")(L.LSTM(3, name="lstm")(L.GRU(5, return_sequences=True, name="gru")(x)))
    layers = [
        given("input_1", 4, 3),
        entry("GRU", "gru", units=5, return_sequences=True, time_major=False, implementation=2),
        entry("LSTM", "lstm", units=3, time_major=False, implementation=2),
        entry("Dense", "out", units=2, activation="linear"),
    ]
    return keras.Model(x, y), {"class_name": "Sequential", "config": {"name": "rnn", "layers": layers}}


def nested() -> tuple[keras.Model, dict[str, Any]]:
    """The calls of a nested model are counted from 1."""
    x = keras.Input((4,))
    a = L.Dense(3, activation="relu", name="inner_fc")(x)
    b = L.Dense(3, name="side")(x)
    y = L.Dense(2, name="out")(L.Add(name="sum")([a, b]))
    inner = {
        "name": "inner",
        "layers": [
            given("input_2", 4),
            entry("Dense", "inner_fc", units=3, activation="relu"),
        ],
    }
    layers = [
        {**given("input_1", 4), "name": "input_1", "inbound_nodes": []},
        {
            "class_name": "Sequential",
            "config": inner,
            "name": "inner",
            "inbound_nodes": [[["input_1", 0, 0, {}]]],
        },
        entry("Dense", "side", [[["input_1", 0, 0, {}]]], units=3, activation="linear"),
        entry("Add", "sum", [[["inner", 1, 0, {}], ["side", 0, 0, {}]]]),
        entry("Dense", "out", [[["sum", 0, 0, {}]]], units=2, activation="linear"),
    ]
    config = {
        "name": "model",
        "trainable": True,
        "layers": layers,
        "input_layers": [["input_1", 0, 0]],
        "output_layers": [["out", 0, 0]],
    }
    return keras.Model(x, y), {"class_name": "Functional", "config": config}


def shared(last: str) -> tuple[keras.Model, dict[str, Any]]:
    """A functional model inside another that calls it twice, or ends with it."""
    x = keras.Input((3,))
    fc, side = L.Dense(3, activation="relu", name="inner_fc"), L.Dense(3, name="side")
    first = fc(x)
    y = fc(side(first)) if last == "inner" else L.Add(name="sum")([first, fc(side(x))])
    inner = {
        "name": "inner",
        "layers": [
            {**given("input_2", 3), "name": "input_2", "inbound_nodes": []},
            entry("Dense", "inner_fc", [[["input_2", 0, 0, {}]]], units=3, activation="relu"),
        ],
        "input_layers": [["input_2", 0, 0]],
        "output_layers": [["inner_fc", 0, 0]],
    }
    before = ["inner", 1, 0, {}] if last == "inner" else ["input_1", 0, 0, {}]
    layers = [
        {**given("input_1", 3), "name": "input_1", "inbound_nodes": []},
        entry("Dense", "side", [[before]], units=3, activation="linear"),
        {
            "class_name": "Functional",
            "config": inner,
            "name": "inner",
            "inbound_nodes": [[["input_1", 0, 0, {}]], [["side", 0, 0, {}]]],
        },
    ]
    if last == "sum":
        layers.append(entry("Add", "sum", [[["inner", 1, 0, {}], ["inner", 2, 0, {}]]]))
    config = {
        "name": "model",
        "layers": layers,
        "input_layers": [["input_1", 0, 0]],
        "output_layers": [["inner", 2, 0] if last == "inner" else ["sum", 0, 0]],
    }
    return keras.Model(x, y), {"class_name": "Functional", "config": config}


def quantized() -> tuple[keras.Model, dict[str, Any]]:
    """QKeras' quantizers are words, or dictionaries without their module."""

    def bits(**config: Any) -> dict[str, Any]:
        return {"class_name": "quantized_bits", "config": {"alpha": 1.0, "qnoise_factor": 1.0, **config}}

    x = keras.Input((8,))
    kernel = {name: quantized_bits(6, 0, alpha=1) for name in ("kernel_quantizer", "bias_quantizer")}
    y = QDense(6, name="fc", **kernel)(QActivation(quantized_bits(8, 2, alpha=1), name="grid")(x))
    y = QDense(3, name="out", **kernel)(QActivation(quantized_relu(5, 1), name="relu")(y))
    old = {name: bits(bits=6, integer=0) for name in kernel} | {"kernel_range": None, "activation": "linear"}
    relu = {"class_name": "quantized_relu", "config": {"bits": 5, "integer": 1, "use_sigmoid": 0}}
    layers = [
        given("input_1", 8),
        entry("QActivation", "grid", activation="quantized_bits(8,2,0,alpha=1.0)"),
        entry("QDense", "fc", units=6, **old),
        entry("QActivation", "relu", activation=relu),
        entry("QDense", "out", units=3, **old),
    ]
    return keras.Model(x, y), {"class_name": "Sequential", "config": {"name": "q", "layers": layers}}


CASES = {case.__name__: case for case in (table, picture, steps, nested, quantized)}
Write = Callable[[Path, keras.Model, dict[str, Any]], Path]


def as_h5(folder: Path, model: keras.Model, config: dict[str, Any]) -> Path:
    """A group for each layer of the outermost model, which names its weights in order."""
    path = folder / "old.h5"
    inner = {"inner": ["inner_fc"]} if "inner" in json.dumps(config) else {}
    tops = [part["config"]["name"] for part in config["config"]["layers"]]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.11.0"
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in tops]
        group.attrs["keras_version"] = b"2.11.0"
        for top in tops:
            own = group.create_group(top)
            weights = [
                (f"{name}/{number}:0", np.asarray(weight))
                for name in inner.get(top, [top])
                for number, weight in enumerate(weights_of(model, name))
            ]
            own.attrs["weight_names"] = [name.encode() for name, _ in weights]
            for name, value in weights:
                own.create_dataset(name, data=value)
    return path


def weights_of(model: keras.Model, name: str) -> list[Any]:
    return model.get_layer(name).weights if name in {layer.name for layer in model.layers} else []


PLACES = {
    "sequential": {"fc": "dense", "bn": "batch_normalization", "out": "dense_1"},
    "cnn": {"depth": "depthwise_conv2d", "both": "separable_conv2d", "out": "dense"},
    "rnn": {"gru": "gru/cell", "lstm": "lstm/cell", "out": "dense"},
    "q": {"fc": "q_dense", "out": "q_dense_1"},
    "model": {"inner_fc": "sequential/layers/dense", "side": "dense", "out": "dense_1"},
}
"""Where a `.keras` file keeps the weights, by the model's name: by the kinds of layers, counted in each model."""


def as_archive(folder: Path, model: keras.Model, config: dict[str, Any]) -> Path:
    with h5py.File(folder / "model.weights.h5", "w") as file:
        for name, place in PLACES[config["config"]["name"]].items():
            for number, weight in enumerate(weights_of(model, name)):
                file[f"layers/{place}/vars/{number}"] = np.asarray(weight)

    def marked(part: Any) -> Any:
        if isinstance(part, list):
            return [marked(one) for one in part]
        if not isinstance(part, dict):
            return part
        new = {name: marked(value) for name, value in part.items()}
        if "class_name" in part and "config" in part:
            home = "tf_keras.src.engine.functional" if part["class_name"] == "Functional" else "keras.layers"
            new |= {"module": home, "registered_name": None, "build_config": {"input_shape": [None, 6]}}
        return new

    path = folder / "old.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("config.json", json.dumps(marked(config)))
        archive.write(folder / "model.weights.h5", "model.weights.h5")
    return path


def as_saved_model(folder: Path, model: keras.Model, config: dict[str, Any]) -> Path:
    """The variables in the order of the layers, a function, and the layers as JSON in a protocol buffer."""
    import tensorflow as tf

    path = folder / "saved"
    order = {"nested": ["inner_fc", "side", "out"]}.get(
        "nested" if config["class_name"] == "Functional" else "", [layer.name for layer in model.layers]
    )
    root = tf.train.Checkpoint(
        variables=[tf.Variable(np.asarray(weight)) for name in order for weight in weights_of(model, name)],
        kept=[weight.value for weight in model.weights],
    )
    spec = tf.TensorSpec(model.inputs[0].shape, tf.float32, name="input_1")
    function = tf.function(lambda input_1: {"out": model(input_1, training=False)}, input_signature=[spec])
    tf.saved_model.save(root, str(path), signatures=function)
    shaped = json.loads(
        json.dumps(config),
        object_hook=lambda part: {
            name: {"class_name": "__tuple__", "items": value} if name == "batch_input_shape" else value
            for name, value in part.items()
        },
    )
    text = json.dumps({"name": "model", **shaped}).encode()
    node = b"\x10\x01" + field(3, b"root") + field(4, b"_tf_keras_network") + field(5, text)
    other = field(3, b"root.layer-0") + field(5, b'{"class_name": "InputLayer"}')
    (path / "keras_metadata.pb").write_bytes(field(1, node) + field(1, other))
    return path


def field(number: int, value: bytes) -> bytes:
    size, length = len(value), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


FORMS: dict[str, Write] = {"h5": as_h5, "keras": as_archive, "SavedModel": as_saved_model}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_a_file_of_keras_2_computes_what_the_same_network_does(case: str, form: str, tmp_path: Path) -> None:
    model, config = CASES[case]()
    randomized(model, 3)
    found = load_model(FORMS[form](tmp_path, model, config))
    x = np.random.default_rng(0).normal(size=(30, *model.input_shape[1:])).astype(np.float32)
    expected = np.asarray(model(x, training=False))
    np.testing.assert_allclose(np.asarray(found(x, training=False)), expected, rtol=0, atol=1e-6, strict=True)
    assert np.ptp(expected) > 0.01


def test_a_saved_model_whose_layers_compute_other_numbers_is_refused(tmp_path: Path) -> None:
    model, config = table()
    randomized(model, 3)
    config["config"]["layers"][1]["config"]["activation"] = "tanh"
    path = as_saved_model(tmp_path, model, config)
    with pytest.raises(
        DataError, match=r"^the teacher .*saved computes other numbers than its layers \(up to "
    ):
        load_model(path, "the teacher")


def test_what_keras_3_has_no_layer_for_is_one_sentence(tmp_path: Path) -> None:
    model, config = steps()
    config["config"]["layers"][1]["config"]["time_major"] = True
    with pytest.raises(DataError, match=r"^the model .* cannot be loaded: ") as caught:
        load_model(as_h5(tmp_path, model, config))
    assert "time_major" in str(caught.value)
    assert len(str(caught.value)) < 400
    model, config = nested()
    relu = entry("TFOpLambda", "tf.nn.relu", [["sum", 0, 0, {"name": None}]], function="nn.relu")
    config["config"]["layers"].insert(4, relu)
    config["config"]["layers"][5]["inbound_nodes"] = [[["tf.nn.relu", 0, 0, {}]]]
    with pytest.raises(
        DataError, match=r"its graph has TensorFlow's own operation 'nn\.relu'; put a layer of Keras"
    ):
        load_model(as_h5(tmp_path, model, config))


@pytest.mark.parametrize("last", ["sum", "inner"])
def test_a_functional_model_that_is_called_twice_is_read(last: str, tmp_path: Path) -> None:
    model, config = shared(last)
    randomized(model, 3)
    found = load_model(as_h5(tmp_path, model, config))
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    expected = np.asarray(model(x, training=False))
    np.testing.assert_allclose(np.asarray(found(x)), expected, rtol=0, atol=1e-6, strict=True)
    assert np.ptp(expected) > 0.01


def test_weights_that_could_change_places_are_read_by_name_or_refused(tmp_path: Path) -> None:
    """The layers of one shape, which the file names in another order than Keras 3."""
    x = keras.Input((4,))
    kept, first = L.Dense(4, name="kept"), L.Dense(4, name="first")
    model = randomized(keras.Model(x, kept(first(x))), 5)
    layers = [
        {**given("input_1", 4), "name": "input_1", "inbound_nodes": []},
        entry("Dense", "kept", [[["first", 0, 0, {}]]], units=4, activation="linear"),
        entry("Dense", "first", [[["input_1", 0, 0, {}]]], units=4, activation="linear"),
    ]
    config = {
        "name": "swapped",
        "layers": layers,
        "input_layers": [["input_1", 0, 0]],
        "output_layers": [["kept", 0, 0]],
    }
    outer = {"class_name": "Functional", "config": config}
    points = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    found = load_model(as_h5(tmp_path, model, outer))
    np.testing.assert_allclose(
        np.asarray(found(points)), np.asarray(model(points)), rtol=0, atol=1e-6, strict=True
    )
    PLACES["swapped"] = {"kept": "dense", "first": "dense_1"}
    with pytest.raises(
        DataError, match=r"cannot be read for sure: Keras 3 has the layers .* first, kept; save"
    ):
        load_model(as_archive(tmp_path, model, outer))
