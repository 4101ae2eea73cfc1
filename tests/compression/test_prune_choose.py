"""Which weights and units go: schedules, masks, saliencies, and the shapes that are left."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from learning_tasks import clouds, convolutional, dense, images, layers

from codesign.compression.pruning.masked import concatenate_histories, shared_epochs
from codesign.compression.pruning.scores import HessianScores, TaylorScores, unit_sums
from codesign.compression.pruning.sparsity import lowest_masked, lowest_of_all_masked
from codesign.compression.pruning.targets import SkipReason, scheduled, sparsity_targets
from codesign.compression.pruning.units import Units, removable_units, remove_units, units_of
from codesign.errors import SettingsError
from codesign.networks.build import build_float
from codesign.networks.logits import predict_logits
from codesign.networks.read_keras import read_keras
from codesign.settings import PruningSettings
from codesign.training.fit import History
from codesign.training.losses import DistillationLoss, pack_targets

RNG = np.random.default_rng(7)


@given(target=st.floats(0, 0.99), schedule=st.sampled_from(["polynomial", "iterative", "one_shot"]))
def test_schedules_rise_to_their_target(target, schedule):
    points = [scheduled(target, progress, schedule) for progress in np.linspace(0, 1, 9)]
    assert points == sorted(points)
    assert points[-1] == pytest.approx(target)
    assert points[0] == (target if schedule == "one_shot" else 0.0)


def test_iterative_steps_take_equal_shares_of_what_is_left():
    left = [1 - scheduled(0.9, number / 4, "iterative") for number in range(5)]
    np.testing.assert_allclose(np.divide(left[1:], left[:-1]), 0.1**0.25)


def test_polynomial_by_hand():
    assert scheduled(0.8, 0.5, "polynomial") == pytest.approx(0.8 * (1 - 0.125))


@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**31))
def test_lowest_scores_are_masked_and_what_was_masked_stays(size, sparsity, seed):
    rng = np.random.default_rng(seed)
    scores, held = rng.random(size), (rng.random(size) > 0.3).astype(np.float32)
    mask = lowest_masked(scores, held, sparsity)
    assert (mask == 0).sum() == round(sparsity * size)
    before = (held == 0).sum()
    if (mask == 0).sum() >= before:
        assert (mask[held == 0] == 0).all()
        now, stays = scores[(held == 1) & (mask == 0)], scores[mask == 1]
        assert len(now) == 0 or len(stays) == 0 or now.max() <= stays.min()


def test_one_budget_for_all_layers():
    scores = {"a": np.array([[1.0, 8.0], [3.0, 9.0]]), "b": np.array([2.0, 4.0])}
    held = {name: np.ones_like(values) for name, values in scores.items()}
    masks = lowest_of_all_masked(scores, held, 0.5)
    np.testing.assert_array_equal(masks["a"], [[0, 1], [0, 1]])
    np.testing.assert_array_equal(masks["b"], [0, 1])


def test_no_layer_is_emptied_by_one_budget():
    scores = {"a": np.array([5.0, 6.0, 7.0]), "weak": np.array([0.1, 0.3, 0.2])}
    held = {name: np.ones_like(values) for name, values in scores.items()}
    masks = lowest_of_all_masked(scores, held, 0.9)
    np.testing.assert_array_equal(masks["weak"], [0, 1, 0])
    np.testing.assert_array_equal(masks["a"], [0, 0, 1])


def test_a_sparsity_that_empties_a_layer_is_refused_with_its_name():
    network = read_keras(dense(clouds(n=60), 4))
    settings = PruningSettings(sparsity=0.5, layers={"logits": 0.96, "fc9": 0.1})
    with pytest.raises(SettingsError) as caught:
        sparsity_targets(network, settings)
    assert caught.value.faults == (
        "pruning.layers.fc9: the student has no such layer; its layers with weights are fc1, logits",
        "pruning: a sparsity of 0.96 leaves none of the 12 weights of layer 'logits'; set pruning.layers.logits "
        "to less",
    )


def test_one_budget_is_refused_only_where_layers_would_be_left_without_a_weight():
    network = read_keras(dense(clouds(n=60), 4))  # 32 weights in two layers
    assert sparsity_targets(network, PruningSettings(sparsity=0.94, scope="global")) == {
        "fc1": 0.94,
        "logits": 0.94,
    }
    assert sparsity_targets(network, PruningSettings(sparsity=0.99, method="hardware"))
    with pytest.raises(
        SettingsError,
        match=r"^pruning\.sparsity: 0\.96 of the 32 weights leaves less than one for each of the 2 layers; set it to less$",
    ):
        sparsity_targets(network, PruningSettings(sparsity=0.96, scope="global"))


def test_epochs_are_shared_and_the_last_round_has_the_rest():
    assert shared_epochs(11, 3) == [3, 3, 5]
    assert shared_epochs(3, 3) == [1, 1, 1]


def test_histories_are_joined():
    one, two = (
        History((3.0, 2.0), (4.0, 3.0), (0.1, 0.2), (0.3, 0.4), 0),
        History((1.0,), (2.0,), (0.5,), (0.6,), 0),
    )
    assert concatenate_histories([one, two]) == History(
        (3.0, 2.0, 1.0), (4.0, 3.0, 2.0), (0.1, 0.2, 0.5), (0.3, 0.4, 0.6), 2
    )


class TestSaliency:
    @pytest.fixture(scope="class")
    @staticmethod
    def data():
        return clouds(n=120)

    @pytest.fixture(scope="class")
    @staticmethod
    def model(data):
        return dense(data, 4)

    def test_taylor_is_the_gradient_times_the_weight(self, data, model):
        x, targets = data.x_train[:64], pack_targets(data.y_train[:64])
        found = TaylorScores(model, ["fc1", "logits"], DistillationLoss(), x, targets)()
        kernel = model.get_layer("fc1").kernel
        by_hand = []
        for start in (0, 32):
            with tf.GradientTape() as tape:
                logits = model(x[start : start + 32])
                labels = data.y_train[start : start + 32]
                nll = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
                )
            by_hand.append(np.abs(tape.gradient(nll, kernel.value).numpy() * kernel.numpy()))
        np.testing.assert_allclose(found["fc1"], np.mean(by_hand, axis=0), rtol=1e-4, atol=1e-7)

    def test_the_last_layers_diagonal_is_that_of_the_hessian(self, data, model):
        """Where the logits are linear in the weights, Gauss-Newton is exact: compared with second differences."""
        x = data.x_train[:40]
        found = HessianScores(model, ["logits"], x, 3).diagonal()["logits"]
        hidden = (
            keras.Model(model.inputs, model.get_layer("fc1").output).predict(x, verbose=0).astype(np.float64)
        )
        kernel, bias = (array.astype(np.float64) for array in model.get_layer("logits").get_weights())

        def loss(kernel):
            logits = hidden @ kernel + bias
            log_z = np.log(np.exp(logits).sum(axis=1))
            return (log_z - logits[:, 0]).mean()  # the second derivative is the same for every label

        for index in [(0, 0), (2, 1), (3, 2)]:
            step = np.zeros_like(kernel)
            step[index] = 1e-3
            second = (loss(kernel + step) - 2 * loss(kernel) + loss(kernel - step)) / 1e-6
            assert found[index] == pytest.approx(second, rel=1e-3, abs=1e-7)

    def test_deeper_diagonals_are_sums_over_classes_and_samples(self, data, model):
        x = data.x_train[:5]
        found = HessianScores(model, ["fc1"], x, 3).diagonal()["fc1"]
        kernel = model.get_layer("fc1").kernel.value
        total = np.zeros(kernel.shape)
        for sample in x:
            for label in range(3):
                with tf.GradientTape() as tape:
                    log_p = tf.nn.log_softmax(model(sample[None]))[0, label]
                total += np.exp(float(log_p)) * tape.gradient(log_p, kernel).numpy() ** 2
        np.testing.assert_allclose(found, total / 5, rtol=1e-3, atol=1e-8)

    def test_one_output_has_two_classes(self):
        data = clouds(n_classes=2, n=60)
        model = dense(data, 3, outputs=1)
        scores = HessianScores(model, ["logits"], data.x_train, 1)
        p = 1 / (1 + np.exp(-predict_logits(model, data.x_train).astype(np.float64)))
        hidden = keras.Model(model.inputs, model.get_layer("fc1").output).predict(data.x_train, verbose=0)
        expected = (p * (1 - p) * hidden**2).mean(axis=0)
        np.testing.assert_allclose(scores.diagonal()["logits"][:, 0], expected, rtol=1e-3, atol=1e-8)
        kernel = model.get_layer("logits").kernel.numpy()[:, 0]
        np.testing.assert_allclose(scores()["logits"][:, 0], expected * kernel**2 / 2, rtol=1e-3, atol=1e-9)

    def test_sums_over_units_keep_leading_axes(self):
        values, units = {"a": np.arange(12.0).reshape(2, 3, 2)}, {"a": np.array([[0, 1], [0, 1], [2, 2]])}
        np.testing.assert_array_equal(unit_sums(values, units)["a"], [[2, 4, 9], [14, 16, 21]])


class TestUnits:
    def without(self, model, data, name, indices):
        """The network with units removed, and the same values with the units' results set to zero by hand."""
        network = read_keras(model)
        smaller = remove_units(network, {name: np.array(indices)})
        kernels = {layer.name: layer.weights["kernel"].copy() for layer in network.weight_layers}
        units = units_of(network, name)
        for reader in units.readers:
            kernel = kernels[reader]
            positions = kernel.shape[-2] // units.count
            for position in range(positions):
                kernel[..., position * units.count + np.array(indices), :] = 0
        zeroed = network.with_kernels(kernels)
        x = data.x_test
        np.testing.assert_allclose(
            predict_logits(build_float(smaller), x), predict_logits(build_float(zeroed), x), atol=1e-5
        )
        return smaller

    def test_neurons_leave_dense_layers(self):
        data = clouds(n=60)
        smaller = self.without(dense(data, 6, 5, norm=True), data, "fc1", [0, 4])
        assert smaller["fc1"].weights["kernel"].shape == (5, 4)
        assert {array.shape for array in smaller["norm1"].weights.values()} == {(4,)}
        assert smaller["fc2"].weights["kernel"].shape == (4, 5)

    def test_filters_leave_convolutions_and_a_flattened_map(self):
        data = images(n=60)
        model = convolutional(data, 3, 4)
        smaller = self.without(model, data, "conv2", [1])
        assert smaller["logits"].weights["kernel"].shape == (3 * 3 * 3, 3)
        assert self.without(model, data, "conv1", [0, 2])["conv2"].weights["kernel"].shape == (3, 3, 1, 4)

    def test_depthwise_convolutions_go_along(self):
        data = images(n=60)
        model = keras.Sequential(
            [
                keras.Input(data.input_shape),
                layers.Conv2D(4, 3, name="conv"),
                layers.DepthwiseConv2D(2, name="depth"),
                layers.Flatten(name="flatten"),
                layers.Dense(3, name="logits"),
            ]
        )
        assert units_of(read_keras(model), "conv") == Units("conv", 4, ("depth",), ("logits",))
        smaller = self.without(model, data, "conv", [3])
        assert smaller["depth"].weights["kernel"].shape == (2, 2, 3, 1)
        assert smaller["depth"].weights["bias"].shape == (3,)

    def test_layers_that_keep_theirs_say_why(self):
        inputs = keras.Input((6,), name="x")
        one = layers.Dense(4, name="one")(inputs)
        two = layers.Dense(4, name="two")(inputs)
        three = layers.Dense(6, name="three")(layers.Add(name="sum")([one, two]))
        shaped = layers.Reshape((3, 2, 1), name="shape")(three)
        depth = layers.DepthwiseConv2D(2, name="depth")(shaped)
        flat = layers.Flatten(name="flat")(depth)
        model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.Dense(5, name="four")(flat)))
        removable, kept = removable_units(read_keras(model))
        assert list(removable) == ["four"]
        assert kept == {
            "one": SkipReason.SHARED,
            "two": SkipReason.SHARED,
            "three": SkipReason.RESHAPED,
            "depth": SkipReason.DEPTHWISE,
            "logits": SkipReason.OUTPUT,
        }
