"""The teacher: trained from a seed or taken from a file, its logits computed once, the given model untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from learning_tasks import clouds
from small_chain import SmallChain, teacher_model

from codesign.core.quality import accuracy
from codesign.errors import DataError
from codesign.networks.logits import predict_logits
from codesign.settings import TeacherSettings
from codesign.training.teacher import load_teacher, train_teacher

SHORT = TeacherSettings(epochs=1)


def test_logits_are_those_of_the_model_in_the_order_of_the_data(small_chain: SmallChain) -> None:
    teacher, data = small_chain.teacher, small_chain.dataset
    assert teacher.model is not None
    for x, logits in (
        (data.x_train, teacher.train_logits),
        (data.x_validation, teacher.validation_logits),
        (data.x_test, teacher.test_logits),
    ):
        np.testing.assert_array_equal(predict_logits(teacher.model, x), logits)
        assert logits.dtype == np.float32
        # logits, not probabilities
        assert not np.allclose(logits.sum(axis=1), 1)


def test_the_record_says_what_was_measured(small_chain: SmallChain) -> None:
    teacher, data = small_chain.teacher, small_chain.dataset
    assert teacher.model is not None
    record = teacher.record
    assert record.metrics["test_accuracy"] == accuracy(data.y_test, teacher.test_logits)
    assert record.metrics["validation_accuracy"] == accuracy(data.y_validation, teacher.validation_logits)
    assert record.metrics["parameters"] == teacher.model.count_params() == (5 * 16 + 16) + (16 * 3 + 3)
    assert teacher.history is not None
    assert len(teacher.history.loss) == 4
    assert record.metrics["validation_accuracy"] == pytest.approx(
        max(teacher.history.validation_quality), abs=1e-6
    )


def test_the_given_model_is_not_changed_and_its_weights_do_not_matter(small_chain: SmallChain) -> None:
    data = small_chain.dataset
    model = teacher_model(data)
    first = train_teacher(model, data, SHORT, seed=1)
    before = [np.zeros_like(weight) for weight in model.get_weights()]
    model.set_weights(before)
    again = train_teacher(model, data, SHORT, seed=1)
    assert again.record.digest == first.record.digest
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert model.layers[-1].activation is keras.activations.softmax
    assert model.trainable
    assert train_teacher(model, data, SHORT, seed=2).record.digest != first.record.digest


def test_a_trained_file_teaches_as_well(small_chain: SmallChain, tmp_path: Path) -> None:
    data, path = small_chain.dataset, tmp_path / "trained.keras"
    keras.utils.set_random_seed(0)
    model = teacher_model(data)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.x_train, data.y_train, epochs=20, verbose=0)
    model.save(path)
    teacher = load_teacher(path, data)
    np.testing.assert_allclose(
        keras.ops.softmax(teacher.test_logits), model.predict(data.x_test, verbose=0), atol=1e-6
    )
    assert teacher.history is None
    assert teacher.record.digest == load_teacher(path, data).record.digest


def refusal(path: Path, chain: SmallChain) -> str:
    with pytest.raises(DataError) as caught:
        load_teacher(path, chain.dataset)
    return str(caught.value)


def test_files_that_cannot_teach(small_chain: SmallChain, tmp_path: Path) -> None:
    path = tmp_path / "teacher.keras"
    assert (
        refusal(path, small_chain) == f"the teacher {path} does not exist; give a trained .keras or .h5 file"
    )
    path.write_bytes(b"no model")
    assert refusal(path, small_chain).startswith(
        f"the teacher {path} is no .keras file (it is no zip archive)"
    )
    keras.Sequential([keras.Input((5,)), layers.Dense(4)]).save(path)
    assert refusal(path, small_chain) == (
        f"the teacher {path}: the output shape is (4,), but the data have 3 classes; end with Dense(3)"
    )
    keras.Sequential([keras.Input((6,)), layers.Dense(3)]).save(path)
    assert refusal(path, small_chain) == (
        f"the teacher {path}: the input shape is (6,), but the data's samples have shape (5,)"
    )


def test_a_teacher_that_does_not_fit_is_refused_before_training(small_chain: SmallChain) -> None:
    model = keras.Sequential([keras.Input((5,)), layers.Dense(7)], name="wrong")
    message = "^the teacher 'wrong': the output shape is \\(7,\\), but the data have 3 classes; end with Dense\\(3\\)$"
    with pytest.raises(DataError, match=message):
        train_teacher(model, small_chain.dataset, TeacherSettings(epochs=10**6))


def test_a_softmax_that_cannot_be_left_out_is_refused(tmp_path: Path) -> None:
    data = clouds(n=60)
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")], name="inner")
    outer = keras.Sequential([keras.Input(data.input_shape), layers.Dense(4), inner], name="outer")
    outer.save(tmp_path / "t.keras")
    with pytest.raises(
        DataError, match=r"^the teacher 'outer': its outputs are probabilities, but its last layer is no"
    ):
        load_teacher(tmp_path / "t.keras", data)


@keras.saving.register_keras_serializable("codesign_tests")
class OfItsOwn(keras.Model):
    """A model whose layers are in no graph."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_model_of_a_class_of_its_own_is_refused(tmp_path: Path) -> None:
    data = clouds(n=60)
    model = OfItsOwn()
    model(data.x_train)
    model.save(tmp_path / "t.keras")
    with pytest.raises(
        DataError, match=r": the layers of a OfItsOwn cannot be read; give a functional or sequential"
    ):
        load_teacher(tmp_path / "t.keras", data)
