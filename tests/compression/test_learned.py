"""Learned widths: what is built computes what was trained, prices draw, and a training goes on where it was stopped."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from learning_tasks import clouds, convolutional, dense, images

from codesign.compression.learned import learn
from codesign.compression.learned.formats import network_of
from codesign.compression.learned.front import Front, Point, best
from codesign.compression.learned.learn import learn_widths, student_at, training_key
from codesign.compression.learned.loop import Loop
from codesign.compression.learned.values import (
    _APART,
    LearnableNetwork,
    _bits,
    _nearly_greatest,
    _quantized,
    tied,
)
from codesign.compression.polish import polish_student
from codesign.compression.pruning.budget import signed_digits
from codesign.compression.quantize import QuantizedStudent
from codesign.core.fixed_point import FixedPoint
from codesign.core.progress import SILENT
from codesign.core.record import Record
from codesign.core.target import Target
from codesign.core.task import Classification, Regression, Score
from codesign.emulation import Emulator
from codesign.errors import QualityError, SettingsError, StaleProjectError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.graph import read_graph
from codesign.networks.build import build_float, value_formats
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.read_keras import read_keras
from codesign.settings import (
    DistillationSettings,
    LearnedSettings,
    PolishSettings,
    TeacherSettings,
    make_design,
)
from codesign.stages.quantization import Quantization
from codesign.training.lesson import make_lesson
from codesign.training.teacher import train_teacher

DISTILLATION = DistillationSettings(epochs=1)
SETTINGS = LearnedSettings(steps=400, batch_size=64, cycles=2, first_price=1e-5, last_price=3e-3)


@pytest.fixture(scope="module")
def learned():
    dataset = clouds(n=480)
    keras.utils.set_random_seed(0)
    teacher = train_teacher(dense(dataset, 16), dataset, TeacherSettings(epochs=20, learning_rate=0.01))
    network = read_keras(dense(dataset, 10, 6, norm=True))
    return dataset, teacher, network, learn_widths(network, teacher, dataset, SETTINGS, DISTILLATION)


def test_a_front_trades_quality_for_luts_and_is_better_than_chance(learned):
    *_, front = learned
    luts = [point.luts for point in front.points]
    assert len(front.points) >= 4
    assert luts == sorted(luts)
    assert luts[-1] > 2 * luts[0]
    qualities = [point.quality for point in front.points]
    assert all(less < more for less, more in itertools.pairwise(qualities))
    assert qualities[-1] > 0.7


def test_only_what_falls_back_to_a_guess_has_collapsed():
    rare = np.repeat([0, 1], [95, 5])
    # an area of 0.9 is no collapse, though saying the commonest label is right more often
    assert not learn.is_collapse(0.9, 0.95, Score().guess(rare))
    assert learn.is_collapse(0.51, 0.95, Score().guess(rare))
    assert learn.is_collapse(0.95, 0.99, Classification(("no", "yes")).guess(rare))
    assert learn.is_collapse(-0.2, 0.8, Regression(("pt",)).guess(rare[:, None]))
    # nor is a training that has not begun to learn
    assert not learn.is_collapse(-0.2, -0.1, 0.0)


def test_every_point_computes_in_qkeras_and_hardware_what_the_training_computed(learned, tmp_path):
    dataset, _, network, front = learned
    for point in front.points[:: max(1, len(front.points) // 3)]:
        student = student_at(network, front, point, dataset, SETTINGS)
        assert student.record.metrics["validation_accuracy"] == point.quality
        assert student.record.metrics["test_accuracy"] == point.test_quality
        compare_with_hardware(student, dataset, tmp_path)


def test_a_point_is_polished_and_its_rounding_stays_free(learned, tmp_path):
    dataset, teacher, network, front = learned
    student = student_at(network, front, front.points[-1], dataset, SETTINGS)
    polish = PolishSettings(
        tolerance=0.05, rounds=2, step=0.2, epochs=3, learning_rate=0.01, saliency_samples=64
    )
    after = polish_student(student, teacher, dataset, polish, DISTILLATION)
    assert after.record.metrics["polish"]["luts_after"] < 0.95 * front.points[-1].luts
    assert after.record.metrics["validation_accuracy"] >= front.points[-1].quality - 0.05
    compare_with_hardware(after, dataset, tmp_path)
    on_grid, formats = after.hardware()
    given = value_formats(on_grid, formats)
    rounded = 0
    for layer in on_grid.weight_layers[:-1]:
        last = np.array(
            [2.0 ** -FixedPoint.narrowest(row).fractional_bits for row in layer.weights["kernel"].T]
        )
        steps = layer.weights["bias"].astype(np.float64) / (last * given[layer.inputs[0]].step)
        rounds = last * given[layer.inputs[0]].step < given[on_grid.consumers(layer.name)[0].name].step
        rounds &= layer.weights["kernel"].any(axis=0)
        np.testing.assert_array_equal(steps[rounds] % 1, 0.5)
        rounded += rounds.sum()
    assert rounded


def compare_with_hardware(student, dataset, folder):
    on_grid, formats = student.hardware()
    x = formats.input.quantize(dataset.x_test)
    graph = convert_graph(build_float(on_grid), formats, Target(), HardwareChoices(), folder / "project")
    expected = student.outputs(x)
    computed = Emulator.of(read_graph(graph)).run(x)
    np.testing.assert_array_equal(np.reshape(computed, expected.shape), expected)


def test_convolutions_and_pools_learn_too(tmp_path):
    dataset = images(n=200)
    keras.utils.set_random_seed(0)
    network = read_keras(convolutional(dataset, 3))
    prepared = prepare_for_quantization(network)
    learnable = LearnableNetwork(prepared, dataset.x_train)
    params, statistics = learnable.begin()
    # widths of their own for every unit and weight
    rng = np.random.default_rng(0)
    params = {
        key: tf.constant(rng.integers(2, 6, value.shape), tf.float32)
        if key.endswith(("/fraction", "/bits"))
        else value
        for key, value in params.items()
    }
    snapshot = learnable.snapshot(params, statistics)
    ranges = learnable.compute(snapshot, {}, None, dataset.x_train.astype(np.float32)).ranges
    assert any(len(np.unique(integers)) > 1 for integers in ranges.values())
    x = dataset.x_test.astype(np.float32)
    expected = learnable.compute(snapshot, {}, ranges, x).logits.numpy()
    found = network_of(learnable, {key: value.numpy() for key, value in {**snapshot, **ranges}.items()})
    assert found is not None
    student = QuantizedStudent(*found, None, Record.of("0", {}))
    np.testing.assert_array_equal(predict_logits(student.model(), x), expected)
    compare_with_hardware(student, dataset, tmp_path)


def test_a_rare_input_widens_no_format_and_saturates():
    dataset = clouds()
    network = prepare_for_quantization(read_keras(dense(dataset)))
    rare = np.tile(dataset.x_train, (5, 1))
    rare[7] = 100.0
    wide = LearnableNetwork(network, dataset.x_train).input_bits
    learnable = LearnableNetwork(network, rare)
    assert learnable.input_bits <= wide < np.log2(100)
    often = rare.copy()
    often[: len(often) // 20, 0] = 100.0  # of one feature alone
    assert LearnableNetwork(network, often).input_bits == 7
    params, statistics = learnable.begin()
    snapshot = learnable.snapshot(params, statistics)
    ranges = learnable.compute(snapshot, {}, None, tf.constant(rare, tf.float32)).ranges
    x = tf.constant(np.stack([rare[7], np.full_like(rare[7], 2.0**learnable.input_bits)]), tf.float32)
    logits = learnable.compute(snapshot, {}, ranges, x).logits.numpy()
    np.testing.assert_array_equal(logits[0], logits[1])


@pytest.mark.parametrize("n", [300, 1100, 4096])
def test_the_rarest_of_a_thousand_samples_say_nothing_of_the_range(n):
    rng = np.random.default_rng(n)
    often = rng.integers(0, 3, (n, 4))
    rare = np.where(rng.random((n, 4)) < 1e-3, 9, often)
    for values in (rng.normal(size=(n, 4)), often, rare):
        expected = np.sort(np.abs(values.astype(np.float32)), axis=0)[::-1][n // 1000]
        np.testing.assert_array_equal(_nearly_greatest(tf.constant(values, tf.float32)), expected)
    image = np.zeros((n, 2, 2, 1), np.float32)
    image[5] = 7.0  # many positions of one sample are one event
    assert float(_nearly_greatest(tf.constant(image))[0]) == (7.0 if n < 1000 else 0.0)


def test_a_survey_finds_the_ranges_and_the_statistics_of_the_network_that_has_them():
    dataset = clouds()
    learnable = LearnableNetwork(prepare_for_quantization(read_keras(dense(dataset, 10, 6))), dataset.x_train)
    params, statistics = learnable.begin()
    x = tf.constant(dataset.x_train, tf.float32)
    found = learnable.compute(params, {}, None, x, train=True)
    assert set(found.statistics) == set(statistics)
    assert "logits/mean" in statistics
    # a network normalised by them computes what the survey did
    snapshot = learnable.snapshot(params, found.statistics)
    logits = learnable.compute(snapshot, {}, found.ranges, x).logits.numpy()
    np.testing.assert_allclose(logits, found.logits.numpy(), atol=0.5)
    assert (logits.argmax(1) == found.logits.numpy().argmax(1)).mean() > 0.95
    # units that are larger have their binary point further to the right; far smaller ones do not follow them
    first, point = learnable.normalised[0], learnable.network.activations[0].name
    scales = np.ones(10, np.float32)
    scales[:3] = 64.0, 4.0, 2.0**-20  # of the last no weight is left, and so no bias
    scaled = dict(params) | {f"{first}/{key}": params[f"{first}/{key}"] * scales for key in ("gain", "bias")}
    before, after = (
        learnable.compute(p, {}, None, x, train=True).ranges[f"{point}/integers"].numpy()
        for p in (params, scaled)
    )
    np.testing.assert_array_equal(after[:2] - before[:2], [6, 2])
    assert after[2] == after.max() - _APART
    alike = LearnableNetwork(learnable.network, dataset.x_train, alike=True)
    both = alike.compute(scaled, {}, None, x, train=True).ranges[f"{point}/integers"].numpy()
    np.testing.assert_array_equal(both, np.full(10, after.max()))


def test_a_unit_that_no_weight_reads_widens_no_format():
    dataset = clouds()
    learnable = LearnableNetwork(prepare_for_quantization(read_keras(dense(dataset, 10, 6))), dataset.x_train)
    params, statistics = learnable.begin()
    snapshot = {key: value.numpy().copy() for key, value in learnable.snapshot(params, statistics).items()}
    snapshot |= _ranges(learnable, params)
    first, second, *_ = [layer.name for layer in learnable.network.weight_layers]
    snapshot[f"{first}/bias"][0], snapshot[f"{first}/kernel"][:, 0] = 2.0**20, 2.0**16
    assert network_of(learnable, snapshot) is None  # float32 could not compute it
    snapshot[f"{second}/kernel"][0] = 0.0
    found = network_of(learnable, snapshot)
    assert found is not None
    assert not found[0].kernels[first][:, 0].any()
    assert not found[0].biases[first][0]


def test_a_point_that_cannot_be_built_takes_no_other_points_place(learned, monkeypatch):
    dataset, teacher, network, _ = learned
    built = learn.network_of
    asked = []

    def every_other(learnable, snapshot):
        asked.append(snapshot)
        return built(learnable, snapshot) if len(asked) % 2 else None

    monkeypatch.setattr(learn, "network_of", every_other)
    prepared = prepare_for_quantization(network)
    lesson = make_lesson(build_float(prepared), teacher, dataset, DISTILLATION)
    loop = Loop(LearnableNetwork(prepared, dataset.x_train), lesson, SETTINGS, 0)
    training = learn._Training(loop, dataset, "", None, SILENT)
    epochs = SimpleNamespace(
        prices={name: np.array([9.0, 5.0]) for name in training.factors},
        snapshots={key: np.stack([value, value]) for key, value in _plain_snapshot(loop).items()},
    )
    training._keep(epochs, [0.8, 0.9])  # the second, better and cheaper, alone is asked for
    assert [point.quality for point in training.points] == [0.9]
    training._keep(epochs, [0.8, 0.95])
    assert [point.quality for point in training.points] == [0.9]


def _plain_snapshot(loop):
    params, statistics = loop.network.begin()
    snapshot = loop.network.snapshot(params, statistics)
    return {key: value.numpy() for key, value in snapshot.items()} | _ranges(loop.network, params)


def _ranges(learnable, params):
    x = tf.constant(learnable._begin, tf.float32)
    found = learnable.compute(params, {}, None, x, train=True).ranges
    return {key: value.numpy() for key, value in found.items()}


def test_the_price_of_a_weight_is_its_bits_times_those_of_its_input():
    dataset = clouds()
    network = prepare_for_quantization(read_keras(dense(dataset)))
    learnable = LearnableNetwork(network, dataset.x_train)
    params, _ = learnable.begin()
    kernel = np.zeros(params["logits/kernel"].shape, np.float32)
    kernel[0, 0], kernel[1, 2] = 0.5, 0.875  # of 3 fractional bits: 100 and 111
    params["logits/kernel"] = tf.constant(kernel)
    del params["logits/gain"]  # normalised, it were another kernel
    price = learnable.compute(params, {}, {}, tf.constant(dataset.x_train, tf.float32)).prices["logits"]
    assert float(price) == 2 * 3 * (3 + learnable.input_bits + 1)


def test_digits_are_those_of_the_canonical_form():
    codes = np.array([0.0, 1, -2, 3, 7, 11, 64, 85, -96])
    counted = _bits(tf.constant(codes, tf.float32), tf.constant(codes, tf.float32), tf.zeros(9), True)
    np.testing.assert_array_equal(counted, signed_digits(codes.astype(np.int64)))
    bits = _bits(tf.constant(codes, tf.float32), tf.constant(codes, tf.float32), tf.zeros(9))
    np.testing.assert_array_equal(bits, [0, 1, 2, 2, 3, 4, 7, 7, 7])


def test_what_shares_a_width_moves_as_one():
    rng = np.random.default_rng(0)
    slopes = {
        "fc/kernel": tf.constant(rng.normal(size=(3, 4))),
        "fc/fraction": tf.constant(rng.normal(size=(3, 4))),
        "relu/bits": tf.constant(0.25),
        "x/fraction": tf.constant(0.5),
    }
    alone = tied(slopes, "element")
    assert all(alone[key] is value for key, value in slopes.items())
    channel = tied(slopes, "channel")
    np.testing.assert_allclose(channel["fc/fraction"], np.tile(slopes["fc/fraction"].numpy().mean(0), (3, 1)))
    assert channel["fc/kernel"] is slopes["fc/kernel"]
    tensor = tied(slopes, "tensor")
    np.testing.assert_allclose(tensor["fc/fraction"], np.full((3, 4), slopes["fc/fraction"].numpy().mean()))
    for found in (channel, tensor):
        assert float(found["x/fraction"]) == 0.5
        assert found["relu/bits"] is slopes["relu/bits"]


def test_the_gradient_of_a_width_is_that_of_the_quantization_error():
    kernel, fraction = tf.constant([0.3, -0.3, 0.05]), tf.constant([2.0, 2.0, 2.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([kernel, fraction])
        values = _quantized(kernel, fraction)
    np.testing.assert_array_equal(values, [0.25, -0.25, 0.0])
    np.testing.assert_array_equal(tape.gradient(values, kernel), [1, 1, 1])
    np.testing.assert_allclose(
        tape.gradient(values, fraction), np.log(2) * np.array([0.05, -0.05, 0.05]), rtol=1e-6
    )


@pytest.mark.slow
def test_the_same_seed_gives_the_same_front_and_an_interrupted_training_goes_on(
    learned, tmp_path, monkeypatch
):
    dataset, teacher, network, _ = learned
    checkpoint = tmp_path / "checkpoint.npz"
    monkeypatch.setattr(learn, "_CHECKPOINT_SECONDS", 0.0)

    class Interrupts:
        def step(self, what, done, total, note=""):
            if what == "learned widths" and done == max(total // 2, 1):
                raise KeyboardInterrupt

    short = SETTINGS.model_copy(update={"steps": 3000})
    whole = learn_widths(network, teacher, dataset, short, DISTILLATION)
    with pytest.raises(KeyboardInterrupt):
        learn_widths(
            network, teacher, dataset, short, DISTILLATION, checkpoint=checkpoint, progress=Interrupts()
        )
    assert checkpoint.is_file()
    assert checkpoint.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    again = learn_widths(network, teacher, dataset, short, DISTILLATION, checkpoint=checkpoint)
    assert [point.row for point in again.points] == [point.row for point in whole.points]
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_training_is_refused(learned, tmp_path):
    dataset, teacher, network, _ = learned
    checkpoint = tmp_path / "checkpoint.npz"
    np.savez(checkpoint, key=np.array("other"))
    with pytest.raises(SettingsError, match="is of another network, data or settings; remove it"):
        learn_widths(network, teacher, dataset, SETTINGS, DISTILLATION, checkpoint=checkpoint)


def test_a_loss_of_the_users_own_is_learned_with(learned, tmp_path):
    dataset, teacher, network, _ = learned
    short = SETTINGS.model_copy(update={"steps": 60})

    def small(targets, outputs):
        return 10 * keras.ops.mean(outputs**2, axis=-1)

    plain, pressed = (
        learn_widths(network, teacher, dataset, short, DISTILLATION, loss=loss) for loss in (None, small)
    )
    sizes = [
        np.abs(student_at(network, front, front.points[-1], dataset, short).model()(dataset.x_test)).mean()
        for front in (plain, pressed)
    ]
    assert sizes[1] < 0.8 * sizes[0]
    with pytest.raises(SettingsError, match=r"^checkpoint: cannot tell a training with a loss of your own"):
        learn_widths(network, teacher, dataset, short, DISTILLATION, checkpoint=tmp_path / "kept", loss=small)
    with pytest.raises(
        SettingsError, match=r"^loss: cannot be compiled with the training of widths \(.*keras\.ops$"
    ):
        learn_widths(
            network,
            teacher,
            dataset,
            short,
            DISTILLATION,
            loss=lambda y, p: tf.numpy_function(lambda v: v[:, 0], [p], tf.float32),
        )


def test_a_front_is_read_as_it_was_written(learned, tmp_path):
    *_, front = learned
    front.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"front.npz", "front.json", "front.csv", "front.png"}
    again = Front.load(tmp_path)
    assert [point.row for point in again.points] == [point.row for point in front.points]
    np.testing.assert_array_equal(
        again.points[0].snapshot["fc1/kernel"], front.points[0].snapshot["fc1/kernel"]
    )
    (tmp_path / "front.npz").write_bytes(b"no archive")
    with pytest.raises(StaleProjectError, match="is damaged"):
        Front.load(tmp_path)


def points(*pairs):
    return [Point(quality, luts, number, {}) for number, (luts, quality) in enumerate(pairs)]


def test_a_front_keeps_what_none_beats():
    kept = best(points((100, 0.8), (50, 0.8), (70, 0.75), (200, 0.9), (210, 0.9)))
    assert [(point.luts, point.quality) for point in kept] == [(50, 0.8), (200, 0.9)]


def test_a_point_is_chosen_by_budget_or_by_loss():
    front = Front(tuple(points((50, 0.8), (100, 0.9), (400, 0.95))), 0.95, "accuracy", "")
    assert front.choose().luts == 400
    assert front.choose(budget_luts=120).luts == 100
    assert front.choose(quality_loss=5).luts == 100
    assert front.choose(budget_luts=400, quality_loss=20).luts == 50
    with pytest.raises(
        QualityError, match="no point of the front has at most 10 LUTs; the smallest one has 50, at"
    ):
        front.choose(budget_luts=10)
    with pytest.raises(QualityError, match=r"no point of the front with at most 120 LUTs keeps .* 0.9400"):
        front.choose(budget_luts=120, quality_loss=1)


def test_a_budget_that_no_point_meets_costs_no_training(learned, tmp_path, monkeypatch):
    dataset, teacher, network, front = learned
    trainings = []

    def learn_once(*arguments, **_):
        trainings.append(arguments)
        return replace(front, key=training_key(*arguments[:5], 1))

    monkeypatch.setattr(learn, "learn_widths", learn_once)
    stage = Quantization()

    def context(**learned_settings):
        design = make_design(
            {
                "name": "x",
                "data": {"source": "digits"},
                "seed": 1,
                "quantization": {"method": "learned", "learned": learned_settings},
            }
        )
        made = {"pruning": QuantizedStudent(network, None, None, Record.of("0", {})), "teacher": teacher}
        made["student"] = made["pruning"]
        return SimpleNamespace(
            settings=design, dataset=dataset, folder=tmp_path, progress=SILENT, value=made.__getitem__
        )

    with pytest.raises(QualityError, match="no point of the front has at most 1 LUTs"):
        stage.make(context(budget_luts=1.0), tmp_path / "temporary")
    luts = front.points[1].luts
    student = stage.make(context(budget_luts=luts), tmp_path / "temporary")
    assert student.record.metrics["estimated_luts"] <= luts
    assert len(trainings) == 1
    # it is of that training alone
    stage.make(context(budget_luts=luts, steps=7), tmp_path / "temporary")
    assert len(trainings) == 2
    stage.make(context(budget_luts=luts), tmp_path / "temporary")
    assert len(trainings) == 3
    stage.settled(context())
    assert not (tmp_path / ".learned-front").exists()


def test_polishing_keeps_what_the_point_was_chosen_for(learned, tmp_path, monkeypatch):
    dataset, teacher, network, front = learned
    front = replace(front, reference=front.points[-1].quality)
    asked = []

    def polish_less(student, teacher, dataset, settings, distillation, **_):
        asked.append(settings)
        record = Record.of("1", {"polish": {"luts_after": 7.0}, "dead_units_removed": {}})
        return replace(student, record=record)

    monkeypatch.setattr("codesign.compression.polish.polish_student", polish_less)
    monkeypatch.setattr(
        learn, "learn_widths", lambda *given, **_: replace(front, key=training_key(*given[:5], 0))
    )
    point = front.points[-2]
    loss = 100 * (front.reference - point.quality) + 0.1

    def built(**settings):
        quantization = {"method": "learned", "polish": {"tolerance": 0.3}, "learned": settings}
        made = {"pruning": QuantizedStudent(network, None, None, Record.of("0", {})), "teacher": teacher}
        made["student"] = made["pruning"]
        context = SimpleNamespace(
            settings=make_design({"name": "x", "data": {"source": "digits"}, "quantization": quantization}),
            dataset=dataset,
            folder=tmp_path,
            progress=SILENT,
            value=made.__getitem__,
        )
        return Quantization().make(context, tmp_path / "temporary").record.metrics

    assert built(quality_loss=loss)["estimated_luts"] == 7.0
    assert asked[-1].tolerance == pytest.approx(0.001)
    built(budget_luts=point.luts)
    assert asked[-1].tolerance == 0.3
    monkeypatch.setattr(
        "codesign.stages.quantization._latency_ns",
        lambda _, student: 1.0 if student.record.digest == "1" else 0.1,
    )
    metrics = built(latency_ns=0.5)
    assert "polish" not in metrics
    assert "slower than quantization.learned.latency_ns" in metrics["notes"][-1]


def test_a_point_is_chosen_by_its_latency_among_those_that_meet_the_rest():
    front = Front(
        tuple(points((50, 0.8), (100, 0.9), (200, 0.92), (300, 0.93), (400, 0.95))), 0.95, "accuracy", ""
    )
    asked = []

    def latency_of(point):
        asked.append(point.luts)
        return point.luts / 10

    assert front.choose(latency_ns=25, latency_of=latency_of).luts == 200
    assert len(asked) <= 3
    assert front.choose(latency_ns=40, latency_of=latency_of).luts == 400
    assert front.choose(budget_luts=350, latency_ns=40, latency_of=latency_of).luts == 300
    assert front.choose(quality_loss=5, latency_ns=10, latency_of=latency_of).luts == 100
    # the cheapest with the quality is slow, a dearer one is not
    slow = {100: 30, 200: 30, 300: 20, 400: 30}
    assert front.choose(quality_loss=5, latency_ns=20, latency_of=lambda p: slow[int(p.luts)]).luts == 300
    with pytest.raises(
        QualityError, match=r"has a latency of at most 2 ns; the fastest of those tried has 5 ns, at 50 LUTs"
    ):
        front.choose(latency_ns=2, latency_of=latency_of)


def test_layers_whose_widths_cannot_be_learned_are_named(learned):
    dataset, teacher, *_ = learned
    model = keras.Sequential(
        [
            keras.Input(dataset.input_shape),
            keras.layers.Dense(4, activation="tanh", name="fc"),
            keras.layers.Dense(dataset.n_classes, name="logits"),
        ]
    )
    with pytest.raises(SettingsError, match=r"takes chains of .*\(tanh\).*; use the method scan"):
        learn_widths(read_keras(model), teacher, dataset, SETTINGS, DISTILLATION)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"learned": {"last_price": 1e-9}}, "last_price must not be below first_price"),
        ({"method": "learned", "self_study_epochs": 3}, "the method 'learned' has no phases"),
        ({"learned": {"budget_luts": 0}}, "quantization.learned.budget_luts"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, sentence):
    with pytest.raises(SettingsError, match=sentence):
        make_design({"name": "x", "data": {"source": "digits"}, "quantization": changed})


@pytest.mark.slow
def test_a_target_is_reached_and_kept(learned):
    dataset, teacher, network, front = learned
    target = math.sqrt(front.points[0].luts * front.points[-1].luts)
    settings = LearnedSettings(
        steps=8000, batch_size=64, cycles=2, first_price=1e-6, last_price=1e-1, target_luts=target
    )
    learnable = LearnableNetwork(prepare_for_quantization(network), dataset.x_train)
    lesson = make_lesson(build_float(learnable.network), teacher, dataset, DISTILLATION)
    loop = Loop(learnable, lesson, settings, 0)
    state, factors, luts = (
        loop.begin(),
        dict.fromkeys([layer.name for layer in learnable.network.weight_layers], 1.0),
        [],
    )
    for call in range(loop.calls):
        state, epochs = loop.run(call, state, factors)
        luts += list(sum(epochs.prices.values()))
    assert luts[0] > 1.5 * target
    held = np.array(luts[int(0.7 * len(luts)) :])
    assert abs(np.log(held / target)).mean() < 0.15
