"""Forms that some versions print and others do not: each is read, with the values that stand in the file."""

from dataclasses import replace

import pytest
from reports_project import FIXTURES

from codesign.errors import ReportFormatError
from codesign.reports import (
    read_csim_log,
    read_csynth,
    read_report,
    read_timing,
    read_transactions,
    read_utilization,
)


def edited(tmp_path, fixture, *changes, encoding="utf-8"):
    """A copy of a fixture with some of its text replaced."""
    text = (FIXTURES / fixture).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / fixture
    path.write_text(text, encoding=encoding)
    return path


def test_a_routed_report_out_of_context_is_post_route_though_its_clock_port_is_unset():
    report = read_timing(FIXTURES / "vivado_timing_2018_ooc.rpt")
    assert (report.stage, report.wns_ns, report.is_met) == ("post-route", -0.412, False)
    (doubt,) = report.doubts()
    assert (doubt.reason, "by 0.412 ns at worst" in doubt.message) == ("timing", True)


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ([("routed)", "unplaced)")], "synthesis"),
        ([("routed)", "estimated)")], "post-place"),
        ([("net (fo=24, routed)", "net (fo=24, unplaced)")], "synthesis"),
        ([(", routed)", ", unset)")], "post-route"),  # by the name that the command gives
        ([(", routed)", ", unset)"), ("summary_routed.rpt", "summary_placed.rpt")], "post-place"),
        ([(", routed)", ", unset)"), ("-file bd_0_wrapper_timing_summary_routed.rpt", "-file t.rpt")], None),
        ([("| Speed File", "| Design State : Synthesized\n| Speed File")], "post-route"),
        ([("| Speed File", "| Design State : Routed\n| Speed File"), (", routed)", ", unplaced)")], "synthesis"),
        ([("| Speed File", "| Design State : Fully Placed\n| Speed File")], "post-place"),
    ],
)  # fmt: skip
def test_the_stage_of_timing_follows_the_nets_the_state_and_the_name_in_this_order(tmp_path, changes, stage):
    assert read_timing(edited(tmp_path, "vivado_timing_2018_ooc.rpt", *changes)).stage == stage


def test_a_utilisation_without_a_state_has_the_stage_of_its_name(tmp_path):
    path = edited(tmp_path, "vivado_utilization_2018_slr.rpt", ("| Design State : Synthesized\n", ""))
    report = read_utilization(path)
    assert (report.stage, report.design_state) == ("synthesis", None)


def test_loops_are_as_deep_as_their_plus_signs():
    loops = read_csynth(FIXTURES / "vitis_hls_deep_loops_csynth.rpt").loops
    assert [(loop.name, loop.depth) for loop in loops] == [
        ("ROWS", 0),
        ("COLS", 1),
        ("TAPS", 2),
        ("INNER", 3),
    ]
    assert (loops[2].ii_cycles, loops[2].target_ii_cycles, loops[2].iteration_latency_cycles_max) == (2, 1, 4)


def test_a_value_with_a_range_is_no_loop(tmp_path):
    path = FIXTURES / "vitis_hls_time_range_csynth.xml"
    (loop,) = read_csynth(path).loops
    assert (loop.name, loop.latency_cycles_min, loop.latency_cycles_max) == ("outer", 30, 4030)
    assert (loop.iteration_latency_cycles_min, loop.iteration_latency_cycles_max) == (3, 403)
    other = edited(tmp_path, path.name, ("AbsoluteTimeLatency>", "SomethingNewer>"))
    assert read_csynth(other).loops == (loop,)


@pytest.mark.parametrize("form", ["rpt", "xml"])
def test_the_unknown_end_of_a_range_is_unknown(form):
    report = read_csynth(FIXTURES / f"vitis_hls_unknown_end_csynth.{form}")
    (loop,) = report.loops
    assert (loop.latency_cycles_min, loop.latency_cycles_max, loop.trip_count_max) == (1, None, None)
    assert loop.trip_count_min == (1 if form == "rpt" else None)
    assert {"loops.words.latency_cycles_max", "loops.words.trip_count_max"} <= set(report.unknown_fields)


@pytest.mark.parametrize(
    ("printed", "bounds"),
    [("1 ~ ?", (1, None)), ("? ~ 9", (None, 9)), ("1 ~ -1", (1, None)), ("? ~ ?", (None, None)), ("2 ~ 5", (2, 5))],
)  # fmt: skip
def test_ranges_of_trip_counts(tmp_path, printed, bounds):
    path = edited(tmp_path, "vitis_hls_unknown_end_csynth.rpt", ("  1 ~ ?|", f"{printed:>7}|"))
    (loop,) = read_csynth(path).loops
    assert (loop.trip_count_min, loop.trip_count_max) == bounds


def test_a_range_that_ends_before_it_begins_is_damage(tmp_path):
    path = edited(tmp_path, "vitis_hls_unknown_end_csynth.rpt", ("1 ~ ?", "5 ~ 2"))
    with pytest.raises(ReportFormatError, match="ends before it begins"):
        read_csynth(path)


def test_the_summary_of_2020_2_has_no_interfaces_and_that_of_a_later_version_must(tmp_path):
    report = read_csynth(FIXTURES / "vitis_hls_2020_summary.rpt")
    assert (report.used.lut, report.used.ff, report.loops[0].trip_count_max) == (991, 613, 4096)
    path = edited(tmp_path, "vitis_hls_2020_summary.rpt", ("2020.2 (", "2021.1 ("))
    with pytest.raises(ReportFormatError, match="HW Interfaces"):
        read_csynth(path)


def test_transactions_of_vhdl_have_no_colon_and_an_interval_in_the_last_row(tmp_path):
    several = read_transactions(FIXTURES / "cosim_vhdl.result.transaction.rpt")
    assert several.latency_cycles == (611, 613, 613)
    assert several.interval_cycles == (611, 613, None)  # after the last there is no next one
    assert read_transactions(FIXTURES / "cosim_vhdl_single.result.transaction.rpt").latency_cycles == (509,)
    path = edited(
        tmp_path, "cosim_vhdl.result.transaction.rpt", ("transaction        1 ", "transaction        7 ")
    )
    with pytest.raises(ReportFormatError, match="transaction 1"):
        read_transactions(path)


def test_arrows_between_regions_are_cells(tmp_path):
    report = read_utilization(FIXTURES / "vivado_utilization_2018_slr.rpt")
    assert (report.used.lut, report.used.dsp, report.used.bram_18k) == (21040, 188, 7)
    path = edited(
        tmp_path,
        "vivado_utilization_2018_slr.rpt",
        ("| ||||||-> |               0 |", "| ||||||-> |             0 |"),
    )
    with pytest.raises(ReportFormatError, match="does not have the cells of its head"):
        read_utilization(path)


def test_kernels_may_need_more_than_their_budget(tmp_path):
    text = (FIXTURES / "vivado_utilization_kernel.rpt").read_text()
    (row,) = [line for line in text.split("\n") if "Unused Resources" in line]
    cells = row.split("|")
    cells[2] = "-5882 [-323.35%]".rjust(len(cells[2]))
    path = edited(tmp_path, "vivado_utilization_kernel.rpt", (row, "|".join(cells)))
    kernels = {kernel.name: kernel.used for kernel in read_utilization(path).kernels}
    assert kernels["Unused Resources"].lut == -5882
    path.write_text(path.read_text().replace("Unused Resources", "Used  Resources "))
    with pytest.raises(ReportFormatError, match="below 0"):
        read_utilization(path)


def test_the_log_of_a_setup_says_that_nothing_ran(tmp_path):
    path = tmp_path / "top_csim.log"
    path.write_text(
        "INFO: [SIM 211-2] *************** CSIM start ***************\n"
        "INFO: [SIM 211-4] CSIM will launch GCC as the compiler.\n"
        "   Compiling ../../../../tb.cpp in debug mode\n   Generating csim.exe\n"
        "INFO: [SIM 211-3] *************** CSIM finish ***************\n"
    )
    report = read_csim_log(path)
    assert (report.passed, report.errors, report.failure, report.output) == (None, None, None, ())
    path.write_text(path.read_text().replace("csim.exe\n", "csim.exe\n0.25 0.75\n"))
    with pytest.raises(ReportFormatError, match="neither success nor failure"):
        read_csim_log(path)


@pytest.mark.parametrize("fixture", sorted(FIXTURES.iterdir()), ids=lambda path: path.name)
def test_a_byte_order_mark_changes_nothing(fixture, tmp_path):
    path = edited(tmp_path, fixture.name, encoding="utf-8-sig")
    assert replace(read_report(path), path=fixture) == read_report(fixture)


def test_text_of_a_report_steers_no_terminal(tmp_path):
    path = edited(tmp_path, "vivado_timing_2018_ooc.rpt", ("bd_0_wrapper\n", "bd\x1b]0;x\x07\x9b2J\n"))
    assert read_timing(path).top == "bd\ufffd]0;x\ufffd\ufffd2J"


@pytest.mark.parametrize(
    "digits", ["²", "1e999", "9" * 400, "1e-999999999", "-3", "٣", "nan", "inf", "1_0", "1e15"]
)
@pytest.mark.parametrize(
    ("fixture", "printed"),
    [
        ("vitis_hls_time_range_csynth.xml", "<FF>411<"),
        ("vitis_hls_time_range_csynth.xml", "Period>6.912<"),
        ("vitis_hls_time_range_csynth.xml", "<min>3<"),
        ("vitis_hls_time_range_csynth.xml", "Latency>0.310 us<"),
        ("cosim_vhdl.result.transaction.rpt", "  0            611  "),
        ("vivado_timing_2018_ooc.rpt", " 10.000          100.000 "),
        ("vivado_utilization_2018_slr.rpt", "| 21040 |"),
    ],
)  # fmt: skip
def test_what_is_no_number_of_a_tool_is_damage(tmp_path, fixture, printed, digits):
    number = max(printed.replace("<", " ").replace(">", " ").replace("|", " ").split(), key=_digits)
    path = edited(tmp_path, fixture, (printed, printed.replace(number, digits, 1)))
    with pytest.raises(ReportFormatError) as caught:
        read_report(path)
    assert caught.value.path == path
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    "date", ["Fri Mar  ² 11:00:00 2021", "Fri Mar  5 ²1:00:00 2021", "Fri Mar  5 11:00:00 ٢٠٢١"]
)
def test_digits_of_other_kinds_make_no_date(tmp_path, date):
    path = edited(tmp_path, "vivado_utilization_2018_slr.rpt", ("Fri Mar  5 11:00:00 2021", date))
    assert read_report(path).date is None


def _digits(word):
    return sum(sign.isdigit() for sign in word)
