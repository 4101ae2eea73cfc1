"""From a network, a loss and a budget to a precision map."""

from __future__ import annotations

import itertools
import re

import keras
import numpy as np
import pytest

from codesign.compression.hessian import hessian_traces
from codesign.compression.hessian_precision import BudgetUnit, HessianWidths
from codesign.compression.sensitivity import sensitivities, weight_errors
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import bops_of, estimate_luts, weight_bits_of
from codesign.errors import SettingsError
from codesign.networks.build import build_float, build_quantized
from codesign.networks.description import Network
from codesign.networks.prepare import prepare_for_quantization
from codesign.networks.read_keras import read_keras
from codesign.networks.shapes import layer_shapes

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Three blobs in four dimensions, on a grid of 1/8."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    x = rng.normal(size=(3, 4))[y] * 1.5 + rng.normal(size=(400, 4)) / 2
    return (np.rint(x * 8) / 8).astype(np.float32), y


@pytest.fixture(scope="module")
def network() -> Network:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, name="a"),
            layers.ReLU(name="ra"),
            layers.Dense(5, name="b"),
            layers.ReLU(name="rb"),
            layers.Dense(3, name="c"),
        ]
    )
    model.compile("adam", LOSS)
    model.fit(*data(), epochs=30, batch_size=32, verbose=0)
    return prepare_for_quantization(read_keras(model))


def start(width: int) -> PrecisionMap:
    weight, bias = (FixedPoint(bits, 2, True, "RND_CONV", "SAT") for bits in (width, 12))
    layers = {name: LayerPrecision(weight, bias) for name in "abc"}
    layers |= {
        name: LayerPrecision(result=FixedPoint(width, 3, False, "RND_CONV", "SAT")) for name in ("ra", "rb")
    }
    return PrecisionMap(FixedPoint(8, 4, True, "RND_CONV", "SAT"), layers)


def weights_of(network: Network) -> dict[str, np.ndarray]:
    return {layer.name: layer.weights["kernel"] for layer in network.weight_layers}


def chosen(network: Network, base: PrecisionMap, limit: float, unit: BudgetUnit, **options) -> PrecisionMap:
    return HessianWidths(network, LOSS, *data(), base, unit, **options).choose(limit).apply(base)


def loss_of(network: Network, precision: PrecisionMap) -> float:
    x, y = data()
    return float(LOSS(y, build_quantized(network, precision)(x)))


def test_the_best_of_all_maps(network):
    x, y = data()
    base, widths = start(8), (3, 4, 6)
    found = chosen(network, base, 330, "weight_bits", widths=widths, samples=40)
    traces = hessian_traces(build_float(network), LOSS, x, y, samples=40, relative_error=0.05)
    rows = {row.layer: row for row in sensitivities(traces, weight_errors(weights_of(network), base, widths))}
    shapes = layer_shapes(network)
    best = {}
    for choice in itertools.product(widths, repeat=3):
        trial = base
        for name, width in zip("abc", choice, strict=True):
            trial = trial.replaced(name, "weight", FixedPoint(width, 2, True, "RND_CONV", "SAT"))
        if weight_bits_of(shapes, trial) <= 330:
            best[trial] = sum(
                rows[name].values[widths.index(width)] for name, width in zip("abc", choice, strict=True)
            )
    assert found == min(best, key=best.__getitem__)


@pytest.mark.parametrize("width", [3, 4])
def test_lower_loss_than_uniform_widths_at_the_same_bops(network, width):
    shapes, kernels = layer_shapes(network), weights_of(network)
    uniform = start(width)
    limit = bops_of(shapes, uniform, kernels)
    options = {
        "widths": range(2, 9),
        "activation_widths": range(2, 9),
        "input_widths": range(4, 9),
        "samples": 64,
    }
    found = chosen(network, start(8), limit, "bops", **options)
    assert bops_of(shapes, found, kernels) <= limit
    assert loss_of(network, found) < loss_of(network, uniform)
    # only widths changed, and biases kept theirs
    for name, tensor, precision in found.items():
        base = start(8)[name].get(tensor)
        assert (precision.integer_bits, precision.signed) == (base.integer_bits, base.signed)
        assert tensor != "bias" or precision == base


def test_a_budget_of_luts(network):
    shapes, kernels = layer_shapes(network), weights_of(network)
    biases = {layer.name: layer.weights["bias"] for layer in network.weight_layers}
    limit = estimate_luts(shapes, start(5), kernels, biases)
    found = chosen(network, start(5), limit, "luts", widths=range(3, 8), samples=32)
    assert estimate_luts(shapes, found, kernels, biases) <= 1.05 * limit
    assert {found[name].weight.width for name in "abc"} != {3}


def test_a_budget_that_cannot_be_met_says_which_can(network):
    least = 2 * (4 * 6 + 6 * 5 + 5 * 3)
    widths = HessianWidths(network, LOSS, *data(), start(8), "weight_bits", samples=2)
    assert widths.least_cost() == least
    message = f"budget: 100 weight bits cannot be met; the smallest feasible one is {least} weight bits"
    with pytest.raises(SettingsError, match=f"^{message}$"):
        widths.choose(100)
    found = widths.choose(least).apply(start(8))
    assert {found[name].weight.width for name in "abc"} == {2}


def test_faults_are_named(network):
    with pytest.raises(SettingsError, match=r"^unit: must be one of bops, weight_bits, luts, not 'dsp'$"):
        HessianWidths(network, LOSS, *data(), start(8), "dsp")
    message = "activation_widths: must be 2 to 16 bits, not (1, 2)"
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        HessianWidths(network, LOSS, *data(), start(8), "bops", activation_widths=(1, 2), samples=2)
