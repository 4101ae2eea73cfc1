"""Every way of pruning does what its record says, and leaves the student as it was."""

from types import SimpleNamespace
from typing import get_args

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.compression.prune import prune_student
from codesign.compression.pruning.masked import scorer
from codesign.core.record import Record
from codesign.core.task import Classification
from codesign.errors import SettingsError
from codesign.networks.read_keras import read_keras
from codesign.settings import DistillationSettings, HardwareSettings, PruningSettings
from codesign.training.distill import Student
from codesign.training.fit import History
from codesign.training.teacher import Teacher

SLOWLY = 1e-12
"""A learning rate at which nothing moves: what is left are the weights that pruning chose."""


@pytest.fixture(scope="module")
def data():
    return clouds(n=120)


@pytest.fixture(scope="module")
def teacher(data):
    record = Record("teacher", {}, 0, {}, "0", {}, 0.0)
    one_hot = [
        5.0 * (labels[:, None] == range(3)) for labels in (data.y_train, data.y_validation, data.y_test)
    ]
    return Teacher(None, *one_hot, None, record)


@pytest.fixture(scope="module")
def student(data):
    keras.utils.set_random_seed(
        0
    )  # no neuron dies on the way: the weights of one would go before smaller ones
    network, initial = read_keras(dense(data, 8, 6, norm=True)), read_keras(dense(data, 8, 6, norm=True))
    record = Record("student", {}, 0, {}, network.digest, {}, 0.0)
    return Student(network, History((), (), (), (), 0), record, {"initial": initial})


@pytest.fixture
def masks_alone(monkeypatch):
    """Units that the masks leave without inputs or readers stay in the network: test_prune_dead.py has them go."""
    monkeypatch.setattr("codesign.compression.prune.without_dead_units", lambda network, _: (network, {}))


def pruned(student, teacher, data, hardware=None, **options):
    settings = PruningSettings(**{"epochs": 2, "rounds": 2, "learning_rate": SLOWLY, **options})
    before = student.network.digest
    result = prune_student(student, teacher, data, settings, DistillationSettings(), hardware=hardware)
    assert student.network.digest == before
    return result, result.record.metrics["layers"]


def zeros(network):
    return {layer.name: int((layer.weights["kernel"] == 0).sum()) for layer in network.weight_layers}


@pytest.mark.usefixtures("masks_alone")
def test_one_budget_by_saliency(student, teacher, data):
    result, layers = pruned(student, teacher, data, method="hessian", scope="global", sparsity=0.6)
    total = sum(layer.weights["kernel"].size for layer in student.network.weight_layers)
    assert sum(zeros(result.network).values()) == round(0.6 * total)
    for name, count in zeros(result.network).items():
        kernel = student.network[name].weights["kernel"]
        assert layers[name] == {"asked": None, "reached": count / kernel.size, "kept": None}
        kept = result.network[name].weights["kernel"] != 0
        np.testing.assert_allclose(result.network[name].weights["kernel"][kept], kernel[kept], rtol=1e-5)


@pytest.mark.usefixtures("masks_alone")
def test_by_layer_with_exceptions_and_fractions_below_one_weight(student, teacher, data):
    exceptions = {"fc1": 0.0, "fc2": 0.01}
    result, layers = pruned(student, teacher, data, layers=exceptions, sparsity=0.5, epochs=1)
    assert zeros(result.network) == {"fc1": 0, "fc2": 0, "logits": 9}
    assert {name: (layer["asked"], layer["kept"]) for name, layer in layers.items()} == {
        "fc1": (0.0, "nothing was asked of it"),
        "fc2": (0.01, "the fraction is less than one unit"),
        "logits": (0.5, None),
    }


@pytest.mark.usefixtures("masks_alone")
def test_a_lottery_ticket_is_the_first_weights_under_the_last_masks(student, teacher, data):
    result, _ = pruned(
        student, teacher, data, method="magnitude", schedule="iterative", sparsity=0.75, rewind="initial"
    )
    assert len(result.history.loss) == 2
    for layer in result.network.weight_layers:
        trained = np.abs(student.network[layer.name].weights["kernel"])
        mask = layer.weights["kernel"] != 0
        assert (~mask).sum() == round(0.75 * mask.size)
        # the first round ranks the student's trained weights
        half = np.argsort(trained, axis=None)[: round(0.5 * mask.size)]
        assert not mask.ravel()[half].any()
        first = student.early["initial"][layer.name].weights["kernel"]
        np.testing.assert_allclose(layer.weights["kernel"], first * mask, rtol=1e-5)


def test_a_student_without_early_weights_cannot_rewind(student, teacher, data):
    with pytest.raises(
        SettingsError,
        match=r"^pruning\.rewind: 'early' needs the student's weights from its own training, which it does not have; "
        r"distil it with distill_student, or set rewind: none$",
    ):
        pruned(student, teacher, data, schedule="one_shot", rewind="early")


def test_neurons_leave_and_the_shapes_shrink(student, teacher, data):
    result, layers = pruned(student, teacher, data, method="structured", sparsity=0.5, score="magnitude")
    shapes = {layer.name: layer.weights["kernel"].shape for layer in result.network.weight_layers}
    assert shapes == {"fc1": (5, 4), "fc2": (4, 3), "logits": (3, 3)}
    assert result.network.n_parameters < 0.5 * student.network.n_parameters
    assert layers == {
        "logits": {"asked": 0.0, "reached": 0.0, "kept": "its outputs are the network's"},
        "fc1": {"asked": 0.5, "reached": 0.5, "kept": None, "units": 8, "units_left": 4},
        "fc2": {"asked": 0.5, "reached": 0.5, "kept": None, "units": 6, "units_left": 3},
    }
    lengths = np.linalg.norm(student.network["fc1"].weights["kernel"], axis=0)
    stays = np.sort(np.argsort(lengths)[4:])  # fresh normalisations scale all alike
    expected = student.network["fc1"].weights["kernel"][:, stays]
    np.testing.assert_allclose(result.network["fc1"].weights["kernel"], expected, rtol=1e-5)


def test_structured_pruning_refuses_to_empty_a_layer(student, teacher, data):
    with pytest.raises(SettingsError) as caught:
        pruned(student, teacher, data, method="structured", layers={"fc2": 0.95, "fc7": 0.1})
    assert caught.value.faults == (
        "pruning.layers.fc7: the student has no such layer; its layers with units are fc1, fc2",
        "pruning: a sparsity of 0.95 leaves none of the 6 units of layer 'fc2'; set pruning.layers.fc2 to less",
    )


def test_a_layer_that_cannot_lose_units_is_refused_with_the_reason(student, teacher, data):
    with pytest.raises(
        SettingsError, match=r"^pruning\.layers\.logits: cannot lose units: its outputs are the network's$"
    ):
        pruned(student, teacher, data, method="structured", layers={"logits": 0.1})


def test_whole_multipliers_of_the_target_go(student, teacher, data):
    hardware = HardwareSettings(strategy="unrolled", reuse_factor=4)
    options = {"method": "hardware", "schedule": "one_shot", "sparsity": 0.5, "epochs": 1}
    _, layers = pruned(student, teacher, data, hardware, **options)
    assert sum(layer["cost_before"] for layer in layers.values()) == 10 + 12 + 5
    assert sum(layer["cost_after"] for layer in layers.values()) == 13
    for layer in layers.values():
        assert layer["cost_unit"] == "multiplier"
        assert layer["reached"] == pytest.approx(1 - layer["cost_after"] / layer["cost_before"])


def test_nothing_asked_is_nothing_done(student, teacher, data):
    result, layers = pruned(student, teacher, data, sparsity=0.0)
    assert result.network.digest == student.network.digest
    assert result.history is None
    assert layers["fc1"] == {"asked": 0.0, "reached": 0.0, "kept": "nothing was asked of it"}


def test_pruning_inside_quantization_is_left_to_it(student, teacher, data):
    result, layers = pruned(student, teacher, data, schedule="iterative", inside="quantization")
    assert result.network.digest == student.network.digest
    assert layers["fc1"] == {
        "asked": 0.5,
        "reached": 0.0,
        "kept": "it is pruned inside the quantization-aware training",
    }


def test_l1_shrinks_the_weights(student, teacher, data):
    sizes = []
    for l1 in (0.0, 0.5):
        result, _ = pruned(
            student, teacher, data, l1=l1, sparsity=0.1, learning_rate=0.02, schedule="one_shot"
        )
        sizes.append(sum(np.abs(layer.weights["kernel"]).sum() for layer in result.network.weight_layers))
    assert sizes[1] < 0.95 * sizes[0]


@pytest.mark.parametrize("options", [{"sparsity": 0.5}, {"method": "structured", "sparsity": 0.3}])
def test_a_keras_model_is_pruned_as_the_student_of_it(student, teacher, data, options):
    settings = PruningSettings(epochs=2, rounds=2, learning_rate=SLOWLY, **options)
    results = [
        prune_student(each, teacher, data, settings, DistillationSettings())
        for each in (student.model(), student)
    ]
    assert zeros(results[0].network) == zeros(results[1].network)
    removed, same = (result.record.metrics["weights_removed"] for result in results)
    assert removed == same


def test_each_score_is_one_of_its_own(student):
    words = get_args(PruningSettings.model_fields["score"].annotation)
    assert set(words) < set(get_args(PruningSettings.model_fields["method"].annotation))
    x = np.zeros((8, *student.network.inputs[0].shape), np.float32)
    model = student.model()
    lesson = SimpleNamespace(
        student=model, model=model, loss=None, train=(x, np.zeros(8)), task=Classification(("a", "b", "c"))
    )
    made = {word: type(scorer(PruningSettings(), word, [], lesson)) for word in words}
    assert len(set(made.values())) == len(words)
    with pytest.raises(ValueError, match="no score of weights is called 'random'"):
        scorer(PruningSettings(), "random", [], lesson)


@pytest.mark.parametrize("method", get_args(PruningSettings.model_fields["method"].annotation))
def test_every_method_of_the_settings_prunes(student, teacher, data, method):
    result, layers = pruned(
        student, teacher, data, method=method, sparsity=0.4, epochs=1, rounds=1, hardware=HardwareSettings()
    )
    assert result.record.metrics["weights_removed"] >= 0.3
    assert any(layer["reached"] for layer in layers.values())
