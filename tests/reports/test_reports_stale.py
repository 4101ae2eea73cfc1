"""Stale reports: older than the sources, the run, or the synthesis they rest on; none is taken silently."""

import json
from hashlib import sha256

import pytest
from reports_project import BUILT, FIXTURES, PLACES, SOLUTION, findings, listed, mark, place, put

from codesign.errors import ReportFormatError
from codesign.reports import read_build


def test_reports_older_than_the_sources_are_left_out(tmp_path):
    place(tmp_path, "xml", "rpt", "utilization")
    source = put(tmp_path / "firmware" / "jet_tagger.cpp", "void jet_tagger();", BUILT + 7200)
    put(
        tmp_path / "firmware" / "nnet_utils" / "nnet_dense.h", "", BUILT + 9 * 86400
    )  # hls4ml's own, no source
    build = read_build(tmp_path)
    assert (build.csynth, build.utilization, build.last_utilization) == (None, {}, None)
    assert not build.is_trustworthy
    assert sorted(findings(build)) == [
        ("stale", "jet_tagger_csynth.rpt"), ("stale", "jet_tagger_csynth.xml"), ("stale", "vivado_impl.rpt"),
    ]  # fmt: skip
    report = tmp_path / "vivado_impl.rpt"
    messages = {finding.path.name: finding.message for finding in build.findings}
    assert messages["vivado_impl.rpt"] == (
        f"{report} is 2 hours older than the source {source}; run the tool again"
    )
    allowed = read_build(tmp_path, allow_stale=True)
    assert (allowed.csynth.used.lut, allowed.last_utilization.used.lut) == (5120, 4210)
    assert sorted(findings(allowed)) == sorted(findings(build))


def test_copied_reports_whose_age_nothing_tells_are_read_and_that_is_said(tmp_path):
    place(tmp_path, "xml", "rpt", when=BUILT + 30 * 86400)
    source = put(tmp_path / "firmware" / "jet_tagger.cpp", "", BUILT + 30 * 86400 + 60)
    build = read_build(tmp_path)
    assert build.csynth.used.lut == 5120
    assert build.is_trustworthy
    assert [finding.reason for finding in build.findings] == ["unverified", "unverified"]
    assert build.findings[0].message == (
        f"{build.findings[0].path} was copied since it was written, so nothing tells whether it is older than {source}"
    )


@pytest.mark.parametrize("zone_h", [0, -9, 5.5])
def test_a_slow_copy_on_the_day_of_the_build_is_no_stale_build(tmp_path, zone_h):
    copied = BUILT + zone_h * 3600 + 37 * 60
    place(tmp_path, "xml", "rpt", when=copied)
    place(tmp_path, "csim", when=copied + 3)
    put(tmp_path / "firmware" / "jet_tagger.cpp", "", copied + 150)
    build = read_build(tmp_path)
    assert build.is_trustworthy
    assert {finding.reason for finding in build.findings} == {"unverified"}
    # reports that lie where they were written, a source that was changed three minutes later
    place(tmp_path, "xml", "rpt", when=BUILT + zone_h * 3600 + 20)
    put(tmp_path / "firmware" / "jet_tagger.cpp", "", BUILT + zone_h * 3600 + 200)
    assert "stale" in {finding.reason for finding in read_build(tmp_path).findings}
    # and a copy into which a source was written an hour later
    place(tmp_path, "xml", "rpt", when=copied)
    put(tmp_path / "firmware" / "jet_tagger.cpp", "", copied + 3600)
    assert "stale" in {finding.reason for finding in read_build(tmp_path).findings}


def test_sources_are_those_that_no_longer_fit_the_manifest(tmp_path):
    place(tmp_path, "xml", "rpt")
    source = put(tmp_path / "firmware" / "jet_tagger.cpp", "void jet_tagger();", BUILT + 7200)
    digest = sha256(source.read_bytes()).hexdigest()
    files = {"firmware/jet_tagger.cpp": digest}
    put(tmp_path / "codesign_project.json", json.dumps({"format": 1, "files": files}), BUILT - 7200)
    assert read_build(tmp_path).csynth is not None  # touched, not changed
    put(source, "void jet_tagger(int);", BUILT + 7200)
    assert read_build(tmp_path).csynth is None
    mark(
        tmp_path, steps=[{"name": "csynth", "status": "finished", "reports": listed(tmp_path, "xml", "rpt")}]
    )
    marked = read_build(tmp_path)
    assert marked.csynth is None
    assert {finding.reason for finding in marked.findings} == {"stale"}


def test_a_later_step_must_be_younger_than_the_synthesis_it_rests_on(tmp_path):
    place(tmp_path, "cosim", "transactions", "export", "utilization", "timing", "power")
    place(
        tmp_path,
        "xml",
        "rpt",
        edit=lambda text: text.replace("Mon Feb  5 14:01:07 2024", "Tue Feb  6 09:00:00 2024"),
    )
    build = read_build(tmp_path)
    assert build.csynth is not None
    assert (build.cosim, build.transactions, build.export) == (None, None, None)
    assert (build.utilization, build.timing, build.power) == ({}, {}, {})
    assert {reason for reason, _ in findings(build)} == {"stale"}
    cosim = tmp_path / PLACES["cosim"][0]
    xml = tmp_path / PLACES["xml"][0]
    assert build.findings[0].message == (
        f"{cosim} is of 2024-02-05 14:15:31, before the C synthesis {xml} of 2024-02-06 09:00:00; run its step again"
    )
    allowed = read_build(tmp_path, allow_stale=True)
    assert allowed.cosim.passed
    assert list(allowed.timing) == ["post-route"]
    assert not allowed.is_trustworthy


def test_of_two_synthesis_runs_the_newer_one_counts(tmp_path):
    place(tmp_path, "xml", "rpt")

    def again(text):
        return text.replace("Feb  5 14:01:08", "Feb  7 10:00:00").replace("5120", "6000")

    place(tmp_path, "whole", "summary", edit=again)
    build = read_build(tmp_path)
    assert (build.csynth.path.name, build.csynth.used.lut) == ("csynth.xml", 6000)
    assert findings(build) == [("stale", "jet_tagger_csynth.rpt"), ("stale", "jet_tagger_csynth.xml")]


def test_stale_reports_moved_away_and_other_reports_are_not_looked_at(tmp_path):
    place(tmp_path, "xml", "rpt")
    place(tmp_path / "stale_reports" / "20240101T000000Z")
    put(tmp_path / SOLUTION / "syn/report/csynth_design_size.rpt", "== Design Size Report\n")
    clocks = (
        (FIXTURES / "vivado_utilization.rpt")
        .read_text()
        .replace("report_utilization", "report_clock_networks")
    )
    put(tmp_path / "odd_util.rpt", clocks)
    build = read_build(tmp_path)
    assert (build.utilization, build.cosim, build.findings) == ({}, None, ())


def test_a_finished_run_is_held_against_its_digests(tmp_path):
    place(tmp_path, "xml", "rpt", "utilization", when=BUILT - 86400)  # copying may change every time
    steps = [
        {
            "name": "csynth",
            "status": "finished",
            "started": BUILT - 3600,
            "reports": listed(tmp_path, "xml", "rpt"),
        },
        {
            "name": "impl",
            "status": "finished",
            "started": BUILT - 60,
            "reports": listed(tmp_path, "utilization"),
        },
    ]
    mark(tmp_path, steps=steps)
    build = read_build(tmp_path)
    assert (build.status, build.started, build.is_trustworthy) == ("finished", BUILT - 3600, True)
    assert build.last_utilization.used.lut == 4210
    place(tmp_path, "utilization", edit=lambda text: text.replace("4210", "4211"))
    (tmp_path / PLACES["rpt"][0]).unlink()
    build = read_build(tmp_path)
    assert build.last_utilization is None
    report, gone = tmp_path / "vivado_impl.rpt", tmp_path / PLACES["rpt"][0]
    assert [finding.message for finding in build.findings] == [
        f"{report} was changed after the step impl wrote it; run it again",
        f"{gone}: the step csynth wrote it; run it again",
    ]


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_run_that_did_not_finish_is_said_to_be_so(tmp_path, status):
    place(tmp_path, "xml", "rpt", "utilization")
    steps = [
        {
            "name": "csynth",
            "status": "finished",
            "started": BUILT - 3600,
            "reports": listed(tmp_path, "xml", "rpt"),
        },
        {"name": "impl", "status": status, "started": BUILT - 60, "reports": []},
    ]
    mark(tmp_path, status, steps=steps)
    build = read_build(tmp_path)
    assert (build.status, build.is_trustworthy) == (status, False)
    assert build.csynth.used.lut == 5120  # its own step ended well
    assert build.utilization == {}
    marker = tmp_path / "codesign_build.json"
    assert [finding.message for finding in build.findings] == [
        f"{tmp_path / 'vivado_impl.rpt'}: its step impl is {status}; run it again",
        f"{marker}: the run is not finished but {status}; build again",
    ]
    assert read_build(tmp_path, allow_stale=True).utilization == {}  # unfinished is not merely stale


def test_what_is_older_than_the_run_is_stale(tmp_path):
    place(tmp_path, "xml", "rpt", when=BUILT - 7200)
    place(tmp_path, "timing")
    mark(tmp_path, started=BUILT - 3600)
    build = read_build(tmp_path)
    assert build.csynth is None
    assert list(build.timing) == ["post-route"]
    rpt = tmp_path / PLACES["rpt"][0]
    assert build.findings[0].message == (
        f"{rpt} is 60 minutes older than the run that {tmp_path / 'codesign_build.json'} tells of"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"started": 1.0, "sta', "marker: is damaged (Unterminated"),
        (
            '{"started": 1.0, "status": "done"}',
            "marker: is damaged (status is 'done', none of running, finished, failed, interrupted); build again",
        ),
        (
            '{"started": "now", "status": "finished"}',
            "marker: is damaged (started is 'now', no float); build again",
        ),
        (
            '{"started": 1, "status": "finished", "steps": 3}',
            "marker: is damaged (steps is 3, no list); build again",
        ),
    ],
)
def test_a_damaged_marker_is_refused(tmp_path, text, sentence):
    place(tmp_path, "xml")
    marker = put(tmp_path / "codesign_build.json", text)
    with pytest.raises(ReportFormatError) as caught:
        read_build(tmp_path)
    assert str(caught.value).startswith(f"{marker}: {sentence}")


def test_the_tools_own_log_tells_of_a_run_that_died(tmp_path):
    place(tmp_path, "xml", "rpt")
    harmless = "ERROR: [HLS 200-101] config_array_partition: Unknown option '-maximum_size'.\n"
    end = "INFO: [Common 17-206] Exiting vitis_hls at Fri Oct 20 10:12:14 2023...\n"
    log = put(tmp_path / "vitis_hls.log", harmless + end)
    assert read_build(tmp_path).is_trustworthy
    put(log, harmless + "ERROR: [HLS 200-70] Pre-synthesis failed.\n" + end)
    build = read_build(tmp_path)
    assert not build.is_trustworthy
    assert [finding.message for finding in build.findings] == [
        f"{log} says that a step died (1 error, first 'ERROR: [HLS 200-70] Pre-synthesis failed.')"
    ]
