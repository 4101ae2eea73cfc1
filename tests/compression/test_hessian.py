"""Hutchinson's traces against exact Hessians of small networks."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from codesign.compression.hessian import activation_errors, hessian_traces
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT
from codesign.errors import DataError, SettingsError, TrainingError
from codesign.training.losses import DistillationLoss, pack_targets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, name="a"),
            keras.layers.ReLU(name="r"),
            keras.layers.Dense(3, name="b"),
        ],
        name="small",
    )


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(70, 6)).astype(np.float32), rng.integers(0, 3, 70)


def exact_trace(model, loss, x, y, layer: str) -> float:
    """The trace of the whole Hessian of one kernel, over the weights that are not zero."""
    kernel = model.get_layer(layer).kernel.value
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            value = tf.reduce_mean(loss(y, model(x)))
        slope = tf.reshape(inner.gradient(value, kernel), [-1])
    size = slope.shape[0]
    hessian = outer.jacobian(slope, kernel).numpy().reshape(size, size)
    return float(np.diag(hessian)[kernel.numpy().reshape(-1) != 0].sum())


def test_within_two_percent_of_the_exact_trace(model, samples):
    traces = hessian_traces(model, CROSS_ENTROPY, *samples, samples=4000, seed=1)
    assert [(trace.layer, trace.tensor, trace.n_values) for trace in traces] == [
        ("a", "weight", 30),
        ("b", "weight", 15),
    ]
    for trace in traces:
        exact = exact_trace(model, CROSS_ENTROPY, *samples, trace.layer)
        assert trace.samples == 4000
        assert trace.trace == pytest.approx(exact, rel=0.02)
        assert abs(trace.trace - exact) < 3 * trace.standard_error < 0.06 * exact
        assert trace.mean == trace.trace / trace.n_values


def test_the_standard_error_is_the_spread_over_seeds(model, samples):
    exact = exact_trace(model, CROSS_ENTROPY, *samples, "a")
    runs = [
        hessian_traces(model, CROSS_ENTROPY, *samples, samples=48, seed=seed, layers=["a"])[0]
        for seed in range(15)
    ]
    pulls = np.array([(run.trace - exact) / run.standard_error for run in runs])
    # chi-squared with 15 degrees of freedom: 95 % within 0.42 and 1.83
    assert 0.42 < np.mean(pulls**2) < 1.83


def test_activations_within_two_percent_of_the_exact_trace(model, samples):
    x, y = samples[0][:24], samples[1][:24]
    head = model.get_layer("b")
    activations = keras.Model(model.inputs[0], model.get_layer("r").output)(x)
    traces = []
    for row, label in zip(activations, y, strict=True):
        values = tf.Variable(row[None])
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                value = CROSS_ENTROPY(np.array([label]), head(values))
            slope = tf.reshape(inner.gradient(value, values), [-1])
        traces.append(np.trace(outer.jacobian(slope, values).numpy().reshape(5, 5)))
    (trace,) = hessian_traces(
        model, CROSS_ENTROPY, x, y, samples=1000, tensor="result", layers=["r"], batch_size=16
    )
    assert trace.trace == pytest.approx(np.mean(traces), rel=0.02)
    assert trace.n_values == 5


def test_a_diagonal_hessian_needs_no_averaging():
    """Sums of squares of single products: every probe gives the trace itself."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, use_bias=False, name="d")])
    x, y = np.array([[1.0], [2.0], [-3.0]], dtype=np.float32), np.zeros((3, 3), dtype=np.float32)

    def loss(y_true, outputs):
        return keras.ops.sum(keras.ops.square(outputs - y_true), axis=-1)

    weight, result, source = (
        hessian_traces(model, loss, x, y, samples=2, batch_size=2, **options)[0]
        for options in ({}, {"tensor": "result", "layers": ["d"]}, {"tensor": "result", "layers": [INPUT]})
    )
    assert weight.trace == pytest.approx(3 * 2 * np.mean(x**2), rel=1e-6)
    assert result.trace == pytest.approx(3 * 2)
    assert source.trace == pytest.approx(2 * np.sum(model.get_layer("d").kernel.numpy() ** 2), rel=1e-5)
    assert weight.standard_error == result.standard_error == pytest.approx(0, abs=1e-5)


def test_pruned_weights_stay_out(samples):
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="d")])
    kernel, bias = model.get_layer("d").get_weights()
    kernel[np.arange(18).reshape(6, 3) % 3 == 0] = 0
    model.get_layer("d").set_weights([kernel, bias])
    (trace,) = hessian_traces(model, CROSS_ENTROPY, *samples, samples=1500)
    assert trace.n_values == 12
    assert trace.trace == pytest.approx(exact_trace(model, CROSS_ENTROPY, *samples, "d"), rel=0.02)


def test_batches_seeds_and_early_stop(model, samples):
    whole = hessian_traces(model, CROSS_ENTROPY, *samples, samples=40, seed=4)
    parts = hessian_traces(model, CROSS_ENTROPY, *samples, samples=40, seed=4, batch_size=16)
    other = hessian_traces(model, CROSS_ENTROPY, *samples, samples=40, seed=5)
    for one, two, three in zip(whole, parts, other, strict=True):
        assert one.trace == pytest.approx(two.trace, rel=1e-4)
        assert one.trace != three.trace
    stopped = hessian_traces(model, CROSS_ENTROPY, *samples, samples=5000, relative_error=0.1)
    assert all(trace.standard_error <= 0.1 * trace.trace for trace in stopped)
    assert 32 <= stopped[0].samples < 5000


def test_convolutions_and_the_distillation_loss():
    keras.utils.set_random_seed(6)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            layers.DepthwiseConv2D(2, name="dw"),
            layers.ReLU(),
            layers.Conv2D(2, 2, name="c"),
            layers.Flatten(),
            layers.Dense(3, name="d"),
        ]
    )
    rng = np.random.default_rng(1)
    x, teacher = rng.normal(size=(40, 5, 5, 2)).astype(np.float32), rng.normal(size=(40, 3))
    y = pack_targets(rng.integers(0, 3, 40), teacher)
    loss = DistillationLoss(alpha=0.3, temperature=2.0)
    traces = hessian_traces(model, loss, x, y, samples=3000)
    assert [trace.layer for trace in traces] == ["dw", "c", "d"]
    for trace in traces:
        assert abs(trace.trace - exact_trace(model, loss, x, y, trace.layer)) < 3 * trace.standard_error


def test_the_model_stays_as_it_was(model, samples):
    before = model.get_weights()
    model.trainable = False
    frozen = hessian_traces(model, CROSS_ENTROPY, *samples, samples=4)
    model.trainable = True
    assert frozen == hessian_traces(model, CROSS_ENTROPY, *samples, samples=4)
    for array, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, now)


def test_activation_errors_are_mean_squared_distances(model, samples):
    x, _ = samples
    base = FixedPoint(8, 2, False, "RND_CONV", "SAT")
    precision = PrecisionMap(FixedPoint(8, 3), {"r": LayerPrecision(result=base)})
    errors = activation_errors(model, x, precision, (3, 5), ["r", INPUT], batch_size=32)
    values = keras.Model(model.inputs[0], model.get_layer("r").output)(x).numpy()
    for width in (3, 5):
        rounded = np.clip(
            np.rint(values * 2.0 ** (width - 2)) / 2.0 ** (width - 2), 0, 4 - 2.0 ** (2 - width)
        )
        assert errors["r", "result"][width] == pytest.approx(
            np.square(rounded - values).sum(axis=1).mean(), rel=1e-5
        )
        truncated = FixedPoint(width, 3).quantize(x)
        expected = np.square(truncated - x).sum(axis=1).mean()
        assert errors[INPUT, "result"][width] == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_finite_names_the_batch(model, samples):
    x, y = samples
    broken = x.copy()
    broken[40] = np.nan
    message = (
        "the loss is nan on batch 2 (samples 32 to 47), so it has no Hessian there; "
        "look for NaN in the data and for weights that diverged"
    )
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}$"):
        hessian_traces(model, CROSS_ENTROPY, broken, y, batch_size=16)

    def kink(y_true, outputs):
        return keras.ops.sqrt(keras.ops.sum(0 * outputs))

    message = (
        "the second derivative for the weight of 'a' is not finite on batch 0 (samples 0 to 69); "
        "use a loss that is smooth there"
    )
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}$"):
        hessian_traces(model, kink, x, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "samples: must be at least 2, not 1"),
        ({"batch_size": 0}, "batch_size: must be at least 1, not 0"),
        ({"relative_error": 0.0}, "relative_error: must be above 0, not 0.0"),
        ({"tensor": "bias"}, "tensor must be 'weight' or 'result', not 'bias'"),
        ({"tensor": "result"}, "layers must name the layers whose results are meant, not None"),
        ({"layers": ["r"]}, "layers: r is no layer with a kernel; the model 'small' has a, b"),
        (
            {"tensor": "result", "layers": ["x", "y"]},
            "layers: x, y are no layer with a result; the model 'small' has <input>, a, r, b",
        ),
    ],
)
def test_faults_are_named(model, samples, options, message):
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        hessian_traces(model, CROSS_ENTROPY, *samples, **options)


def test_samples_are_needed(model, samples):
    x, y = samples
    message = "x and y must have the same number of samples, at least one, not 70 and 3"
    with pytest.raises(DataError, match=f"^{message}$"):
        hessian_traces(model, CROSS_ENTROPY, x, y[:3])
