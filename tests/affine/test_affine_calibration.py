from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.affine.calibration import CALIBRATORS, calibrate, check_calibration_set
from codesign.affine.quantizer import AffineQuantizer
from codesign.errors import DataError, SettingsError


def heavy_tailed(seed=0, size=20_000):
    return np.random.default_rng(seed).standard_t(3, size)


def error(quantizer, values):
    return float(np.mean((quantizer.fake_quantize(values) - values) ** 2))


def test_max_spans_the_samples():
    values = heavy_tailed()
    assert calibrate(values, 8) == AffineQuantizer.from_range(values.min(), values.max(), 8)
    symmetric = calibrate(values, 8, symmetric=True)
    assert symmetric.scale == (np.abs(values).max() / 127,)


@pytest.mark.parametrize("percentage", [90.0, 99.0, 100.0])
def test_percentile_leaves_its_share_inside(percentage):
    values = heavy_tailed()
    quantizer = calibrate(values, 12, "percentile", symmetric=True, percentile=percentage)
    reach = quantizer.scale[0] * quantizer.code_limits[1]
    assert np.mean(np.abs(values) <= reach * (1 + 1e-9)) == pytest.approx(percentage / 100, abs=1e-3)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("size", [2000, 20_000])  # exact, and by a histogram
def test_mse_is_the_best_of_its_thresholds(bits, symmetric, size):
    values = heavy_tailed(size=size)
    best = error(calibrate(values, bits, "mse", symmetric=symmetric), values)
    largest = np.abs(values).max()
    for share in np.arange(1, 101) / 100:
        low, high = max(values.min(), -share * largest), min(values.max(), share * largest)
        other = AffineQuantizer.from_range(low, high, bits, symmetric=symmetric)
        assert best <= error(other, values) * 1.02
    assert best <= error(calibrate(values, bits, symmetric=symmetric), values)


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_entropy_cuts_a_long_tail_and_no_flat_end(bits):
    tailed = np.append(np.random.default_rng(1).normal(size=20_000), [40.0, -40.0])
    reach = calibrate(tailed, bits, "entropy", symmetric=True).scale[0] * (2 ** (bits - 1) - 1)
    assert 1.5 < reach < 10
    flat = np.random.default_rng(1).uniform(-1, 1, 20_000)
    assert calibrate(flat, bits, "entropy", symmetric=True).scale[0] * (2 ** (bits - 1) - 1) > 0.95


def test_entropy_finds_the_divergence_that_a_plain_search_finds():
    values, levels = np.random.default_rng(2).gamma(2.0, size=4800), 16
    counts, edges = np.histogram(values, bins=4800 // 16, range=(0, values.max()))
    found = {}
    for size in range(levels, len(counts) + 1):
        p = [*counts[: size - 1].tolist(), int(counts[size - 1 :].sum())]
        q = [0.0] * size
        for level in range(levels):
            members = [k for k in range(size) if k * levels // size == level and counts[k]]
            for k in members:
                q[k] = sum(counts[m] for m in members) / len(members)
        ratio = sum(q) / sum(p)
        terms = [p[k] / sum(p) * math.log(p[k] / max(q[k], 1e-3) * ratio) for k in range(size) if p[k]]
        found[size] = sum(terms)
    chosen = calibrate(values, 4, "entropy", signed=False)
    size = round(chosen.scale[0] * 15 / edges[1])
    assert levels < size < len(counts)
    assert found[size] == pytest.approx(min(found.values()))


@pytest.mark.parametrize(
    ("counts", "bits", "signed"), [([0, 0, 0, 32, 32, 32, 16], 2, False), ([0, 32, 16, 16], 2, True)]
)
def test_of_thresholds_that_change_the_distribution_as_little_entropy_takes_the_widest(counts, bits, signed):
    values = np.repeat(np.arange(len(counts)) + 0.5, counts)
    values[-1] = len(counts)  # as many bins as there are counts, from 0 to here
    if signed:
        values[::2] *= -1
    chosen = calibrate(values, bits, "entropy", symmetric=True, signed=signed)
    assert chosen == calibrate(values, bits, "max", symmetric=True, signed=signed)
    # the tie: without the bins above the first filled one no distribution is changed either
    first = np.flatnonzero(counts)[0] + 1
    narrow = np.minimum(np.abs(values), first) * np.sign(values)
    assert calibrate(narrow, bits, "entropy", symmetric=True, signed=signed).scale[0] < chosen.scale[0]


def test_entropy_keeps_the_whole_range_of_too_few_samples():
    values = heavy_tailed(size=100)
    assert calibrate(values, 8, "entropy") == calibrate(values, 8, "max")


@given(st.sampled_from(CALIBRATORS), st.integers(2, 16), st.booleans(), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_every_calibrator_holds_zero_and_stays_inside_the_samples(method, bits, symmetric, seed):
    values = np.random.default_rng(seed).normal(loc=seed / 50, size=300)
    quantizer = calibrate(values, bits, method, symmetric=symmetric)
    assert quantizer.fake_quantize(0.0) == 0.0
    assert (
        np.abs(quantizer.fake_quantize(values)).max()
        <= np.abs(values).max() * (1 + 1e-9) + quantizer.scale[0]
    )


@pytest.mark.parametrize("method", CALIBRATORS)
def test_channels_are_calibrated_by_themselves(method):
    values = np.random.default_rng(4).normal(size=(50, 3)) * np.array([1.0, 5.0, 0.0])
    together = calibrate(values, 5, method, symmetric=True, axis=-1)
    alone = [calibrate(values[:, channel], 5, method, symmetric=True).scale[0] for channel in range(3)]
    assert together.scale == pytest.approx(tuple(alone))
    assert together.scale[2] == 1.0


@pytest.mark.parametrize("method", CALIBRATORS)
def test_degenerate_tensors_are_held(method):
    assert calibrate(np.zeros(10), 8, method).fake_quantize(0.0) == 0.0
    assert calibrate(np.full(1000, 5.0), 8, method).fake_quantize(5.0) == pytest.approx(5.0, rel=0.01)
    mostly_zero = np.append(np.zeros(100_000), [1.0, 1.0])
    assert calibrate(mostly_zero, 8, method).fake_quantize(1.0) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"method": "median"}, "the calibrator must be one of max, percentile, entropy, mse, not 'median'"),
        ({"percentile": 0}, "the percentile must be above 0 and at most 100, not 0"),
        ({"percentile": 101}, "the percentile must be above 0 and at most 100, not 101"),
        ({"bits": 1}, "an affine quantizer has 2 to 16 bits, not 1"),
    ],
)
def test_settings_that_cannot_be(arguments, sentence):
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}$"):
        calibrate(np.ones(3), **{"bits": 8, **arguments})


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((0, 4)), "the calibration set is empty (shape (0, 4)); give at least one sample"),
        (
            np.array([[1.0, 2.0], [3.0, np.nan], [np.inf, 1.0]]),
            "the calibration set has 2 values not finite, first nan in sample 1; clean the data",
        ),
    ],
)
def test_samples_that_cannot_be_calibrated_on(x, sentence):
    for check in (check_calibration_set, lambda x: calibrate(x, 8)):
        with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
            check(x)


def test_constant_features_are_named_or_allowed():
    x = np.random.default_rng(5).normal(size=(20, 3, 3))
    check_calibration_set(x)
    x[:, 0] = 1.0
    x[:, 2] = 0.0
    sentence = (
        "the calibration set has 6 of 9 features that never change (index 0, 1, 2, 6, 7, ...), so their range is "
        "unknown; give more samples, drop the features, or pass allow_constant=True"
    )
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        check_calibration_set(x)
    check_calibration_set(x, allow_constant=True)
    with pytest.raises(
        DataError, match=r"^a calibration set has shape \(n_samples, n_features, \.\.\.\), not \(3,\)$"
    ):
        check_calibration_set(np.ones(3))
