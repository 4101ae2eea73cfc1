from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from codesign.data import Scaling

NUMBERS = st.floats(-1e6, 1e6, width=32)
TABLES = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=12), elements=NUMBERS
)


def varies(x: np.ndarray) -> np.ndarray:
    """Features whose spread is far above the resolution of float32."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    return flat.std(axis=0) > 1e-3 * np.abs(flat).max(axis=0) + 1e-30


@given(TABLES)
def test_standard_gives_mean_zero_and_deviation_one_on_the_train_part(x):
    scaled = Scaling.fit("standard", x).apply(x)
    assert scaled.dtype == np.float32
    assert scaled.shape == x.shape
    flat = scaled.reshape(len(x), -1).astype(np.float64)[:, varies(x)]
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(flat.std(axis=0), 1, atol=1e-6)


@given(TABLES)
def test_minmax_fills_zero_to_one_on_the_train_part(x):
    flat = Scaling.fit("minmax", x).apply(x).reshape(len(x), -1)
    constant = np.ptp(x.reshape(len(x), -1), axis=0) == 0
    assert np.all(flat.min(axis=0) == 0)
    assert np.all(flat.max(axis=0) == np.where(constant, 0, 1))


@given(TABLES)
def test_shift_divides_by_a_power_of_two_that_nearly_all_values_fill(x):
    scaling = Scaling.fit("shift", x)
    assert all(math.frexp(divisor)[0] == 0.5 for divisor in scaling.divisor)
    scaled = np.abs(scaling.apply(x).reshape(len(x), -1).astype(np.float64))
    reach = np.percentile(scaled, 99.8, axis=0)
    assert np.all(reach <= 1 + 1e-5)
    assert np.all(np.maximum(reach, scaled.std(axis=0))[varies(x)] > 0.45)


def test_shift_does_not_blow_up_what_is_nearly_always_zero():
    x = np.zeros((10_000, 2))
    x[::100, 0] = 5.0
    x[::1000, 1] = 5.0
    assert np.abs(Scaling.fit("shift", x).apply(x)).max() < 32


@given(TABLES, st.sampled_from(["none", "standard", "minmax", "shift", 16, 0.3]))
def test_inverse_restores_the_source(x, choice):
    scaling = Scaling.fit(choice, x)
    restored = scaling.inverse(scaling.apply(x))
    # the scaled value is float32: its relative error, times the divisor, on top of the offset's own size
    resolution = 4e-7 * (np.abs(x).max() + max(map(abs, scaling.offset)) + max(map(abs, scaling.divisor)))
    np.testing.assert_allclose(restored, x, rtol=1e-6, atol=resolution)


@given(TABLES, st.sampled_from(["none", "standard", "minmax", "shift", 16]))
def test_a_stored_scaling_is_the_same_scaling(x, choice):
    scaling = Scaling.fit(choice, x)
    assert Scaling.from_json(json.loads(json.dumps(scaling.to_json()))) == scaling


@pytest.mark.parametrize("choice", ["standard", "minmax", "shift"])
@pytest.mark.parametrize("constant", [0.1, -7.0, 1e-30, 0.0, 3e38])
def test_a_constant_feature_becomes_zero(choice, constant):
    x = np.column_stack([np.full(100, constant), np.arange(100)])
    scaling = Scaling.fit(choice, x)
    assert scaling.divisor[0] == 1
    assert np.all(scaling.apply(x)[:, 0] == 0)


def test_a_power_of_two_divisor_is_exact():
    grey = np.arange(17, dtype=np.float64).reshape(-1, 1)
    scaling = Scaling.fit(16, grey)
    assert np.array_equal(scaling.apply(grey) * 16, grey)
    assert np.array_equal(scaling.inverse(scaling.apply(grey)), grey)


def test_many_rows_are_scaled_like_few():
    x = np.random.default_rng(0).normal(size=(140_000, 2))
    scaling = Scaling.fit("standard", x)
    whole = scaling.apply(x)
    pieces = np.concatenate([scaling.apply(piece) for piece in np.array_split(x, 7)])
    assert np.array_equal(whole, pieces)


def test_a_fitted_scaling_is_taken_as_it_is_if_the_features_agree(refusal):
    scaling = Scaling.fit("standard", np.eye(3))
    assert Scaling.fit(scaling, np.ones((5, 3))) is scaling
    sentence = "the scaling was fitted on 3 features, the data have 4; use data of the same form"
    assert refusal(Scaling.fit, scaling, np.ones((5, 4))) == sentence
    assert refusal(scaling.apply, np.ones((5, 4))) == sentence
    assert refusal(scaling.inverse, np.ones((5, 4))) == sentence


@pytest.mark.parametrize("choice", ["Standard", "zscore", True, None])
def test_an_unknown_choice(refusal, choice):
    assert refusal(Scaling.fit, choice, np.eye(2)) == (
        f"scaling must be none, standard, minmax, shift, a number to divide by, or a Scaling, not {choice!r}"
    )


@pytest.mark.parametrize("divisor", [0, float("nan"), float("inf")])
def test_a_divisor_that_cannot_be_inverted(refusal, divisor):
    assert refusal(Scaling.fit, divisor, np.eye(2)) == (
        f"scaling cannot be inverted at feature 0: offset 0.0, divisor {float(divisor)}; "
        "both must be finite and the divisor not zero"
    )


def test_a_scaling_of_unknown_kind_or_unequal_lengths(refusal):
    assert (
        refusal(Scaling, "log") == "scaling must be one of none, standard, minmax, shift, divisor, not 'log'"
    )
    message = "scaling needs as many offsets as divisors, not 2 and 1"
    assert refusal(Scaling, "standard", (0.0, 1.0), (1.0,)) == message
