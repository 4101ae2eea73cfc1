"""The marker of a build: what is written is read, and what is damaged is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from codesign.core.build_marker import MARKER, BuildMarker, ReportFile, StepResult
from codesign.errors import ReportFormatError, ReportMissingError


@pytest.fixture
def marker(tmp_path):
    report = ReportFile("syn/top_csynth.xml", "csynth", "0" * 64, None)
    step = StepResult("csynth", "finished", 5.0, ("vitis_hls", "-f"), 0, 7.5, "logs/csynth.log", (report,))
    failed = StepResult("cosim", "failed", 13.0, ("vitis_hls",), 1, 2.0, reason="it died", part="xcvu9p")
    return BuildMarker(tmp_path, "failed", 5.0, 15.0, (step, failed), {"vitis_hls": "2023.1"})


def test_what_is_written_is_read(marker):
    marker.write()
    assert BuildMarker.read(marker.directory) == marker
    assert marker.told == "failed: cosim: it died"
    running = replace(marker, status="running", finished=None)
    running.write()
    assert BuildMarker.read(marker.directory) == running


def test_a_report_that_no_finished_step_left_is_missing(marker):
    assert marker.report("csynth") == marker.directory / "syn/top_csynth.xml"
    with pytest.raises(ReportMissingError, match="no cosim report of any finished step; run that step"):
        marker.report("cosim")
    with pytest.raises(ReportMissingError, match="no csynth report of the step cosim; run that step"):
        marker.report("csynth", "cosim")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": "done"}, "status is 'done', none of running, finished"),
        ({"format": 9}, "format is 9"),
        ({"steps": [{"name": "link"}]}, "name is 'link', none of csim, csynth"),
        ({"steps": [{"name": "csim", "reason": 5}]}, "reason"),
        ({"steps": [{"name": "csim", "reports": [{"path": "a", "kind": 5}]}]}, "kind"),
        ({"steps": [5]}, "5 is no step"),
    ],
)
def test_a_damaged_marker_is_said(marker, change, told):
    marker.write()
    path = marker.directory / MARKER
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ReportFormatError, match=told):
        BuildMarker.read(marker.directory)


def test_a_marker_without_optional_words_is_read(marker):
    (marker.directory / MARKER).write_text(
        json.dumps({
            "status": "finished", "started": 1.0,
            "steps": [{"name": "csim", "reports": [{"path": "a"}]}],
        })
    )  # fmt: skip
    read = BuildMarker.read(marker.directory)
    assert read.steps == (StepResult("csim", "finished", reports=(ReportFile("a"),)),)
