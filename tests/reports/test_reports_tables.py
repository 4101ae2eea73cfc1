"""Drawn and underlined tables, and the numbers in their cells."""

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import ReportFormatError
from codesign.reports.fields import FieldReader
from codesign.reports.tables import drawn_tables, underlined_table

PATH = Path("x.rpt")
words = st.from_regex(r"[A-Za-z0-9_.%<~*]{1,12}( [A-Za-z0-9_.%<~*]{1,8}){0,2}", fullmatch=True)


def draw(heads, rows):
    widths = [max(len(cell) for cell in column) + 2 for column in zip(heads, *rows, strict=True)]
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = [
        "|" + "|".join(f" {c:<{w - 1}}" for c, w in zip(row, widths, strict=True)) + "|"
        for row in [heads, *rows]
    ]
    return [rule, lines[0], rule, *lines[1:], rule]


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.tuples(*[words] * n), min_size=1, max_size=6)))
def test_every_drawn_cell_comes_back(cells):
    heads, *rows = cells
    (table,) = drawn_tables(["", *draw(heads, rows), "", "text"], FieldReader(PATH))
    assert table.columns == heads
    assert [tuple(cell.strip() for cell in row) for row in table.rows] == rows
    assert table.line == 2


@given(st.data())
def test_a_table_that_breaks_off_is_refused(data):
    lines = draw(("a", "bb"), [("1", "2"), ("3", "4")])
    text = "\n".join(lines)
    cut = data.draw(st.integers(1, len(text) - 1))
    kept = text[:cut].split("\n")
    if [line for line in kept if line] == lines[:3]:  # an empty table looks the same
        return
    with pytest.raises(ReportFormatError, match=r"^x\.rpt: the table at line 1: "):
        drawn_tables(kept, FieldReader(PATH))


def test_a_column_that_is_missing_is_named_with_its_table():
    (table,) = drawn_tables(draw(("a", "bb"), [("1", "2")]), FieldReader(PATH))
    table.require(FieldReader(PATH), "bb", "a")
    with pytest.raises(ReportFormatError, match=r"^x\.rpt: the table at line 1: has no column 'c'$"):
        table.require(FieldReader(PATH), "a", "c")


def test_heads_over_several_columns_are_joined_to_each():
    lines = [
        "    +-----+-----+-----+-----+------+",
        "    |  Latency  |  Interval | Trip |",
        "    | min | max | min | max | Count|",
        "    +-----+-----+-----+-----+------+",
        "    |    1|    2|    3|    4|     5|",
        "    +-----+-----+-----+-----+------+",
    ]
    (table,) = drawn_tables(lines, FieldReader(PATH))
    assert table.columns == ("Latency min", "Latency max", "Interval min", "Interval max", "Trip Count")
    assert list(table.records()) == [
        {"Latency min": "1", "Latency max": "2", "Interval min": "3", "Interval max": "4", "Trip Count": "5"}
    ]


def test_indentation_of_the_first_cell_is_kept_and_rules_inside_are_not_rows():
    (table,) = drawn_tables(
        ["+----+", "|Name|", "+----+", "|  a |", "+----+", "|b   |", "+----+"], FieldReader(PATH)
    )
    assert table.rows == (("  a",), ("b",))


def test_blank_cells_of_an_underlined_table_are_left_out():
    lines = ["Clock     WNS(ns)  TNS Failing", "-----     -------  -----------", "clk         0.100            3",
             "  pll                       12", "", "other"]  # fmt: skip
    assert underlined_table(lines, FieldReader(PATH), "Clocks") == [
        {"Clock": "clk", "WNS(ns)": "0.100", "TNS Failing": "3"}, {"Clock": "pll", "TNS Failing": "12"},
    ]  # fmt: skip


@pytest.mark.parametrize("mark", ["?", "-", "undef", "NA", "N/A", "---"])
def test_unknown_marks_are_none_and_remembered(mark):
    fields = FieldReader(PATH)
    assert fields.integer("lut", mark) is None
    assert fields.decimal("wns_ns", mark) is None
    assert fields.nanoseconds("latency_ns_max", mark) is None
    assert fields.bounds("trip_count", mark) == (None, None)
    assert fields.unknown == ["lut", "wns_ns", "latency_ns_max", "trip_count_min", "trip_count_max"]
    with pytest.raises(ReportFormatError) as caught:
        fields.known_integer("lut", mark)
    assert str(caught.value) == f"x.rpt: lut: is {mark!r} where every tool version prints a number"


@pytest.mark.parametrize("cell", ["1,000", "1.5", "1e3", "0x10", "12a", "١"])
def test_an_odd_count_is_no_count(cell):
    with pytest.raises(ReportFormatError) as caught:
        FieldReader(PATH).integer("lut", cell)
    assert str(caught.value) == f"x.rpt: lut: {cell!r} is not a whole number"


@given(st.integers(0, 10**7))
def test_half_tiles_become_blocks(blocks):
    printed = str(blocks // 2) if blocks % 2 == 0 else f"{blocks // 2}.5"
    assert FieldReader(PATH).tiles("bram_18k", printed) == blocks


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("Tue Dec 19 09:24:16 2017", datetime(2017, 12, 19, 9, 24, 16)),
        ("Wed Mar 11 03:40:07 PM PDT 2026.", datetime(2026, 3, 11, 15, 40, 7)),
        ("Tue Apr  5 12:55:53 AM    2022.", datetime(2022, 4, 5, 0, 55, 53)),
        ("Sun 05 May 2024 12:52:01 PM CEST.", datetime(2024, 5, 5, 12, 52, 1)),
        ("So 5. Mai 2024 12:52:01 CEST.", None),
    ],
)
def test_dates_in_the_tools_spellings(text, date):
    assert FieldReader(PATH).date(text) == date


def test_a_date_that_does_not_exist_is_refused():
    with pytest.raises(ReportFormatError, match="date: 'Fri Feb 31 09:24:16 2017' is no date"):
        FieldReader(PATH).date("Fri Feb 31 09:24:16 2017")


@pytest.mark.parametrize(
    ("tool", "version", "note"),
    [
        ("Vivado HLS", "2015.4", "; Vivado HLS 2015.4 is older than 2016.4, the oldest whose form is known"),
        ("Vivado", "2019.2.1", ""),
        ("Vitis HLS", "2026.1", "; Vitis HLS 2026.1 is newer than 2025.2, the newest whose form is known"),
    ],
)
def test_errors_tell_of_an_untried_version(tool, version, note):
    fields = FieldReader(PATH)
    fields.use_version(tool, version)
    assert str(fields.error("lut", "is missing")) == f"x.rpt: lut: is missing{note}"
