"""C simulation and co-simulation: pass and fail by language, cycles where they were measured."""

from datetime import datetime
from pathlib import Path

import pytest

from codesign.errors import ReportFormatError
from codesign.reports import read_cosim, read_csim_log, read_transactions

FIXTURES = Path(__file__).parent / "fixtures"


def test_cosim_of_vitis_hls():
    report = read_cosim(FIXTURES / "vitis_hls_cosim.rpt")
    assert (report.kind, report.stage, report.simulator, report.solution) == (
        "cosim",
        "cosim",
        "xsim",
        "solution1",
    )
    assert report.date == datetime(2024, 2, 5, 14, 15, 31)
    result = report.verilog
    assert result.status == "Pass"
    assert (result.latency_cycles_min, result.latency_cycles_avg, result.latency_cycles_max) == (9, 10, 12)
    assert (result.interval_cycles_min, result.interval_cycles_avg, result.interval_cycles_max) == (1, 2, 3)
    assert result.total_cycles == 211
    assert report.vhdl.status == "NA"
    assert report.vhdl.latency_cycles_max is None
    assert all(name.startswith("vhdl.") for name in report.unknown_fields)
    assert len(report.unknown_fields) == 7
    assert report.passed
    assert report.result is report.verilog


def test_cosim_of_vivado_hls_has_seven_columns_and_may_name_no_simulator():
    report = read_cosim(FIXTURES / "vivado_hls_cosim.rpt")
    assert report.date == datetime(2020, 3, 6, 10, 31, 12)
    assert report.simulator is None
    assert (report.verilog.status, report.vhdl.status) == ("NA", "Fail")
    assert not report.passed
    assert report.result is report.vhdl
    assert report.vhdl.total_cycles is None
    # this form has no total, so nothing says that it is unknown
    assert "vhdl.total_cycles" not in report.unknown_fields


def test_nothing_simulated_is_no_pass(tmp_path):
    path = tmp_path / "x_cosim.rpt"
    path.write_text((FIXTURES / "vivado_hls_cosim.rpt").read_text().replace("Fail", "  NA"))
    assert not read_cosim(path).passed


def test_unknown_cosim_status_is_refused(tmp_path):
    path = tmp_path / "x_cosim.rpt"
    path.write_text((FIXTURES / "vitis_hls_cosim.rpt").read_text().replace("Pass", "Done"))
    with pytest.raises(ReportFormatError) as caught:
        read_cosim(path)
    assert str(caught.value) == f"{path}: verilog.status: 'Done' is none of Pass, Fail, NA"


def test_transactions_keep_unknown_intervals_out_of_the_range():
    report = read_transactions(FIXTURES / "cosim.performance.result.transaction.xml")
    assert report.latency_cycles == (9, 12, 9)
    assert report.interval_cycles == (1, 3, None)
    assert (report.latency_cycles_min, report.latency_cycles_max) == (9, 12)
    assert (report.interval_cycles_min, report.interval_cycles_max) == (1, 3)


@pytest.mark.parametrize("row", ["transaction       0:               0x", "transaction       0:     0     0"])
def test_one_transaction_has_no_interval(tmp_path, row):
    path = tmp_path / "result.transaction.rpt"
    path.write_text(f"                    latency        interval\n{row}\n")
    report = read_transactions(path)
    assert (report.latency_cycles, report.interval_cycles) == ((0,), (None,))
    assert report.interval_cycles_max is None


def test_a_lost_transaction_is_noticed(tmp_path):
    lines = (FIXTURES / "cosim.performance.result.transaction.xml").read_text().splitlines(keepends=True)
    path = tmp_path / "x.performance.result.transaction.xml"
    path.write_text("".join(lines[:3]))
    with pytest.raises(
        ReportFormatError, match="transaction 2: is missing though the one before has an interval"
    ):
        read_transactions(path)
    path.write_text("".join([lines[0], *lines[2:]]))
    with pytest.raises(ReportFormatError, match=r"transaction 0: 'transaction .* is no row of it"):
        read_transactions(path)


def test_csim_log_keeps_what_the_test_bench_printed():
    report = read_csim_log(FIXTURES / "hls_csim.log")
    assert (report.kind, report.stage, report.passed, report.errors, report.failure) == (
        "csim",
        "csim",
        True,
        0,
        None,
    )
    assert report.output == (
        "Processing input 0", "0.25 0.75", "INFO: Saved inference results to file: tb_data/csim_results.log",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "errors", "failure"),
    [
        ("ERR: [SIM 100] CSim failed with errors.", None, "CSim failed with errors."),
        ("ERROR: [SIM 211-100] 'csim_design' failed: compilation error(s).", None,
         "'csim_design' failed: compilation error(s)."),
        ("INFO: [SIM 1] CSim done with 3 errors.", 3, "3 errors"),
    ],
)  # fmt: skip
def test_csim_failures_are_told(tmp_path, line, errors, failure):
    path = tmp_path / "x_csim.log"
    text = (FIXTURES / "hls_csim.log").read_text()
    path.write_text(text.replace("INFO: [SIM 1] CSim done with 0 errors.", line))
    report = read_csim_log(path)
    assert (report.passed, report.errors, report.failure) == (False, errors, failure)


@pytest.mark.parametrize(("differ", "failure"), [
    (0, None), (3, "3 of 8 compared samples differ, first 2"),
])  # fmt: skip
def test_the_log_of_a_simulation_by_gxx_says_how_many_samples_differ(tmp_path, differ, failure):
    path = tmp_path / "csim.log"
    path.write_text(
        "codesign: C simulation by g++ 12.2\n"
        f"codesign: in all 10 samples, 8 compared, {differ} differ, first {2 if differ else -1}\n"
    )
    report = read_csim_log(path)
    assert (report.passed, report.errors, report.failure) == (not differ, differ, failure)


def test_a_simulation_that_was_only_compiled_is_a_note(tmp_path):
    path = tmp_path / "x_csim.log"
    head, _, rest = (FIXTURES / "hls_csim.log").read_text().partition("Processing input 0")
    path.write_text(head + "   Generating csim.exe\n" + rest[rest.index("INFO: [SIM 3]") :])
    report = read_csim_log(path)
    assert report.passed is None
    assert [(doubt.reason, doubt.message.removeprefix(f"{path} ")) for doubt in report.doubts()] == [
        ("note", "compiled the C simulation and did not run it")
    ]


def test_csim_inside_a_log_of_the_whole_tool(tmp_path):
    path = tmp_path / "vitis_hls.log"
    head = (
        "****** Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v2023.2 (64-bit)\n"
        "INFO: [HLS 200-1611] Setting target device to 'xcvu9p-flga2104-2L-e'\n"
    )
    body = (FIXTURES / "hls_csim.log").read_text().replace("[SIM ", "[SIM 211-")
    path.write_text(head + body.replace("0 errors", "2 errors") + body)
    report = read_csim_log(path)
    assert (report.tool, report.version, report.part) == ("Vitis HLS", "2023.2", "xcvu9p-flga2104-2L-e")
    assert report.passed  # the last of several simulations counts


def test_a_simulation_that_still_runs_is_no_report(tmp_path):
    path = tmp_path / "x_csim.log"
    path.write_text((FIXTURES / "hls_csim.log").read_text().partition("INFO: [SIM 1]")[0])
    with pytest.raises(ReportFormatError) as caught:
        read_csim_log(path)
    assert str(caught.value) == (
        f"{path}: CSIM finish: the line is missing: the simulation is running still, or died"
    )
