"""The forms of a comparison hold the same numbers, and JSON comes back as it went."""

from __future__ import annotations

import csv
import io
import json

import pytest
from comparison_runs import YOSYS

from codesign.comparison import compare
from codesign.comparison.forms import (
    as_csv,
    as_json,
    as_markdown,
    check_form,
    comparison_tables,
    percent_text,
    read_comparison,
    setting_differences,
    write_comparison,
)
from codesign.core.text_table import TextTable
from codesign.errors import OutputFolderError, ReportFormatError, ReportMissingError, SettingsError


@pytest.fixture
def comparison(make_run, make_build):
    big = [make_run(f"big-seed{n}", seed=n, accuracy=0.96 + n / 100, rtl=YOSYS) for n in range(2)]
    small = make_run(
        "small", accuracy=0.95, bits=3.0, sparsity=0.75, rtl={**YOSYS, "lut": 3000, "latency_cycles": 5}
    )
    build = make_build("build", "vitis_hls_2023_csynth.xml", "vivado_utilization.rpt", "vivado_timing.rpt")
    return compare([*big, small, build])


def test_json_comes_back_as_it_went(comparison, tmp_path):
    path = write_comparison(comparison, tmp_path / "deep" / "c.json")
    assert read_comparison(path) == comparison
    assert read_comparison(path).columns() == comparison.columns()


def test_json_has_the_differences_for_readers_without_this_package(comparison):
    value = json.loads(as_json(comparison))
    small = next(entry for entry in value["entries"] if entry["name"] == "small")
    lut = next(
        number for number in small["numbers"] if (number["metric"], number["step"]) == ("lut", "yosys")
    )
    assert lut["change"] == {"delta": -1000.0, "percent": -25.0, "verdict": "better", "error": None}
    assert lut["percent"] == pytest.approx(100 * 3000 / 1_182_240)


@pytest.mark.parametrize("text", ["{}", "[]", '{"format": 2}', '{"format": 1, "entries": [{}]}'])
def test_damaged_json_is_refused(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ReportFormatError, match=r"c\.json: comparison: damaged \(.*\); compare again$"):
        read_comparison(tmp_path / "c.json")


def test_json_that_is_cut_or_missing_is_refused(tmp_path):
    with pytest.raises(
        ReportMissingError, match=r"c\.json: there is no such file; write it with codesign compare --output$"
    ):
        read_comparison(tmp_path / "c.json")
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ReportFormatError, match=r"c\.json: JSON: damaged"):
        read_comparison(tmp_path / "c.json")


def test_csv_has_one_line_a_design_and_every_number_in_full(comparison):
    rows = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    assert [row["name"] for row in rows] == ["big", "small", "build"]
    for entry, row in zip(comparison.entries, rows, strict=True):
        for number in entry.numbers:
            dataset = "[digits]" if number.metric.endswith("accuracy") else ""
            assert float(row[f"{number.step}.{number.metric}{dataset}"]) == number.value
    big, small, build = rows
    assert float(big["quantized.test_accuracy[digits].spread"]) == pytest.approx(0.005 * 2**0.5)
    assert (small["yosys.lut.delta"], small["yosys.lut.verdict"]) == ("-1000.0", "better")
    assert build["yosys.lut"] == build["yosys.lut.delta"] == ""
    assert (big["reference"], small["reference"]) == ("True", "False")


def test_csv_leaves_out_what_is_empty_everywhere(comparison):
    header = as_csv(comparison).splitlines()[0].split(",")
    assert "csynth.lut" in header
    assert "csynth.lut.delta" not in header
    assert "csynth.latency_ns.percent_of_part" not in header


def test_every_number_of_the_tables_is_in_markdown(comparison):
    text = as_markdown(comparison)
    for table in comparison_tables(comparison):
        assert f"## {table.title}\n" in text
        for row in table.rows:
            assert f"| {' | '.join(row)} |" in text
    assert all(f"- {note}\n" in text for note in comparison.notes)


def test_tables_never_mix_stages_and_name_the_device(comparison):
    tables = {table.title: table for table in comparison_tables(comparison)}
    assert list(tables) == [
        "Compared",
        "Network",
        "C synthesis (percent of the VU9P)",
        "Yosys (percent of the VU9P)",
        "Vivado, routed (percent of the VU9P)",
        "Network, against big",
        "Yosys, against big",
        "Settings that differ",
    ]
    yosys = {row[0]: row[1:] for row in tables["Yosys (percent of the VU9P)"].rows}
    assert tables["Yosys (percent of the VU9P)"].header == ("design", "big", "small")
    assert yosys["LUT"] == ("4,000 (0.34 %)", "3,000 (0.25 %)")
    assert yosys["latency (ns)"] == ("30.0", "30.0")
    assert yosys["tool"] == ("Yosys 0.70", "Yosys 0.70")
    network = {row[0]: row[1:] for row in tables["Network"].rows}
    assert network["test accuracy"] == ("0.9650 ± 0.0071", "0.9500")
    assert network["teacher's test accuracy"] == ("0.9800", "0.9800")
    changes = {row[0]: row[1:] for row in tables["Yosys, against big"].rows}
    assert changes["LUT"] == ("-1,000 (-25.0 %) better",)


def test_parts_stand_in_the_table_where_they_differ(make_run):
    runs = [make_run("a", rtl=YOSYS), make_run("b", rtl=YOSYS, part="xcku115-flvb2104-2-i")]
    tables = {table.title: table for table in comparison_tables(compare(runs))}
    rows = {row[0]: row[1:] for row in tables["Yosys"].rows}
    assert rows["part"] == ("VU9P", "KU115")
    assert rows["LUT"] == ("4,000 (0.34 %)", "4,000 (0.60 %)")


def test_many_designs_stand_below_each_other(make_run):
    runs = [make_run(f"r{n}", sparsity=n / 10) for n in range(5)]
    table = next(table for table in comparison_tables(compare(runs)) if table.title == "Network")
    assert [row[0] for row in table.rows] == ["r0", "r1", "r2", "r3", "r4"]
    assert "sparsity" in table.header


def test_settings_that_differ_are_listed_and_the_seed_is_none(make_run):
    entries = compare([make_run("a"), make_run("b", sparsity=0.75, seed=1)]).entries
    assert setting_differences(entries) == (("pruning.sparsity", "0.5", "0.75"),)


def test_tables_turn_and_keep_bars_out_of_markdown():
    table = TextTable("t", ("x", "a"), (("r", "1|2"), ("s", "3")))
    assert table.transposed() == TextTable("t", ("x", "r", "s"), (("a", "1|2", "3"),))
    assert table.transposed().transposed() == table
    assert "| r | 1\\|2 |" in table.markdown()


@pytest.mark.parametrize(
    ("percent", "text"),
    [
        (0.0, "0 %"),
        (0.001, "< 0.01 %"),
        (0.336, "0.34 %"),
        (12.34, "12.3 %"),
        (100.0, "100 %"),
        (250.4, "250 %"),
    ],
)
def test_shares_have_as_many_digits_as_tell_something(percent, text):
    assert percent_text(percent) == text


def test_an_ending_or_a_form_that_is_none_is_refused(comparison, tmp_path):
    with pytest.raises(
        SettingsError,
        match=r"^--output: .*c\.txt ends in none of \.md, \.csv, \.json, \.html, \.htm, \.png, \.svg, \.pdf, which tell",
    ):
        write_comparison(comparison, tmp_path / "c.txt")
    with pytest.raises(
        SettingsError,
        match=r"^--format: 'html' is none of terminal, markdown, csv, json; a page is written by --output$",
    ):
        check_form("html")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match=r"cannot be written \(.*\); choose another file$"):
        write_comparison(comparison, tmp_path / "file" / "c.md")
