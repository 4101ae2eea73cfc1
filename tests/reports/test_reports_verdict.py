"""Whether a build can be trusted: what failed, is not met or is of another run says no; what is merely undated, yes."""

import json

import pytest
from reports_project import BUILT, FIXTURES, PLACES, findings, mark, place, put

from codesign.comparison.build_numbers import build_numbers
from codesign.reports import read_build

FAILED_TO_COMPILE = (
    "INFO: [SIM 211-2] *************** CSIM start ***************\n"
    "ERROR: [SIM 211-100] 'csim_design' failed: compilation error(s).\n"
    "INFO: [SIM 211-3] *************** CSIM finish ***************\n"
)


def fail(language):
    """An edit that makes the co-simulation of a language fail, whatever it was."""

    def edit(text):
        (row,) = [line for line in text.split("\n") if line.replace(" ", "").startswith(f"|{language}|")]
        status = row.split("|")[2]
        return text.replace(row, row.replace(status, "Fail".center(len(status)), 1))

    return edit


def test_a_simulation_that_failed_is_no_build_to_trust(tmp_path):
    place(tmp_path, "xml", "rpt", "transactions")
    put(tmp_path / PLACES["csim"][0], FAILED_TO_COMPILE)
    place(tmp_path, "cosim", edit=fail("Verilog"))
    build = read_build(tmp_path)
    assert not build.is_trustworthy
    assert [reason for reason, _ in findings(build)] == ["failed", "failed"]
    assert "C simulation failed: 'csim_design' failed: compilation error(s)." in build.findings[0].message
    assert build.findings[1].message.endswith("says that the co-simulation of the Verilog failed")
    # cycles of a co-simulation that failed are those of another computation
    steps = {number.step for number in build_numbers(build).numbers}
    assert "csynth" in steps
    assert "cosim" not in steps
    place(tmp_path, "cosim")
    assert "cosim" in {number.step for number in build_numbers(read_build(tmp_path)).numbers}


def test_a_language_that_failed_beside_one_that_passed_is_said(tmp_path):
    place(tmp_path, "xml", "rpt")
    place(tmp_path, "cosim", edit=fail("VHDL"))
    build = read_build(tmp_path)
    assert build.cosim.verilog.status == "Pass"
    assert findings(build) == [("failed", "jet_tagger_cosim.rpt")]
    assert not build.is_trustworthy


def test_timing_that_is_not_met_is_a_word_of_its_own(tmp_path):
    text = (FIXTURES / "vivado_timing_2018_ooc.rpt").read_text()
    put(tmp_path / "impl_timing.rpt", text)
    build = read_build(tmp_path)
    assert [finding.reason for finding in build.findings] == ["timing"]
    assert build.findings[0].message.endswith(
        "says that the timing constraints are not met, by 0.412 ns at worst"
    )
    assert not build.is_trustworthy


def test_the_last_stage_decides_on_the_timing(tmp_path):
    text = (FIXTURES / "vivado_timing_2018_ooc.rpt").read_text()
    put(tmp_path / "synth_timing.rpt", text.replace("routed)", "unplaced)"))
    met = text.replace("Timing constraints are not met.", "All user specified timing constraints are met.")
    put(tmp_path / "impl_timing.rpt", met)
    build = read_build(tmp_path)
    assert (build.timing["synthesis"].is_met, build.timing["post-route"].is_met) == (False, True)
    assert build.findings == ()
    assert build.is_trustworthy


@pytest.mark.parametrize(
    ("old", "new", "when", "reasons"),
    [
        ("5120", "5122", "14:01:08", ["note"]),
        ("5120", "5122", "14:01:07", ["note"]),
        ("5120", "5120", "14:01:07", []),
        ("5120", "5120", "14:30:00", []),
        ("5120", "5122", "14:30:00", ["stale"]),
        ("5120", "5999", "14:01:07", ["stale"]),
        ("  12 (~0%)|  2111", "  13 (~0%)|  2111", "14:01:07", ["stale"]),
        ("|         9|", "|         8|", "14:01:07", ["stale"]),
    ],
)  # fmt: skip
def test_a_summary_printed_with_its_text_may_count_a_few_luts_more(tmp_path, old, new, when, reasons):
    place(tmp_path, "rpt")

    def edit(text):
        assert old in text
        return text.replace(old, new, 1).replace("Mon Feb  5 14:01:08", f"Mon Feb  5 {when}")

    place(tmp_path, "summary", edit=edit)
    build = read_build(tmp_path)
    assert [reason for reason, _ in findings(build)] == reasons
    assert build.is_trustworthy == ("stale" not in reasons)


def test_an_xml_has_the_date_of_the_summary_beside_it_and_is_held_to_its_numbers(tmp_path):
    place(tmp_path, "whole")
    place(tmp_path, "summary", edit=lambda text: text.replace("5120", "5122"))
    build = read_build(tmp_path)
    assert (build.csynth.form, build.csynth.used.lut) == ("xml", 5120)
    assert findings(build) == [("note", "csynth.rpt")]
    place(tmp_path, "summary", edit=lambda text: text.replace("5120", "6000"))
    assert not read_build(tmp_path).is_trustworthy


@pytest.mark.parametrize(("seconds", "reason"), [(3, "unverified"), (50, "unverified"), (90, "stale")])
def test_an_undated_report_of_a_clone_is_unverified_and_an_old_one_is_stale(tmp_path, seconds, reason):
    place(tmp_path, "xml")
    put(tmp_path / "firmware" / "jet_tagger.cpp", "", BUILT + seconds)
    build = read_build(tmp_path)
    assert [found for found, _ in findings(build)] == [reason]
    assert build.is_trustworthy == (reason == "unverified")


def test_an_undated_report_that_came_with_a_copied_one_is_unverified(tmp_path):
    cloned = BUILT + 40 * 86400
    place(tmp_path, "xml", "rpt", "csim", when=cloned)
    put(tmp_path / "firmware" / "jet_tagger.cpp", "", cloned + 300)
    build = read_build(tmp_path)
    assert {reason for reason, _ in findings(build)} == {"unverified"}
    assert build.csim is not None
    assert build.is_trustworthy


@pytest.mark.parametrize(("seconds", "is_stale"), [(3, True), (1, False)])
def test_a_report_seconds_older_than_its_run_is_stale(tmp_path, seconds, is_stale):
    place(tmp_path, "xml", "rpt")
    mark(tmp_path, started=BUILT + seconds)
    build = read_build(tmp_path)
    assert (build.csynth is None) == is_stale
    assert {reason for reason, _ in findings(build)} == ({"stale"} if is_stale else set())
    if is_stale:
        assert f"is {seconds} seconds older than the run" in build.findings[0].message


def test_the_verdict_is_in_the_json(tmp_path):
    place(tmp_path, "xml", "rpt")
    place(tmp_path, "cosim", edit=fail("Verilog"))
    value = json.loads(json.dumps(read_build(tmp_path).to_dict(), allow_nan=False))
    assert value["is_trustworthy"] is False
    assert value["findings"][0]["reason"] == "failed"
