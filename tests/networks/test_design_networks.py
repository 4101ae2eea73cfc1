"""`networks.py` of a design: loaded with its own traceback kept, checked against the data."""

from __future__ import annotations

import traceback
from pathlib import Path

import keras
import pytest
from keras import layers
from tiny_design import NETWORKS

from codesign.core.files import file_digest
from codesign.core.task import Classification
from codesign.errors import CodesignError, DataError, PythonFileError, SettingsError
from codesign.networks.design import build_network, check_fits, check_input_fits, load_networks


def write(folder: Path, text: str) -> Path:
    path = folder / "networks.py"
    path.write_text(text)
    return path


def error_of(kind: type[CodesignError], call: object, *arguments: object) -> CodesignError:
    with pytest.raises(kind) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


def test_both_builders_are_found(tmp_path: Path) -> None:
    path = write(tmp_path, NETWORKS)
    networks = load_networks(tmp_path)
    assert networks.path == path
    assert networks.digest == file_digest(path)
    assert networks.build_teacher is not None
    assert build_network(networks.build_teacher, path, (64,), classes_of(10)).output_shape == (None, 10)
    assert build_network(networks.build_student, path, (64,), classes_of(10)).input_shape == (None, 64)


def test_a_teacher_may_be_missing_a_student_not(tmp_path: Path) -> None:
    write(tmp_path, "def build_student(input_shape, n_classes): ...\n")
    assert load_networks(tmp_path).build_teacher is None
    path = write(tmp_path, "def build_teacher(input_shape, n_classes): ...\n")
    assert str(error_of(SettingsError, load_networks, tmp_path)) == (
        f"{path} defines no build_student(input_shape, n_classes); add one that returns a Keras model"
    )


def test_a_folder_without_networks(tmp_path: Path) -> None:
    assert str(error_of(SettingsError, load_networks, tmp_path)) == (
        f"{tmp_path} has no networks.py; codesign new makes one to copy: define build_teacher and build_student in it"
    )


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("import no_such_module\n", "ModuleNotFoundError", "No module named 'no_such_module'"),
        ("def build_student(:\n", "SyntaxError", "invalid syntax"),
        ("1 / 0\n", "ZeroDivisionError", "division by zero"),
        ("raise SystemExit(3)\n", "SystemExit", "3"),
    ],
)
def test_a_file_that_raises_is_named_and_its_traceback_kept(
    tmp_path: Path, text: str, kind: str, message: str
) -> None:
    path = write(tmp_path, text)
    error = error_of(PythonFileError, load_networks, tmp_path)
    assert str(error).startswith(f"{path} raised {kind}: {message}")
    assert type(error.__cause__).__name__ == kind
    assert str(path) in "".join(traceback.format_exception(error.__cause__))


def test_a_builder_that_raises_is_named_and_its_traceback_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "def build_student(input_shape, n_classes):\n    return layers.Dense(n_classes)\n")
    builder = load_networks(tmp_path).build_student
    error = error_of(PythonFileError, build_network, builder, path, (64,), classes_of(10))
    assert str(error) == f"{path}: build_student((64,), 10) raised NameError: name 'layers' is not defined"
    shown = "".join(traceback.format_exception(error.__cause__))
    assert f'File "{path}", line 2, in build_student' in shown


def test_a_builder_that_returns_no_model(tmp_path: Path) -> None:
    path = write(tmp_path, "def build_student(input_shape, n_classes):\n    pass\n")
    builder = load_networks(tmp_path).build_student
    error = error_of(SettingsError, build_network, builder, path, (64,), classes_of(10))
    assert str(error) == f"{path}: build_student must return a keras.Model, not NoneType"


def test_an_edit_of_the_same_second_and_size_is_seen(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path, f"def build_student(i, n):\n    return '{name}'\n")
        assert load_networks(tmp_path).build_student((1,), 2) == name
    assert [path.name for path in tmp_path.iterdir()] == ["networks.py"]


def test_two_designs_do_not_mix(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "net").mkdir(parents=True)
        write(tmp_path / name / "net", f"NAME = '{name}'\ndef build_student(i, n):\n    return NAME\n")
    first, second = (load_networks(tmp_path / name / "net") for name in ("a", "b"))
    assert (first.build_student((1,), 2), second.build_student((1,), 2)) == ("a", "b")


def classes_of(count: int) -> Classification:
    return Classification(tuple(map(str, range(count))))


def model(*shape: int, outputs: int) -> keras.Model:
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(outputs)])


@pytest.mark.parametrize(("outputs", "classes"), [(10, 10), (2, 2), (1, 2)])
def test_what_fits(outputs: int, classes: int) -> None:
    check_fits(model(64, outputs=outputs), "it", (64,), classes_of(classes))


@pytest.mark.parametrize(
    ("made", "classes", "message"),
    [
        (
            model(8, 8, outputs=10),
            10,
            "the teacher: the input shape is (8, 8), but the data's samples have shape (64,)",
        ),
        (
            model(64, outputs=3),
            10,
            "the teacher: the output shape is (3,), but the data have 10 classes; end with Dense(10)",
        ),
        (
            model(64, outputs=1),
            3,
            "the teacher: the output shape is (1,), but the data have 3 classes; end with Dense(3)",
        ),
        (
            model(64, outputs=3),
            2,
            "the teacher: the output shape is (3,), but the data have 2 classes; end with Dense(2) or Dense(1)",
        ),
        (
            keras.Sequential([layers.Dense(10)]),
            10,
            "the teacher: the model is not built; begin it with keras.Input(input_shape)",
        ),
    ],
)
def test_what_does_not_fit(made: keras.Model, classes: int, message: str) -> None:
    assert str(error_of(DataError, check_fits, made, "the teacher", (64,), classes_of(classes))) == message


CHOOSING = """
import keras


def build_student(input_shape, n_classes, width1=8, *, depth, activation="relu"):
    hidden = [keras.layers.Dense(width1, activation=activation) for _ in range(depth)]
    return keras.Sequential([keras.Input(input_shape), *hidden, keras.layers.Dense(n_classes)])
"""


def test_the_students_choices_reach_its_builder(tmp_path: Path) -> None:
    path = write(tmp_path, CHOOSING)
    builder = load_networks(tmp_path).build_student
    model = build_network(builder, path, (64,), classes_of(10), {"width1": 5, "depth": 2})
    assert [layer.units for layer in model.layers] == [5, 5, 10]


def test_a_choice_that_the_builder_does_not_take_has_a_suggestion(tmp_path: Path) -> None:
    path = write(tmp_path, CHOOSING)
    builder = load_networks(tmp_path).build_student
    error = error_of(
        SettingsError, build_network, builder, path, (64,), classes_of(10), {"widht1": 5, "n_classes": 3}
    )
    assert isinstance(error, SettingsError)
    assert error.faults == (
        f"student.widht1: build_student of {path} takes no such choice; did you mean width1?",
        f"student.n_classes: build_student of {path} takes no such choice; it takes width1, depth, activation",
        f"student.depth: build_student of {path} needs this choice; give it, or give the argument a default",
    )


def test_a_builder_that_raises_is_shown_with_its_choices(tmp_path: Path) -> None:
    path = write(tmp_path, CHOOSING)
    builder = load_networks(tmp_path).build_student
    error = error_of(
        PythonFileError, build_network, builder, path, (64,), classes_of(10), {"width1": -1, "depth": 1}
    )
    assert str(error).startswith(f"{path}: build_student((64,), 10, width1=-1, depth=1) raised ValueError: ")


@pytest.mark.parametrize("name", ["1st layer", "dense_é"])
def test_a_name_that_tensorflow_computes_nothing_under_is_refused(name: str) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name=name)])
    with pytest.raises(
        DataError, match=f"^mine: TensorFlow computes nothing under the name '{name}'; use letters"
    ):
        check_input_fits(model, "mine", (4,))
