"""Tables on a terminal of any width: every number whole, and nothing of a foreign text steers the terminal."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import codesign
from codesign import terminal
from codesign.cli import main
from codesign.comparison.summary import ladder_table, rtl_table, tables
from codesign.core.files import write_json
from codesign.core.text_table import TextTable, counted, printable, spreadsheet_safe
from codesign.environment import examine

NUMBER = re.compile(r"\d[\d.,]*")
WIDTHS = (*range(40, 101), 110, 120, 132, 140, 160, 180, 200)
FIXTURES = Path(__file__).parent / "reports" / "fixtures"
PART = "xcvu9p-flga2104-2L-e"

RUNG = {
    "name": "alkaid interpreter",
    "samples": 1234567,
    "mismatches": 98765,
    "largest_lsb": 0.0009765625,
    "argmax_flips": 43210,
    "seconds": 1234.5678,
    "skipped": None,
}
SKIPPED = {
    **RUNG,
    "name": "vendor cosim",
    "skipped": "no co-simulation ran in /a/long/path/of/2024/run_17/hls",
}
LADDER = {"reference": "QKeras", "rungs": [RUNG, SKIPPED], "lsb": 0.0625}
RTL = {
    "yosys_version": "0.70", "lut": 1182240, "ff": 2364480, "carry8": 147780, "dsp": 6840, "bram_18k": 4320,
    "latency_cycles": 1234, "latency_ns": 6170.0, "clock_period_ns": 5.0, "interval_cycles": 1,
}  # fmt: skip
STAGE = {
    "seconds": 12.5, "validation_accuracy": 0.97123, "test_accuracy": 0.96234, "parameters": 12345678,
    "sparsity": 0.51234, "weights_removed": 0.6789, "average_weight_bits": 4.567, "bops": 987654321.0,
}  # fmt: skip
TYPES = {name: "ufixed<17,12,RND_CONV,SAT_SYM,0>" for name in ("weight", "bias", "accum", "result")}
OVERFLOW = {
    "layer": "q_dense_relu_1", "tensor": "result", "precision": "ufixed<4,2,RND_CONV,SAT,0>", "values": 2297600,
    "wrapped": 1234, "saturated": 5678, "lost": 963,
}  # fmt: skip
SUMMARY = {
    "design": "digits",
    "seed": 7,
    "target": {"part": PART, "clock_period_ns": 5.0},
    "stages": [
        {"stage": name, **STAGE} for name in ("teacher", "student", "pruning", "scan", "quantization")
    ],
    "layers": {f"q_dense_{n}": TYPES for n in range(3)},
    "rtl": RTL,
    "overflows": [OVERFLOW],
    "verification": LADDER,
    "seconds": 60.0,
    "versions": {"pyosys": "0.70"},
    "notes": ["vendor synthesis was not run"],
}


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command at a width; give all tables that it was asked to show, and what it printed."""
    shown: list[TextTable] = []
    show = terminal.show_tables

    def noted(tables, *rest, **options):
        shown.extend(tables)
        show(tables, *rest, **options)

    monkeypatch.setattr(terminal, "show_tables", noted)

    def run(width, *words):
        shown.clear()
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, words)])
        with pytest.raises(SystemExit):
            main()
        return list(shown), capsys.readouterr().out

    return run


def numbers(tables):
    """How often each number stands in the tables, titles and headings included."""
    texts = [text for t in tables for text in (t.title, *t.header, *(cell for row in t.rows for cell in row))]
    return Counter(number for text in texts for number in NUMBER.findall(text))


def check(tables, printed, width):
    wanted, found = numbers(tables), Counter(NUMBER.findall(printed))
    assert wanted, "a table without a number proves nothing"
    assert not wanted - found, f"broken or lost at {width}: {wanted - found}"
    assert all(len(line) <= width for line in printed.splitlines() if line[:1] in "│┃┏┡└┌├"), width


def at(width, shown, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    terminal.show_tables(shown)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(tables(SUMMARY), id="run"),
        pytest.param((ladder_table(LADDER),), id="verify"),
        pytest.param((rtl_table(RTL, PART),), id="rtl"),
    ],
)
def test_tables_of_runs_ladders_and_rtl_keep_every_number_at_every_width(shown, monkeypatch, capsys):
    for width in WIDTHS:
        check(shown, at(width, shown, monkeypatch, capsys), width)


def test_tables_of_a_scan_keep_every_number_at_every_width(monkeypatch, capsys):
    from codesign.cli.scanning import _show

    formats = SimpleNamespace(ap=lambda: "ap_ufixed<17,12,AP_RND_CONV,AP_SAT,0>")
    precision = SimpleNamespace(input=formats, items=lambda: [("q_dense_1", "weight", formats)] * 4)
    metrics = {
        "bops": 123456.0,
        "average_weight_bits": 4.25,
        "overflows": 7,
        "constant_features": ["pixel12"],
    }
    result = SimpleNamespace(
        precision=precision,
        record=SimpleNamespace(metrics=metrics),
        quality=0.98765,
        float_quality=0.99123,
        trials=(1,),
        no_input_wraps=True,
    )
    shown: list[TextTable] = []
    show = terminal.show_tables
    monkeypatch.setattr(
        terminal, "show_tables", lambda tables, notes: (shown.extend(tables), show(tables, notes))
    )
    for width in WIDTHS:
        shown.clear()
        monkeypatch.setenv("COLUMNS", str(width))
        _show(result)
        printed = capsys.readouterr().out
        check(shown, printed, width)
        assert "0.9877" in printed


def test_tables_of_reports_and_comparisons_keep_every_number_at_every_width(command, tmp_path):
    write_json(tmp_path / "a run of 2024" / "summary.json", SUMMARY)
    other = {**SUMMARY, "stages": [{**SUMMARY["stages"][0], "stage": "quantization", "bops": 1234.0}]}
    runs = [tmp_path / "a run of 2024"]
    for n in range(5):
        runs.append(tmp_path / f"other{n}")
        write_json(runs[-1] / "summary.json", other | {"layers": {}, "rtl": {**RTL, "lut": 1000 + n}})
    report = FIXTURES / "vitis_hls_2023_csynth.xml"
    for width in (*range(40, 81, 8), 120, 200):
        for words in (("report", runs[0], report), ("compare", *runs[:2]), ("compare", *runs)):
            shown, printed = command(width, *words)
            check(shown, printed, width)


def test_what_the_doctor_finds_is_whole_at_every_width(monkeypatch, capsys):
    checks = examine()
    for width in (40, 60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        terminal.show_checks(checks)
        printed = capsys.readouterr().out
        for check_ in checks:
            wanted = NUMBER.findall(check_.found or check_.advice)
            assert set(wanted) <= set(NUMBER.findall(printed)), (width, check_)


def test_a_pipe_gets_every_number_too(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal.show_tables(tables(SUMMARY))
    check(tables(SUMMARY), capsys.readouterr().out, terminal.PIPED_WIDTH)


CELLS = st.text(alphabet="ab /,<>_-12.,e=", max_size=60) | st.integers().map(str) | st.floats().map(repr)


@given(st.data(), st.integers(1, 6), st.integers(0, 5), st.integers(40, 200))
def test_any_table_keeps_every_number(data, columns, rows, width):
    """Those of headings too, of columns without a cell, of tables without a row, and of words wider than the terminal."""
    header = tuple(
        f"{name}-{index}"
        for index, name in enumerate(data.draw(st.lists(CELLS, min_size=columns, max_size=columns)))
    )
    cells = tuple(tuple(data.draw(CELLS) for _ in header) for _ in range(rows))
    table = TextTable("title 123", header, cells)
    out = io.StringIO()
    terminal._show(terminal.Console(file=out, width=width), table, {})
    assert not numbers([table]) - Counter(NUMBER.findall(out.getvalue()))


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(TextTable("one column", ("path",), (("x" * 50 + "7",), ("3",))), id="one column"),
        pytest.param(TextTable("no row", ("a" * 50 + "1", "b-2"), ()), id="no row"),
        pytest.param(TextTable("no cell", ("a-1", "b-2"), (("x" * 50, ""), ("3", ""))), id="no cell"),
    ],
)
def test_no_table_disappears_where_a_word_is_wider_than_the_terminal(table):
    out = io.StringIO()
    terminal._show(terminal.Console(file=out, width=40), table, {})
    assert not numbers([table]) - Counter(NUMBER.findall(out.getvalue()))


def test_nothing_of_a_report_reaches_the_terminal_as_a_command(command, tmp_path):
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e[bold red]no[/] :smile: {x}\r"
    summary = {**SUMMARY, "layers": {evil: TYPES}, "notes": [evil]}
    write_json(tmp_path / "run" / "summary.json", summary)
    name = f"[red]{evil}[/red]"
    for words in (
        ("report", tmp_path / "run"),
        ("compare", f"{name}={tmp_path / 'run'}"),
        *(
            ("compare", f"{name}={tmp_path / 'run'}", "--format", form)
            for form in ("markdown", "csv", "json")
        ),
    ):
        _, printed = command(120, *words)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", printed), words
        assert "[bold red]no[/] :smile: {x}" in printed
        if words[-1] == "json":
            assert evil in [
                entry["name"].removeprefix("[red]").removesuffix("[/red]")
                for entry in json.loads(printed)["entries"]
            ]


def test_errors_spell_control_characters_out(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["codesign", "report", str(tmp_path / "\x1b[31mno")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "\\u001b[31mno: there is no such file or folder" in capsys.readouterr().err


def test_the_commands_print_through_one_door():
    """Whatever a command prints goes through `codesign.terminal`, where control characters are spelt out."""
    for path in (Path(codesign.__file__).parent / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert name not in ("print", "typer.echo", "typer.secho", "sys.stdout.write"), (
                f"{path}: {node.lineno}"
            )


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("plain ± 1\n\tx", "plain ± 1\n\tx"),
        ("\x1b[0m", "\\u001b[0m"),
        ("\x9b1m\x00\x7f\r", "\\u009b1m\\u0000\\u007f\\u000d"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\udcff", "\\udcff"),
    ],
)
def test_control_characters_are_spelt_out(text, spelt):
    assert printable(text) == spelt


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", '=cmd|" /C calc"!A0'])
def test_a_spreadsheet_computes_no_cell(text):
    out = io.StringIO()
    csv.writer(out).writerow([spreadsheet_safe(text)])
    (cell,) = next(csv.reader(io.StringIO(out.getvalue())))
    assert cell == f"'{text}"


@pytest.mark.parametrize("value", ["plain", "a=b", -1.5, None, 0, ""])
def test_what_is_no_formula_stays_as_it_is(value):
    assert spreadsheet_safe(value) == value


def test_plain_progress_says_how_long_it_takes_in_files_that_are_watched(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    progress = terminal.TerminalProgress()
    for epoch in range(1, 101):
        now[0] += 1.0
        progress.step("teacher", epoch, 100, f"loss {1 / epoch:.3f}, validation 0.9")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("  teacher: 21 of 100, about 75 s left loss 0.048")
    assert len(lines) == 5
    assert lines[-1].startswith("  teacher: 100 done in 99.0 s loss 0.010, validation 0.9")
    assert [terminal._duration(value) for value in (5, 600, 7200)] == ["5 s", "10 min", "2.0 h"]


def test_json_lines_have_no_numbers_that_json_has_not(capsys):
    with terminal.speaking("json"), terminal.progress() as lines:
        lines.step("student", 1, 2, "note \u001b[2J", {"loss": float("nan"), "accuracy": 0.5})
    found = json.loads(capsys.readouterr().out)
    assert found["values"] == {"loss": None, "accuracy": 0.5}
    assert (found["what"], found["done"], found["total"]) == ("student", 1, 2)


def test_what_is_said_to_programs_is_json_and_to_nobody_is_nothing(capsys):
    table = TextTable("Number formats", ("layer", "format"), (("fc", "fixed<8,3>"),))
    with terminal.speaking("json"):
        terminal.say("\nIt is in 'out'")
        terminal.show_tables([table], ["one note"])
        terminal.tell(result="out")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line.pop("seconds") >= 0 for line in lines)
    assert lines == [
        {"text": "It is in 'out'"},
        {"table": "Number formats", "columns": ["layer", "format"], "rows": [["fc", "fixed<8,3>"]]},
        {"text": "one note"},
        {"result": "out"},
    ]
    with terminal.speaking("quiet"), terminal.progress() as shown:
        shown.step("scan", 1, 2)
        terminal.say("this")
        terminal.show_tables([table], ["one note"])
        terminal.tell(result="out")
        terminal.say("what went wrong", err=True)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "what went wrong\n")
    terminal.say("as before")
    assert capsys.readouterr().out == "as before\n"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_live_progress_cuts_no_number_on_a_narrow_terminal(width, monkeypatch):
    """Times and counts are whole, what a stage measures is cut last."""
    out = io.StringIO()
    real = terminal.Console
    monkeypatch.setattr(
        terminal, "Console", lambda **_: real(file=out, force_terminal=True, width=width, color_system=None)
    )
    with terminal.TerminalProgress() as progress:
        progress.step("flow", 4, 9, "quantization")
        progress.step("teacher", 60, 60, "loss 0.006617, validation 0.9944")
        progress.step("learned widths", 9, 40, "about 14,181 LUTs, validation 0.9889")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).replace("\r", "\n").splitlines()
    lines = [line.rstrip() for line in lines if line.strip()]
    assert max(map(len, lines)) <= width
    flow, teacher, widths = lines[-3:]
    assert re.search(r"^flow .* 4/9 +0:00 +quantization$", flow)
    assert re.search(r"^teacher .* 60/60 +0:00 +loss 0\.006617", teacher)
    assert re.search(r"^learned widths .*9/40 +0:00", widths)
    assert ("validation 0.9944" in teacher) == (width > 60)
    assert teacher.endswith("…") == (width == 60)


def test_work_without_a_display_is_logged(caplog):
    from codesign.core.progress import Several, Silent

    with caplog.at_level("INFO", logger="codesign.progress"):
        silent = Several(Silent())
        for step in range(5):
            silent.step("scan", step, 4, "quality 0.9")
    assert caplog.messages == ["scan: 0 of 4, quality 0.9", "scan: 4 of 4, quality 0.9"]


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "class") for number in (0, 1, 2)] == ["0 classes", "1 class", "2 classes"]
    assert counted(4, "epoch") == "4 epochs"
    assert [counted(number, "value", ",") for number in (1, 1234)] == ["1 value", "1,234 values"]
