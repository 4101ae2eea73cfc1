"""`codesign report` on a run, a project, a build folder and a report by itself."""

from __future__ import annotations

import json
import shutil

import pytest
from comparison_runs import FIXTURES, PART, write

from codesign.comparison.sources import read_entry
from codesign.comparison.summary import summarise
from codesign.errors import ReportError, ReportFormatError, ReportMissingError

FILES = {"codesign_empty": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
"""A manifest needs a file; this one is empty."""


def rows(description, title):
    table = next(table for table in description.tables if table.title == title)
    return {row[0]: row[1:] for row in table.rows}


def test_a_build_says_what_passed_and_every_stages_numbers(make_build):
    folder = make_build(
        "b", "vitis_hls_2023_csynth.xml", "vivado_utilization.rpt", "vivado_timing.rpt", "hls_csim.log"
    )
    (folder / "hls_csim.log").rename(folder / "jet_tagger_csim.log")
    shutil.copy(FIXTURES / "vitis_hls_cosim.rpt", folder / "jet_tagger_cosim.rpt")
    description = summarise(folder)
    assert rows(description, "Build") == {
        "run": ("no marker: built by other means",),
        "top": ("jet_tagger",),
        "part": (PART,),
        "C simulation": ("passed",),
        "co-simulation, Verilog": ("Pass",),
        "timing, post-route": ("met",),
        "can be trusted": ("yes",),
    }
    assert rows(description, "C synthesis (percent of the VU9P)")["LUT"] == ("5,120 (0.43 %)",)
    assert rows(description, "Co-simulation")["latency (cycles)"] == ("12",)
    assert rows(description, "Vivado, routed (percent of the VU9P)")["worst setup slack (ns)"] == ("0.412",)
    assert description.is_trustworthy


def test_a_build_with_damaged_reports_names_each_and_is_not_trustworthy(make_build):
    names = ("vivado_timing.rpt", "vivado_utilization.rpt", "vivado_power.rpt")
    folder = make_build("b", "vitis_hls_2023_csynth.xml", *names)
    for name in names:
        (folder / name).write_text("")
    description = summarise(folder)
    assert not description.is_trustworthy
    assert rows(description, "Build")["can be trusted"] == ("no: see the notes",)
    assert [note.split(": ")[:2] for note in description.notes] == [
        ["damaged", str(folder / name)] for name in names
    ]


def test_a_build_that_did_not_end_is_not_trustworthy(make_build):
    folder = make_build("b", "vitis_hls_2023_csynth.xml")
    write(folder / "codesign_build.json", {"format": 1, "status": "interrupted", "started": 0.0, "steps": []})
    description = summarise(folder)
    assert rows(description, "Build")["run"] == ("interrupted",)
    assert description.notes[0] == f"the build of {folder} is marked 'interrupted'"
    assert not description.is_trustworthy


def test_a_report_by_itself_gives_its_fields_and_its_numbers():
    path = FIXTURES / "vivado_power.rpt"
    description = summarise(path)
    fields = rows(description, "Report")
    assert fields["kind"] == ("power",)
    assert fields["stage"] == ("post-route",)
    assert fields["power_w"] == ("2.871",)
    assert fields["confidence"] == ("Low",)
    assert "remarks" not in fields
    assert rows(description, "Vivado, routed")["power (W)"] == ("2.871",)
    assert description.notes == (f"power is an estimate of confidence Low ({path})",)


def test_a_run_gives_its_summary_and_the_builds_of_its_project(make_run):
    folder = make_run("a")
    assert rows(summarise(folder), "Stages")["quantization"][1] == "0.9600"
    assert summarise(folder) == summarise(folder / "summary.json")
    project = folder / "project" / "hls"
    shutil.copy(FIXTURES / "vitis_hls_2023_csynth.xml", project)
    description = summarise(folder)
    assert rows(description, "C synthesis (percent of the VU9P)")["DSP"] == ("12 (0.18 %)",)
    assert description.is_trustworthy
    (project / "vitis_hls_2023_csynth.xml").write_text("")
    assert not summarise(folder).is_trustworthy


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_a_build_that_failed_before_its_first_report_is_told(tmp_path, status):
    target = {"part": PART, "clock_period_ns": 5.0, "backend": "Vitis", "io_type": "io_parallel"}
    project = tmp_path / "p"
    project.mkdir()
    (project / "codesign_empty").touch()
    write(project / "codesign_project.json", {"format": 1, "target": target, "settings": {}, "files": FILES})
    steps = [
        {"name": "csim", "status": "finished", "reason": ""},
        {"name": "csynth", "status": status, "reason": "no licence for the tool"},
    ]
    write(project / "codesign_build.json", {"status": status, "started": 1.0, "steps": steps})
    said = f"the last build left no report; its status is {status}: csynth: no licence for the tool"
    assert summarise(project).notes == (said,)
    assert not summarise(project).is_trustworthy
    assert not read_entry(project).is_trustworthy
    steps[1]["reason"] = ""
    write(project / "codesign_build.json", {"status": status, "started": 1.0, "steps": steps})
    assert read_entry(project).notes == (f"the last build left no report; its status is {status}",)
    write(project / "codesign_build.json", {"status": "finished", "started": 1.0, "steps": []})
    assert summarise(project).is_trustworthy


def test_a_project_gives_its_target_and_says_that_nothing_was_built(tmp_path):
    target = {"part": PART, "clock_period_ns": 5.0, "backend": "Vitis", "io_type": "io_parallel"}
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "codesign_empty").touch()
    write(
        tmp_path / "p" / "codesign_project.json",
        {"format": 1, "target": target, "settings": {}, "files": FILES},
    )
    description = summarise(tmp_path / "p")
    assert rows(description, "HLS project") == {name: (str(value),) for name, value in target.items()}
    assert description.notes == ("nothing was built in it yet: codesign build",)
    shutil.copy(FIXTURES / "vitis_hls_2023_csynth.xml", tmp_path / "p")
    assert rows(summarise(tmp_path / "p"), "Build")["top"] == ("jet_tagger",)


def test_a_folder_of_several_designs_wants_the_top(make_build):
    folder = make_build("b", "vitis_hls_2023_csynth.xml", "vivado_hls_2018_csynth.rpt")
    for old, top in (("vitis_hls_2023_csynth.xml", "one"), ("vivado_hls_2018_csynth.rpt", "two")):
        text = (folder / old).read_text().replace("jet_tagger", top)
        (folder / old).unlink()
        (folder / f"{top}_csynth{old[-4:]}").write_text(text)
    with pytest.raises(ReportError, match="name"):
        summarise(folder)
    assert rows(summarise(folder, top="one"), "Build")["top"] == ("one",)


def test_nothing_there_and_an_unfinished_run_are_refused(tmp_path, make_run):
    with pytest.raises(ReportMissingError, match=rf"^{tmp_path}/no: there is no such file or folder$"):
        summarise(tmp_path / "no")
    folder = make_run("a")
    (folder / "summary.json").write_text('{"design": "digits"}')
    with pytest.raises(
        ReportFormatError, match=r"summary: damaged \(KeyError\('stages'\)\); finish the run again$"
    ):
        summarise(folder)
    (folder / "summary.json").unlink()
    with pytest.raises(ReportMissingError, match=r"is a run without an end"):
        summarise(folder)


def test_a_summary_of_an_older_version_without_rtl_is_read(make_run):
    folder = make_run("a")
    assert "rtl" not in json.loads((folder / "summary.json").read_text())
    assert [table.title for table in summarise(folder).tables][:2] == ["Stages", "Types of the hardware"]
