"""Records filled from declared columns: every unit, what may be missing, and no field that no form fills."""

from collections import defaultdict
from dataclasses import fields, is_dataclass

import pytest
from reports_project import FIXTURES

from codesign.errors import ReportFormatError
from codesign.reports import Report, read_report
from codesign.reports.fields import Column, FieldReader
from codesign.reports.text import REPORT_KINDS

NEVER_IN_THE_FIXTURES = {
    ("CsimReport", "date"),
    ("CsimReport", "failure"),
    ("CsimReport", "part"),
    ("CsimReport", "tool"),
    ("CsimReport", "top"),
    ("CsimReport", "version"),
    ("CosimReport", "part"),
    ("CosimReport", "tool"),
    ("CosimReport", "top"),
    ("CosimReport", "version"),
    ("ExportReport", "top"),
    ("ToolLogReport", "csim_failure"),
    ("ToolLogReport", "date"),
    ("ToolLogReport", "stage"),
    ("PowerReport", "activity_file"),
    ("PowerReport", "nets_matched"),
    ("PowerReport", "power_budget_margin_w"),
    ("PowerReport", "power_budget_w"),
    ("PowerReport", "setting_file"),
    ("TransactionReport", "date"),
    ("TransactionReport", "part"),
    ("TransactionReport", "tool"),
    ("TransactionReport", "top"),
    ("TransactionReport", "version"),
}
"""Fields that no form prints (a log names no date), or that the fixtures' designs do not have (a power budget)."""


def test_every_record_has_a_kind_that_is_told_from_all_others():
    assert {record.kind for record in Report.__subclasses__()} == set(REPORT_KINDS)
    for path in sorted(FIXTURES.rglob("*.rpt")) + sorted(FIXTURES.rglob("*.xml")):
        text = path.read_text()
        found = [name for name, kind in REPORT_KINDS.items() if kind.is_marked(text)]
        assert len(found) <= 1, path  # which reader gets a file must not depend on the order of the table


def fill(path, columns, cells, **options):
    reader = FieldReader(path)
    return reader.fill(columns, cells.get, "row.", **options), reader.unknown


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        (Column("A"), "12", 12),
        (Column("A", signed=True), "-12", -12),
        (Column("A", "number"), "1.5", 1.5),
        (Column("A", "ns"), "0.576 us", 576.0),
        (Column("A", "tiles"), "29.5", 59),
        (Column("A", "text"), " x ", "x"),
        (Column(("B", "A")), "3", 3),
        (Column("B", optional=True), "3", None),
        (Column("A"), "?", None),
    ],
)
def test_a_column_gives_its_value_in_the_fields_unit(tmp_path, column, cell, value):
    assert fill(tmp_path, {"f": column}, {"A": cell})[0] == {"f": value}


def test_a_range_fills_both_ends_and_unknown_marks_are_named(tmp_path):
    columns = {"trip_count": Column("T", "range"), "lut": Column("L")}
    values, unknown = fill(tmp_path, columns, {"T": "2 ~ 5", "L": "-"})
    assert values == {"trip_count_min": 2, "trip_count_max": 5, "lut": None}
    assert unknown == ["row.lut"]


@pytest.mark.parametrize(
    ("column", "cells", "said"),
    [
        (Column("A"), {}, "is missing"),
        (Column("A", known=True), {"A": "?"}, "every tool version prints a number"),
        (Column("A", known=True), {}, "is missing"),
        (Column("A"), {"A": "-3"}, "below 0"),
        (Column("A", "tiles"), {"A": "1.25"}, "no count of 36 Kb tiles"),
        (Column("A", "ns"), {"A": "5.0"}, "no time with a unit"),
        (Column("A", optional=True), {"A": "1,5"}, "not a whole number"),
    ],
)
def test_a_cell_that_cannot_be_meant_names_the_field(tmp_path, column, cells, said):
    with pytest.raises(ReportFormatError, match=said) as caught:
        fill(tmp_path, {"f": column}, cells)
    assert caught.value.field == "row.f"


def test_a_bare_time_takes_the_unit_of_its_heading_and_a_missing_head_is_named(tmp_path):
    assert fill(tmp_path, {"f": Column("A", "ns")}, {"A": "5.0"}, bare_unit="ns")[0] == {"f": 5.0}
    with pytest.raises(ReportFormatError, match="there is no <A>"):
        fill(tmp_path, {"f": Column("A")}, {}, missing="there is no <{}>")


def seen(value, found):
    if isinstance(value, tuple):
        for item in value:
            seen(item, found)
    elif is_dataclass(value):
        for field in fields(value):
            own = getattr(value, field.name)
            found[type(value).__name__, field.name] |= own is not None
            seen(own, found)


def test_every_field_of_every_record_is_filled_by_some_form():
    found = defaultdict(bool)
    for path in sorted(FIXTURES.iterdir()):
        seen(read_report(path), found)
    assert {name for name, is_filled in found.items() if not is_filled} == NEVER_IN_THE_FIXTURES
