"""Phases of quantization-aware training: QKD, pruning rounds by fine-tuning and to a lottery ticket."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from learning_tasks import clouds, dense

from codesign.compression.formats import measure_ranges, precision_of, uniform_widths
from codesign.compression.qkd import CoStudyLoss, co_study
from codesign.compression.quantize import quantize_student
from codesign.core.record import Record
from codesign.errors import DataError, SettingsError
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.read_keras import read_keras
from codesign.settings import (
    DistillationSettings,
    PruningSettings,
    QuantizationSettings,
    TermSettings,
)
from codesign.training.losses import DistillationLoss, pack_targets
from codesign.training.teacher import Teacher, teacher_of

SLOWLY = 1e-12


@pytest.fixture(scope="module")
def data():
    return clouds(n=120)


@pytest.fixture(scope="module")
def teacher(data):
    big = dense(data, 7, name="big")
    # as `ending_in_logits` leaves a softmax out: with lists of one input and one output
    return teacher_of(
        keras.Model([big.inputs[0]], [big.outputs[0]]),
        data,
    )


@pytest.fixture(scope="module")
def network(data):
    return read_keras(dense(data, 6, norm=True))


@pytest.fixture(scope="module")
def precision(data, network):
    prepared = prepare_for_quantization(network)
    return precision_of(prepared, measure_ranges(prepared, data.x_train), uniform_widths(prepared, 8))


@pytest.fixture
def masks_alone(monkeypatch):
    """Units that the masks leave without inputs or readers stay in the network: test_prune_dead.py has them go."""
    monkeypatch.setattr("codesign.compression.quantize.without_dead_units", lambda trained, _: (trained, {}))


def quantized(network, precision, teacher, data, distillation=None, **options):
    settings = QuantizationSettings(
        **{key: options.pop(key) for key in list(options) if key in QuantizationSettings.model_fields}
    )
    return quantize_student(
        network, precision, teacher, data, settings, distillation or DistillationSettings(), **options
    )


def test_co_study_is_the_sum_of_two_distillations_without_crossing_gradients():
    rng = np.random.default_rng(0)
    student, teacher = (rng.normal(size=(5, 3)).astype(np.float32) for _ in range(2))
    labels = np.array([0, 1, 2, 0, 1])
    loss = CoStudyLoss(0.3, 2.0, 3)
    outputs = tf.Variable(np.concatenate([student, teacher], axis=1))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loss.call(pack_targets(labels), outputs))
    gradient = tape.gradient(value, outputs).numpy()
    one = DistillationLoss(0.3, 2.0)
    both = [
        one.call(pack_targets(labels, given), tf.constant(learning))
        for given, learning in ((teacher, student), (student, teacher))
    ]
    np.testing.assert_allclose(value, np.sum(both), rtol=1e-5)
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        own = tf.reduce_sum(one.call(pack_targets(labels, teacher), variable))
    np.testing.assert_allclose(gradient[:, :3], tape.gradient(own, variable), rtol=1e-4, atol=1e-6)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_a_copy_of_the_teacher_learns_with_the_student(data, teacher):
    student = dense(data, 3)
    before = [array.copy() for array in teacher.model.get_weights()]
    started = student.get_weights()
    grown, history = co_study(
        student, teacher, data, QuantizationSettings(epochs=1, learning_rate=0.01), 2.0, 0.3
    )
    for ours, theirs in zip(before, teacher.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(grown.train_logits, teacher.train_logits)
    assert not np.array_equal(started[0], student.get_weights()[0])
    assert len(history.loss) == 1
    assert grown.record.digest != teacher.record.digest


def test_the_three_phases_follow_each_other(data, teacher, network, precision):
    hint = TermSettings(form="hint", teacher_layer="fc1", student_layer="norm1")
    result = quantized(
        network,
        precision,
        teacher,
        data,
        DistillationSettings(terms=(hint,)),
        epochs=2,
        self_study_epochs=1,
        co_study_epochs=1,
    )
    phases = result.record.metrics["phases"]
    assert [(row["phase"], row["epochs"]) for row in phases] == [
        ("self-study", 1),
        ("co-study", 1),
        ("tutoring", 2),
    ]
    assert len(result.history.loss) == 4
    assert result.history.best_epoch >= 2


def test_zeros_stay_through_every_phase(data, teacher, network, precision):
    kernel = network["fc1"].weights["kernel"].copy()
    kernel[::2] = 0
    sparse = network.with_kernels({"fc1": kernel})
    result = quantized(sparse, precision, teacher, data, epochs=1, self_study_epochs=1, learning_rate=0.01)
    trained = result.network["fc1"].weights["kernel"]
    assert (trained[::2] == 0).all()
    assert not np.array_equal(trained[1::2], kernel[1::2])


def test_co_study_needs_one_network(data, teacher, network, precision):
    logits = [getattr(teacher, f"{part}_logits") for part in ("train", "validation", "test")]
    only_logits = Teacher(None, *logits, None, Record("teacher", {}, 0, {}, "0", {}, 0.0))
    with pytest.raises(
        SettingsError,
        match=r"^quantization\.co_study_epochs: the teacher learns too and must be one network, not an ensemble, "
        r"specialists or logits; set it to 0 or use a single teacher$",
    ):
        quantized(network, precision, only_logits, data, co_study_epochs=1)


@pytest.mark.usefixtures("masks_alone")
def test_pruning_rounds_inside_quantization(data, teacher, network, precision):
    pruning = PruningSettings(
        inside="quantization", schedule="iterative", rounds=2, sparsity=0.75, layers={"logits": 0.5}
    )
    result = quantized(
        network, precision, teacher, data, pruning=pruning, epochs=2, learning_rate=SLOWLY, seed=1
    )
    layers = result.record.metrics["layers"]
    assert layers["logits"]["asked"] == 0.5
    for name, target in (("fc1", 0.75), ("logits", 0.5)):
        kernel = result.network[name].weights["kernel"]
        assert (kernel == 0).sum() == round(target * kernel.size)
        # what is not masked may still round to zero
        assert layers[name]["reached"] * kernel.size >= round(target * kernel.size)
    on_grid, _ = result.hardware()
    assert layers["fc1"]["reached"] == (on_grid["fc1"].weights["kernel"] == 0).mean()


@pytest.mark.usefixtures("masks_alone")
def test_a_lottery_ticket_inside_quantization(data, teacher, network, precision):
    first = read_keras(dense(data, 6, norm=True))
    pruning = PruningSettings(
        inside="quantization", method="magnitude", schedule="one_shot", sparsity=0.5, rewind="initial"
    )
    result = quantized(
        network,
        precision,
        teacher,
        data,
        pruning=pruning,
        early={"initial": first},
        epochs=1,
        learning_rate=SLOWLY,
    )
    expected = prepare_for_quantization(first)
    kernel = result.network["fc1"].weights["kernel"]
    assert (kernel == 0).sum() == round(0.5 * kernel.size)
    np.testing.assert_allclose(kernel, expected["fc1"].weights["kernel"] * (kernel != 0), rtol=1e-5)


def test_what_later_phases_need_is_looked_for_before_the_first(
    data, teacher, network, precision, monkeypatch
):
    monkeypatch.setattr("codesign.compression.phases.Phases.study", lambda _: pytest.fail("it trained"))
    hints = DistillationSettings(terms=(TermSettings(form="hint", teacher_layer="fc1", student_layer="fc9"),))
    with pytest.raises(
        DataError, match=r"^the student has no layer 'fc9' to take features from; its layers are "
    ):
        quantized(network, precision, teacher, data, hints, self_study_epochs=1)
    pruning = PruningSettings(inside="quantization", schedule="one_shot", layers={"fc9": 0.5})
    with pytest.raises(SettingsError, match=r"^pruning\.layers\.fc9: the student has no such layer"):
        quantized(network, precision, teacher, data, pruning=pruning, self_study_epochs=1)


def test_early_weights_of_another_shape_are_refused(data, teacher, network, precision):
    pruning = PruningSettings(inside="quantization", schedule="one_shot", rewind="initial")
    first = read_keras(dense(data, 7, norm=True))
    with pytest.raises(SettingsError, match=r"^pruning\.rewind: the early weights are of another network"):
        quantized(network, precision, teacher, data, pruning=pruning, early={"initial": first}, epochs=1)


def test_refuses_before_any_training(data, teacher, network, precision):
    rounds = PruningSettings(inside="quantization", schedule="iterative", rounds=5)
    with pytest.raises(
        SettingsError,
        match=r"^quantization\.epochs: 3 epochs cannot be shared by the 5 rounds of pruning; raise them or lower "
        r"pruning\.rounds$",
    ):
        quantized(network, precision, teacher, data, pruning=rounds, epochs=3)
    ticket = PruningSettings(inside="quantization", schedule="one_shot", rewind="early")
    with pytest.raises(
        SettingsError, match=r"^pruning\.rewind: 'early' needs the student's weights from its own"
    ):
        quantized(network, precision, teacher, data, pruning=ticket, epochs=10**6)


def test_pruning_that_is_not_inside_does_nothing_here(data, teacher, network, precision):
    results = [
        quantized(network, precision, teacher, data, pruning=pruning, epochs=1)
        for pruning in (None, PruningSettings(sparsity=0.9))
    ]
    assert results[0].record.digest == results[1].record.digest
    assert "layers" not in results[1].record.metrics
