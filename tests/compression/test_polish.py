"""Polishing: digits go where they cost least, the quality is kept, and what is left is exactly what is built."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_tasks import clouds, dense, images

from codesign.compression.formats import measure_ranges, precision_of, uniform_widths
from codesign.compression.polish import fitted, polish_student, with_digits
from codesign.compression.pruning.budget import signed_digits
from codesign.compression.pruning.scores import HessianScores
from codesign.compression.quantize import QuantizedStudent, quantize_student
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.quality import accuracy
from codesign.core.target import Target
from codesign.cost import estimate_luts
from codesign.emulation import Emulator
from codesign.errors import SettingsError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import LayerSpec, Network
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.read_keras import read_keras
from codesign.networks.shapes import layer_shapes
from codesign.settings import (
    DistillationSettings,
    PolishSettings,
    QuantizationSettings,
    TeacherSettings,
    make_design,
)
from codesign.training.teacher import train_teacher

DISTILLATION = DistillationSettings(epochs=1, learning_rate=0.01)
POLISH = PolishSettings(tolerance=0.05, rounds=3, step=0.2, epochs=4, learning_rate=0.01, saliency_samples=64)


def taught(dataset, student: keras.Model, **settings):
    """A teacher, and a student of 6 bits that learnt from it."""
    teacher = train_teacher(dense(dataset, 16), dataset, TeacherSettings(epochs=20, learning_rate=0.01))
    network = read_keras(student)
    prepared = prepare_for_quantization(network)
    precision = precision_of(prepared, measure_ranges(prepared, dataset.x_train), uniform_widths(prepared, 6))
    training = QuantizationSettings(epochs=20, learning_rate=0.01, **settings)
    return teacher, quantize_student(network, precision, teacher, dataset, training, DISTILLATION)


@pytest.fixture(scope="module")
def polished():
    dataset = clouds(n=480)
    keras.utils.set_random_seed(0)
    teacher, student = taught(dataset, dense(dataset, 10, 6))
    return dataset, teacher, student, polish_student(student, teacher, dataset, POLISH, DISTILLATION)


def luts(student: QuantizedStudent) -> float:
    parts = [
        {layer.name: layer.weights[part] for layer in student.network.weight_layers}
        for part in ("kernel", "bias")
    ]
    return estimate_luts(layer_shapes(student.network), student.precision, *parts)


def codes_of(student: QuantizedStudent) -> dict[str, np.ndarray]:
    network, precision = student.hardware()
    return {
        layer.name: precision[layer.name].weight.to_integers(layer.weights["kernel"])
        for layer in network.weight_layers
    }


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=20))
def test_a_number_with_the_digits_that_it_needs_is_itself(numbers):
    codes = np.array(numbers, np.int64)
    needed = signed_digits(codes)
    np.testing.assert_array_equal(with_digits(codes, needed), codes)
    fewer = with_digits(codes, np.maximum(needed - 1, 0))
    assert (signed_digits(fewer) <= np.maximum(needed - 1, 0)).all()
    assert (np.abs(codes - fewer) <= np.abs(codes)).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_is_left_of_a_number_is_as_near_as_so_few_digits_come(count):
    every = np.arange(-2048, 2049)
    reachable = every[signed_digits(every) <= count]
    codes = np.arange(-300, 301)
    nearest = np.abs(codes[:, None] - reachable).min(axis=1)
    np.testing.assert_array_equal(np.abs(codes - with_digits(codes, np.full(codes.shape, count))), nearest)


@given(st.lists(st.integers(-31, 31), min_size=6, max_size=6), st.integers(-3, 5))
def test_formats_and_widths_are_the_narrowest_that_hold_the_weights(numbers, integer_bits):
    weight = FixedPoint(6, integer_bits, True, "RND_CONV", "SAT")
    kernel = weight.from_integers(np.array(numbers).reshape(2, 3)).astype(np.float32)
    layers = (
        LayerSpec("x", "input", (), {"shape": (2,)}),
        LayerSpec("fc", "dense", ("x",), {}, {"kernel": kernel, "bias": np.zeros(3, np.float32)}),
    )
    precision = PrecisionMap(weight, {"fc": LayerPrecision(weight, weight)})
    network, fine = fitted(Network(layers, "net"), precision)
    np.testing.assert_array_equal(network["fc"].weights["kernel"], kernel)
    narrow, widths = fine["fc"].weight, fine["fc"].weight_widths.array
    assert narrow.is_representable(kernel).all()
    np.testing.assert_array_equal(fine["fc"].on_grid(kernel, "fc"), kernel)
    np.testing.assert_array_equal(widths == 0, kernel == 0)
    if narrow.width > 2:
        coarser = FixedPoint(narrow.width - 1, narrow.integer_bits, True, "RND_CONV", "SAT")
        smaller = FixedPoint(narrow.width - 1, narrow.integer_bits - 1, True, "RND_CONV", "SAT")
        assert not coarser.is_representable(kernel).all()
        assert not smaller.is_representable(kernel).all()
    for value, width in zip(kernel.ravel(), widths.ravel(), strict=True):
        if width > 1:
            less = FixedPoint(int(width) - 1, narrow.integer_bits, True, "RND_CONV", "SAT")
            assert not less.is_representable(value)


def test_it_costs_fewer_luts_and_keeps_the_quality(polished):
    dataset, _, student, after = polished
    figures = after.record.metrics["polish"]
    assert figures["luts_before"] == pytest.approx(luts(student))
    assert figures["luts_after"] == pytest.approx(luts(after))
    assert luts(after) < 0.8 * luts(student)
    before = accuracy(dataset.y_validation, predict_logits(student.model(), dataset.x_validation))
    now = accuracy(dataset.y_validation, predict_logits(after.model(), dataset.x_validation))
    assert figures["validation_accuracy_before"] == before
    assert now >= before - POLISH.tolerance
    assert after.record.metrics["validation_accuracy"] == now
    rows = figures["rounds"]
    assert rows[0]["kept"]
    assert all(row["kept"] == (row["validation_accuracy"] >= before - POLISH.tolerance) for row in rows)
    kept = [row["luts"] for row in rows if row["kept"]]
    assert kept == sorted(kept, reverse=True)
    digits = [
        sum(int(signed_digits(codes).sum()) for codes in codes_of(one).values()) for one in (student, after)
    ]
    assert digits[1] < digits[0]


def test_the_polished_student_is_its_hardware_to_the_last_bit(polished):
    dataset, _, _, after = polished
    on_grid, formats = after.hardware()
    graph = convert_graph(build_float(on_grid), formats, Target(), HardwareChoices(), "unwritten")
    x = np.concatenate([dataset.x_test, 20 * dataset.x_test])
    logits = np.asarray(after.model()(x))
    np.testing.assert_array_equal(np.reshape(Emulator.of(read_graph(graph)).run(x), logits.shape), logits)
    for layer in after.network.weight_layers:
        widths = after.precision[layer.name].weight_widths
        np.testing.assert_array_equal(widths.array == 0, layer.weights["kernel"] == 0)
    assert PrecisionMap.from_dict(after.precision.to_dict()) == after.precision
    # without the widths of single weights the numbers are the same: they are values of the kernel's format
    plain = PrecisionMap(
        after.precision.input,
        {name: layer.replaced("weight", layer.weight) for name, layer in after.precision.layers.items()},
    )
    np.testing.assert_array_equal(np.asarray(build_quantized(after.network, plain)(x)), logits)


def test_the_same_seed_gives_the_same_student_and_the_given_one_is_unchanged(polished):
    dataset, teacher, student, after = polished
    digest = student.network.digest
    again = polish_student(student, teacher, dataset, POLISH, DISTILLATION)
    assert (again.network.digest, again.precision) == (after.network.digest, after.precision)
    assert student.network.digest == digest


def test_a_polished_student_can_be_polished_again(polished):
    dataset, teacher, _, after = polished
    twice = polish_student(
        after, teacher, dataset, POLISH.model_copy(update={"tolerance": 0.3, "rounds": 2}), DISTILLATION
    )
    assert luts(twice) < luts(after)


def test_rounds_that_lose_are_undone_in_smaller_and_smaller_steps(polished, monkeypatch):
    dataset, teacher, student, _ = polished
    measured = iter([0.9])
    monkeypatch.setattr("codesign.compression.polish._CHANCES", 1)
    monkeypatch.setattr("codesign.core.task.Classification.quality", lambda *_: next(measured, 0.1))
    after = polish_student(student, teacher, dataset, POLISH.model_copy(update={"rounds": 9}), DISTILLATION)
    rows = after.record.metrics["polish"]["rounds"]
    assert [row["step"] for row in rows] == [0.2, 0.1, 0.05, 0.025]
    assert not any(row["kept"] for row in rows)
    before, now = codes_of(student), codes_of(after)
    for layer in after.network.weight_layers:
        coarser = (
            student.precision[layer.name].weight.fractional_bits
            - after.precision[layer.name].weight.fractional_bits
        )
        np.testing.assert_array_equal(before[layer.name], now[layer.name] << coarser)


def test_convolutions_depthwise_ones_too():
    dataset = images(n=180)
    keras.utils.set_random_seed(0)
    student = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, name="conv", activation="relu"),
            keras.layers.DepthwiseConv2D(2, name="depth"),
            keras.layers.Activation("relu", name="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="logits"),
        ]
    )
    teacher = train_teacher(
        keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]),
        dataset,
        TeacherSettings(epochs=3),
    )
    prepared = prepare_for_quantization(read_keras(student))
    precision = precision_of(prepared, measure_ranges(prepared, dataset.x_train), uniform_widths(prepared, 6))
    training = QuantizationSettings(
        epochs=3, learning_rate=0.01, polish=POLISH.model_copy(update={"tolerance": 0.3, "rounds": 2})
    )
    after = quantize_student(read_keras(student), precision, teacher, dataset, training, DISTILLATION)
    figures = after.record.metrics["polish"]
    assert figures["luts_after"] < figures["luts_before"]
    assert after.record.digest == after.hardware()[0].digest
    on_grid, formats = after.hardware()
    graph = convert_graph(build_float(on_grid), formats, Target(), HardwareChoices(), "unwritten")
    logits = np.asarray(after.model()(dataset.x_test))
    np.testing.assert_array_equal(
        np.reshape(Emulator.of(read_graph(graph)).run(dataset.x_test), logits.shape), logits
    )


def test_the_curvature_is_that_of_softened_predictions():
    keras.utils.set_random_seed(2)
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="fc")])
    for temperature in (1.0, 4.0):
        z = np.asarray(model(x), np.float64) / temperature
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        # the logit j falls with p_j (1 - p_j), every weight of it with its input squared
        expected = np.einsum("ni,nj->ij", x**2, p * (1 - p)) / len(x) / temperature**2
        found = HessianScores(model, ["fc"], x, 3, temperature).diagonal()["fc"]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(True, PolishSettings()), (False, None), ({"rounds": 3}, PolishSettings(rounds=3))],
)
def test_polish_may_be_a_word_or_its_settings(given, expected):
    design = {"name": "d", "data": {"source": "digits"}, "quantization": {"polish": given}}
    assert make_design(design).quantization.polish == expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"step": 0.0}, "quantization.polish.step: should be greater than 0, not 0.0"),
        ({"tolerence": 0.1}, "quantization.polish.tolerence: unknown setting; did you mean tolerance?"),
    ],
)
def test_settings_of_polish_that_make_no_sense_are_told(given, sentence):
    with pytest.raises(SettingsError) as error:
        make_design({"name": "d", "data": {"source": "digits"}, "quantization": {"polish": given}})
    assert str(error.value) == sentence
