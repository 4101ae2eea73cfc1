"""What a target saves: signed digits, multipliers of reuse blocks, and budgets that are held."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learning_tasks import clouds, dense

from codesign.compression.pruning.budget import (
    HardwareSelector,
    MultiplierCost,
    ShiftAddCost,
    comparable,
    masked,
    multiplier_of_weights,
    remove_cheapest,
    signed_digits,
    target_costs,
)
from codesign.compression.pruning.targets import SkipReason
from codesign.networks.read_keras import read_keras
from codesign.settings import HardwareSettings, PruningSettings


def fewest_digits(n):
    """The fewest signed powers of two that sum to `n`: an odd number begins with +1 or -1."""
    if n < 2:
        return n
    return fewest_digits(n // 2) if n % 2 == 0 else 1 + min(map(fewest_digits, (n // 2, n // 2 + 1)))


def test_signed_digits():
    codes = np.arange(-130, 131)
    np.testing.assert_array_equal(signed_digits(codes), [fewest_digits(abs(int(code))) for code in codes])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 12))
def test_a_multiplier_takes_the_weights_that_hls4ml_gives_it(n_in, n_out, reuse_factor):
    """Walk as `dense_resource_rf_leq_nin` does: multiplier `im` reads `ir + reuse_factor * im` in turn `ir`."""
    kernel = np.arange(n_in * n_out).reshape(n_in, n_out)
    transposed = kernel.T.ravel()
    multiplier = multiplier_of_weights((n_in, n_out), reuse_factor)
    for im in range(-(-n_in * n_out // reuse_factor)):
        reads = transposed[reuse_factor * im : reuse_factor * (im + 1)]
        np.testing.assert_array_equal(np.sort(kernel[multiplier == im]), np.sort(reads))


def test_multipliers_of_a_convolution_follow_hls4mls_transposition():
    shape = (3, 3, 2, 4)
    multiplier = multiplier_of_weights(shape, 6)
    first = np.transpose(np.arange(72).reshape(shape), (3, 0, 1, 2)).ravel()[:6]
    np.testing.assert_array_equal(np.sort(np.flatnonzero(multiplier.ravel() == 0)), np.sort(first))


@pytest.fixture(scope="module")
def data():
    return clouds(n=120)


@pytest.fixture(scope="module")
def network(data):
    return read_keras(dense(data, 8, 6))


def test_layers_are_costed_by_their_strategy(data, network):
    hardware = HardwareSettings(
        strategy="latency", layers={"fc2": {"strategy": "unrolled", "reuse_factor": 4}}
    )
    adding, sharing = target_costs(network, hardware, 6, data.x_train)
    assert isinstance(adding, ShiftAddCost)
    assert adding.layers == ("fc1", "logits")
    assert isinstance(sharing, MultiplierCost)
    assert sharing.measure(network).by_layer == {"fc2": 8 * 6 / 4}


def test_the_parts_of_the_weights_sum_to_the_estimate(data, network):
    (cost,) = target_costs(network, HardwareSettings(), 6, data.x_train)
    costs = cost.measure(network)
    assert costs.total > 500
    for name, savings in costs.savings.items():
        assert savings.sum() == pytest.approx(costs.by_layer[name], rel=0.05)
    kernel = network["fc1"].weights["kernel"].copy()
    kernel[0] = 0
    without = cost.measure(network.with_kernels({"fc1": kernel}))
    assert without.by_layer["fc1"] < costs.by_layer["fc1"]
    assert (without.savings["fc1"][:8] == 0).all()


def test_a_dead_multiplier_is_saved(network):
    kernel = network["fc1"].weights["kernel"].copy()
    units = multiplier_of_weights(kernel.shape, 5)
    cost = MultiplierCost(("fc1",), {"fc1": units})
    kernel[units == 3] = 0
    kernel[units == 4] *= np.array([0, 0, 0, 0, 1])  # one weight left: not saved
    costs = cost.measure(network.with_kernels({"fc1": kernel}))
    assert costs.total == 7
    np.testing.assert_array_equal(costs.savings["fc1"], [1, 1, 1, 0, 1, 1, 1, 1])


def test_what_is_cheapest_for_what_it_saves_goes_first():
    units = {"a": np.arange(4), "b": np.arange(2)}
    cost = MultiplierCost(("a", "b"), units)
    masks = {name: np.ones(len(unit), np.float32) for name, unit in units.items()}
    scores = {"a": np.array([1.0, 4.0, 9.0, 3.0]), "b": np.array([0.1, 0.2])}
    savings = {"a": np.array([1.0, 8.0, 1.0, 1.0]), "b": np.array([1.0, 1.0])}
    # per unit of cost: b0 0.1, a1 0.5, a0 1, a3 3; a2 and b1 are the best of their layers
    remove_cheapest(masks, scores, savings, 8.5, cost)
    np.testing.assert_array_equal(masks["a"], [1, 0, 1, 1])
    np.testing.assert_array_equal(masks["b"], [0, 1])
    remove_cheapest(masks, scores, savings, 1e9, cost)
    np.testing.assert_array_equal(masks["a"], [0, 0, 1, 0])
    np.testing.assert_array_equal(masks["b"], [0, 1])


def test_magnitudes_are_parts_of_their_layers_energy():
    scores = {"a": np.array([3.0, 4.0]), "b": np.array([30.0, 40.0])}
    for values in comparable(scores, "magnitude").values():
        np.testing.assert_allclose(values, [9 / 25, 16 / 25])
    assert comparable(scores, "taylor") is scores


class TestSelector:
    def selector(self, data, network, hardware, **options):
        settings = PruningSettings(method="hardware", schedule="iterative", score="magnitude", **options)
        costs = target_costs(network, hardware, 6, data.x_train)
        scores = {layer.name: np.abs(layer.weights["kernel"]) for layer in network.weight_layers}
        return HardwareSelector(lambda: scores, lambda: network, costs, settings)

    def held(self, network):
        return {
            layer.name: np.ones(layer.weights["kernel"].shape, np.float32) for layer in network.weight_layers
        }

    @pytest.mark.slow  # the estimate of so small a network differs between runs of the whole suite
    def test_the_estimate_comes_down_to_its_budget(self, data, network):
        selector = self.selector(data, network, HardwareSettings(), sparsity=0.6)
        halfway = selector(self.held(network), 0.5)
        masks = selector(halfway, 1.0)
        for name in masks:
            assert (masks[name] <= halfway[name]).all()
        pruned = masked(network, masks)
        outcomes = selector.outcomes(pruned)
        before = sum(outcome.details["cost_before"] for outcome in outcomes.values())
        after = sum(outcome.details["cost_after"] for outcome in outcomes.values())
        assert after > 0.3 * before
        assert after <= 0.4 * before * 1.01
        outcome = outcomes["fc1"]
        assert outcome.asked is None
        assert outcome.reached == pytest.approx(
            1 - outcome.details["cost_after"] / outcome.details["cost_before"]
        )

    def test_whole_multipliers_go(self, data, network):
        hardware = HardwareSettings(strategy="unrolled", reuse_factor=4)
        selector = self.selector(data, network, hardware, sparsity=0.5)
        masks = selector(self.held(network), 1.0)
        total = gone = 0
        for mask in masks.values():
            units = multiplier_of_weights(mask.shape, 4)
            for unit in range(units.max() + 1):
                assert len(set(mask[units == unit])) == 1
            total += units.max() + 1
            gone += len(np.unique(units[mask == 0]))
        assert gone == total - int(total * 0.5)

    def test_a_layer_without_reuse_blocks_says_so(self, data):
        import keras
        from learning_tasks import images, layers

        pictures = images(n=60)
        model = keras.Sequential(
            [
                keras.Input(pictures.input_shape),
                layers.DepthwiseConv2D(2, name="depth"),
                layers.Flatten(),
                layers.Dense(3, name="logits"),
            ]
        )
        network = read_keras(model)
        selector = self.selector(pictures, network, HardwareSettings(strategy="resource"), sparsity=0.5)
        masks = selector(self.held(network), 1.0)
        assert masks["depth"].all()
        assert selector.outcomes(masked(network, masks))["depth"].kept is SkipReason.NO_REUSE
