"""Units that no output depends on go, and every output stays."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from learning_tasks import clouds, convolutional, dense, images

from codesign.compression.formats import measure_ranges, precision_of, uniform_widths
from codesign.compression.prune import prune_student
from codesign.compression.pruning.dead import UselessWeights, dead_units, without_dead_units
from codesign.compression.pruning.sparsity import SparsitySelector, lowest_masked
from codesign.compression.quantize import quantize_student
from codesign.core.record import Record
from codesign.errors import SettingsError
from codesign.networks.build import build_float, build_quantized
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import fold_batch_norm, hardware_form, prepare_for_quantization
from codesign.networks.read_keras import read_keras
from codesign.settings import DistillationSettings, PruningSettings, QuantizationSettings
from codesign.training.distill import Student
from codesign.training.fit import History
from codesign.training.teacher import Teacher

RNG = np.random.default_rng(3)


def changed(network, **arrays):
    """The network with arrays of its layers replaced: `fc1_kernel=...`."""

    def change(layer):
        own = {key.split("_")[1]: array for key, array in arrays.items() if key.split("_")[0] == layer.name}
        return layer.with_weights(**own) if own else layer

    return network.map_layers(change)


def widths(network):
    return {layer.name: layer.weights["kernel"].shape[-1] for layer in network.weight_layers}


class TestDense:
    @pytest.fixture
    def data(self):
        return clouds(n=90)

    @pytest.fixture
    def network(self, data):
        """fc1: unit 0 has no reader, 1 is zero, 2 a constant, 3 is read by a unit of fc2 that has no reader."""
        network = read_keras(dense(data, 6, 4))
        first, second, last = (layer.weights["kernel"].copy() for layer in network.weight_layers)
        first[:, [1, 2]] = 0
        second[0] = 0
        second[3] = [0, 0, 0, 0.5]
        last[3] = 0
        biases = RNG.normal(size=6).astype(np.float32)
        biases[[1, 2]] = -0.25, 0.75
        return changed(network, fc1_kernel=first, fc1_bias=biases, fc2_kernel=second, logits_kernel=last)

    def test_what_changes_no_output_goes_and_a_constant_stays(self, data, network):
        smaller, removed = without_dead_units(network)
        assert removed == {"fc1": 3, "fc2": 1}
        assert widths(smaller) == {"fc1": 3, "fc2": 3, "logits": 3}
        np.testing.assert_array_equal(
            smaller["fc1"].weights["bias"], network["fc1"].weights["bias"][[2, 4, 5]]
        )
        x = data.x_test
        np.testing.assert_allclose(
            predict_logits(build_float(smaller), x), predict_logits(build_float(network), x), atol=1e-6
        )
        assert smaller.weights_removed(network) == pytest.approx(1 - (2 * 5 + 3 * 3 + 3 * 3) / 66)

    def test_nothing_dead_is_nothing_done(self, data):
        network = read_keras(dense(data, 6, 4))
        assert without_dead_units(network) == (network, {})

    def test_a_layer_keeps_one_unit_though_all_are_dead(self, network):
        unread = changed(network, fc2_kernel=np.zeros((6, 4), np.float32))
        assert widths(without_dead_units(unread)[0])["fc1"] == 1

    def test_a_weight_that_rounds_to_zero_reads_nothing(self, data):
        network = prepare_for_quantization(read_keras(dense(data, 6, 4)))
        kernel = network["fc2"].weights["kernel"].copy()
        kernel[4] = 1e-4
        network = changed(network, fc2_kernel=kernel)
        precision = precision_of(network, measure_ranges(network, data.x_train), uniform_widths(network, 6))
        on_grid, _ = hardware_form(network, precision)
        assert without_dead_units(network)[1] == {}
        smaller, removed = without_dead_units(network, on_grid)
        assert removed == {"fc1": 1}
        x = precision.input.quantize(data.x_test)
        np.testing.assert_array_equal(
            predict_logits(build_quantized(smaller, precision), x),
            predict_logits(build_quantized(network, precision), x),
        )

    def test_weights_of_dead_units_go_first(self, network):
        kernels = {layer.name: layer.weights["kernel"] for layer in network.weight_layers}
        held = {name: (kernel != 0).astype(np.float32) for name, kernel in kernels.items()}
        useless = UselessWeights(network)(held)
        expected = np.zeros((5, 6), bool)
        expected[:, [0, 1, 2]] = True
        np.testing.assert_array_equal(useless["fc1"], expected)
        expected = np.zeros((6, 4), bool)
        expected[[0, 1, 2]] = True
        expected[:, 3] = True
        np.testing.assert_array_equal(useless["fc2"], expected)

        scores = {name: 1 + np.abs(kernel) for name, kernel in kernels.items()}
        settings = PruningSettings(schedule="one_shot")
        gone = {name: int((mask == 0).sum()) for name, mask in held.items()}
        useless["fc1"][:, 3] = True  # once its only reader has gone
        more = {"fc1": 5, "fc2": 11, "logits": 0}  # all that is useless and still there
        targets = {name: (gone[name] + more[name]) / mask.size for name, mask in held.items()}
        masks = SparsitySelector(lambda: scores, settings, targets, network)(held, 1.0)
        for name, mask in masks.items():
            assert (mask == 0).sum() == gone[name] + more[name]
            assert not ((mask == 0) & (held[name] == 1) & ~useless[name]).any()


def test_filters_go_through_a_pool_and_a_flatten():
    data = images(n=60)
    network = read_keras(convolutional(data, 3, 4))
    second, last = (network[name].weights["kernel"].copy() for name in ("conv2", "logits"))
    last.reshape(-1, 4, 3)[:, 2] = 0  # a view: at every position
    network = changed(network, conv2_kernel=second, logits_kernel=last)
    assert {name: list(indices) for name, indices in dead_units(network).items()} == {"conv2": [2]}
    smaller, _ = without_dead_units(network)
    np.testing.assert_allclose(
        predict_logits(build_float(smaller), data.x_test),
        predict_logits(build_float(network), data.x_test),
        atol=1e-5,
    )


def test_a_unit_without_inputs_is_in_use_where_no_bias_can_replace_it():
    data = clouds(n=60)
    network = read_keras(dense(data, 4, 3))
    kept = {layer.name: np.ones_like(layer.weights["kernel"]) for layer in network.weight_layers}
    kept["fc1"][:, 2] = 0
    assert UselessWeights(network)(kept)["fc2"][2].all()
    without_biases = network.map_layers(
        lambda layer: (
            replace(layer, weights={"kernel": layer.weights["kernel"]}) if layer.name == "fc2" else layer
        )
    )
    assert not UselessWeights(without_biases)(kept)["fc2"].any()


def test_what_one_choice_leaves_without_use_goes_in_the_same_choice():
    keras.utils.set_random_seed(1)
    network = read_keras(dense(clouds(n=60, n_features=16), 64, 32, 32))
    scores = {layer.name: np.abs(layer.weights["kernel"]) for layer in network.weight_layers}
    held = {name: np.ones_like(score) for name, score in scores.items()}
    total = sum(mask.size for mask in held.values())
    for options in ({"scope": "global"}, {}):
        settings = PruningSettings(schedule="one_shot", sparsity=0.9, **options)
        masks = SparsitySelector(lambda: scores, settings, dict.fromkeys(held, 0.9), network)(held, 1.0)
        kept = sum(int(mask.sum()) for mask in masks.values())
        assert kept == pytest.approx(0.1 * total, abs=2)
        useless = UselessWeights(network)(masks)
        wasted = sum(int((masks[name] * useless[name]).sum()) for name in masks)
        assert wasted < 0.05 * kept


def test_masks_that_leave_no_path_are_refused_with_the_layer():
    network = read_keras(dense(clouds(n=60), 16, 8))
    held = {layer.name: np.ones_like(layer.weights["kernel"]) for layer in network.weight_layers}
    # each layer keeps weights, but those of fc2 read units of fc1 that have no input
    scores = {name: RNG.random(mask.shape) for name, mask in held.items()}
    scores["fc1"][:, :8] += 1
    scores["fc2"][8:] += 1
    settings = PruningSettings(schedule="one_shot", sparsity=0.5)
    masks = {
        name: lowest_masked(scores[name], mask, 0.5) if name != "logits" else mask
        for name, mask in held.items()
    }
    with pytest.raises(
        SettingsError, match=r"^pruning: .* nothing gets through layer 'fc1': none of its units has"
    ):
        UselessWeights(network).check_connected(masks)
    # in small steps such scores leave a path
    SparsitySelector(lambda: scores, settings, dict.fromkeys(held, 0.5), network)(held, 1.0)


def test_a_normalisation_that_lets_nothing_through_counts():
    network = read_keras(convolutional(images(n=60), 3))
    kernel = network["conv1"].weights["kernel"].copy()
    kernel[..., 1] = 0
    norm = {**network["norm1"].weights, "beta": np.array([0.1, -0.5, 0.2], np.float32)}
    network = network.map_layers(
        lambda layer: {
            "conv1": layer.with_weights(kernel=kernel) if layer.name == "conv1" else layer,
            "norm1": layer.with_weights(**norm) if layer.name == "norm1" else layer,
        }.get(layer.name, layer)
    )
    assert without_dead_units(network)[1] == {}
    assert without_dead_units(network, fold_batch_norm(network))[1] == {"conv1": 1}


class TestStages:
    @pytest.fixture(scope="class")
    def data(self):
        return clouds(n=120)

    @pytest.fixture(scope="class")
    def teacher(self, data):
        labels = (data.y_train, data.y_validation, data.y_test)
        one_hot = [5.0 * (each[:, None] == range(3)) for each in labels]
        return Teacher(None, *one_hot, None, Record("teacher", {}, 0, {}, "0", {}, 0.0))

    def test_a_pruned_students_layers_shrink(self, data, teacher):
        network = read_keras(dense(data, 24, 12))
        record = Record("student", {}, 0, {}, network.digest, {}, 0.0)
        student = Student(network, History((), (), (), (), 0), record, {})
        settings = PruningSettings(epochs=3, sparsity=0.9, scope="global")
        result = prune_student(student, teacher, data, settings, DistillationSettings())
        metrics = result.record.metrics
        assert sum(metrics["dead_units_removed"].values()) > 0
        assert result.network["fc1"].weights["kernel"].shape[1] == 24 - metrics["dead_units_removed"]["fc1"]
        reached = sum(
            round(row["reached"] * network[name].weights["kernel"].size)
            for name, row in metrics["layers"].items()
        )
        total = 5 * 24 + 24 * 12 + 12 * 3
        assert reached == round(0.9 * total)
        assert metrics["weights_removed"] >= reached / total
        assert dead_units(result.network) == {}
        assert metrics["sparsity"] == result.network.sparsity

    def test_quantization_leaves_nothing_dead_on_the_grid(self, data, teacher):
        network = read_keras(dense(data, 24, 12))
        prepared = prepare_for_quantization(network)
        precision = precision_of(
            prepared, measure_ranges(prepared, data.x_train), uniform_widths(prepared, 4)
        )
        pruning = PruningSettings(inside="quantization", schedule="iterative", rounds=2, sparsity=0.85)
        settings = QuantizationSettings(epochs=2, learning_rate=0.01)
        result = quantize_student(
            network, precision, teacher, data, settings, DistillationSettings(), pruning=pruning
        )
        metrics = result.record.metrics
        assert sum(metrics["dead_units_removed"].values()) > 0
        on_grid, _ = result.hardware()
        assert dead_units(on_grid) == {}
        assert metrics["weights_removed"] == on_grid.weights_removed(prepared) >= 0.85
        # the record's quality is that of the model as it was trained; the smaller one computes the same
        right = (predict_logits(result.model(), data.x_test).argmax(axis=1) == data.y_test).mean()
        assert metrics["test_accuracy"] == pytest.approx(right)
