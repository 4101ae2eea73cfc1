"""The summary and the pictures of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codesign.comparison.run_charts import plot_run, scan_figure
from codesign.comparison.sources import read_run, read_summary
from codesign.comparison.summary import ladder_table, make_summary, tables, write_summary
from codesign.core.files import write_json
from codesign.core.record import Record
from codesign.errors import ReportMissingError

RUNG = {
    "name": "csim",
    "samples": 359,
    "mismatches": 0,
    "largest_lsb": 0.5,
    "argmax_flips": 2,
    "seconds": 1.26,
    "skipped": None,
}
SKIPPED = {**RUNG, "name": "RTL", "skipped": "verilator is missing"}


def record(stage, **metrics):
    return Record(stage, {}, 0, {}, "digest", metrics, 2.0, {"pyosys": "0.70"})


@pytest.fixture
def records():
    return {
        "teacher": record("teacher", test_accuracy=0.98, validation_accuracy=0.99, parameters=51978),
        "quantization": record(
            "quantization", test_accuracy=0.95822, sparsity=0.519, bops=72148.0, average_weight_bits=4.0, parameters=3466
        ),
        "project": record("project", layers={"fc1": {"weight": "fixed<7,4>", "result": "fixed<17,12>"}}),
        "rtl": record(
            "rtl", lut=4000, ff=1000, carry8=300, dsp=0, bram_18k=0, latency_cycles=6, latency_ns=30.0,
            interval_cycles=1, clock_period_ns=5.0, estimated_lut=3900.5, part="xcvu9p-flga2104-2L-e", yosys_version="0.70",
        ),
        "csynth": record("csynth", skipped="no tool"),
        "verification": record(
            "verification", test_accuracy=0.95822, reference="QKeras", rungs=[RUNG, SKIPPED], lsb=0.0625, overflows=[]
        ),
    }  # fmt: skip


@pytest.fixture
def summary(records):
    return make_summary(
        "digits", 3, {"part": "xcvu9p-flga2104-2L-e", "clock_period_ns": 5.0}, records, ["a note"]
    )


def test_a_summary_is_read_back_as_it_was_written(summary, tmp_path):
    write_summary(tmp_path, summary)
    assert read_summary(tmp_path) == summary
    with pytest.raises(
        ReportMissingError, match=r"^.*/no: there is no such file or folder; run a design first$"
    ):
        read_summary(tmp_path / "no")


def test_stages_have_what_was_measured_and_seconds_add_up(summary):
    assert [row["stage"] for row in summary["stages"]] == ["teacher", "quantization"]
    assert summary["seconds"] == 12.0
    stages = tables(summary)[0]
    assert stages.header == (
        "stage", "validation accuracy", "test accuracy", "parameters", "sparsity", "mean weight bits", "BOPs",
    )  # fmt: skip
    assert stages.rows == (
        ("teacher", "0.9900", "0.9800", "51,978", "", "", ""),
        ("quantization", "", "0.9582", "3,466", "51.9%", "4.00", "72,148"),
    )


def test_every_table_and_note_is_in_the_markdown(summary, tmp_path):
    write_summary(tmp_path, summary)
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("# digits\n")
    assert all(table.markdown() in text for table in tables(summary))
    assert text.endswith("## Notes\n\n- a note\n")


def test_the_open_rtl_is_held_against_the_part(summary):
    rtl = next(table for table in tables(summary) if table.title.startswith("Open RTL"))
    assert rtl.header == ("", "used", "of the VU9P")
    assert rtl.rows[0] == ("LUT", "4,000", "0.34%")
    assert ("latency", "6 cycles, 30 ns at 5 ns a cycle", "") in rtl.rows


def test_an_rtl_that_was_not_made_leaves_no_table_and_no_numbers(records):
    records["rtl"] = replace(records["rtl"], metrics={"skipped": "Yosys is missing"})
    summary = make_summary("digits", 0, {"part": "xcvu9p-flga2104-2L-e"}, records, [])
    assert summary["rtl"] == {}
    assert not any(table.title.startswith("Open RTL") for table in tables(summary))


def test_what_the_flow_writes_is_what_comparisons_read(summary, tmp_path):
    write_summary(tmp_path, summary)
    entry = read_run(tmp_path, "x")
    assert entry.number("test_accuracy", "quantized").value == 0.95822
    assert entry.number("lut", "estimate").value == 3900.5
    assert entry.number("lut", "yosys").value == 4000
    assert entry.seeds == (3,)
    assert entry.notes[0] == "a note"
    assert not entry.is_trustworthy  # there are no stages beside it


def test_a_rung_that_was_not_climbed_says_why(summary):
    assert ladder_table(summary["verification"]).rows == (
        ("csim", "359", "0", "0.5", "2", "1.3"),
        ("RTL", "skipped: verilator is missing", "", "", "", ""),
    )


AFFINE = [
    {"bits": 4, "fixed_point": 0.8, "affine": 0.91, "overflow": None},
    {"bits": 16, "fixed_point": None, "affine": None, "overflow": "fc1: too wide"},
]


def test_affine_quality_stands_beside_fixed_point_where_it_was_asked_for(records, summary):
    title = "Validation quality without training, one width everywhere"
    assert summary["affine"] is None
    assert not [table for table in tables(summary) if table.title == title]
    records["scan"] = record("scan", affine=AFFINE)
    asked = make_summary("digits", 0, {"part": "xcvu9p-flga2104-2L-e"}, records, [])
    (table,) = [table for table in tables(asked) if table.title == title]
    assert table.rows == (("4", "0.8000", "0.9100"), ("16", "not in the scan", "fc1: too wide"))


HISTORY = {"loss": [2.0, 1.0, 0.5], "validation_accuracy": [0.5, 0.8, 0.7], "best_epoch": 1}
TRIALS = [
    {"phase": "uniform", "layer": "", "tensor": "", "bits": 8, "quality": 0.95, "accepted": True},
    {"phase": "uniform", "layer": "", "tensor": "", "bits": 4, "quality": 0.80, "accepted": False},
    {"phase": "layers", "layer": "fc1", "tensor": "weight", "bits": 7, "quality": 0.94, "accepted": True},
]


def test_the_heat_map_shows_the_descent_that_led_to_the_result():
    row = {"phase": "layers", "layer": "fc1", "tensor": "weight", "quality": 0.94, "accepted": False}
    tried = [row | {"bits": bits, "start": start} for start, bits in ((5, 4), (7, 6), (7, 5))]
    taken = [*tried[:2], tried[2] | {"accepted": True}]
    for trials, widths in ((tried, ["4"]), (taken, ["6", "5"])):
        heat = scan_figure(TRIALS[:2] + trials, 0.96, 0.01).axes[1]
        assert [label.get_text() for label in heat.get_xticklabels()] == widths


def test_affine_widths_are_a_curve_and_budgets_a_front():
    budget = {"phase": "hessian", "layer": None, "tensor": None, "bits": None}
    rows = [budget | {"quality": 0.9, "cost": 100.0, "accepted": False}]
    rows += [budget | {"quality": 0.95, "cost": 120.0, "accepted": True}]
    uniform = [trial | {"cost": 200.0} for trial in TRIALS[:2]]
    affine = [{"width": 6, "quality": 0.93}, {"width": 4, "quality": 0.91}, {"width": 16, "quality": None}]
    curve, front = scan_figure(uniform + rows, 0.96, 0.01, affine).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in (*curve.lines, *front.lines)}
    assert lines["affine, one width"] == [[4, 0.91], [6, 0.93]]
    assert lines["by the Hessian"] == [[100.0, 0.9], [120.0, 0.95]]
    assert lines["taken"] == [[120.0, 0.95]]


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:2]])
def test_pictures_are_drawn_of_what_is_there(tmp_path, trials):
    assert plot_run(tmp_path) == ()
    write_json(tmp_path / "student" / "history.json", HISTORY)
    assert [path.name for path in plot_run(tmp_path)] == ["training.png"]
    write_json(tmp_path / "scan" / "scan.json", {"trials": trials, "float_quality": 0.96})
    write_json(tmp_path / "run.json", {"settings": {"scan": {"tolerance": 0.01}}})
    paths = plot_run(tmp_path)
    assert [path.name for path in paths] == ["training.png", "scan.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_the_open_rtl_beside_a_project_that_shares_multipliers_is_of_another_architecture(records, tmp_path):
    def text(**target):
        target = {"part": "xcvu9p-flga2104-2L-e", "clock_period_ns": 5.0, **target}
        return str([table.rows for table in tables(make_summary("digits", 3, target, records, []))])

    assert "another architecture" not in text(reuse_factor=1, layers={"fc1": {"reuse_factor": None}})
    assert "with reuse factors up to 16, is another architecture" in text(reuse_factor=16)
    assert "up to 64, is" in text(reuse_factor=1, layers={"fc1": {"reuse_factor": 64}})
