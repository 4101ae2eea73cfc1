"""Vivado: families, forms and stages; half tiles of block RAM; slacks, clocks and power."""

from datetime import datetime
from pathlib import Path

import pytest

from codesign.errors import ReportFormatError
from codesign.reports import Resources, read_export, read_power, read_timing, read_utilization

FIXTURES = Path(__file__).parent / "fixtures"


def edited(tmp_path, name, *changes):
    text = (FIXTURES / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / name
    path.write_text(text)
    return path


def test_utilization_of_ultrascale_plus():
    report = read_utilization(FIXTURES / "vivado_utilization.rpt")
    assert (report.kind, report.form, report.stage, report.tool) == (
        "utilization",
        "site",
        "post-route",
        "Vivado",
    )
    assert (report.version, report.top, report.part) == ("2023.2", "jet_tagger", "xcvu9p-flga2104-2L-e")
    assert report.date == datetime(2024, 2, 5, 15, 20, 30)
    assert report.used == Resources(lut=4210, ff=2061, dsp=12, bram_18k=5, uram=0, carry8=310)
    assert report.available == Resources(
        lut=1_182_240, ff=2_364_480, dsp=6_840, bram_18k=4_320, uram=960, carry8=147_780
    )
    assert [cell.name for cell in report.primitives] == ["LUT6", "FDRE", "DSP48E2"]
    assert report.is_complete
    assert report.sections[:2] == ("1 CLB Logic", "1.1 Summary of Registers by Type")


def test_a_tile_is_two_blocks_and_half_a_tile_is_one():
    report = read_utilization(FIXTURES / "vivado_utilization_zynq.rpt")
    assert (report.used.bram_36k, report.used.bram_18k) == (29.5, 59)
    assert (report.available.bram_36k, report.available.bram_18k) == (140, 280)
    rows = {row.name: row for row in report.rows}
    assert rows["RAMB36/FIFO"].used + rows["RAMB18"].used / 2 == report.used.bram_36k
    assert report.used.to_dict()["bram_36k"] == 29.5


def test_third_of_a_tile_is_refused(tmp_path):
    path = edited(tmp_path, "vivado_utilization_zynq.rpt", ("| 29.5 |", "| 29.3 |"))
    with pytest.raises(ReportFormatError) as caught:
        read_utilization(path)
    assert str(caught.value) == f"{path}: used.bram_18k: 29.3 is no count of half tiles"


def test_seven_series_names_and_a_netlist_with_a_black_box():
    report = read_utilization(FIXTURES / "vivado_utilization_zynq.rpt")
    assert (report.stage, report.speed_file) == ("synthesis", None)
    assert report.used == Resources(lut=1526, ff=2428, dsp=66, bram_18k=59, uram=None, carry8=None)
    assert report.unknown_fields == ()  # the family has neither UltraRAM nor CARRY8
    assert [box.name for box in report.black_boxes] == ["softmax"]
    assert not report.is_complete


def test_versal_names():
    report = read_utilization(FIXTURES / "vivado_utilization_versal.rpt")
    assert report.stage == "post-place"
    assert report.used == Resources(lut=2264, ff=2666, dsp=1, bram_18k=2, uram=0, carry8=92)
    assert report.available.dsp == 1968


def test_regions_hierarchy_and_kernels_give_the_same_design():
    site = read_utilization(FIXTURES / "vivado_utilization.rpt")
    regions = read_utilization(FIXTURES / "vivado_utilization_slr.rpt")
    tree = read_utilization(FIXTURES / "vivado_utilization_hierarchical.rpt")
    kernel = read_utilization(FIXTURES / "vivado_utilization_kernel.rpt")
    assert (regions.form, tree.form, kernel.form) == ("slr", "hierarchical", "kernel")
    assert regions.used == site.used
    assert site.regions == regions.regions
    assert [(region.name, region.used.bram_18k) for region in regions.regions] == [
        ("SLR0", 1),
        ("SLR1", 4),
        ("SLR2", 0),
    ]
    assert (tree.used.lut, tree.used.ff, tree.used.dsp, tree.used.bram_18k) == (4210, 2061, 12, 5)
    assert (regions.available, tree.available) == (None, None)
    assert [(i.name, i.depth) for i in tree.instances] == [
        ("jet_tagger", 0), ("(jet_tagger)", 1), ("grp_dense_fu_40", 1), ("mult_U1", 2),
    ]  # fmt: skip
    assert (tree.instances[0].logic_lut, tree.instances[0].shift_lut) == (4100, 110)
    unit = {row.name: row for row in kernel.kernels}["jet_tagger_1"]
    assert (unit.depth, unit.used.lut, unit.used.bram_18k) == (1, 4210, 5)
    # two compute units, the platform not counted
    assert (kernel.used.lut, kernel.used.bram_18k, kernel.available.lut) == (8420, 10, 1_176_324)


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ("Synthesized", "synthesis"), ("Optimized", "post-opt"), ("Fully Placed", "post-place"),
        ("Physopt postPlace", "post-place"), ("Routed", "post-route"), ("Physopt postRoute", "post-route"),
    ],
)  # fmt: skip
def test_stage_follows_the_design_state(tmp_path, state, stage):
    path = edited(tmp_path, "vivado_utilization.rpt", ("Design State : Routed", f"Design State : {state}"))
    assert read_utilization(path).stage == stage


def test_star_on_the_luts_says_unplaced_whatever_the_platform_around_it(tmp_path):
    changes = [
        ("Design State : Routed", "Design State : Physopt postRoute"),
        ("| CLB LUTs                  |", "| CLB LUTs*                 |"),
    ]
    report = read_utilization(edited(tmp_path, "vivado_utilization.rpt", *changes))
    assert (report.stage, report.design_state, report.used.lut) == ("synthesis", "Physopt postRoute", 4210)


def test_unknown_design_state_is_refused(tmp_path):
    path = edited(
        tmp_path, "vivado_utilization.rpt", ("Design State : Routed", "Design State : Partially Routed")
    )
    with pytest.raises(
        ReportFormatError, match="stage: the Design State 'Partially Routed' is not known; known are"
    ):
        read_utilization(path)


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        (("| CARRY8 ", "| CARRY9 "), None, None),
        (("| CLB Registers             |", "| CLB Registrars            |"), "used.ff",
         "no row CLB Registers or Slice Registers or Registers in the section "
         "CLB Logic or Slice Logic or Netlist Logic"),
        (("| DSPs           |   12 |", "| DSPs           |   1Z |"), "ARITHMETIC/DSPs/Used", "'1Z' is not a number"),
        (("| Command      : report_utilization -file", "| Command      : report_clock_utilization -file"), "kind",
         "this is not a Vivado utilisation report, or its beginning is lost"),
        (("| Tool Version : Vivado v.2023.2 ", "| Tool Version : Vivid v.2023.2 "), "version",
         "'Vivid v.2023.2 (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023' is no version of Vivado"),
    ],
)  # fmt: skip
def test_damage_in_a_utilization_report(tmp_path, change, field, sentence):
    path = edited(tmp_path, "vivado_utilization.rpt", change)
    if field is None:  # a family without this block is no fault
        assert read_utilization(path).used.carry8 is None
        return
    with pytest.raises(ReportFormatError) as caught:
        read_utilization(path)
    assert str(caught.value) == f"{path}: {field}: {sentence}"


def test_timing_with_one_clock():
    report = read_timing(FIXTURES / "vivado_timing.rpt")
    assert (report.kind, report.stage, report.is_met) == ("timing", "post-route", True)
    assert (report.wns_ns, report.tns_ns, report.setup_failing, report.setup_endpoints) == (
        0.412,
        0.0,
        0,
        4431,
    )
    assert (report.whs_ns, report.ths_ns, report.wpws_ns, report.pulse_endpoints) == (0.021, 0.0, 2.225, 2160)
    (clock,) = report.clocks
    assert (clock.name, clock.waveform, clock.period_ns, clock.frequency_mhz) == (
        "ap_clk",
        "{0.000 2.500}",
        5.0,
        200.0,
    )
    assert (clock.wns_ns, clock.whs_ns) == (0.412, 0.021)
    assert report.fmax_mhz == pytest.approx(1000 / (5.0 - 0.412))


def test_slack_of_exactly_zero_is_a_number(tmp_path):
    report = read_timing(edited(tmp_path, "vivado_timing.rpt", ("0.412", "0.000")))
    assert (report.wns_ns, report.fmax_mhz) == (0.0, 200.0)


def test_old_timing_prints_no_state_so_its_nets_tell(tmp_path):
    report = read_timing(FIXTURES / "vivado_timing_2019.rpt")
    assert (report.design_state, report.stage, report.is_met, report.wns_ns) == (
        None,
        "post-place",
        False,
        -0.31,
    )
    assert report.fmax_mhz == pytest.approx(1000 / 5.31)
    for word, stage in (("routed", "post-route"), ("unplaced", "synthesis")):
        assert read_timing(edited(tmp_path, "vivado_timing_2019.rpt", ("estimated", word))).stage == stage


def test_several_clocks_have_no_common_fmax():
    report = read_timing(FIXTURES / "vivado_timing_clocks.rpt")
    assert [(clock.name, clock.wns_ns) for clock in report.clocks] == [
        ("ap_clk", 0.412), ("clk_in", None), ("clk_pll", 1.9),
    ]  # fmt: skip
    assert report.fmax_mhz is None


def test_a_clock_that_cannot_be_read_is_named(tmp_path):
    path = edited(tmp_path, "vivado_timing.rpt", ("5.000           200.000", "5.x00           200.000"))
    with pytest.raises(ReportFormatError, match=r"rpt: clocks\.ap_clk\.period_ns: "):
        read_timing(path)


def test_a_timing_report_without_its_paths_says_what_is_missing(tmp_path):
    text = (FIXTURES / "vivado_timing.rpt").read_text()
    at = text.index("| Timing Details")
    path = tmp_path / "vivado_timing.rpt"
    path.write_text(text[: text.rindex("\n-----", 0, at) + 1])
    with pytest.raises(
        ReportFormatError, match=r"rpt: Timing Details: the section is missing; the file is half"
    ):
        read_timing(path)


def test_without_constraints_there_is_no_slack_and_that_is_said():
    report = read_timing(FIXTURES / "vivado_timing_unconstrained.rpt")
    assert (report.is_met, report.wns_ns, report.setup_failing, report.fmax_mhz) == (None, None, None, None)
    assert report.clocks == ()
    assert {"wns_ns", "tns_ns", "setup_failing"} <= set(report.unknown_fields)
    (said,) = report.doubts()
    assert (
        said.reason,
        said.message.endswith("has no timing constraints, so nothing tells whether a clock is met"),
    ) == ("note", True)


def test_power():
    report = read_power(FIXTURES / "vivado_power.rpt")
    assert (report.kind, report.stage, report.part) == ("power", "post-route", "xcvu9p-flga2104-2L-e")
    assert (report.power_w, report.dynamic_power_w, report.static_power_w) == (2.871, 0.371, 2.5)
    assert (report.junction_temperature_c, report.max_ambient_c, report.confidence) == (26.4, 98.6, "Low")
    assert report.unknown_fields == (
        "power_budget_w", "power_budget_margin_w", "setting_file", "activity_file", "nets_matched",
    )  # fmt: skip
    assert [getattr(report, name) for name in report.unknown_fields] == [None] * 5


def test_power_with_a_budget_and_a_remark(tmp_path):
    changes = [
        ("| 2.871        |\n| Design", "| 130.5 (Junction temp exceeded!) |\n| Design"),
        ("| Unspecified* |", "| 3.500        |"),
    ]
    report = read_power(edited(tmp_path, "vivado_power.rpt", *changes))
    assert (report.power_w, report.power_budget_w) == (130.5, 3.5)
    assert report.remarks == ("Junction temp exceeded!",)


def test_power_without_its_total_is_refused(tmp_path):
    path = edited(tmp_path, "vivado_power.rpt", ("Total On-Chip Power (W) ", "Total Off-Chip Power (W)"))
    with pytest.raises(
        ReportFormatError, match="power_w: is missing; the report is damaged or of an unknown form"
    ):
        read_power(path)


def test_export_after_implementation():
    report = read_export(FIXTURES / "vitis_hls_export.rpt")
    assert (report.stage, report.version, report.part) == ("post-route", "2023.2", "xcvu9p-flga2104-2L-e")
    # export counts blocks of 18 Kb
    assert report.used == Resources(lut=4198, ff=2055, dsp=12, bram_18k=5, uram=0)
    assert (report.target_clock_ns, report.synthesis_clock_ns, report.achieved_clock_ns) == (5.0, 3.903, 5.12)
    assert report.is_met is False
    assert report.wns_ns == pytest.approx(-0.12)
    assert report.fmax_mhz == pytest.approx(1000 / 5.12)


def test_export_after_synthesis_by_vivado_hls(tmp_path):
    report = read_export(FIXTURES / "vivado_hls_export.rpt")
    assert (report.stage, report.achieved_clock_ns, report.slice, report.clb) == (
        "synthesis",
        None,
        None,
        700,
    )
    assert report.wns_ns == pytest.approx(0.9)
    path = edited(tmp_path, "vivado_hls_export.rpt", ("    4.100\nTiming met", "    NA\nNo Sequential Path"))
    combinational = read_export(path)
    assert (combinational.is_met, combinational.wns_ns, combinational.fmax_mhz) == (None, None, None)
    assert combinational.unknown_fields == ("synthesis_clock_ns",)
