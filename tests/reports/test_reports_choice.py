"""Of several reports the right one: the last run of a log, the newest C synthesis, the top of the whole design."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from reports_project import FIXTURES

from codesign.errors import ReportError, ReportFormatError
from codesign.reports import read_csim_log, read_csynth
from codesign.reports.build_reading import choose_csynth, choose_top

OLD, NEW = datetime(2024, 2, 5, 14), datetime(2024, 2, 6, 14)


def estimate(name, top, date, **changes):
    report = read_csynth(FIXTURES / "vitis_hls_2023_csynth.rpt")
    return replace(report, path=Path(name), top=top, date=date, modules=(), **changes)


def test_the_part_of_a_log_is_that_of_its_last_simulation(tmp_path):
    one = (
        "INFO: [HLS 200-10] Setting target device to 'PART'\n"
        "INFO: [SIM 2] *************** CSIM start ***************\n"
        "INFO: [SIM 1] CSim done with 0 errors.\n"
        "INFO: [SIM 3] *************** CSIM finish ***************\n"
    )
    path = tmp_path / "hls.log"
    path.write_text(one.replace("PART", "xc7z020") + one.replace("PART", "xcvu9p"))
    assert read_csim_log(path).part == "xcvu9p"


def test_the_newest_whole_design_tells_the_top():
    other = estimate("a_csynth.rpt", "a", OLD)
    assert choose_top([other, estimate("csynth.rpt", "b", NEW)], Path("p")) == "b"
    undated = estimate("c_csynth.rpt", "c", None)
    assert choose_top([other, undated, estimate("csynth.rpt", "b", NEW)], Path("p")) == "b"
    with pytest.raises(ReportError, match="several tops \\(a, b\\)"):
        choose_top([estimate("a_csynth.rpt", "a", NEW), estimate("csynth.rpt", "b", OLD)], Path("p"))


@pytest.mark.parametrize("turn", [1, -1])
def test_the_newest_synthesis_is_taken_in_whichever_order_they_come(turn):
    old = estimate("a_csynth.rpt", "a", OLD, latency_cycles_max=99)
    new = estimate("csynth.rpt", "a", NEW)
    best, also, findings = choose_csynth([old, new][::turn])
    assert best is new
    assert also == []
    assert [(finding.reason, finding.path) for finding in findings] == [("stale", old.path)]


def test_of_two_xml_files_of_one_run_the_whole_designs_is_taken():
    report = replace(read_csynth(FIXTURES / "vitis_hls_2023_csynth.xml"), date=NEW)
    own, whole = (replace(report, path=Path(name)) for name in ("a_csynth.xml", "csynth.xml"))
    for given in ([own, whole], [whole, own]):
        best, also, findings = choose_csynth(given)
        assert (best, also, findings) == (whole, [own.path], [])


def test_a_loop_over_a_dataflow_region_has_no_iteration_latency_and_another_must(tmp_path):
    text = (FIXTURES / "vivado_hls_2018_csynth.xml").read_text()
    report = read_csynth(FIXTURES / "vivado_hls_2018_csynth.xml")
    loop = next(one for one in report.loops if not one.pipelined)
    head, mark, rest = text.partition("<IterationLatency>")
    assert mark
    cut = head + rest.partition("</IterationLatency>")[2]
    path = tmp_path / "a_csynth.xml"
    path.write_text(cut)
    with pytest.raises(ReportFormatError, match=r"iteration_latency_cycles"):
        read_csynth(path)
    path.write_text(
        head
        + "<DataflowPipelineThroughput>5</DataflowPipelineThroughput>"
        + rest.partition("</IterationLatency>")[2]
    )
    flowing = next(one for one in read_csynth(path).loops if one.name == loop.name)
    assert flowing.iteration_latency_cycles_max is None


def test_a_module_without_its_ultraram_is_damage(tmp_path):
    text = (FIXTURES / "vitis_hls_2023_whole_csynth.xml").read_text()
    head, mark, modules = text.partition("<ModuleInformation>")
    assert "<URAM>" in modules
    path = tmp_path / "csynth.xml"
    path.write_text(head + mark + modules.replace("<URAM>", "<Uram>").replace("</URAM>", "</Uram>"))
    with pytest.raises(ReportFormatError, match=r"modules\..*\.used\.uram: is missing"):
        read_csynth(path)
