"""No report is read by halves: a cut file is refused or gives exactly the whole record, and kinds do not mix."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codesign.errors import ReportFormatError, ReportMissingError
from codesign.reports import (
    read_cosim,
    read_csim_log,
    read_csynth,
    read_export,
    read_power,
    read_report,
    read_timing,
    read_tool_log,
    read_transactions,
    read_utilization,
    same_part,
)

FIXTURES = sorted((Path(__file__).parent / "fixtures").iterdir())
READERS = {
    "csim": read_csim_log, "csynth": read_csynth, "cosim": read_cosim, "transactions": read_transactions,
    "utilization": read_utilization, "timing": read_timing, "power": read_power, "export": read_export,
    "log": read_tool_log,
}  # fmt: skip
WHAT = {
    "csim": "a C simulation log", "csynth": "a C synthesis report", "cosim": "a C/RTL co-simulation report",
    "transactions": "a list of co-simulated transactions", "utilization": "a Vivado utilisation report",
    "timing": "a Vivado timing summary", "power": "a Vivado power report", "export": "an HLS export report",
    "log": "the log of a whole run of a tool",
}  # fmt: skip
names = pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name)


def outcome(path):
    """The record, or the error that refuses it; any other exception fails the test."""
    try:
        return read_report(path)
    except ReportFormatError as error:
        return error


# nothing in the list of a VHDL simulation tells how many transactions there were; a log that is cut is read, and says so
TELLING = [
    fixture
    for fixture in FIXTURES
    if not fixture.name.startswith("cosim_vhdl")
    and fixture.name not in ("vitis_hls_2023.log", "vivado_2019.log")
]


@pytest.mark.parametrize("fixture", TELLING, ids=lambda path: path.name)
def test_a_cut_report_is_refused_or_whole(fixture, tmp_path):
    whole = fixture.read_bytes()
    path = tmp_path / fixture.name
    path.write_bytes(whole)
    record = read_report(path)
    line_ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    refused = 0
    for cut in sorted({*line_ends, *range(0, len(whole), 101)}):
        path.write_bytes(whole[:cut])
        result = outcome(path)
        if isinstance(result, ReportFormatError):
            refused += 1
            assert result.path == path
            assert str(result).startswith(f"{path}: {result.field}: ")
        else:
            assert result == record, f"cut after byte {cut} of {len(whole)}"
    assert refused >= 5


@names
def test_a_damaged_line_never_escapes_as_another_exception(fixture, tmp_path):
    lines = fixture.read_text().split("\n")
    path = tmp_path / fixture.name
    for at in range(0, len(lines), 1 + len(lines) // 30):
        for damaged in ([], [lines[at][::-1]], [lines[at], lines[at]], [lines[at].replace("|", "?")]):
            path.write_text("\n".join([*lines[:at], *damaged, *lines[at + 1 :]]))
            result = outcome(path)
            if isinstance(result, ReportFormatError):
                assert result.path == path
            else:
                json.dumps(result.to_dict(), allow_nan=False)


@names
def test_every_other_reader_refuses_it(fixture):
    kind = read_report(fixture).kind
    for other, read in READERS.items():
        if other == kind:
            assert read(fixture).kind == kind
            continue
        with pytest.raises(ReportFormatError) as caught:
            read(fixture)
        assert str(caught.value) == f"{fixture}: kind: this is {WHAT[kind]}, not {WHAT[other]}"


@names
def test_records_are_json_with_kind_and_stage(fixture):
    report = read_report(fixture)
    value = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert value["kind"] == report.kind
    assert value["stage"] == report.stage
    assert value["path"] == fixture.as_posix()
    if "used" in value:
        assert value["used"]["bram_36k"] * 2 == value["used"]["bram_18k"]


@names
def test_records_are_frozen_and_equal_when_read_again(fixture):
    report = read_report(fixture)
    assert report == read_report(fixture)
    with pytest.raises(AttributeError):
        report.stage = "post-route"


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_empty_missing_and_zeroed_files(read, tmp_path):
    path = tmp_path / "report.rpt"
    with pytest.raises(ReportMissingError) as missing:
        read(path)
    assert str(missing.value) == f"{path}: No such file or directory; run the step that writes it"
    path.write_bytes(b" \n\n")
    with pytest.raises(ReportFormatError) as empty:
        read(path)
    assert str(empty.value) == f"{path}: contents: the file is empty (3 bytes); the run that wrote it died"
    path.write_bytes(b"== Vitis HLS\0\0\0\0")
    with pytest.raises(ReportFormatError) as zeroed:
        read(path)
    assert str(zeroed.value) == f"{path}: contents: byte 12 is zero: half written, or no text"
    with pytest.raises(ReportMissingError, match="Is a directory"):
        read(tmp_path)


def test_what_is_no_report_is_said_to_be_none(tmp_path):
    path = tmp_path / "notes.rpt"
    path.write_text("LUT 5 FF 7\n")
    with pytest.raises(ReportFormatError) as caught:
        read_timing(path)
    assert str(caught.value) == f"{path}: kind: this is not a Vivado timing summary, or its beginning is lost"
    with pytest.raises(
        ReportFormatError, match="kind: this is none of the reports that are read: cosim, csim, csynth,"
    ):
        read_report(path)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("xc7z020-clg400-1", "7z020clg400-1", True),
        ("xcu250-figd2104-2L-e", "xcu250figd2104-2L", True),
        ("xcvc1902-vsva2197-2MP-e-S", "xcvc1902-vsva2197", True),
        ("xcu55c-fsvh2892-2L-e", "xcu55c", True),
        ("xcvu9p-flga2104-2L-e", "xcvu13p-flga2577-2-e", False),
        ("xc7z020-clg400-1", "7z010clg400-1", False),
    ],
)
def test_parts_are_the_same_in_all_spellings(first, second, same):
    assert same_part(first, second) is same_part(second, first) is same


def test_reading_a_report_loads_no_framework():
    code = (
        "import sys; from codesign.reports import read_report; "
        f"read_report({str(FIXTURES[-1])!r}); "
        "print(sorted({'tensorflow', 'keras', 'hls4ml', 'qkeras', 'alkaid', 'pydantic'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
