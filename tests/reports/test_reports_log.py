"""The log of a tool's whole session: what failed, what warns, how long it took; one that is cut says so."""

import pytest
from reports_project import FIXTURES, place, put

from codesign.comparison.summary import summarise
from codesign.errors import ReportFormatError
from codesign.reports import read_build, read_csim_log, read_report, read_tool_log

HLS, VIVADO = FIXTURES / "vitis_hls_2023.log", FIXTURES / "vivado_2019.log"
DIED = "ERROR: [HLS 200-70] Pre-synthesis failed."


def doubts(path):
    return [(doubt.reason, doubt.message) for doubt in read_report(path).doubts()]


def test_a_log_of_hls():
    log = read_report(HLS)
    assert (log.kind, log.tool, log.version, log.part, log.top) == (
        "log", "Vitis HLS", "2023.2", "xcvu9p-flga2104-2L-e", "jet_tagger",
    )  # fmt: skip
    assert (log.errors, log.critical_warnings, log.n_warnings) == ((), (), 3)
    assert [line.partition("]")[0] for line in log.warnings] == [
        "WARNING: [HLS 200-880", "WARNING: [HLS 200-871",
    ]  # fmt: skip
    assert [(step.name, step.seconds, step.peak_memory_mb) for step in log.steps[:2]] == [
        ("Source Code Analysis and Preprocessing", 22.1, 248.551),
        ("Compiling Optimization and Transform", 12.34, 1254.0),
    ]
    assert (log.seconds, log.peak_memory_mb, log.is_ended) == (50.91, 1254.0, True)


def test_vitis_run_is_vitis_hls(tmp_path):
    head, *rest = HLS.read_text().split("\n")
    banner = next(line for line in (head, *rest) if "(64-bit)" in line)
    path = tmp_path / "vitis_hls.log"
    path.write_text(HLS.read_text().replace(banner, "****** vitis-run v2024.2 (64-bit)"))
    log = read_tool_log(path)
    assert (log.tool, log.version) == ("Vitis HLS", "2024.2")


def test_a_log_of_vivado():
    log = read_tool_log(VIVADO)
    assert (log.tool, log.version, log.part, log.top) == (
        "Vivado", "2019.2", None, "jet_tagger",
    )  # fmt: skip
    assert {step.name: step.seconds for step in log.steps}["route_design"] == 133.5
    assert (log.peak_memory_mb, log.n_warnings) == (4377.016, 2)
    assert [reason for reason, _ in doubts(VIVADO)] == ["timing", "note", "note"]
    assert "The design failed to meet the timing requirements" in log.critical_warnings[0]


@pytest.mark.parametrize(("report", "reason"), [(None, "timing"), ("vivado_timing.rpt", "note")])
def test_a_log_that_says_that_timing_is_not_met_counts_where_no_timing_report_does(tmp_path, report, reason):
    put(tmp_path / "impl_utilization.rpt", (FIXTURES / "vivado_utilization.rpt").read_text())
    put(tmp_path / "vivado.log", VIVADO.read_text())
    if report is not None:
        put(tmp_path / "impl_timing.rpt", (FIXTURES / report).read_text())
    build = read_build(tmp_path)
    assert build.is_trustworthy is (report is not None)
    (said,) = [one for one in build.findings if "says that timing is not met" in one.message]
    assert said.reason == reason


def test_old_vivado_hls_prints_its_times_as_vivado_does(tmp_path):
    path = put(
        tmp_path / "vivado_hls.log",
        "****** Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v2018.2 (64-bit)\n"
        "INFO: [HLS 200-111] Finished Checking Pragmas Time (s): cpu = 00:00:08 ; elapsed = 00:00:11 . Memory (MB): "
        "peak = 103.254 ; gain = 46.168\n"
        "INFO: [HLS 200-112] Total elapsed time: 18.761 seconds; peak allocated memory: 75.575 MB.\n"
        "INFO: [Common 17-206] Exiting vivado_hls at Thu Mar 12 16:38:28 2020...\n",
    )
    log = read_tool_log(path)
    assert (log.tool, log.version, log.seconds, log.peak_memory_mb) == (
        "Vivado HLS",
        "2018.2",
        18.761,
        103.254,
    )
    assert [(step.name, step.seconds) for step in log.steps] == [("Checking Pragmas", 11.0)]


@pytest.mark.parametrize("fixture", [HLS, VIVADO], ids=lambda path: path.name)
def test_a_log_that_is_cut_anywhere_says_so(fixture, tmp_path):
    lines = fixture.read_text().splitlines(keepends=True)
    path = tmp_path / fixture.name
    for count in range(2, len(lines) - (2 if fixture is HLS else 1)):
        path.write_text("".join(lines[:count]))
        assert (
            "unfinished",
            f"{path} ends in the middle: the run died, runs still, or the file was cut",
        ) in doubts(path)


def test_a_step_that_died_is_said_and_one_after_it_makes_it_a_note(tmp_path):
    path = tmp_path / "vitis_hls.log"
    text = HLS.read_text()
    path.write_text(text.replace("INFO: [HLS 200-789]", f"{DIED}\nINFO: [HLS 200-789]"))
    reasons = [reason for reason, message in doubts(path) if DIED in message]
    assert reasons == ["note"]
    head, _, end = text.partition("INFO: [HLS 200-112]")
    path.write_text(f"{head}{DIED}\n" + end[end.index("\n") + 1 :])
    assert ("unfinished", f"{path} says that a step died (1 error, first '{DIED}')") in doubts(path)


def test_a_failed_simulation_in_it_is_said(tmp_path):
    path = tmp_path / "vitis_hls.log"
    simulation = (FIXTURES / "hls_csim.log").read_text()
    lines = HLS.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:11], simulation.replace("0 errors", "3 errors"), *lines[11:]]))
    assert ("failed", f"{path} says that the C simulation failed: 3 errors") in doubts(path)
    assert read_csim_log(path).errors == 3
    path.write_text("".join([*lines[:11], simulation, *lines[11:]]))
    assert "failed" not in dict(doubts(path))
    with pytest.raises(
        ReportFormatError, match="this is the log of a whole run of a tool, not a C simulation log"
    ):
        read_csim_log(HLS)


def test_a_build_shows_times_and_memory_of_its_logs(tmp_path):
    place(tmp_path, "xml", "rpt")
    put(tmp_path / "vitis_hls.log", HLS.read_text())
    put(tmp_path / "vivado.log", VIVADO.read_text())
    build = read_build(tmp_path)
    assert [log.tool for log in build.logs] == ["Vitis HLS", "Vivado"]
    assert {one.reason for one in build.findings} == {"timing", "note"}
    table = next(
        table for table in summarise(tmp_path).tables if table.title == "Time and memory of the tools"
    )
    assert ("vitis_hls.log", "in all", "50.91", "1,254") in table.rows
    assert ("vivado.log", "route_design", "133.5", "4,377") in table.rows


def test_a_build_whose_tool_died_in_the_middle_is_not_trusted(tmp_path):
    place(tmp_path, "xml", "rpt")
    log = put(tmp_path / "vitis_hls.log", HLS.read_text()[:1500])
    build = read_build(tmp_path)
    assert not build.is_trustworthy
    assert [finding.path for finding in build.findings if finding.reason == "unfinished"] == [log]
    # a window of Vivado that was closed by force does no harm to whole reports
    put(log, HLS.read_text())
    put(tmp_path / "vivado.log", VIVADO.read_text()[:1500])
    assert read_build(tmp_path).is_trustworthy


@pytest.mark.parametrize("elapsed", ["1e999", "²", "-00:00:01"])
def test_what_is_no_time_times_no_step(tmp_path, elapsed):
    path = put(
        tmp_path / "vivado.log", VIVADO.read_text().replace("elapsed = 00:01:31", f"elapsed = {elapsed}")
    )
    assert "synth_design" not in {step.name for step in read_tool_log(path).steps}


@pytest.mark.parametrize("elapsed", ["00:01", "9" * 400, "00:00:" + "9" * 400, "00:.:00"])
def test_a_time_of_another_form_is_damage(tmp_path, elapsed):
    path = put(
        tmp_path / "vivado.log", VIVADO.read_text().replace("elapsed = 00:01:31", f"elapsed = {elapsed}")
    )
    with pytest.raises(ReportFormatError, match="seconds"):
        read_tool_log(path)


def test_an_older_tool_is_named_by_its_version(tmp_path):
    path = put(tmp_path / "vivado.log", VIVADO.read_text().replace("v2019.2", "v2014.1"))
    assert any(
        f"Vivado 2014.1 is older than 2016.4, the oldest whose form is known: compare its numbers with the file ({path})"
        in note
        for note in summarise(path).notes
    )


def test_of_two_reports_of_a_kind_it_is_said_which_was_taken_and_why(tmp_path):
    place(tmp_path, "xml", "rpt", "utilization")
    text = (FIXTURES / "vivado_utilization.rpt").read_text()
    second = put(tmp_path / "deeper" / "jet_tagger_utilization.rpt", text)
    build = read_build(tmp_path)
    assert len(build.choices) == len(build.also_found) == 2
    taken = build.last_utilization.path
    assert (
        f"{second} is of {build.last_utilization.stage} too; {taken} is taken, which says the same"
        in build.choices
    )
    assert any("XML before text" in sentence for sentence in build.choices)
    assert set(build.choices) <= set(summarise(tmp_path).notes)


def test_a_row_that_was_dropped_is_noticed_where_there_is_a_total(tmp_path):
    text = (FIXTURES / "vivado_hls_2018_csynth.rpt").read_text()
    lines = text.splitlines(keepends=True)
    path = tmp_path / "jet_tagger_csynth.rpt"
    for name, sentence in (
        (
            "|call_ret_relu_fu_91",
            "Detail/Instance LUT: the rows sum to 4000 and the total is 4096; a row is lost or changed",
        ),
        ("|Instance  ", "Summary BRAM_18K: the rows sum to 0 and the total is 3; a row is lost or changed"),
        ("|Register  ", "Summary FF: the rows sum to 2100 and the total is 2411; a row is lost or changed"),
    ):
        kept = [line for line in lines if not (line.strip().startswith(name) and "Module" not in line)]
        assert len(kept) < len(lines)
        if name.startswith("|call"):  # it stands in the table of cycles too
            timed = next(line for line in lines if line.strip().startswith(name))
            kept = [line for line in lines if not line.strip().startswith(name) or line == timed]
        put(path, "".join(kept))
        with pytest.raises(ReportFormatError) as caught:
            read_report(path)
        assert str(caught.value) == f"{path}: {sentence}"
