"""C synthesis: every form says the same of the same run, and unknown is never zero."""

from datetime import datetime
from pathlib import Path

import pytest

from codesign.errors import ReportFormatError
from codesign.reports import LoopEstimate, Resources, read_csynth

FIXTURES = Path(__file__).parent / "fixtures"
VU9P = Resources(lut=1_182_240, ff=2_364_480, dsp=6_840, bram_18k=4_320, uram=960)


def edited(tmp_path, name, *changes):
    """A fixture with some of its text changed; each change must hit."""
    text = (FIXTURES / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text)
    return path


def test_text_form_of_vitis_hls():
    report = read_csynth(FIXTURES / "vitis_hls_2023_csynth.rpt")
    assert (report.kind, report.stage, report.form) == ("csynth", "csynth", "rpt")
    assert (report.tool, report.version, report.top) == ("Vitis HLS", "2023.2", "jet_tagger")
    assert report.build == "Build 4023990 on Oct 11 2023"
    assert (report.part, report.family) == ("xcvu9p-flga2104-2L-e", "virtexuplus")
    assert (report.project, report.solution, report.flow_target) == ("jet_tagger_prj", "solution1", "vivado")
    assert report.date == datetime(2024, 2, 5, 14, 1, 7)
    assert (report.target_clock_ns, report.clock_uncertainty_ns, report.estimated_clock_ns) == (
        5.0,
        1.35,
        3.812,
    )
    assert (report.latency_cycles_min, report.latency_cycles_max) == (9, 9)
    assert (report.interval_cycles_min, report.interval_cycles_max) == (1, 1)
    assert (report.latency_ns_min, report.latency_ns_max) == (45.0, 45.0)
    assert report.used == Resources(lut=5120, ff=2111, dsp=12, bram_18k=3, uram=0)
    assert report.available == VU9P
    assert report.available_slr == Resources(lut=394_080, ff=788_160, dsp=2_280, bram_18k=1_440, uram=320)
    assert report.fmax_mhz == pytest.approx(1000 / 3.812)
    assert report.rtl_ports == 6
    assert report.unknown_fields == ()


def test_modules_of_the_text_form_have_cycles_and_resources():
    dense, relu = read_csynth(FIXTURES / "vitis_hls_2023_csynth.rpt").modules
    assert (dense.name, dense.instance) == ("dense", "grp_dense_fu_40")
    assert (dense.latency_cycles_max, dense.interval_cycles_max) == (3, 1)
    assert dense.used == Resources(lut=4900, ff=1800, dsp=12, bram_18k=3, uram=0)
    assert (relu.latency_cycles_max, relu.used.lut) == (0, 196)


def test_old_form_has_its_units_in_the_headings_and_knows_no_uram():
    report = read_csynth(FIXTURES / "vivado_hls_2018_csynth.rpt")
    assert (report.tool, report.version, report.flow_target) == ("Vivado HLS", "2018.3", None)
    assert (report.target_clock_ns, report.estimated_clock_ns) == (5.0, 4.291)
    assert (report.latency_cycles_min, report.latency_cycles_max) == (11, 13)
    assert (report.interval_cycles_min, report.interval_cycles_max) == (2, 4)
    assert (report.latency_ns_min, report.used.uram, report.available.uram) == (None, None, None)
    assert (report.used.dsp, report.available.dsp) == (71, 6840)
    # None because the form has no such field, not because the tool did not know
    assert report.unknown_fields == ()


def test_loops_of_text_and_xml_are_the_same():
    text = read_csynth(FIXTURES / "vivado_hls_2018_csynth.rpt").loops
    xml = read_csynth(FIXTURES / "vivado_hls_2018_csynth.xml").loops
    row = LoopEstimate(
        name="Row", depth=0, latency_cycles_min=10, latency_cycles_max=12, iteration_latency_cycles_min=5,
        iteration_latency_cycles_max=5, ii_cycles=None, target_ii_cycles=None, trip_count_min=2, trip_count_max=3,
        pipelined=False,
    )  # fmt: skip
    assert text[0] == xml[0] == row
    assert (text[1].name, text[1].depth, text[1].ii_cycles, text[1].target_ii_cycles) == ("Col", 1, 1, 1)
    assert (xml[1].name, xml[1].depth, xml[1].ii_cycles, xml[1].target_ii_cycles) == ("Col", 1, 1, None)
    assert text[1].iteration_latency_cycles_max == xml[1].iteration_latency_cycles_max == 2


@pytest.mark.parametrize("stem", ["vitis_hls_2023_csynth", "vivado_hls_2018_csynth"])
def test_xml_and_text_of_one_run_agree_in_every_shared_number(stem):
    xml, text = read_csynth(FIXTURES / f"{stem}.xml"), read_csynth(FIXTURES / f"{stem}.rpt")
    shared = [
        "stage", "tool", "version", "part", "top", "family", "flow_target", "target_clock_ns", "clock_uncertainty_ns",
        "estimated_clock_ns", "latency_cycles_min", "latency_cycles_max", "interval_cycles_min", "interval_cycles_max",
        "latency_ns_min", "latency_ns_max", "pipeline_type", "used", "available", "rtl_ports",
    ]  # fmt: skip
    assert {name: getattr(xml, name) for name in shared} == {name: getattr(text, name) for name in shared}
    assert xml.agrees_with(text)


def test_whole_design_xml_has_modules_and_an_interval_without_end():
    report = read_csynth(FIXTURES / "vitis_hls_2023_whole_csynth.xml")
    relu, dense, top = report.modules
    assert (relu.latency_cycles_max, relu.interval_cycles_min, relu.interval_cycles_max) == (None, 3, None)
    assert {"modules.relu.latency_cycles_max", "modules.relu.interval_cycles_max"} <= set(
        report.unknown_fields
    )
    assert (dense.used.dsp, top.name, top.used) == (12, "jet_tagger", report.used)


def test_summary_prints_a_dash_for_nothing_used_which_is_not_zero():
    report = read_csynth(FIXTURES / "vitis_hls_2023_summary.rpt")
    assert (report.form, report.top, report.slack_ns) == ("summary", "jet_tagger", -0.16)
    assert (report.tool, report.version) == ("Vitis HLS", "2023.2")  # of which its title is silent
    assert (report.latency_cycles_max, report.latency_ns_max, report.interval_cycles_max) == (9, 45.0, 1)
    assert report.used == Resources(lut=5120, ff=2111, dsp=12, bram_18k=3, uram=None)
    assert "used.uram" in report.unknown_fields
    assert (report.target_clock_ns, report.estimated_clock_ns, report.available) == (None, None, None)
    assert "target_clock_ns" not in report.unknown_fields
    assert [(module.name, module.depth) for module in report.modules] == [
        ("jet_tagger", 0),
        ("dense", 1),
        ("relu", 1),
    ]
    (loop,) = report.loops
    assert (loop.name, loop.depth, loop.ii_cycles, loop.trip_count_min, loop.trip_count_max) == (
        "MultLoop",
        1,
        1,
        1,
        4,
    )
    assert report.agrees_with(read_csynth(FIXTURES / "vitis_hls_2023_csynth.xml"))


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("vitis_hls_2023_csynth.rpt", "|    9|           9|  45.000 ns|  45.000 ns|    1|    1|"),
        ("vivado_hls_2018_csynth.rpt", "|   11|   13|    2|    4|"),
    ],
)
def test_question_marks_become_none_and_are_named(tmp_path, name, old):
    cells = old.strip("|").split("|")
    new = "|" + "|".join("?".rjust(len(cell)) for cell in cells) + "|"
    report = read_csynth(edited(tmp_path, name, (old, new)))
    named = [field for field in report.unknown_fields if "." not in field]
    expected = ["latency_cycles_min", "latency_cycles_max", "interval_cycles_min", "interval_cycles_max"]
    if len(cells) == 6:
        expected += ["latency_ns_min", "latency_ns_max"]
    assert named == expected
    assert all(getattr(report, field) is None for field in named)


def test_undef_becomes_none_and_a_true_zero_stays(tmp_path):
    changes = [
        (f"<{tag}>9</{tag}>", f"<{tag}>undef</{tag}>") for tag in ("Best-caseLatency", "Worst-caseLatency")
    ]
    changes.append(("<Interval-min>1<", "<Interval-min>0<"))
    report = read_csynth(edited(tmp_path, "vitis_hls_2023_csynth.xml", *changes))
    assert (report.latency_cycles_min, report.latency_cycles_avg, report.latency_cycles_max) == (
        None,
        9,
        None,
    )
    assert report.interval_cycles_min == 0
    assert report.unknown_fields == ("latency_cycles_min", "latency_cycles_max")


@pytest.mark.parametrize(
    ("printed", "ns"),
    [("0.10 us", 100.0), ("8.2e-01 us", 820.0), ("1.5 ms", 1.5e6), ("0.280 sec", 2.8e8), ("500 ps", 0.5)],
)
def test_units_of_time_are_read_not_guessed(tmp_path, printed, ns):
    change = ("|  5.00 ns|", f"|{printed:>9}|")
    assert read_csynth(edited(tmp_path, "vitis_hls_2023_csynth.rpt", change)).target_clock_ns == ns


def test_windows_line_ends_and_accents_in_a_path(tmp_path):
    path = tmp_path / "x_csynth.rpt"
    text = (FIXTURES / "vitis_hls_2023_csynth.rpt").read_text().replace("jet_tagger_prj", "caf\xe9_prj")
    path.write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    assert read_csynth(path).project == "caf\xe9_prj"


@pytest.mark.parametrize(
    ("name", "change", "field", "sentence"),
    [
        ("vitis_hls_2023_csynth.xml", ("<LUT>5120</LUT>", ""), "used.lut",
         "is missing; the report is damaged or of an unknown form"),
        ("vitis_hls_2023_csynth.xml", ("<URAM>0</URAM>", ""), "used.uram",
         "is missing; the report is damaged or of an unknown form"),
        ("vitis_hls_2023_csynth.xml", ("<LUT>5120</LUT>", "<LUT>51 20</LUT>"), "used.lut",
         "'51 20' is not a whole number"),
        ("vitis_hls_2023_csynth.xml", ("<FF>2111</FF>", "<FF>-3</FF>"), "used.ff",
     "'-3' is below 0, which it cannot be; the file is damaged"),
        ("vitis_hls_2023_csynth.xml", ("<Interval-max>1</Interval-max>", ""), "interval_cycles_max",
         "is missing; the report is damaged or of an unknown form"),
        ("vitis_hls_2023_csynth.xml", ("<unit>clock cycles</unit>", "<unit>us</unit>"),
         "PerformanceEstimates/SummaryOfOverallLatency/unit", "the unit is 'us', not 'clock cycles'"),
        ("vitis_hls_2023_csynth.xml", ("<EstimatedClockPeriod>3.812</EstimatedClockPeriod>", ""), "estimated_clock_ns",
         "there is no <PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod> in this csynth XML"),
        ("vitis_hls_2023_csynth.rpt", ("|  5.00 ns|", "|     5.00|"), "target_clock_ns",
         "'5.00' is no time with a unit"),
        ("vitis_hls_2023_csynth.rpt", ("|Total     ", "|Totals    "), "used",
         "its row of the utilisation table is missing"),
        ("vitis_hls_2023_csynth.rpt", ("|   LUT   |", "|   ALM   |"), "used.lut",
         "is missing; the report is damaged or of an unknown form"),
        ("vitis_hls_2023_summary.rpt", ("2111 (~0%)", "2111 (~0"), "modules.jet_tagger.used.ff",
         "'2111 (~0' is not a whole number"),
        ("vitis_hls_2023_summary.rpt", ("|+ jet_tagger*", "|+ jet_sorter*"), "top",
         "the first row of the table is not the top function 'jet_tagger'"),
    ],
)  # fmt: skip
def test_a_malformed_field_is_named_with_its_file(tmp_path, name, change, field, sentence):
    path = edited(tmp_path, name, change)
    with pytest.raises(ReportFormatError) as caught:
        read_csynth(path)
    assert caught.value.field == field
    assert str(caught.value) == f"{path}: {field}: {sentence}"


def test_unknown_version_of_a_known_form_is_read(tmp_path):
    path = edited(
        tmp_path, "vitis_hls_2023_csynth.xml", ("<Version>2023.2</Version>", "<Version>2031.1</Version>")
    )
    assert read_csynth(path).version == "2031.1"


def test_unknown_version_of_an_unknown_form_is_refused_with_the_reason(tmp_path):
    changes = [
        ("<Version>2023.2</Version>", "<Version>2031.1</Version>"),
        ("<LUT>5120</LUT>", "<ALM>5120</ALM>"),
    ]
    path = edited(tmp_path, "vitis_hls_2023_csynth.xml", *changes)
    with pytest.raises(ReportFormatError) as caught:
        read_csynth(path)
    assert str(caught.value) == (
        f"{path}: used.lut: is missing; the report is damaged or of an unknown form; "
        "Vitis HLS 2031.1 is newer than 2025.2, the newest whose form is known"
    )
