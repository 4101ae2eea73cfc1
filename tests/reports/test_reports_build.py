"""Whole builds: everything is found, nothing half written or foreign is taken, and every refusal is told."""

import json
from datetime import datetime

import pytest
from reports_project import BUILT, FIXTURES, PLACES, SOLUTION, findings, place, put

from codesign.errors import ReportError, ReportMissingError
from codesign.reports import read_build


def test_a_whole_project_without_a_marker(tmp_path):
    build = read_build(place(tmp_path))
    assert (build.status, build.started, build.top, build.part) == (
        "unmarked", None, "jet_tagger", "xcvu9p-flga2104-2L-e",
    )  # fmt: skip
    assert build.findings == ()
    assert build.is_trustworthy
    assert build.csim.passed
    assert build.cosim.passed
    assert build.transactions.latency_cycles_max == 12
    assert build.export.used.lut == 4198
    # the form that knows most, dated by the text form of the same name
    assert (build.csynth.path.name, len(build.csynth.modules)) == ("csynth.xml", 3)
    assert build.csynth.date == datetime(2024, 2, 5, 14, 1, 8)
    for reports in (build.utilization, build.hierarchy, build.timing, build.power):
        assert list(reports) == ["post-route"]
    assert build.last_utilization is build.utilization["post-route"]
    assert build.utilization["post-route"].form == "site"
    assert {path.name for path in build.also_found} == {
        "csynth.rpt", "jet_tagger_csynth.rpt", "jet_tagger_csynth.xml",
    }  # fmt: skip
    value = json.loads(json.dumps(build.to_dict(), allow_nan=False))
    assert (value["kind"], value["csynth"]["stage"], value["utilization"]["post-route"]["kind"]) == (
        "build", "csynth", "utilization",
    )  # fmt: skip


@pytest.mark.parametrize("below", ["jet_tagger_prj", SOLUTION])
def test_the_tools_own_folders_can_be_read_too(tmp_path, below):
    put(tmp_path / "project.tcl", 'variable project_name\nset project_name "jet_tagger"\n', BUILT - 7200)
    build = read_build(place(tmp_path) / below)
    assert build.csynth.used.lut == 5120
    assert build.utilization == {}  # those lie beside, not below


def test_a_unified_component(tmp_path):
    for name in ("csim", "xml", "rpt", "cosim", "export"):
        where, fixture = PLACES[name]
        put(tmp_path / where.replace(SOLUTION, "hls"), (FIXTURES / fixture).read_text())
    shell = (FIXTURES / "vivado_timing.rpt").read_text().replace(": jet_tagger\n", ": bd_0_wrapper\n")
    put(tmp_path / "hls/impl/verilog/report/jet_tagger_timing_routed.rpt", shell)
    put(tmp_path / "hls_config.cfg", "[hls]\nsyn.top=jet_tagger\n", BUILT - 7200)
    build = read_build(tmp_path)
    assert (build.top, build.csynth.top, build.cosim.passed, build.export.stage) == (
        "jet_tagger", "jet_tagger", True, "post-route",
    )  # fmt: skip
    assert build.timing["post-route"].top == "bd_0_wrapper"
    assert build.findings == ()


def test_a_shell_around_another_exported_function_is_foreign(tmp_path):
    where, fixture = PLACES["export"]
    place(tmp_path, "xml", "rpt")
    put(tmp_path / where.replace("jet_tagger_export", "other_export"), (FIXTURES / fixture).read_text())
    shell = (FIXTURES / "vivado_timing.rpt").read_text().replace(": jet_tagger\n", ": bd_0_wrapper\n")
    put(tmp_path / SOLUTION / "impl/verilog/report/other_timing_routed.rpt", shell)
    build = read_build(tmp_path)
    assert build.timing == {}
    assert build.export is None
    assert findings(build) == [("foreign", "other_timing_routed.rpt")]


def test_a_half_written_report_is_told_and_a_whole_form_of_it_taken(tmp_path):
    place(tmp_path, "rpt", "utilization", "timing")
    place(tmp_path, "xml", "cosim", edit=lambda text: text[: len(text) // 2])
    put(tmp_path / "vivado_synth.rpt", "")
    put(tmp_path / "vivado_synth_hierarchical.rpt", "Copyright")
    put(tmp_path / "vivado_synth_timing.rpt", (FIXTURES / "vivado_timing.rpt").read_text()[:300])
    build = read_build(tmp_path)
    assert build.csynth.form == "rpt"
    assert build.cosim is None
    assert sorted(findings(build)) == [
        ("damaged", "jet_tagger_cosim.rpt"), ("damaged", "jet_tagger_csynth.xml"),
        ("damaged", "vivado_synth.rpt"), ("damaged", "vivado_synth_hierarchical.rpt"),
        ("damaged", "vivado_synth_timing.rpt"),
    ]  # fmt: skip
    assert not build.is_trustworthy
    assert list(build.timing) == ["post-route"]


def test_reports_for_another_part_or_design_are_foreign(tmp_path):
    place(tmp_path, "xml", "rpt")
    place(
        tmp_path,
        "utilization",
        edit=lambda text: text.replace("xcvu9p-flga2104-2L-e", "xcvu13p-flga2577-2-e"),
    )
    place(tmp_path, "power", edit=lambda text: text.replace(": jet_tagger\n", ": level0_wrapper\n"))
    build = read_build(tmp_path)
    assert (build.utilization, build.power) == ({}, {})
    messages = sorted(finding.message for finding in build.findings)
    xml = tmp_path / PLACES["xml"][0]
    assert messages == [
        f"{tmp_path / 'vivado_impl.rpt'} is for xcvu13p-flga2577-2-e, not for xcvu9p-flga2104-2L-e as {xml}",
        f"{tmp_path / 'vivado_impl_power.rpt'} is about the design level0_wrapper, not about jet_tagger",
    ]


def test_of_two_reports_of_one_stage_the_newer_one_counts(tmp_path):
    place(tmp_path, "utilization")
    text = (FIXTURES / "vivado_utilization.rpt").read_text()
    newer = text.replace("15:20:30", "17:00:00").replace("4210", "4000")
    put(tmp_path / "again" / "vivado_utilization.rpt", newer)
    put(tmp_path / "copy" / "vivado_utilization.rpt", newer)
    build = read_build(tmp_path)
    assert build.utilization["post-route"].used.lut == 4000
    assert findings(build) == [("stale", "vivado_impl.rpt")]
    assert len(build.also_found) == 1


def test_a_netlist_with_black_boxes_is_the_last_choice(tmp_path):
    text = (FIXTURES / "vivado_utilization_zynq.rpt").read_text()
    shell = put(tmp_path / "a_utilization.rpt", text)
    inner = text.replace("| softmax  |    1 |\n+----------+------+\n", "").replace("1526", "1700")
    whole = put(tmp_path / "b" / "b_utilization.rpt", inner)
    build = read_build(tmp_path)
    assert build.utilization["synthesis"].path == whole
    assert build.also_found == (shell,)


def test_several_solutions_must_be_told_apart(tmp_path):
    place(tmp_path / "one", "xml", "rpt")
    place(tmp_path / "two", "xml", edit=lambda text: text.replace("5120", "9999"))
    with pytest.raises(ReportError) as caught:
        read_build(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds the reports of several solutions (one/{SOLUTION}, two/{SOLUTION}); name one of them by its folder"
    )
    assert read_build(tmp_path, solution=f"two/{SOLUTION}").csynth.used.lut == 9999
    assert read_build(tmp_path / "one", solution="solution1").csynth.used.lut == 5120
    with pytest.raises(ReportMissingError, match="there is no solution 'three' with reports below it"):
        read_build(tmp_path, solution="three")


def test_several_tops_must_be_told_apart(tmp_path):
    place(tmp_path, "xml", "rpt")
    other = (FIXTURES / "vitis_hls_2023_csynth.rpt").read_text().replace("jet_tagger", "muon_sorter")
    put(tmp_path / SOLUTION / "syn/report/muon_sorter_csynth.rpt", other)
    with pytest.raises(ReportError) as caught:
        read_build(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds C synthesis reports of several tops (jet_tagger, muon_sorter); name one of them (--top)"
    )
    assert read_build(tmp_path, top="muon_sorter").csynth.top == "muon_sorter"
    app = '<project name="p" top="jet_tagger"><solutions/></project>'
    put(tmp_path / "jet_tagger_prj" / "hls.app", app)
    assert read_build(tmp_path).csynth.top == "jet_tagger"


def test_a_named_top_is_found_in_reports_that_people_renamed(tmp_path):
    text = (FIXTURES / "vitis_hls_2023_csynth.rpt").read_text()
    put(tmp_path / "wide_csynth.rpt", text)
    put(tmp_path / "narrow_csynth.rpt", text.replace("jet_tagger", "muon_sorter"))
    with pytest.raises(
        ReportError, match=r"several tops \(jet_tagger, muon_sorter\); name one of them \(--top\)"
    ):
        read_build(tmp_path)
    for top, name in (("jet_tagger", "wide_csynth.rpt"), ("muon_sorter", "narrow_csynth.rpt")):
        build = read_build(tmp_path, top=top)
        assert (build.csynth.top, build.csynth.path.name, build.is_trustworthy) == (top, name, True)
    with pytest.raises(ReportMissingError) as caught:
        read_build(tmp_path, top="tau_finder")
    assert str(caught.value) == f"{tmp_path}: none of its reports is of tau_finder; name another top"


def test_a_module_of_the_top_is_not_taken_for_it(tmp_path):
    place(tmp_path, "rpt")
    inner = (FIXTURES / "vitis_hls_2023_csynth.rpt").read_text().replace("jet_tagger", "dense")
    put(tmp_path / SOLUTION / "syn/report/dense_csynth.rpt", inner.replace("|dense   |", "|mult    |"))
    assert read_build(tmp_path).top == "jet_tagger"


def test_reports_of_several_designs_without_a_synthesis_are_refused(tmp_path):
    put(tmp_path / "a" / "utilization.rpt", (FIXTURES / "vivado_utilization.rpt").read_text())
    put(tmp_path / "b" / "utilization.rpt", (FIXTURES / "vivado_utilization_zynq.rpt").read_text())
    with pytest.raises(
        ReportError, match="holds reports of several designs: jet_tagger for xcvu9p-flga2104-2L-e in"
    ):
        read_build(tmp_path)
    assert read_build(tmp_path / "a").last_utilization.used.lut == 4210


def test_nothing_to_read_is_an_error_and_nothing_usable_is_a_report_of_it(tmp_path):
    with pytest.raises(ReportMissingError) as caught:
        read_build(tmp_path / "none")
    assert str(caught.value) == (
        f"{tmp_path / 'none'} is no directory; name the project, solution or build directory"
    )
    with pytest.raises(ReportMissingError) as caught:
        read_build(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is no build (it has no report of Vivado, Vivado HLS or Vitis HLS); build a project first"
    )
    place(tmp_path, "xml", edit=lambda text: "")
    build = read_build(tmp_path)
    assert (build.csynth, build.top, build.part) == (None, None, None)
    assert findings(build) == [("damaged", "jet_tagger_csynth.xml")]


def test_of_several_designs_of_a_project_the_named_one_is_read_and_the_others_are_said(tmp_path):
    text = (FIXTURES / "vivado_timing_2018_ooc.rpt").read_text()
    runs = tmp_path / "board.runs"
    for name in ("board_wrapper", "axi_dma", "hls_ip"):
        put(runs / name / f"{name}_timing_summary_routed.rpt", text.replace("bd_0_wrapper", name))
    with pytest.raises(ReportError) as caught:
        read_build(tmp_path)
    assert all(
        f"{name} for 7a75tl-ftg256 in" in str(caught.value) for name in ("board_wrapper", "axi_dma", "hls_ip")
    )
    assert str(caught.value).endswith("nothing tells which is meant: name one with --top, or read its folder")
    with pytest.raises(ReportError, match="none is of nothing: name one with --top"):
        read_build(tmp_path, top="nothing")
    for top, design in (("board", "board_wrapper"), ("board_wrapper", "board_wrapper"), ("hls_ip", "hls_ip")):
        build = read_build(tmp_path, top=top)
        assert build.timing["post-route"].top == design
        notes = [finding.message for finding in build.findings if finding.reason == "note"]
        others = sorted({"board_wrapper", "axi_dma", "hls_ip"} - {design})
        assert notes == [f"{tmp_path} holds reports of other designs too: {', '.join(others)}"]


def test_one_design_for_two_parts_is_refused(tmp_path):
    text = (FIXTURES / "vivado_timing_2018_ooc.rpt").read_text()
    put(tmp_path / "a" / "timing.rpt", text)
    put(tmp_path / "b" / "timing.rpt", text.replace("7a75tl-ftg256", "7z020-clg400"))
    with pytest.raises(ReportError, match=r"bd_0_wrapper for 7a75tl-ftg256 in .* and for 7z020-clg400 in"):
        read_build(tmp_path)
