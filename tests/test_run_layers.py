"""A run of each kind of layer through every stage, from the data to equal bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_design import write_design

from codesign.core.layers import LAYERS
from codesign.errors import DataError

NETWORKS = """
import keras
from keras import layers as L


def build_teacher(input_shape, n_classes):
    return keras.Sequential([keras.Input(input_shape), L.Dense(16, activation="relu"), L.Dense(n_classes)])


def few(x, units=6, activation="relu"):
    return L.Dense(units, activation=activation)(x)


def image(x):
    return L.Reshape((8, 8, 1))(x)


def sequence(x):
    return L.Reshape((8, 8))(x)


def build_student(input_shape, n_classes):
    x = given = keras.Input(input_shape)
{body}
    return keras.Model(given, L.Dense(n_classes, name="logits")(x))
"""

VECTORS = {
    "relu": "x = few(x)",
    "linear between": "x = few(few(x, 5, None))",
    "batch_norm before": "x = few(L.BatchNormalization()(x))",
    "batch_norm behind": "x = L.BatchNormalization()(few(x))",
    "scale": "x = L.ReLU()(L.BatchNormalization()(few(x)))",
    "normalisation": "x = few(L.Rescaling(0.5, 0.25)(L.Normalization(mean=0.2, variance=1.5)(x)))",
    **{
        name: f"x = few(x, 6, {name!r})"
        for name in (
            *("tanh", "sigmoid", "softmax", "softplus", "softsign", "elu", "selu", "leaky_relu", "silu"),
            *("hard_silu", "mish"),
        )
    },
    "hard_sigmoid": "x = few(x, 6, 'hard_sigmoid')",
    "relu6": "x = few(x, 6, 'relu6')",
    "embedding": "x = L.Flatten()(L.Embedding(17, 1)(x))",
    "prelu": "x = L.PReLU()(few(x, 6, None))",
    **{
        name: f"x = L.{name.capitalize()}()([few(x), few(x, 6, None)])"
        for name in ("add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate")
    },
    "three": "x = L.Add()([few(x), few(x), few(x)])",
    "shared": "d = L.Dense(6, activation='relu'); x = d(few(d(x), 64))",
    "nested": "x = keras.Sequential([keras.Input((64,)), L.Dense(6, activation='relu')])(x)",
}
SEQUENCES = {
    "conv1d": "x = L.Conv1D(3, 3, activation='relu')(x)",
    "causal": "x = L.Conv1D(3, 3, padding='causal', activation='relu')(x)",
    "depthwise_conv1d": "x = L.ReLU()(L.DepthwiseConv1D(3)(x))",
    "separable": "x = L.SeparableConv1D(3, 3, activation='relu')(x)",
    "dense per step": "x = L.Dense(3, activation='relu')(x)",
    "max_pool1d": "x = L.MaxPooling1D(3, padding='same')(L.Conv1D(3, 1, activation='relu')(x))",
    "average_pool1d": "x = L.AveragePooling1D(3)(x)",
    "global": "x = L.GlobalAveragePooling1D()(L.Dense(4, activation='relu')(x))",
    "zero_padding1d": "x = L.Conv1D(3, 3, activation='relu')(L.ZeroPadding1D(1)(x))",
    "cropping1d": "x = L.Cropping1D((2, 1))(x)",
    "upsampling1d": "x = L.UpSampling1D(2)(L.Conv1D(2, 2, strides=2, activation='relu')(x))",
    "gru": "x = L.GRU(4, return_sequences=True)(x)",
    "gru behind a convolution": "x = L.GRU(4)(L.Conv1D(3, 3)(x))",
    "lstm": "x = L.LSTM(4, return_sequences=True)(L.Dense(3)(x))",
    "lstm of the inputs": "x = L.LSTM(3)(x)",
    "both directions": "x = L.Bidirectional(L.GRU(2, return_sequences=True))(x)",
    "backwards": "x = L.LSTM(2, go_backwards=True)(x)",
    "simple recurrence": "x = L.SimpleRNN(3)(x)",
    "dilated": "x = L.Conv1D(3, 3, dilation_rate=2, activation='relu')(x)",
    "grouped": "x = L.Conv1D(4, 3, groups=2, activation='relu')(x)",
    "permute": "x = L.Permute((2, 1))(L.Conv1D(3, 2, activation='relu')(x))",
}
IMAGES = {
    "conv2d": "x = L.Conv2D(3, 3, activation='relu')(x)",
    "depthwise_conv2d": "x = L.ReLU()(L.DepthwiseConv2D(3)(L.Conv2D(2, 1, activation='relu')(x)))",
    "max_pool2d": "x = L.MaxPooling2D(3, padding='same')(L.Conv2D(2, 2, activation='relu')(x))",
    "depth multiplier": "x = L.ReLU()(L.DepthwiseConv2D(3, depth_multiplier=2)(x))",
    "average_pool2d": "x = L.AveragePooling2D(3)(L.Conv2D(2, 2, activation='relu')(x))",
    "zero_padding2d": "x = L.Conv2D(2, 3, strides=2, activation='relu')(L.ZeroPadding2D(1)(x))",
    "cropping2d": "x = L.Cropping2D(2)(x)",
    "upsampling2d": "x = L.UpSampling2D(2)(L.MaxPooling2D(4)(x))",
}


def body(*lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines)


SINGLE = {
    **{name: body(line) for name, line in VECTORS.items()},
    **{name: body("x = sequence(x)", line, "x = L.Flatten()(x)") for name, line in SEQUENCES.items()},
    **{name: body("x = image(x)", line, "x = L.Flatten()(x)") for name, line in IMAGES.items()},
}
TOGETHER = {
    "vectors": body(
        "x = few(L.BatchNormalization()(x), 8, 'tanh')",
        "x = L.Average()([few(x, 6, 'leaky_relu'), L.Multiply()([few(x, 6, 'sigmoid'), few(x, 6, 'softsign')])])",
        "x = L.Concatenate()([few(x, 5, 'softplus'), L.PReLU()(few(x, 5, None)), few(x, 5, 'elu')])",
        "x = L.Subtract()([L.BatchNormalization()(few(x)), L.Maximum()([few(x), L.Minimum()([few(x), few(x)])])])",
        "x = L.Add()([few(x), few(x), few(x, 6, 'selu')])",
    ),
    "a sequence": body(
        "x = L.ReLU()(L.DepthwiseConv1D(3)(L.ZeroPadding1D(1)(sequence(x))))",
        "x = L.MaxPooling1D(3, padding='same')(L.Conv1D(4, 3, padding='causal', activation='relu')(x))",
        "x = L.GRU(3, return_sequences=True)(x)",
        "x = L.UpSampling1D(3)(L.Permute((2, 1))(L.Dense(3, activation='relu')(x)))",
        "x = L.GlobalAveragePooling1D()(L.AveragePooling1D(3)(L.Cropping1D(1)(x)))",
    ),
    "an image": body(
        "x = L.Conv2D(2, 3, activation='relu')(L.ZeroPadding2D(1)(image(x)))",
        "x = L.ReLU()(L.DepthwiseConv2D(3)(x))",
        "x = L.UpSampling2D(2)(L.MaxPooling2D(3, padding='same')(x))",
        "x = L.Flatten()(L.AveragePooling2D(3)(L.Cropping2D(((1, 0), (0, 1)))(x)))",
    ),
}


SLOW: Mapping[str, Any] = {"pruning": {"epochs": 1, "sparsity": 0.3}}
QUICK: Mapping[str, Any] = {
    "teacher": {"epochs": 1},
    "distillation": {"epochs": 1},
    "pruning": {"method": "magnitude", "epochs": 1, "sparsity": 0.3},
    "scan": {"tolerance": 0.9, "most_bits": 6, "least_bits": 6},
    "quantization": {"epochs": 1},
}
"""What the layers compute is proved, whatever they learnt."""


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of these runs are like those of any other."""
    monkeypatch.setattr("codesign.flow.plot_run", lambda folder: ())
    monkeypatch.setattr("codesign.flow.write_run_page", lambda folder, path: path)


def check(name: str, text: str, folder: Path, settings: Mapping[str, Any] = SLOW) -> None:
    from codesign import run_design

    # pixels are whole numbers from 0 to 16
    scaling = {"data": {"scaling": "none"}} if "Embedding" in text else {}
    design = write_design(folder / "design", NETWORKS.format(body=text), **settings, **scaling)
    run_design(design, output=folder / "run")
    table = json.loads((folder / "run" / "verification" / "verification.json").read_text(encoding="utf-8"))
    assert [rung["name"] for rung in table["rungs"]] == ["QKeras, as read", "emulation", "csim"]
    assert {(rung["mismatches"], rung["skipped"]) for rung in table["rungs"]} == {(0, None)}, name


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "a sequence" else name for name in TOGETHER],
)
def test_kinds_of_layers_run_through_every_stage(name: str, tmp_path: Path) -> None:
    check(name, TOGETHER[name], tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", SINGLE)
def test_each_kind_of_layer_runs_through_every_stage(name: str, tmp_path: Path) -> None:
    check(name, SINGLE[name], tmp_path)


def test_an_embedding_of_scaled_data_is_refused_before_any_training(tmp_path: Path) -> None:
    from codesign import run_design

    text = SINGLE["embedding"]
    design = write_design(tmp_path / "design", NETWORKS.format(body=text))
    with pytest.raises(
        DataError, match=r"in a table of 17 rows, but the data have the value .*data\.scaling none$"
    ):
        run_design(design, output=tmp_path / "run")
    assert not (tmp_path / "run" / "teacher").exists()


def test_every_kind_is_run() -> None:
    named = {*SINGLE, "input", "dense", "batch_norm", "flatten", "reshape", "linear"}
    assert {row.kind for row in LAYERS} - named == set()
