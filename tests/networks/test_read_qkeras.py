# ruff: noqa: E501 - tables of one case a line
"""QKeras models: read to the last bit, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import qkeras
from qkeras import QActivation, QDense, quantized_bits, quantized_relu
from small_networks import randomized

from codesign.compression.quantize import quantized_student_of
from codesign.core.fixed_point import FixedPoint
from codesign.core.target import Target
from codesign.emulation import Emulator
from codesign.errors import ConversionError, DataError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.hls.project import write_project
from codesign.networks.build import build_float
from codesign.networks.loading import load_model
from codesign.networks.read_keras import read_keras, read_qkeras
from codesign.verification import compare, ladder_rungs

L = keras.layers
GRID = FixedPoint(8, 3, True, "RND_CONV", "SAT")


def bits(width: int = 6, integer: int = 0) -> Any:
    return quantized_bits(width, integer, alpha=1)


def dense(n: int, kernel: Any = None, **options: Any) -> Any:
    return QDense(n, kernel_quantizer=kernel or bits(), bias_quantizer=bits(), **options)


def sequential(*built: Any, shape: tuple[int, ...] = (8,), grid: bool = True) -> keras.Model:
    first = [QActivation(bits(8, 2))] if grid else []
    return keras.Sequential([keras.Input(shape), *first, *built], name="mine")


def two_quantizers() -> keras.Model:
    x = keras.Input((8,))
    both = dense(6)(QActivation(bits(8, 2))(x))
    total = L.Add()([QActivation(bits(3, 1))(both), QActivation(bits(8, 2))(both)])
    return keras.Model(x, dense(3)(QActivation(bits(6, 2))(total)))


def recurrent(make: Any, within: Any = lambda layer: layer, **options: Any) -> keras.Model:
    """A recurrent layer of two units over three steps; `options` are added, ``None`` leaves one out."""
    given = {
        "kernel_quantizer": bits(),
        "recurrent_quantizer": bits(5),
        "bias_quantizer": bits(),
        "state_quantizer": bits(7, 1),
        "activation": qkeras.quantized_tanh(6),
    }
    if make is not qkeras.QSimpleRNN:
        given["recurrent_activation"] = qkeras.quantized_sigmoid(6)
    layer = make(2, **{**given, **options})
    flat = [L.Flatten()] if layer.return_sequences else []
    return sequential(within(layer), *flat, dense(3), shape=(3, 2))


def several(join: Any, *before: Any, shape: tuple[int, ...] = (8,)) -> keras.Model:
    """A model that goes on with several layers of one value."""
    x = keras.Input(shape)
    value = QActivation(bits(8, 2))(x)
    for layer in before:
        value = layer(value)
    return keras.Model(x, dense(3)(join(value)), name="mine")


def rectified_twice() -> keras.Model:
    x = keras.Input((8,))
    both = dense(6)(QActivation(bits(8, 2))(x))
    merged = L.Concatenate()(
        [QActivation(quantized_relu(4, 1))(both), QActivation(quantized_relu(7, 2))(both)]
    )
    return keras.Model(x, dense(3)(merged))


def activated(activation: Any, **options: Any) -> Callable[[], keras.Model]:
    return lambda: sequential(dense(6), QActivation(activation()), dense(3, **options))


def image(*built: Any, shape: tuple[int, ...] = (5, 5, 2), flat: bool = True) -> keras.Model:
    return sequential(*built, *([L.Flatten()] if flat else []), dense(3), shape=shape)


EXACT: dict[str, Callable[[], keras.Model]] = {
    "tanh": activated(lambda: qkeras.quantized_tanh(6)),
    "symmetric tanh": activated(lambda: qkeras.quantized_tanh(5, symmetric=True)),
    "sigmoid": activated(lambda: qkeras.quantized_sigmoid(6)),
    "sigmoid inside": lambda: sequential(dense(6, activation=qkeras.quantized_sigmoid(4)), dense(3)),
    "linear": activated(lambda: qkeras.quantized_linear(6, 1, alpha=1.0)),
    "sign": activated(lambda: qkeras.binary(alpha=1)),
    "sign, 0 and 1": activated(lambda: qkeras.binary(use_01=True, alpha=0.5)),
    "ternary": activated(lambda: qkeras.ternary(alpha=1)),
    "powers of two": activated(lambda: qkeras.quantized_po2(4)),
    "powers of two up to a limit": activated(lambda: qkeras.quantized_po2(3, max_value=2)),
    "positive powers of two": activated(lambda: qkeras.quantized_relu_po2(3, max_value=4)),
    "hard swish": activated(lambda: qkeras.quantized_hswish(5, 1, alpha=1)),
    "powers of two of an image": lambda: image(
        qkeras.QConv2D(3, 2, kernel_quantizer=bits(), bias_quantizer=bits()),
        QActivation(qkeras.quantized_relu_po2(3, max_value=4)),
    ),
    "ternary beyond a threshold": activated(lambda: qkeras.ternary(alpha=2, threshold=0.7)),
    "a sign of a sign": lambda: sequential(
        dense(6),
        QActivation(qkeras.binary(alpha=1)),
        dense(6),
        QActivation(qkeras.ternary(alpha=0.25)),
        dense(3),
    ),
    "folded dense": lambda: sequential(
        qkeras.QDenseBatchnorm(6, kernel_quantizer=bits(), bias_quantizer=bits(8, 2)),
        QActivation(quantized_relu(6, 2)),
        dense(3),
    ),
    "folded convolution": lambda: image(
        qkeras.QConv2DBatchnorm(3, 2, kernel_quantizer=bits(), bias_quantizer=bits(8, 2), use_bias=False),
        QActivation(quantized_relu(6, 2)),
    ),
    "folded depthwise": lambda: image(
        qkeras.QDepthwiseConv2DBatchnorm(
            2, depthwise_quantizer=bits(), bias_quantizer=bits(8, 2), padding="valid"
        ),
        QActivation(quantized_relu(6, 2)),
    ),
    "a normalisation": lambda: sequential(
        dense(6),
        qkeras.QBatchNormalization(
            gamma_quantizer=None,
            variance_quantizer=None,
            inverse_quantizer=bits(8, 2),
            mean_quantizer=bits(6, 1),
            beta_quantizer=bits(6, 1),
        ),
        QActivation(quantized_relu(6, 2)),
        dense(3),
    ),
    "separable": lambda: image(
        qkeras.QSeparableConv2D(
            3, 2, depthwise_quantizer=bits(), pointwise_quantizer=bits(), bias_quantizer=bits()
        ),
        QActivation(quantized_relu(6, 2)),
    ),
    "QKeras' average": lambda: image(qkeras.QAveragePooling2D(2, activation=bits(6, 2)), shape=(4, 4, 2)),
    "an average by a factor": lambda: image(
        qkeras.QAveragePooling2D(3, average_quantizer=quantized_bits(8, 0, alpha=1), activation=bits(6, 2)),
        shape=(6, 6, 2),
    ),
    "an average of all": lambda: image(
        qkeras.QGlobalAveragePooling2D(average_quantizer=quantized_bits(8, 0, alpha=1)), flat=False
    ),
    "one value through two quantizers": two_quantizers,
    "one value through two rectifiers": rectified_twice,
    "two quantizers in a row": lambda: sequential(
        dense(6), QActivation(bits(8, 2)), QActivation(bits(4, 1)), dense(3)
    ),
    "quantized again behind a rectifier": lambda: sequential(
        dense(6), QActivation(quantized_relu(7, 2)), QActivation(bits(4, 2)), dense(3)
    ),
    "quantized again behind a flatten": lambda: sequential(
        qkeras.QConv1D(3, 2, kernel_quantizer=bits(), bias_quantizer=bits()),
        QActivation(quantized_relu(7, 2)),
        L.Flatten(),
        QActivation(bits(4, 2)),
        dense(3),
        shape=(6, 2),
    ),
    "an average between": lambda: sequential(
        qkeras.QConv2D(3, 2, kernel_quantizer=bits(), bias_quantizer=bits()),
        QActivation(quantized_relu(6, 2)),
        L.AveragePooling2D(2),
        L.Flatten(),
        dense(3),
        shape=(5, 5, 2),
    ),
    "an average of all before its quantizer": lambda: image(
        L.GlobalAveragePooling2D(), QActivation(bits(6, 2)), flat=False
    ),
    "an average before a rectifier": lambda: image(
        L.AveragePooling2D(5), L.Flatten(), QActivation(quantized_relu(5, 1)), flat=False
    ),
    "padded maximum": lambda: sequential(
        qkeras.QConv2D(3, 2, kernel_quantizer=bits(), bias_quantizer=bits()),
        QActivation(quantized_relu(6, 2)),
        L.MaxPooling2D(2, padding="same"),
        L.Flatten(),
        dense(3),
        shape=(6, 6, 2),
    ),
    "constants of powers of two": lambda: sequential(
        dense(6), L.Rescaling(0.5, 0.25), QActivation(quantized_relu(6, 2)), dense(3)
    ),
    "an LSTM": lambda: recurrent(qkeras.QLSTM, kernel_quantizer=qkeras.quantized_po2(4, 1), implementation=2),
    "a GRU": lambda: recurrent(qkeras.QGRU),
    "a GRU that resets before": lambda: recurrent(
        qkeras.QGRU, reset_after=False, return_sequences=True, go_backwards=True
    ),
    "a simple recurrent layer": lambda: recurrent(
        qkeras.QSimpleRNN, state_quantizer=None, activation=quantized_relu(6, 2), return_sequences=True
    ),
    "an LSTM of both directions": lambda: recurrent(qkeras.QLSTM, L.Bidirectional),
    "a GRU of both directions, summed": lambda: recurrent(
        qkeras.QGRU, lambda layer: qkeras.QBidirectional(layer, merge_mode="sum"), return_sequences=True
    ),
    "no activation between": lambda: sequential(dense(6), dense(3)),
    "an activation inside": lambda: sequential(dense(6, activation=quantized_relu(5, 1)), dense(3)),
    "an activation by its text": lambda: sequential(dense(6), QActivation("quantized_relu(5,1)"), dense(3)),
    "a softmax at the end": lambda: sequential(
        dense(6), QActivation(quantized_relu(5, 1)), dense(3), L.Softmax()
    ),
    "names of all kinds": lambda: sequential(
        dense(6, name="p"), QActivation(quantized_relu(5, 1), name="t"), dense(3, name="in-put")
    ),
    **{
        f"kernel {name}": lambda kernel=kernel: sequential(
            dense(6, kernel()), QActivation(quantized_relu(6, 2)), dense(3)
        )
        for name, kernel in {
            "power of two": lambda: qkeras.quantized_po2(4),
            "binary": lambda: qkeras.binary(alpha=1),
            "ternary": lambda: qkeras.ternary(alpha=1),
            "auto_po2": lambda: quantized_bits(4, 0, alpha="auto_po2"),
            "no alpha": lambda: quantized_bits(4, 0),
        }.items()
    },
}


@pytest.mark.parametrize("name", EXACT)
def test_the_hardware_computes_what_the_users_model_computes(name: str, tmp_path: Path) -> None:
    model = randomized(EXACT[name](), 3)
    x = np.random.default_rng(1).normal(size=(200, *model.input_shape[1:]))
    student = quantized_student_of(model, x)
    network, precision = student.hardware()
    graph = convert_graph(build_float(network), precision, Target(), HardwareChoices(), tmp_path)
    on_grid = precision.input.quantize(x)
    hardware = np.asarray(Emulator.of(read_graph(graph)).run(on_grid))
    np.testing.assert_array_equal(student.outputs(on_grid.astype(np.float32)), hardware)
    assert len(np.unique(hardware)) > 20


REFUSED = {
    "ulaw": (activated(lambda: qkeras.quantized_ulaw(4)), "the levels of quantized_ulaw are of no format of 24 bits, and hls4ml 1.3 has no C++ of it; use quantized_bits or quantized_relu, or quantized_tanh"),
    "hswish of many steps": (activated(lambda: qkeras.quantized_hswish(10, 2)), "steps on values of"),
    "symmetric sigmoid": (activated(lambda: qkeras.quantized_sigmoid(6, symmetric=True)), "ends one step above 0, as no fixed-point format does"),
    "a sign scaled by the batch": (activated(lambda: qkeras.binary(alpha="auto")), "binary with alpha='auto' scales by the values of the batch it is given; give alpha a number"),
    "a random activation": (activated(lambda: qkeras.stochastic_binary()), "it is random; use binary"),
    "a normalisation of no format": (lambda: sequential(dense(6), qkeras.QBatchNormalization(name="norm"), dense(3)), "layer 'norm': its factor gamma / sqrt(variance + epsilon) or its term is of no format of 24 bits; give it an inverse_quantizer"),
    "an average of three layers": (lambda: several(lambda x: QActivation(bits(6, 2))(L.Average(name="mean")([dense(4)(x) for _ in range(3)]))), "layer 'mean' has no quantizer, and its factor or term is of no format of 24 bits; use powers of two"),
    "a float GRU": (lambda: sequential(L.GRU(2, name="steps"), QActivation(bits()), dense(3), shape=(3, 2)), "the activation 'steps' (gru) has no quantizer; use QGRU"),
    "a state without a format": (lambda: recurrent(qkeras.QLSTM, state_quantizer=None), "has no state_quantizer; give it one, such as quantized_bits(8, 1, alpha=1)"),
    "a gate without a format": (lambda: recurrent(qkeras.QGRU, recurrent_activation="hard_sigmoid"), "has recurrent_activation='hard_sigmoid', which rounds to no format; give it a quantizer"),
    "many steps": (lambda: sequential(qkeras.QGRU(2), dense(3), shape=(33, 2)), "is a QGRU of 33 steps, each of which is built; at most 32 are: use LSTM or GRU"),
    "plain relu": (lambda: sequential(dense(6), L.Activation("relu", name="act"), dense(3)), "the activation 'act' (relu) has no quantizer; use QActivation(quantized_relu(...))"),
    "plain relu inside": (lambda: sequential(dense(6, activation="relu", name="fc"), dense(3)), "the activation 'fc_relu' (relu) has no quantizer"),
    "plain tanh": (lambda: sequential(dense(6), L.Activation("tanh", name="act"), dense(3)), "the activation 'act' (tanh) has no quantizer; put a QActivation behind a linear layer"),
    "alpha auto": (lambda: sequential(dense(6, quantized_bits(4, 0, alpha="auto")), dense(3)), "its values are of no format of 24 bits"),
    "a float layer": (lambda: sequential(dense(6), QActivation(bits()), L.Dense(3, name="out")), "out have no kernel quantizer; give each layer one"),
    "no bias quantizer": (lambda: sequential(QDense(3, kernel_quantizer=bits(), name="fc")), "layer 'fc' has a bias without a quantizer; give it a bias_quantizer"),
    "an average of nine": (lambda: sequential(qkeras.QConv2D(2, 1, kernel_quantizer=bits(), bias_quantizer=bits()), QActivation(bits()), L.AveragePooling2D(3, name="mean"), L.Flatten(), dense(3), shape=(6, 6, 2)), "layer 'mean' averages 9 values and no quantizer follows it"),
    "an average of nine, quantized twice": (lambda: several(lambda x: L.Concatenate()([QActivation(bits(n, 1))(x) for n in (3, 7)]), L.AveragePooling2D(3, name="mean"), L.Flatten(), shape=(3, 3, 2)), "layer 'mean' averages 9 values and quantizers of several formats follow it; put QActivation"),
    "an open input": (lambda: sequential(dense(3), grid=False), "the input of 'mine' is not quantized; put QActivation(quantized_bits(...)) directly after it, or give the format"),
}  # fmt: skip


CHANGED: dict[str, tuple[Callable[[], keras.Model], str]] = {
    "tanh by table": (activated(lambda: qkeras.quantized_tanh(8, use_real_tanh=True)), "hls4ml looks tanh up in a table of 1024 entries"),
    "tanh of an LSTM by table": (lambda: recurrent(qkeras.QLSTM, activation=qkeras.quantized_tanh(8, use_real_tanh=True)), "hls4ml looks tanh up in a table of 1024 entries"),
    "sigmoid by table": (activated(lambda: qkeras.quantized_sigmoid(8, use_real_sigmoid=True)), "hls4ml looks sigmoid up in a table of 1024 entries"),
    "a float normalisation": (lambda: sequential(dense(6), L.BatchNormalization(), L.Dropout(0.1), QActivation(bits(7, 2)), dense(3)), "BatchNormalization of the model (it has no quantizer, and its constants are rounded to 18 bits)"),
    "a float normalisation of a convolution": (lambda: image(qkeras.QConv2D(3, 2, kernel_quantizer=bits(), bias_quantizer=bits()), L.BatchNormalization(scale=False), QActivation(quantized_relu(6, 2))), "BatchNormalization of the model (it has no quantizer"),
    "a float factor": (lambda: sequential(dense(6), L.Rescaling(1 / 3, 0.1), QActivation(bits(7, 2)), dense(3)), "Rescaling of the model (it has no quantizer, and its constants are rounded to 18 bits)"),
    "binary without alpha": (activated(lambda: qkeras.binary()), "QKeras' binary without alpha is off its levels by float32 noise"),
    "an average of three": (lambda: sequential(dense(4), QActivation(quantized_relu(5, 2)), L.AveragePooling1D(3), QActivation(bits(6, 2)), L.Flatten(), dense(3), shape=(9, 2)), "AveragePooling1D of the model (hls4ml divides a sum of 3 values with 2 bits more than these have, and cuts the rest)"),
    "an average of all of an image": (lambda: image(QActivation(quantized_relu(5, 2)), L.GlobalAveragePooling2D(), QActivation(bits(9, 2)), flat=False), "AveragePooling2D of the model (hls4ml divides a sum of 25 values with 5 bits more than these have, and cuts the rest)"),
    "ternary without alpha": (activated(lambda: qkeras.ternary()), "QKeras' ternary without alpha is off its levels by float32 noise"),
}  # fmt: skip


def test_a_scale_that_qkeras_finds_by_itself_is_taken_where_a_format_holds_it() -> None:
    model = randomized(sequential(dense(6, quantized_bits(4, 0, alpha="auto")), dense(3)), 3)
    first = model.layers[1]
    codes = np.random.default_rng(0).integers(-7, 8, first.kernel.shape)
    codes[0] = 7
    first.kernel.assign(codes * 0.25)
    read = read_qkeras(model)
    assert read.precision[first.name].weight == FixedPoint(4, 2, True, "RND_CONV", "SAT")
    np.testing.assert_array_equal(read.network[first.name].weights["kernel"], np.asarray(first.kernel))


@pytest.mark.parametrize("name", CHANGED)
def test_what_the_hardware_computes_otherwise_is_said_and_then_computed(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, why = CHANGED[name]
    model = randomized(make(), 3)
    x = np.random.default_rng(1).normal(size=(200, *model.input_shape[1:]))
    student = quantized_student_of(model, x)
    said = student.record.metrics["differs_from_given"][0]
    assert why in said
    assert said in caplog.text
    assert student.given is None
    on_grid = student.precision.input.quantize(x).astype(np.float32)
    theirs, ours = np.asarray(model(on_grid)), student.outputs(on_grid)
    differs = (theirs != ours).any(axis=1)
    assert (
        f"{differs.sum()} of 200 samples have other outputs, by up to {np.abs(theirs - ours).max():.3g}"
        in said
    )
    network, precision = student.hardware()
    graph = convert_graph(build_float(network), precision, Target(), HardwareChoices(), tmp_path)
    np.testing.assert_array_equal(
        ours, np.asarray(Emulator.of(read_graph(graph)).run(on_grid.astype(np.float64)))
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EXACT, *CHANGED])
def test_the_cpp_and_the_rtl_compute_it_too(name: str, tmp_path: Path) -> None:
    model = randomized((EXACT.get(name) or CHANGED[name][0])(), 3)
    x = np.random.default_rng(1).normal(size=(500, *model.input_shape[1:]))
    student = quantized_student_of(model, x)
    network, precision = student.hardware()
    graph = convert_graph(build_float(network), precision, Target(), HardwareChoices(), tmp_path)
    on_grid = precision.input.quantize(x).astype(np.float32)
    golden = student.outputs(on_grid)
    project = write_project(graph, tmp_path, Target(), vectors=on_grid[:20], golden=golden[:20])
    compare(
        project, on_grid, golden, rungs=ladder_rungs(["emulation", "csim", "interpreter"])
    ).require_agreement()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ConversionError) as caught:
        read_qkeras(randomized(make(), 1))
    assert message in str(caught.value)


def test_the_format_of_inputs_that_a_model_does_not_quantize_is_given() -> None:
    model = randomized(sequential(dense(6), QActivation(quantized_relu(5, 1)), dense(3), grid=False), 2)
    precision = read_qkeras(model, input_format=GRID).precision
    assert precision.input == GRID
    with pytest.raises(
        ConversionError, match=r"^the input of 'mine' is quantized to fixed<8,3,RND_CONV,SAT,0> by the model"
    ):
        read_qkeras(
            randomized(sequential(dense(3)), 2), input_format=FixedPoint(6, 2, True, "RND_CONV", "SAT")
        )


def test_a_qkeras_model_is_no_float_model() -> None:
    with pytest.raises(
        ConversionError, match=r"^the model 'mine' has QKeras quantizers \(.*give the float model"
    ):
        read_keras(randomized(sequential(dense(3)), 2))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", ["an activation inside", "hard swish"])
def test_a_qkeras_model_is_loaded_of_any_file(suffix: str, name: str, tmp_path: Path) -> None:
    model = randomized(EXACT[name](), 4)
    model.save(tmp_path / f"model{suffix}")
    x = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / f"model{suffix}")(x), model(x))


def a_zip(path: Path, version: str) -> Path:
    import json
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
    return path


def weights_alone(folder: Path) -> Path:
    randomized(EXACT["no activation between"](), 1).save_weights(folder / "mine.weights.h5")
    return (folder / "mine.weights.h5").rename(folder / "mine.h5")


def saved_model(folder: Path) -> Path:
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"")
    return folder / "saved"


FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "no.keras", "does not exist; give a trained .keras or .h5 file"),
    "a folder": (lambda folder: folder, "is a folder; give a .keras or .h5 file"),
    "a SavedModel": (saved_model, "is a SavedModel without layers, which can only compute; save it with model.save('name.keras')"),
    "weights alone": (weights_alone, "holds weights alone; save the whole model with model.save('name.keras')"),
    "a checkpoint": (lambda folder: (folder / "ckpt.index").write_bytes(b"") or folder / "ckpt", "holds weights alone; save the whole model"),
    "Keras 2": (lambda folder: a_zip(folder / "old.keras", "2.15.0"), "cannot be loaded: KeyError: \"There is no item named 'config.json'"),
    "no zip": (lambda folder: (folder / "x.keras").write_bytes(b"no") and folder / "x.keras", "is no .keras file (it is no zip archive)"),
    "another suffix": (lambda folder: (folder / "x.onnx").write_bytes(b"no") and folder / "x.onnx", "must be a .keras or .h5 file, not .onnx"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_model_is_said_to_be_what_it_is(name: str, tmp_path: Path) -> None:
    make, message = FILES[name]
    path = make(tmp_path)
    with pytest.raises(DataError) as caught:
        load_model(path, "the student")
    assert str(caught.value).startswith(f"the student {path} ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
