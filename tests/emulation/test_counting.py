"""Overflow counts equal a count of every single value."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_reference import assign
from small_graphs_emulation import perceptron

from codesign.core.fixed_point import FixedPoint
from codesign.emulation import Emulator, OverflowReport, count_overflows

X = np.random.default_rng(5).normal(0, 5, (40, 6))


def small(**types):
    """Make a network with one overflow of each sort somewhere."""
    emulator = Emulator.of(perceptron((6, 5, 3)))
    return emulator.with_types(types)


def count(values, precision):
    wanted = [assign(Fraction(float(value)), precision) for value in np.ravel(values)]
    overflowed = sum(out for _, out in wanted)
    lost = sum(
        value != 0 and new == 0 and not out
        for value, (new, out) in zip(np.ravel(values), wanted, strict=True)
    )
    return overflowed, lost


@pytest.mark.parametrize("overflow", ["WRAP", "SAT"])
def test_inputs_weights_and_results_are_counted(overflow):
    types = {
        "x": {"result": FixedPoint(6, 4, True, "RND", overflow)},
        "fc0": {
            "weight": FixedPoint(4, -1, True, "RND", overflow),
            "bias": FixedPoint(3, -3, True, "RND", overflow),
        },
        "relu0": {"result": FixedPoint(4, -1, False, "RND", overflow)},
    }
    emulator = small(**types)
    report = count_overflows(emulator, X, batch_size=7)
    trace = emulator.run(X, trace=True)
    sources = emulator.graph["fc0"].sources
    cases = {
        ("x", "input"): X,
        ("fc0", "weight"): sources["weight"],
        ("fc0", "bias"): sources["bias"],
        ("relu0", "result"): np.maximum(trace["fc0"], 0),
    }
    for (layer, tensor), values in cases.items():
        row = report.of(layer, tensor)
        overflowed, lost = count(values, FixedPoint.parse(row.precision))
        assert overflowed > 0
        assert (row.values, row.lost) == (values.size, lost), (layer, tensor)
        assert (row.wrapped, row.saturated) == ((overflowed, 0) if overflow == "WRAP" else (0, overflowed))
    assert (report.wrapped > 0) == (overflow == "WRAP")
    assert report.samples == 40


@pytest.mark.parametrize("overflow", ["WRAP", "SAT"])
def test_accumulators_are_counted(overflow):
    exact = small()
    narrow = FixedPoint(14, 4, True, "TRN", overflow)
    report = count_overflows(small(fc0={"accum": narrow, "result": narrow}), X)
    sums = exact.run(X, trace=True)["fc0"]
    row = report.of("fc0", "accumulator")
    outside = int(np.count_nonzero((sums < narrow.minimum) | (sums > narrow.maximum)))
    assert outside > 0
    if overflow == "WRAP":
        assert (row.wrapped, row.saturated) == (outside, 0)
    else:  # a partial sum may saturate where the total would not
        assert row.wrapped == 0
        assert row.saturated >= outside
    assert row.values == sums.size


def test_nothing_is_counted_where_nothing_can_happen():
    report = count_overflows(Emulator.of(perceptron((6, 5, 3))), np.clip(X, -7, 7))
    for layer in ("fc0", "fc1"):
        assert report.of(layer, "accumulator").clean
        assert report.of(layer, "result").to_dict()["lost"] == 0


def test_a_report_survives_json_and_makes_rows():
    report = count_overflows(small(fc0={"weight": FixedPoint(3, 0)}), X)
    assert OverflowReport.from_dict(report.to_dict()) == report
    rows = report.to_rows(only_events=True)
    assert {(row["layer"], row["tensor"]) for row in rows} < {(row.layer, row.tensor) for row in report}
    assert all(row["wrapped"] or row["saturated"] or row["lost"] for row in rows)
    with pytest.raises(KeyError, match="nothing was counted for fc9/bias; counted were x/input, fc0/weight"):
        report.of("fc9", "bias")
