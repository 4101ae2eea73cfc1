"""Distillation: the teacher only gives its logits, the student learns from them, nothing given is changed."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from small_chain import SmallChain, student_model

from codesign.core.quality import accuracy
from codesign.core.record import Record
from codesign.errors import ConversionError, DataError
from codesign.networks.logits import predict_logits
from codesign.networks.read_keras import read_keras
from codesign.settings import DistillationSettings
from codesign.training.distill import check_same_outputs, distill_student
from codesign.training.teacher import Teacher

SHORT = DistillationSettings(epochs=1, learning_rate=0.02)


def oracle(chain: SmallChain, train_logits: np.ndarray) -> Teacher:
    """A teacher of which there are only logits."""
    n = train_logits.shape[1]
    data = chain.dataset
    others = [np.zeros((len(y), n), np.float32) for y in (data.y_validation, data.y_test)]
    return Teacher(
        None, train_logits.astype(np.float32), *others, None, Record("teacher", {}, 0, {}, "oracle", {}, 0.0)
    )


def test_the_student_is_what_its_record_says(small_chain: SmallChain) -> None:
    student, data = small_chain.student, small_chain.dataset
    logits = predict_logits(student.model(), data.x_test)
    assert student.record.metrics["test_accuracy"] == accuracy(data.y_test, logits)
    assert student.record.digest == student.network.digest
    assert [layer.name for layer in student.network.layers] == [
        "features",
        "fc1",
        "norm1",
        "relu1",
        "fc2",
        "fc2_relu",
        "out",
    ]
    assert student.record.metrics["sparsity"] == 0
    assert student.record.metrics["parameters"] == student.network.n_parameters


def test_the_given_model_and_teacher_are_not_changed(small_chain: SmallChain) -> None:
    model, teacher = student_model(small_chain.dataset), small_chain.teacher
    assert teacher.model is not None
    mine, theirs = model.get_weights(), teacher.model.get_weights()
    first = distill_student(model, teacher, small_chain.dataset, SHORT, seed=5)
    model.set_weights([weight + 1 for weight in mine])
    again = distill_student(model, teacher, small_chain.dataset, SHORT, seed=5)
    assert first.record.digest == again.record.digest
    assert all(np.array_equal(a, b + 1) for a, b in zip(model.get_weights(), mine, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(teacher.model.get_weights(), theirs, strict=True))
    assert teacher.model.trainable


def test_without_labels_the_student_learns_what_the_teacher_says(small_chain: SmallChain) -> None:
    data = small_chain.dataset
    # a teacher that calls every class by the next one's name
    wrong = (data.y_train + 1) % data.n_classes
    teacher = oracle(small_chain, 8.0 * np.eye(3)[wrong])
    settings = DistillationSettings(epochs=10, alpha=0.0, temperature=2.0, learning_rate=0.05)
    student = distill_student(student_model(data), teacher, data, settings)
    logits = predict_logits(student.model(), data.x_train)
    assert accuracy(wrong, logits) > 0.6
    assert accuracy(data.y_train, logits) < 0.3


def test_with_labels_alone_the_teacher_does_not_matter(small_chain: SmallChain) -> None:
    data = small_chain.dataset
    settings = SHORT.model_copy(update={"alpha": 1.0})
    random = np.random.default_rng(0)
    students = [
        distill_student(student_model(data), oracle(small_chain, logits), data, settings)
        for logits in (np.zeros((len(data.y_train), 3)), random.normal(size=(len(data.y_train), 3)))
    ]
    assert students[0].network.digest == students[1].network.digest


def test_another_temperature_is_another_student(small_chain: SmallChain) -> None:
    digests = {
        distill_student(
            student_model(small_chain.dataset),
            small_chain.teacher,
            small_chain.dataset,
            SHORT.model_copy(update={"temperature": temperature}),
        ).network.digest
        for temperature in (1.0, 5.0)
    }
    assert len(digests) == 2


def test_what_does_not_fit_is_refused_before_training(small_chain: SmallChain) -> None:
    data = small_chain.dataset
    forever = DistillationSettings(epochs=10**6)
    four = oracle(small_chain, np.zeros((len(data.y_train), 4)))
    message = (
        "^the teacher has 4 outputs but the student has 3; give both the same classes in the same order$"
    )
    with pytest.raises(DataError, match=message):
        distill_student(student_model(data), four, data, forever)
    either = "give both two outputs for two classes, or one in both: the logit of the second class$"
    with pytest.raises(DataError, match=f"^the teacher has 1 output but the student has 2; {either}"):
        check_same_outputs(1, 2)
    wrong = keras.Sequential([keras.Input((5,)), layers.Dense(2)], name="wrong")
    message = (
        r"^the student 'wrong': the output shape is \(2,\), but the data have 3 classes; end with Dense\(3\)$"
    )
    with pytest.raises(DataError, match=message):
        distill_student(wrong, small_chain.teacher, data, forever)
    soft = keras.Sequential([keras.Input((5,)), layers.Dense(4, activation="gelu"), layers.Dense(3)])
    with pytest.raises(ConversionError, match="has the activation gelu"):
        distill_student(soft, small_chain.teacher, data, forever)


def test_a_student_that_ends_in_a_softmax_is_trained_on_its_logits(small_chain: SmallChain) -> None:
    data = small_chain.dataset
    model = student_model(data)
    model.layers[-1].activation = keras.activations.softmax
    student = distill_student(model, small_chain.teacher, data, SHORT)
    plain = distill_student(student_model(data), small_chain.teacher, data, SHORT)
    assert student.network.digest == plain.network.digest


def test_a_student_can_be_made_again_from_what_is_kept(small_chain: SmallChain) -> None:
    student = small_chain.student
    copy = replace(student)
    x = small_chain.dataset.x_test
    np.testing.assert_array_equal(predict_logits(copy.model(), x), predict_logits(student.model(), x))
    assert read_keras(student.model()).digest == student.network.digest
