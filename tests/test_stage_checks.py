"""What would end a run's learning later is refused before any of it: each stage checks its own."""

from pathlib import Path

import numpy as np
import pytest
from learning_tasks import dense

from codesign.errors import CodesignError, DataError, SettingsError
from codesign.settings import make_design
from codesign.stages import STAGES, Context

NETWORKS = """
import keras
from keras import layers


def build_teacher(input_shape, n_classes):
    return keras.Sequential(
        [keras.Input(input_shape), layers.Dense(5, activation="relu", name="wide"), layers.Dense(n_classes, name="out")]
    )


def build_student(input_shape, n_classes):
    return keras.Sequential(
        [keras.Input(input_shape), layers.Dense(3, activation="relu", name="fc1"), layers.Dense(n_classes, name="out")]
    )
"""


@pytest.fixture
def design(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)
    return tmp_path


def refusal(design: Path, kind: type[CodesignError], **sections) -> str:
    settings = make_design({"name": "d", "data": {"source": "digits"}, **sections})
    context = Context(design, settings, design / "run", {})

    def check() -> None:
        for stage in STAGES:
            stage.check(context)

    with pytest.raises(kind) as caught:
        check()
    return str(caught.value).replace(f"{design}/", "")


def test_hint_layers_that_do_not_exist_are_listed(design):
    term = {"form": "hint", "teacher_layer": "wide", "student_layer": "fc2"}
    assert refusal(design, DataError, distillation={"terms": [term]}) == (
        "the student has no layer 'fc2' to take features from; its layers are fc1, out"
    )


def test_layers_of_a_teacher_that_has_none(design):
    term = {"form": "distance", "teacher_layer": "wide", "student_layer": "fc1"}
    assert refusal(design, SettingsError, distillation={"terms": [term]}, teacher="ensemble") == (
        "distillation.terms: 'distance' takes features from a layer of one teacher, but the teacher is of the kind "
        "'ensemble'; use the kind 'single', or terms without layers"
    )


def test_co_study_with_several_networks(design):
    assert refusal(design, SettingsError, teacher="specialists", quantization={"co_study_epochs": 3}) == (
        "quantization.co_study_epochs: the teacher learns too and must be one network, not the kind 'specialists'; set "
        "it to 0 or use the kind 'single'"
    )


def test_a_target_above_the_budget_is_refused_unless_a_front_stands(design):
    learned = {"method": "learned", "learned": {"target_luts": 4500.0, "budget_luts": 3000.0}}
    said = "quantization.learned: target_luts must not be above budget_luts, 4,500 > 3,000: the training stays at its "
    assert refusal(design, SettingsError, quantization=learned).startswith(said)
    settings = make_design({"name": "d", "data": {"source": "digits"}, "quantization": learned})
    for kept in ("quantization", ".learned-front"):
        (design / kept / kept).mkdir(parents=True)
        (design / kept / kept / "front.json").write_text("{}")
        (stage,) = (stage for stage in STAGES if stage.name == "quantization")
        stage.check(Context(design, settings, design / kept, {}))


def test_groups_of_one_class(design):
    assert refusal(design, SettingsError, teacher={"kind": "specialists", "clusters": [["3"]]}) == (
        "teacher.clusters.0: a specialist needs at least two classes to tell apart, not 1; add the classes it is "
        "confused with, or remove the group"
    )


def test_a_missing_member_and_one_of_other_classes(design):
    from codesign.data import load_dataset

    data = load_dataset("digits")
    # the class whose mean is nearest
    means = np.stack([data.x_train[data.y_train == label].mean(axis=0) for label in range(10)])
    good = dense(data)
    good.set_weights([means.T, -np.square(means).sum(axis=1) / 2])
    good.save(design / "good.keras")
    dense(data, 2, outputs=9).save(design / "other.keras")
    files = {"kind": "ensemble", "files": ["good.keras", "no.keras"]}
    assert refusal(design, DataError, teacher=files) == (
        "the teacher no.keras does not exist; give a trained .keras or .h5 file"
    )
    files = {"kind": "ensemble", "files": ["good.keras", "other.keras"]}
    assert refusal(design, DataError, teacher=files) == (
        "the teacher other.keras: the output shape is (9,), but the data have 10 classes; end with Dense(10)"
    )


def test_two_outputs_of_a_teacher_and_one_of_a_student(design):
    """Both are right for two classes, but they have no soft targets in common."""
    np.savez(design / "two.npz", X=np.random.default_rng(0).normal(size=(60, 4)), y=np.arange(60) % 2)
    text = NETWORKS.replace('name="fc1"), layers.Dense(n_classes', 'name="fc1"), layers.Dense(1')
    (design / "networks.py").write_text(text)
    assert refusal(design, DataError, data={"source": "two.npz"}) == (
        "networks.py: the teacher of build_teacher has 2 outputs but the student of build_student has 1; give both two outputs "
        "for two classes, or one in both: the logit of the second class"
    )


def test_logits_of_other_classes(design):
    np.save(design / "z.npy", np.zeros((1797, 9)))
    assert refusal(design, DataError, teacher={"kind": "logits", "file": "z.npy"}).startswith(
        "the teacher z.npy, train part: the logits have shape ("
    )


def test_a_sparsity_that_empties_a_layer_of_neurons(design):
    pruning = {"method": "structured", "sparsity": 0.9}
    assert refusal(design, SettingsError, pruning=pruning) == (
        "pruning: a sparsity of 0.9 leaves none of the 3 units of layer 'fc1'; set pruning.layers.fc1 to less"
    )


def test_more_rounds_than_epochs_of_quantization(design):
    pruning = {"inside": "quantization", "schedule": "iterative", "rounds": 9}
    assert refusal(design, SettingsError, pruning=pruning, quantization={"epochs": 4}) == (
        "quantization.epochs: 4 epochs cannot be shared by the 9 rounds of pruning; raise them or lower pruning.rounds"
    )


def test_a_reuse_factor_that_pruned_units_make_illegal_is_told_with_the_pruning(design):
    """8 x 10 products may share 16; the 5 x 10 that dead units leave may not."""
    from types import SimpleNamespace

    from codesign.networks.read_keras import read_keras
    from codesign.stages.pruning import _refuse_illegal_reuse

    hardware = {"strategy": "resource", "layers": {"out": {"reuse_factor": 16}}}
    settings = make_design({"name": "d", "data": {"source": "digits"}, "hardware": hardware})
    text = NETWORKS.replace("Dense(3,", "Dense(8,")
    (design / "networks.py").write_text(text)
    context = Context(design, settings, design / "run", {})
    whole = SimpleNamespace(network=context.untrained_network)
    _refuse_illegal_reuse(whole, context, design / "run")  # nothing went: it was checked before
    (design / "networks.py").write_text(NETWORKS.replace("Dense(3,", "Dense(5,"))
    smaller = Context(design, settings, design / "run", {}).build("student")
    pruned = SimpleNamespace(network=read_keras(smaller))
    with pytest.raises(SettingsError, match=r"hardware\.layers\.out\.reuse_factor: "):
        _refuse_illegal_reuse(pruned, context, design / "run")
