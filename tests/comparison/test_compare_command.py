"""`codesign compare` and `codesign report`: what is printed, written and returned; nothing heavy is loaded."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from comparison_runs import FIXTURES, YOSYS

import codesign

ROOT = Path(codesign.__file__).parents[1]


@pytest.fixture
def two(make_run):
    return [make_run("a", rtl=YOSYS), make_run("b", rtl={**YOSYS, "lut": 3000}, sparsity=0.75)]


def test_compare_prints_every_table(command, two):
    code, out, err = command("compare", *two)
    assert (code, err) == (0, "")
    assert "Yosys (percent of the VU9P)" in out
    assert "-1,000 (-25.0 %) better" in out


def test_compare_writes_what_the_endings_ask_for(command, two, tmp_path):
    files = [tmp_path / f"c.{ending}" for ending in ("html", "md", "csv", "json")]
    code, _, err = command("compare", *two, *(word for file in files for word in ("--output", file)))
    assert code == 0
    assert err == "".join(f"{file} written\n" for file in files)
    assert files[0].read_text().startswith("<!doctype html>")
    assert json.loads(files[3].read_text())["reference"] == "a"


def test_compare_prints_json_and_csv_that_programs_read(command, two):
    _, out, _ = command("compare", *two, "--format", "json", "--reference", "b")
    assert json.loads(out)["reference"] == "b"
    _, out, _ = command("compare", *two, "--format", "csv")
    assert [row["name"] for row in csv.DictReader(io.StringIO(out))] == ["a", "b"]
    _, out, _ = command("compare", *two, "--format", "markdown")
    assert out.startswith("# Comparison\n")


def test_csv_on_the_terminal_has_its_notes_beside_it(command, make_run):
    _, out, err = command("compare", make_run("a"), make_run("b", source="other"), "--format", "csv")
    assert err.startswith("- datasets differ (digits: a; other: b)")
    assert "datasets differ" not in out


def test_bad_input_is_one_message_before_anything_is_written(command, two, tmp_path):
    for words, message in (
        ([two[0], tmp_path / "no"], f"error: {tmp_path}/no: there is no such file or folder\n"),
        (
            [*two, "-o", "c.xyz"],
            "error: --output: c.xyz ends in none of .md, .csv, .json, .html, .htm, .png, .svg, .pdf, which tell the form\n",
        ),
        ([*two, "--reference", "z"], "error: --reference: 'z' is none of what is compared: a, b\n"),
    ):
        assert command("compare", *words) == (1, "", message)


def test_a_build_that_cannot_be_trusted_is_shown_and_ends_with_1(command, two, make_build):
    folder = make_build("bad", "vitis_hls_2023_csynth.xml", "vivado_power.rpt")
    (folder / "vivado_power.rpt").write_text("")
    code, out, err = command("compare", *two, folder)
    assert (code, err) == (1, "error: bad: cannot be trusted; the notes above say why\n")
    assert "bad is not trustworthy" in out
    code, out, err = command("report", folder)
    assert (code, err) == (1, f"error: {folder}: cannot be trusted; the notes above say why\n")
    assert f"damaged: {folder}/vivado_power.rpt: " in out


def test_report_shows_several_things_one_after_the_other(command, two, make_build):
    folder = make_build("good", "vivado_utilization.rpt")
    code, out, _ = command("report", two[0], folder, folder / "vivado_utilization.rpt")
    assert code == 0
    assert [out.index(title) for title in ("Stages", "Build", "Report")] == sorted(
        out.index(title) for title in ("Stages", "Build", "Report")
    )


def test_names_that_look_like_markup_are_printed_as_they_are(command, make_run):
    _, out, _ = command("compare", f"[red]x={make_run('a')}", make_run("b", sparsity=0.6))
    assert "[red]x" in out


def test_tables_turn_where_the_terminal_is_narrow(command, make_run, monkeypatch):
    runs = [make_run(f"r{n}", sparsity=n / 10, rtl=YOSYS) for n in range(5)]

    def heading(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        _, out, _ = command("compare", *runs)
        assert all(len(line) <= columns for line in out.splitlines() if line[:1] in "│┃┏┡└")
        return [word.strip() for word in out[out.index("Network") :].splitlines()[2].strip("┃").split("┃")]

    assert heading(80) == ["design", "r0", "r1", "r2", "r3", "r4"]
    assert "r0" not in heading(130)


def test_compare_and_report_load_nothing_heavy(two, tmp_path):
    code = f"""
import sys
from codesign.cli import main
runs = {[str(run) for run in two]!r}
heavy = {{"tensorflow", "keras", "hls4ml", "qkeras", "alkaid", "sklearn"}}
plots = {{"matplotlib"}}
page = ["compare", *runs, "-o", {str(tmp_path / "c.html")!r}]
for words, banned in ((["compare", *runs], heavy | plots), (["report", *runs], heavy | plots), (page, heavy)):
    sys.argv = ["codesign", *words]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0
    found = banned & set(sys.modules)
    assert not found, found
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_script_writes_the_comparison(two, tmp_path):
    words = ["scripts/compare_resources.py", *map(str, two), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"comparison.{ending}" for ending in ("csv", "html", "json", "md")
    ]


BAD_REPORTS = {
    "hls_csim.log": (
        "CSim done with 0 errors",
        "CSim done with 3 errors",
        "the C simulation failed: 3 errors",
    ),
    "vitis_hls_cosim.rpt": ("Pass|", "Fail|", "the co-simulation of the Verilog failed"),
    "vivado_timing_2018_ooc.rpt": ("", "", "the timing constraints are not met, by 0.412 ns at worst"),
    "vivado_hls_export.rpt": ("Timing met", "Timing not met", "the timing constraints are not met"),
}


@pytest.mark.parametrize("name", BAD_REPORTS)
@pytest.mark.parametrize("verb", ["report", "compare"])
def test_a_report_by_itself_that_says_no_ends_with_1_and_says_why(command, tmp_path, verb, name):
    old, new, said = BAD_REPORTS[name]
    text = (FIXTURES / name).read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new))
    code, out, err = command(verb, path)
    assert code == 1
    assert said in " ".join((out + err).split())
    assert "cannot be trusted; the notes above say why" in err


@pytest.mark.parametrize(
    "name", ["hls_csim.log", "vitis_hls_cosim.rpt", "vivado_timing.rpt", "vivado_hls_export.rpt"]
)
def test_a_report_by_itself_that_says_yes_ends_with_0(command, name):
    assert command("report", FIXTURES / name)[0] == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("ERROR: [HLS 200-70] Synthesizability check failed.", 1),
        ("ERROR: [HLS 200-101] config_array_partition: Unknown option '-maximum_size'.", 0),
        ("INFO: [HLS 200-111] Finished C synthesis.", 0),
    ],
)
def test_a_log_whose_later_step_died_is_not_trusted_though_its_simulation_passed(
    command, tmp_path, line, code
):
    path = tmp_path / "vitis_hls.log"
    path.write_text((FIXTURES / "hls_csim.log").read_text() + f"{line}\n")
    ended, out, err = command("report", path)
    assert ended == code
    assert ("a later step died (1 error, first" in " ".join((out + err).split())) == (code == 1)


def test_a_simulation_that_was_not_run_is_a_note(command, tmp_path):
    path = tmp_path / "cosim.rpt"
    path.write_text((FIXTURES / "vitis_hls_cosim.rpt").read_text().replace("Pass|", "NA|"))
    code, out, _ = command("report", path)
    assert code == 0
    assert "no language was co-simulated" in " ".join(out.split())


def test_a_hold_slack_that_is_not_met_says_by_how_much(command, tmp_path):
    text = (FIXTURES / "vivado_timing.rpt").read_text()
    met = "All user specified timing constraints are met."
    path = tmp_path / "timing.rpt"
    path.write_text(text.replace(met, "Timing constraints are not met.").replace(" 0.021", "-0.021"))
    code, out, err = command("report", path)
    assert code == 1
    assert "not met, by 0.021 ns at worst" in " ".join((out + err).split())
