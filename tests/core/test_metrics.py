from __future__ import annotations

import re

import pytest

from codesign.core.metrics import METRICS
from codesign.core.target import Device
from codesign.errors import did_you_mean, nearest
from codesign.reports import Resources


def test_a_name_says_its_unit_once():
    units = {"_ns": "ns", "_cycles": "cycles", "_mhz": "MHz", "_w": "W"}
    for name, metric in METRICS.items():
        assert metric.name == name
        ending = next((unit for ending, unit in units.items() if name.endswith(ending)), "")
        assert metric.unit == ending, name


def test_every_resource_of_a_report_and_of_a_device_is_a_metric():
    resources = {name for name, metric in METRICS.items() if metric.group == "resource"}
    assert resources == set(vars(Resources()))
    assert resources > set(Device("X", 1, 1, 1, 1, 1).__dict__) - {"name"}


@pytest.mark.parametrize(
    ("name", "value", "reference", "expected"),
    [
        ("test_accuracy", 0.97, 0.96, True),
        ("lut", 900, 1000, True),
        ("lut", 1000, 900, False),
        ("wns_ns", -0.1, 0.2, False),
        ("fmax_mhz", 300.0, 200.0, True),
        ("lut", 5, 5, None),
        ("clock_period_ns", 3.0, 5.0, None),
    ],
)
def test_better_goes_by_the_direction_of_the_metric(name, value, reference, expected):
    assert METRICS[name].is_better(value, reference) is expected


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("lut", 1182240, "1,182,240"),
        ("test_accuracy", 0.95822, "0.9582"),
        ("sparsity", 0.519, "51.9%"),
        ("latency_ns", 45, "45.0"),
        ("wns_ns", -0.0001, "0.000"),
        ("wns_ns", -0.412, "-0.412"),
        ("bops", 72148.4, "72,148"),
    ],
)
def test_values_are_printed_in_the_form_of_the_metric(name, value, text):
    assert METRICS[name].text(value) == text


def test_a_difference_always_has_its_sign():
    assert METRICS["lut"].delta_text(-1200) == "-1,200"
    assert METRICS["lut"].delta_text(1200) == "+1,200"
    assert METRICS["wns_ns"].delta_text(-0.00001) == "+0.000"


def test_a_wrong_name_gets_the_nearest_and_a_strange_one_the_list():
    assert nearest("latency", METRICS) == "latency_ns"
    assert nearest("zzzz", METRICS) is None
    assert did_you_mean("latency", METRICS, "the metrics are") == "did you mean latency_ns?"
    assert re.fullmatch(
        "the metrics are test_accuracy, .*, static_power_w", did_you_mean("zzzz", METRICS, "the metrics are")
    )
    assert did_you_mean("width", (), "it takes") == "it takes none"


HIGHER = (
    "test_accuracy validation_accuracy auc sparsity weights_removed wns_ns tns_ns whs_ns fmax_mhz test_r2 validation_r2 "
    "test_auc validation_auc test_quality validation_quality test_efficiency test_rejection"
)
LOWER = (
    "parameters average_weight_bits bops ebops lut ff dsp bram_18k uram carry8 latency_cycles latency_ns "
    "interval_cycles estimated_clock_ns power_w dynamic_power_w static_power_w test_rmse test_resolution"
)
NEITHER = "clock_period_ns test_bias"


@pytest.mark.parametrize(
    ("better", "names"), [("higher", HIGHER.split()), ("lower", LOWER.split()), (None, NEITHER.split())]
)
def test_the_direction_of_every_metric(better, names):
    """Said here a second time, by hand: a direction that is turned calls the worse design the better one."""
    assert {name: METRICS[name].better for name in names} == dict.fromkeys(names, better)


def test_no_metric_is_without_a_direction_that_was_thought_of():
    assert set(METRICS) == {*HIGHER.split(), *LOWER.split(), *NEITHER.split()}
