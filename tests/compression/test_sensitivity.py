"""Sensitivities: what they are made of, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from codesign.compression.sensitivity import HessianTrace, Sensitivity, sensitivities, weight_errors
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.errors import SettingsError

PRECISION = PrecisionMap(
    FixedPoint(8, 2),
    {"fc": LayerPrecision(FixedPoint(8, 1, True, "RND_CONV", "SAT")), "relu": LayerPrecision()},
)


def test_trace_per_value_times_squared_error():
    kernel = np.array([[0.3, -0.26], [0.9, 0.5]])
    errors = weight_errors({"fc": kernel}, PRECISION, (2, 3))
    # steps of 1/2 and 1/4, the greatest values 1/2 and 3/4
    assert errors["fc", "weight"][2] == pytest.approx(0.2**2 + 0.24**2 + 0.4**2)
    assert errors["fc", "weight"][3] == pytest.approx(0.05**2 + 0.01**2 + 0.15**2)
    trace = HessianTrace("fc", "weight", 6.0, 0.1, 10, 4)
    (row,) = sensitivities([trace], errors)
    assert row == Sensitivity("fc", "weight", (2, 3), tuple(1.5 * errors["fc", "weight"][w] for w in (2, 3)))


def test_wider_is_never_worse():
    kernel = np.random.default_rng(0).normal(size=500) / 3
    by_width = weight_errors({"fc": kernel}, PRECISION, range(2, 17))["fc", "weight"]
    assert list(by_width.values()) == sorted(by_width.values(), reverse=True)


@pytest.mark.parametrize(
    "trace", [HessianTrace("fc", "weight", -3.0, 0.1, 9, 4), HessianTrace("fc", "weight", 0, 0, 9, 0)]
)
def test_no_curvature_no_sensitivity(trace):
    assert sensitivities([trace], {("fc", "weight"): {2: 0.5}})[0].values == (0.0,)


def test_faults_are_named():
    for make, message in [
        (
            lambda: sensitivities([HessianTrace("fc", "weight", 1, 0, 2, 1)], {}),
            "errors: none for the weight of 'fc', which has a trace",
        ),
        (
            lambda: weight_errors({"relu": np.ones(2)}, PRECISION, [4]),
            "precision map: layers.relu.weight: missing; give it a format",
        ),
        (
            lambda: Sensitivity("fc", "weight", (2, 17), (1, 1)),
            "fc.weight.widths: must be 2 to 16 bits, not (2, 17)",
        ),
        (
            lambda: Sensitivity("fc", "weight", (4, 4), (1, 1)),
            "fc.weight.widths: must be different whole numbers, at least one, not (4, 4)",
        ),
        (
            lambda: Sensitivity("fc", "weight", (), ()),
            "fc.weight.widths: must be different whole numbers, at least one, not ()",
        ),
        (
            lambda: Sensitivity("fc", "weight", (2, 4), (1,)),
            "fc.weight.values: must be 2 numbers, one for each width, not 1",
        ),
        (
            lambda: Sensitivity("fc", "weight", (2,), (-1.0,)),
            "fc.weight.values: must be finite and not negative, not -1.0",
        ),
    ]:
        with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
            make()
