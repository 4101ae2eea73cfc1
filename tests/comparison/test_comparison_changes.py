"""Differences against the reference by hand, and what is never held against each other."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import scipy.stats
from comparison_runs import FIXTURES, YOSYS
from hypothesis import given
from hypothesis import strategies as st

from codesign.comparison import Column, Entry, Number, compare, make_comparison
from codesign.comparison.certainty import paired_error
from codesign.comparison.forms import change_text, read_comparison, write_comparison
from codesign.core.metrics import METRICS
from codesign.errors import SettingsError


def entry(name, *numbers, part=None, **fields):
    return Entry(name=name, kind="report", source=f"/{name}", numbers=numbers, part=part, **fields)


def change(metric, value, reference, step="csynth", **fields):
    pair = [entry("r", Number(metric, step, reference)), entry("x", Number(metric, step, value), **fields)]
    comparison = make_comparison(pair)
    (column,) = comparison.columns()
    return comparison.change(comparison.entries[1], column)


@pytest.mark.parametrize(
    ("metric", "value", "reference", "delta", "percent", "verdict"),
    [
        ("lut", 900, 1200, -300, -25.0, "better"),
        ("lut", 1500, 1200, 300, 25.0, "worse"),
        ("fmax_mhz", 250.0, 200.0, 50.0, 25.0, "better"),
        ("wns_ns", -0.25, 0.5, -0.75, -150.0, "worse"),
        ("wns_ns", 0.5, -0.25, 0.75, 300.0, "better"),
        ("dsp", 3, 0, 3, None, "worse"),
        ("dsp", 0, 0, 0, None, "same"),
        ("clock_period_ns", 3.0, 4.0, -1.0, -25.0, ""),
        ("power_w", 2.0, 2.5, -0.5, -20.0, "better"),
        # the mean of three equal values may differ from them in the last bit
        ("lut", 0.1 + 0.2, 0.3, 0.0, 0.0, "same"),
    ],
)
def test_delta_percent_and_verdict(metric, value, reference, delta, percent, verdict):
    found = change(metric, value, reference)
    assert found.delta == pytest.approx(delta)
    assert found.percent == (None if percent is None else pytest.approx(percent))
    assert found.verdict == verdict


@pytest.mark.parametrize("name", METRICS)
def test_a_comparison_judges_every_metric_by_its_direction(name):
    metric = METRICS[name]
    step = "quantized" if metric.group in ("quality", "network") else "post-route"
    numbers = [Number(name, step, value, spread=1e-9, samples=3) for value in (0.5, 0.6)]  # so sure of it
    entries = [
        entry(label, number, dataset="d", part="xcvu9p-flga2104-2L-e")
        for label, number in zip("rx", numbers, strict=True)
    ]
    for chosen, wanted in ((entries, "higher"), (entries[::-1], "lower")):
        comparison = make_comparison(chosen)
        found = comparison.change(comparison.entries[1], comparison.columns()[0])
        expected = "" if metric.better is None else "better" if metric.better == wanted else "worse"
        assert found.verdict == expected


def accuracy_change(mine, other, **fields):
    numbers = {"r": other, "x": mine}
    entries = [entry(name, number, dataset="d", **fields.get(name, {})) for name, number in numbers.items()]
    comparison = make_comparison(entries)
    return comparison.change(comparison.entries[1], comparison.columns()[0])


def accuracy_of(value, **fields):
    return Number("test_accuracy", "quantized", value, **fields)


def test_means_over_seeds_differ_beyond_the_interval_of_welch():
    reference = accuracy_of(0.96, spread=0.003, samples=3)
    # variances 9 and 16 millionths by 3 each: the error of the difference is 0.00288675, freedom (3 + 16/3)^2 / (4.5 + 128/9)
    found = accuracy_change(accuracy_of(0.9649, spread=0.004, samples=3), reference)
    assert found.error == pytest.approx(
        (25 / 3) ** 0.5 / 1000 * scipy.stats.t.ppf(0.975, (25 / 3) ** 2 / (4.5 + 128 / 9))
    )
    assert found.verdict == "within error"
    assert accuracy_change(accuracy_of(0.9690, spread=0.004, samples=3), reference).verdict == "better"
    assert accuracy_change(accuracy_of(0.9510, spread=0.004, samples=3), reference).verdict == "worse"
    # a single run is given the spread of the several: 0.003 * sqrt(1 + 1/3), two degrees of freedom
    single = accuracy_change(accuracy_of(0.97), reference)
    assert single.error == pytest.approx(0.003 * (4 / 3) ** 0.5 * scipy.stats.t.ppf(0.975, 2))
    assert single.verdict == "within error"


def test_a_count_over_seeds_has_their_error_and_a_single_one_has_none():
    several, one = Number("lut", "yosys", 4000.0, 50.0, 4), Number("lut", "yosys", 3990.0)
    comparison = make_comparison([entry("r", several), entry("x", one)])
    assert comparison.change(comparison.entries[1], Column("lut", "yosys")).verdict == "within error"
    comparison = make_comparison([entry("r", Number("lut", "yosys", 4000.0)), entry("x", one)])
    found = comparison.change(comparison.entries[1], Column("lut", "yosys"))
    assert (found.error, found.verdict) == (None, "better")


@pytest.mark.parametrize(("value", "verdict"), [(0.97, "within error"), (0.99, "better"), (0.93, "worse")])
def test_without_single_samples_the_size_of_the_test_part_tells(value, verdict):
    found = accuracy_change(accuracy_of(value, count=1000), accuracy_of(0.96, count=1000))
    # Agresti and Caffo: two samples more on each side, half of them right
    shares = [(1000 * one + 1) / 1002 for one in (value, 0.96)]
    error = 1.959964 * sum(one * (1 - one) / 1002 for one in shares) ** 0.5
    assert found.error == pytest.approx(error, rel=1e-6)
    assert found.verdict == verdict


def test_the_error_of_a_quality_on_nobody_knows_how_many_samples_is_unknown():
    found = accuracy_change(accuracy_of(0.99), accuracy_of(0.5))
    assert (found.error, found.verdict) == (None, "error unknown")


@given(st.integers(0, 60), st.integers(0, 60))
def test_paired_samples_are_judged_as_the_exact_test_of_mcnemar_does(mine, other):
    samples = 500
    error = paired_error(mine, other, samples)
    beyond = abs(mine - other) / samples > error * (1 + 1e-9)
    chance = scipy.stats.binomtest(mine, mine + other).pvalue if mine + other else 1.0
    assert beyond == (chance < 0.05)


@pytest.mark.parametrize(
    ("only_mine", "only_other", "verdict"),
    [(5, 0, "within error"), (6, 0, "better"), (0, 6, "worse"), (20, 12, "within error"), (3, 3, "same")],
)
def test_two_designs_on_the_same_samples_are_compared_sample_by_sample(
    make_run, tmp_path, only_mine, only_other, verdict
):
    reference = np.ones(400, dtype=bool)
    reference[100 : 100 + only_mine] = False
    mine = np.ones(400, dtype=bool)
    mine[200 : 200 + only_other] = False
    runs = [
        make_run("r", accuracy=reference.mean(), right=reference, samples=400),
        make_run("x", accuracy=mine.mean(), right=mine, samples=400, sparsity=0.6),
    ]
    comparison = compare(runs)
    assert comparison.pairs == {"x": (only_mine, only_other)}
    column = Column("test_accuracy", "quantized", "digits")
    found = comparison.change(comparison.entries[1], column)
    assert found.verdict == verdict
    assert found.error == paired_error(only_mine, only_other, 400)
    assert read_comparison(write_comparison(comparison, tmp_path / "c.json")) == comparison
    # other data: the pairs are not of the same samples
    other = compare([runs[0], make_run("y", right=mine, digest="another", sparsity=0.6)])
    assert other.pairs == {}


def test_numbers_of_other_silicon_are_neither_better_nor_worse():
    number = Number("lut", "csynth", 100)
    other = Number("lut", "csynth", 50)

    def verdict(part, other_part):
        comparison = make_comparison([entry("r", number, part=part), entry("x", other, part=other_part)])
        return comparison.change(comparison.entries[1], Column("lut", "csynth")).verdict

    assert verdict("xcvu9p-flga2104-2L-e", "xc7z020clg400-1") == "other part"
    assert (
        verdict("xcvu9p-flga2104-2L-e", "xcvu9p-flgb2104-2-i") == "better"
    )  # the same die in another package
    assert (
        verdict("xcvu9p-flga2104-2L-e", "xcvu9p-flga2104") == "better"
    )  # as Vivado's timing report prints it
    assert verdict("xcvu9p-flga2104-2L-e", None) == "better"


def test_two_stages_never_share_a_column(make_run, make_build):
    run = make_run("mine", rtl=YOSYS)
    build = make_build("build", "vitis_hls_2023_csynth.xml", "vivado_utilization.rpt")
    comparison = compare([run, build])
    luts = [column.step for column in comparison.columns() if column.metric == "lut"]
    assert luts == ["csynth", "yosys", "post-route"]
    first, second = comparison.entries
    assert [comparison.number(first, Column("lut", step)) is None for step in luts] == [True, False, True]
    assert all(comparison.change(second, column) is None for column in comparison.columns())
    assert comparison.notes[0] == (
        "stages differ (Yosys: mine; C synthesis, Vivado, routed: build): each has a table of its own, and numbers of "
        "different stages are not held against each other"
    )


def test_two_datasets_never_share_a_column_of_quality(make_run):
    runs = [make_run("a"), make_run("b", source="magic", digest="1111111aaaa", accuracy=0.88, bits=3.0)]
    comparison = compare(runs)
    accuracies = [column for column in comparison.columns("quantized") if column.metric == "test_accuracy"]
    assert [column.dataset for column in accuracies] == ["digits", "magic"]
    b = comparison.entries[1]
    assert comparison.number(b, accuracies[0]) is None
    assert comparison.number(b, accuracies[1]).value == 0.88
    assert comparison.change(b, accuracies[1]) is None
    # bits do not depend on the data
    assert comparison.change(b, Column("average_weight_bits", "quantized")).delta == -1.0
    assert comparison.notes[0] == (
        "datasets differ (digits: a; magic: b): each has a column of its own, and accuracies of different data are not "
        "held against each other"
    )


def test_the_same_source_with_other_samples_is_another_dataset(make_run):
    comparison = compare([make_run("a", digest="aaaaaaaa1"), make_run("b", digest="bbbbbbbb1", sparsity=0.6)])
    labels = [comparison.dataset_label(entry) for entry in comparison.entries]
    assert labels == ["digits aaaaaaa", "digits bbbbbbb"]
    assert "datasets differ" in comparison.notes[0]


def test_digests_that_begin_alike_still_tell_datasets_apart(make_run):
    comparison = compare(
        [make_run("a", digest="aaaaaaaa12"), make_run("b", digest="aaaaaaaa34", sparsity=0.6)]
    )
    labels = [comparison.dataset_label(entry) for entry in comparison.entries]
    assert labels == ["digits aaaaaaaa1", "digits aaaaaaaa3"]


def test_data_of_unknown_origin_are_not_taken_for_the_same(make_run):
    comparison = compare([make_run("a", source=None), make_run("b", source=None, design="jets")])
    datasets = {column.dataset for column in comparison.columns() if column.metric == "test_accuracy"}
    assert datasets == {"unknown data of digits", "unknown data of jets"}


def test_parts_tools_and_clocks_that_differ_are_said(tmp_path):
    text = (FIXTURES / "vitis_hls_2023_csynth.xml").read_text()
    for old, new in (
        (">5.00<", ">4.00<"),
        ("xcvu9p-flga2104-2L-e", "xcku115-flvb2104-2-i"),
        ("2023.2", "2024.1"),
    ):
        text = text.replace(old, new)
    (tmp_path / "other.xml").write_text(text)
    shutil.copy(FIXTURES / "vitis_hls_2023_csynth.xml", tmp_path / "first.xml")
    comparison = compare([tmp_path / "first.xml", tmp_path / "other.xml"])
    assert comparison.notes == (
        "parts differ (VU9P: first.xml; KU115: other.xml): percentages are of each one's own part, and neither of two "
        "numbers of different devices is called better",
        "C synthesis: tools differ (Vitis HLS 2023.2: first.xml; Vitis HLS 2024.1: other.xml)",
        "C synthesis: clocks differ (5 ns: first.xml; 4 ns: other.xml): cycles and slacks are of different periods",
    )


def test_equal_circumstances_need_no_note(make_run):
    assert compare([make_run("a", rtl=YOSYS), make_run("b", rtl=YOSYS, sparsity=0.7)]).notes == ()


def test_the_reference_is_the_first_or_the_one_named(make_run):
    runs = [make_run("a"), make_run("b", sparsity=0.7), make_run("c", sparsity=0.8)]
    assert compare(runs).reference == "a"
    assert compare(runs, reference="b").reference == "b"
    assert compare(runs, reference=str(runs[2])).reference == "c"
    assert compare(runs, reference=f"{runs[2]}/../c").reference == "c"
    assert compare(runs[:1]).reference is None
    with pytest.raises(SettingsError, match=r"^--reference: 'd' is none of what is compared: a, b, c$"):
        compare(runs, reference="d")


def test_designs_of_one_name_are_refused():
    with pytest.raises(
        SettingsError, match=r"^several designs are called 'a'; name them apart with NAME=PATH$"
    ):
        make_comparison([entry("a"), entry("a")])


def test_a_difference_is_printed_with_its_share_and_its_verdict():
    assert change_text(Column("lut", "csynth"), change("lut", 900, 1200)) == "-300 (-25.0 %) better"
    assert change_text(Column("dsp", "csynth"), change("dsp", 3, 0)) == "+3 worse"
    assert change_text(Column("lut", "csynth"), change("lut", 7, 7)) == "same"
    assert change_text(Column("sparsity", "csynth"), change("sparsity", 0.5, 0.4)) == "+10.0% better"
    assert (
        change_text(Column("clock_period_ns", "csynth"), change("clock_period_ns", 3, 4))
        == "-1.000 (-25.0 %)"
    )
