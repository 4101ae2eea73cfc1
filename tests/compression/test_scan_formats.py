from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scan_tasks import task

from codesign.compression.formats import (
    Extremes,
    fit_format,
    measure_ranges,
    precision_of,
    uniform_widths,
)
from codesign.core.fixed_point import FixedPoint
from codesign.errors import DataError, SettingsError
from codesign.networks.prepare import prepare_for_quantization

VALUES = st.floats(-1000, 1000, allow_nan=False, width=32)


def clipped(kind: FixedPoint, values: np.ndarray) -> bool:
    """Whether a value, rounded to nearest even, is beyond the format: also where half a step carries it over."""
    least, most = kind.code_limits
    codes = [round(Fraction(float(value)) / Fraction(kind.step)) for value in np.ravel(values)]
    return not all(least <= code <= most for code in codes)


@given(VALUES, VALUES, st.integers(2, 16))
@example(1.5, -1.0, 2)
def test_nothing_of_the_range_saturates_and_one_integer_bit_less_would(a, b, width):
    low, high = min(a, b), max(a, b)
    kind = fit_format(Extremes(low, high), width)
    edges = np.array([low, high])
    assert (kind.width, kind.signed) == (width, low < 0)
    assert not clipped(kind, edges)
    if np.any(kind.quantize(edges)):
        assert clipped(FixedPoint(width, kind.integer_bits - 1, kind.signed, "RND_CONV", "SAT"), edges)


@given(VALUES, VALUES, st.integers(2, 16), st.integers(0, 8))
def test_a_margin_is_integer_bits_and_nothing_else(a, b, width, margin):
    range_ = Extremes(min(a, b), max(a, b))
    plain, wide = fit_format(range_, width), fit_format(range_, width, margin)
    assert wide.integer_bits == plain.integer_bits + margin
    assert wide.maximum == pytest.approx(plain.maximum * 2**margin)


def test_one_signed_bit_holds_no_positive_value():
    with pytest.raises(DataError, match=r"^no signed format of 1 bit holds -1 to 1; give it 2 bits$"):
        fit_format(Extremes(-1.0, 1.0), 1)


@pytest.mark.parametrize(("low", "high", "integer_bits"), [(-3.0, 3.9, 3), (0.0, 4.0, 3), (-4.0, 3.9, 3)])
def test_formats_too_wide_for_a_double_are_found_too(low, high, integer_bits):
    assert fit_format(Extremes(low, high), 64).integer_bits == integer_bits


def test_zero_alone_has_a_format():
    assert fit_format(Extremes(0.0, 0.0), 4).quantize([0.0]) == 0.0


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (
            np.empty((0, 5), np.float32),
            r"^the calibration set is empty \(shape \(0, 5\)\); give at least one",
        ),
        (
            np.full((2, 5), np.nan, np.float32),
            r"^the calibration set has 10 values not finite, first nan in sample 0",
        ),
        (
            np.array([[1, 2, 3, 4, np.inf]], np.float32),
            r"1 value not finite, first inf in sample 0",
        ),
        (
            np.ones((2, 4), np.float32),
            r"^the calibration set must have shape \(n_samples, 5\), not \(2, 4\)$",
        ),
    ],
)
def test_calibration_that_shows_no_range_is_refused(bad, sentence):
    student, _ = task()
    with pytest.raises(DataError, match=sentence):
        measure_ranges(student.network, bad)


def test_a_percentile_cuts_inputs_and_results_but_never_weights():
    student, dataset = task()
    network = prepare_for_quantization(student.network)
    calibration = dataset.calibration(200)
    whole, cut = measure_ranges(network, calibration), measure_ranges(network, calibration, 95.0)
    assert cut.weights == whole.weights
    assert cut.biases == whole.biases
    assert cut.input.highest == pytest.approx(np.percentile(np.abs(calibration), 95), rel=1e-6)
    assert all(cut.results[name].highest <= whole.results[name].highest for name in whole.results)
    for wrong in (0.0, 101.0):
        with pytest.raises(
            SettingsError, match=rf"^the percentile must be above 0 and at most 100, not {wrong}$"
        ):
            measure_ranges(network, calibration, wrong)


def test_a_map_holds_every_tensor_of_the_calibration_set():
    student, dataset = task()
    network = prepare_for_quantization(student.network)
    ranges = measure_ranges(network, dataset.calibration(200))
    precision = precision_of(network, ranges, uniform_widths(network, 6, input_bits=9), margin_bits=1)
    assert precision.input.width == 9
    assert {kind.width for _, _, kind in precision.items()} == {6}
    for name, range_ in ranges.results.items():
        kind = precision[name].result
        # the margin doubles what a result may be; weights are known and have none
        assert kind.maximum >= range_.highest * 2 - 2 * kind.step
    for layer in network.weight_layers:
        assert not clipped(precision[layer.name].weight, layer.weights["kernel"])
