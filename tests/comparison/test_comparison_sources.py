"""What is read of runs, projects, build folders and reports: exact numbers, each with its stage."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from comparison_runs import FIXTURES, PART, YOSYS, write

from codesign.comparison import compare
from codesign.comparison.certainty import group_seeds
from codesign.comparison.forms import as_markdown
from codesign.comparison.sources import read_entries, read_entry, short_names, split_name
from codesign.comparison.summary import summarise
from codesign.core.files import file_digest
from codesign.core.target import VU9P
from codesign.errors import ReportError, ReportFormatError, ReportMissingError, SettingsError
from codesign.reports import read_build


def values(entry, step):
    return {number.metric: number.value for number in entry.numbers if number.step == step}


def test_a_run_gives_the_teachers_quality_and_the_quantized_students_numbers(make_run):
    entry = read_entry(make_run("a", accuracy=0.9582, bits=4.5, bops=72148.0, sparsity=0.5))
    assert values(entry, "teacher") == {"test_accuracy": 0.98}
    assert values(entry, "quantized") == {
        "test_accuracy": 0.9582,
        "validation_accuracy": 0.97,
        "parameters": 3466.0,
        "sparsity": 0.5,
        "average_weight_bits": 4.5,
        "bops": 72148.0,
    }
    assert entry.steps() == ("teacher", "quantized")
    assert (entry.kind, entry.design, entry.dataset, entry.dataset_digest) == (
        "run",
        "digits",
        "digits",
        "8f5b9482b00b",
    )
    assert (entry.part, entry.device, entry.seeds) == (PART, "VU9P", (0,))
    assert entry.settings == {
        "name": "digits",
        "seed": 0,
        "data.source": "digits",
        "pruning.sparsity": 0.5,
        "scan.most_bits": 4,
    }


def test_the_open_rtl_path_and_the_estimates_of_a_run_are_stages_of_their_own(make_run):
    entry = read_entry(make_run("a", rtl=YOSYS, estimates={"luts": 3900.0}))
    assert values(entry, "yosys") == {
        "lut": 4000, "ff": 1000, "dsp": 0, "bram_18k": 0, "uram": 0, "carry8": 300, "latency_cycles": 6,
        "latency_ns": 30.0, "interval_cycles": 1, "clock_period_ns": 5.0,
    }  # fmt: skip
    assert values(entry, "estimate") == {"lut": 3900.0}
    number = entry.number("lut", "yosys")
    assert number.available == VU9P.lut
    assert number.percent == pytest.approx(100 * 4000 / 1_182_240)
    assert entry.number("latency_cycles", "yosys").percent is None
    assert entry.tools == {"yosys": "Yosys 0.70"}


def test_a_rung_that_was_skipped_leaves_no_numbers(make_run):
    entry = read_entry(make_run("a", rtl={"skipped": "Yosys is missing"}, estimates={"lut": None}))
    assert entry.steps() == ("teacher", "quantized")


def test_what_a_run_kept_of_its_c_synthesis_counts_only_without_the_reports(make_run, tmp_path):
    folder = make_run("a")
    path = folder / "summary.json"
    kept = {"tool": "Vitis HLS", "version": "2024.1", "used": {"lut": 77, "dsp": 1}, "target_clock_ns": 5.0,
            "latency_cycles_max": 8, "interval_cycles_max": 1, "latency_ns_max": 40.0, "estimated_clock_ns": 3.5,
            "fmax_mhz": 285.7}  # fmt: skip
    write(path, {**json.loads(path.read_text()), "csynth": kept})
    entry = read_entry(folder)
    assert values(entry, "csynth") == {
        "lut": 77, "dsp": 1, "latency_cycles": 8, "latency_ns": 40.0, "interval_cycles": 1, "clock_period_ns": 5.0,
        "estimated_clock_ns": 3.5, "fmax_mhz": 285.7,
    }  # fmt: skip
    assert entry.tools == {"csynth": "Vitis HLS 2024.1"}
    project = folder / "project" / "hls"
    shutil.copy(FIXTURES / "vitis_hls_2023_csynth.xml", project)
    assert values(read_entry(folder), "csynth")["lut"] == 5120


def test_a_build_folder_gives_every_stage_its_numbers(make_build):
    names = ("vitis_hls_2023_csynth.xml", "vivado_utilization.rpt", "vivado_timing.rpt", "vivado_power.rpt")
    entry = read_entry(make_build("b", *names))
    assert values(entry, "csynth") == {
        "lut": 5120, "ff": 2111, "dsp": 12, "bram_18k": 3, "uram": 0, "latency_cycles": 9, "latency_ns": 45.0,
        "interval_cycles": 1, "clock_period_ns": 5.0, "estimated_clock_ns": 3.812, "fmax_mhz": 1000 / 3.812,
    }  # fmt: skip
    assert values(entry, "post-route") == {
        "lut": 4210, "ff": 2061, "dsp": 12, "bram_18k": 5, "uram": 0, "carry8": 310, "clock_period_ns": 5.0,
        "wns_ns": 0.412, "tns_ns": 0.0, "whs_ns": 0.021, "fmax_mhz": 1000 / (5.0 - 0.412), "power_w": 2.871,
        "dynamic_power_w": 0.371, "static_power_w": 2.5,
    }  # fmt: skip
    assert entry.number("lut", "post-route").source.endswith("vivado_utilization.rpt")
    assert entry.number("carry8", "post-route").available == 147_780  # printed in the report
    assert entry.tools == {"csynth": "Vitis HLS 2023.2", "post-route": "Vivado 2023.2"}
    assert (entry.kind, entry.part, entry.is_trustworthy) == ("build", PART, True)
    assert [note.split(" (")[0] for note in entry.notes] == ["power is an estimate of confidence Low"]


def test_the_longest_latency_is_compared_and_the_range_is_said():
    path = FIXTURES / "vivado_hls_2018_csynth.xml"
    entry = read_entry(path)
    assert entry.kind == "report"
    assert values(entry, "csynth")["latency_cycles"] == 13
    assert values(entry, "csynth")["latency_ns"] == 65.0  # not printed by 2018: 13 cycles of 5 ns
    assert values(entry, "csynth")["interval_cycles"] == 4
    assert "uram" not in values(entry, "csynth")
    assert entry.notes == (
        f"latency 11 to 13 cycles, the longest is compared ({path})",
        f"interval 2 to 4 cycles, the longest is compared ({path})",
    )


def test_cycles_of_a_co_simulation_become_ns_with_the_clock_of_the_synthesis(make_build):
    folder = make_build("b", "vitis_hls_2023_csynth.xml", "vitis_hls_cosim.rpt")
    (folder / "vitis_hls_cosim.rpt").rename(folder / "jet_tagger_cosim.rpt")
    entry = read_entry(folder)
    assert values(entry, "cosim") == {"latency_cycles": 12, "latency_ns": 60.0, "interval_cycles": 3}


def test_a_failed_co_simulation_gives_no_cycles(make_build):
    folder = make_build("b", "vitis_hls_cosim.rpt")
    path = folder / "vitis_hls_cosim.rpt"
    path.write_text(path.read_text().replace("Pass", "Fail"))
    entry = read_entry(path)
    assert entry.numbers == ()
    assert entry.notes[0] == f"co-simulation did not pass, its cycles are left out ({path})"


def test_cycles_that_were_counted_in_a_failed_co_simulation_are_not_compared(make_build):
    counted = "cosim.performance.result.transaction.xml"
    folder = make_build("b", "vitis_hls_cosim.rpt", counted)
    path = (folder / "vitis_hls_cosim.rpt").rename(folder / "jet_tagger_cosim.rpt")
    (folder / counted).rename(folder / "jet_tagger.performance.result.transaction.xml")
    assert read_build(folder).transactions.latency_cycles_max == 12
    assert values(read_entry(folder), "cosim")["latency_cycles"] == 12
    path.write_text(path.read_text().replace("Pass", "Fail"))
    assert read_build(folder).transactions.latency_cycles_max == 12
    assert read_entry(folder).numbers == ()


def test_a_damaged_report_of_a_build_is_left_out_and_said(make_build):
    folder = make_build("b", "vitis_hls_2023_csynth.xml", "vivado_utilization.rpt")
    (folder / "vivado_utilization.rpt").write_text("")
    entry = read_entry(folder)
    assert entry.steps() == ("csynth",)
    assert not entry.is_trustworthy
    assert entry.notes[0].startswith(f"damaged: {folder / 'vivado_utilization.rpt'}: ")


def test_of_many_findings_the_first_is_named(make_build):
    names = ("vivado_utilization.rpt", "vivado_timing.rpt", "vivado_power.rpt")
    folder = make_build("b", "vitis_hls_2023_csynth.xml", *names)
    for name in names:
        (folder / name).write_text("")
    entry = read_entry(folder)
    assert len(entry.notes) == 1
    # in the order of the kinds of reports
    assert entry.notes[0].startswith(f"damaged: 3 reports; first {folder / 'vivado_timing.rpt'}: ")


def project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "firmware.cpp").write_text("int x;")
    write_project(folder, {"firmware.cpp": file_digest(folder / "firmware.cpp")})
    return folder


def write_project(folder: Path, files: dict[str, str]) -> None:
    manifest = {"format": 1, "target": {"part": PART}, "settings": {"reuse_factor": 1}, "files": files}
    write(folder / "codesign_project.json", manifest)


def test_a_project_without_a_build_says_so(tmp_path):
    entry = read_entry(project(tmp_path / "p"))
    assert (entry.kind, entry.part, entry.numbers) == ("project", PART, ())
    assert entry.settings == {"hardware.reuse_factor": 1}
    assert entry.notes == ("nothing was built in it yet: codesign build",)


def test_a_project_gives_the_numbers_of_its_build(tmp_path):
    folder = project(tmp_path / "p")
    shutil.copy(FIXTURES / "vitis_hls_2023_csynth.xml", folder)
    assert values(read_entry(folder), "csynth")["lut"] == 5120


def test_what_is_nothing_is_named(tmp_path, make_run):
    with pytest.raises(
        SettingsError, match=r"^nothing to compare; name runs, projects, build folders or report files$"
    ):
        read_entries([])
    with pytest.raises(ReportMissingError, match=rf"^{tmp_path}/no: there is no such file or folder$"):
        read_entry(tmp_path / "no")
    with pytest.raises(
        ReportMissingError,
        match=r"is no build \(it has no report of Vivado, Vivado HLS or Vitis HLS\); build a project first$",
    ):
        read_entry(tmp_path)
    (tmp_path / "text.rpt").write_text("hello")
    with pytest.raises(
        ReportFormatError, match=r"text\.rpt: kind: this is none of the reports that are read"
    ):
        read_entry(tmp_path / "text.rpt")
    folder = make_run("a")
    with pytest.raises(SettingsError, match=rf"^{folder} is given twice; compare it with something else$"):
        read_entries([folder, f"again={folder}"])


def test_a_damaged_run_is_refused(make_run):
    folder = make_run("a")
    (folder / "summary.json").write_text('{"design": "digits"}')
    with pytest.raises(
        ReportFormatError, match=r"summary: damaged \(KeyError\('stages'\)\); finish the run again$"
    ):
        read_entry(folder)
    for text in ("{", "null", "[" * 100_000):
        (folder / "summary.json").write_text(text)
        with pytest.raises(ReportError, match=r"summary\.json: JSON: damaged"):
            read_entry(folder)
    folder = make_run("b")
    for text in ("{", "null", '{"settings": []}', '{"settings": null}'):
        (folder / "run.json").write_text(text)
        with pytest.raises(ReportFormatError, match=r"damaged"):
            read_entry(folder)


def test_a_run_that_has_not_ended_is_a_row_that_says_so(make_run):
    folder = make_run("a")
    (folder / "summary.json").unlink()
    shutil.rmtree(folder / "verification")
    shutil.rmtree(folder / "project")
    entry = read_entry(folder)
    assert (entry.kind, entry.is_trustworthy) == ("unfinished", True)
    assert entry.number("test_accuracy", "quantized").value == 0.96
    assert entry.notes == (
        "the run has not ended: teacher, student, quantization so far; codesign run goes on with it",
    )
    for name in ("quantization", "student", "teacher"):
        shutil.rmtree(folder / name)
    assert read_entry(folder).notes == (
        "the run has not ended: no stage so far; codesign run goes on with it",
    )


def test_stages_that_a_run_is_about_to_make_again_are_not_its_own(make_run):
    folder = make_run("a")
    (folder / "summary.json").unlink()
    edit(folder / "student" / "stage.json", "digest of student", "of other settings")
    entry = read_entry(folder)
    assert entry.notes == ("the run has not ended: teacher, student so far; codesign run goes on with it",)
    assert entry.is_trustworthy
    assert entry.number("test_accuracy", "quantized") is None
    damage_file(folder / "student" / "value.txt")
    assert not read_entry(folder).is_trustworthy


def test_a_run_that_was_refused_before_its_first_stage_is_a_row_too(tmp_path, make_run):
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / ".codesign-lock").touch()
    comparison = compare([tmp_path / "refused", make_run("b")])
    assert comparison.reference == "b"
    assert comparison.notes == ("refused: nothing is in it yet",)


def test_unfinished_runs_stand_beside_finished_ones_and_are_no_reference(make_run, tmp_path):
    early = make_run("a")
    (early / "summary.json").unlink()
    comparison = compare([early, make_run("b", sparsity=0.6)])
    assert comparison.reference == "b"
    assert "unfinished run" in as_markdown(comparison)
    assert comparison.notes[-1].startswith("a: the run has not ended: ")
    assert comparison.is_trustworthy
    assert len(group_seeds(read_entries([early, make_run("c", seed=1)]))) == 2


def damage_file(path):
    path.write_bytes(path.read_bytes() + b" ")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


FAULTS = [
    (
        lambda run: damage_file(run / "project" / "hls" / "firmware" / "weights.h"),
        r"stage project: 1 of 1 files is changed or gone, first hls/firmware/weights\.h; codesign run \.\.\. --from project",
    ),
    (
        lambda run: (run / "student" / "value.txt").unlink(),
        r"stage student: 1 of 1 files is changed or gone, first value",
    ),
    (lambda run: shutil.rmtree(run / "project"), r"stage project is gone; codesign run"),
    (lambda run: shutil.rmtree(run / "teacher"), r"stage teacher is gone"),
    (lambda run: shutil.rmtree(run / "verification"), r"stage verification is gone"),
    (
        lambda run: (run / "student" / "stage.json").write_text("{"),
        r"stage student: its stage\.json is damaged \(",
    ),
    (
        lambda run: (run / "student" / "stage.json").write_text("null"),
        r"stage student: its stage\.json is damaged",
    ),
    (
        lambda run: (run / "student" / "stage.json").write_text("[" * 99999),
        r"stage student: its stage\.json is damaged",
    ),
    (
        lambda run: edit(run / "project" / "stage.json", "digest of project", "another"),
        r"stage verification was made of another project than the one that is here",
    ),
    (
        lambda run: edit(run / "summary.json", "0.96", "0.99"),
        r"the summary says 0\.99 of test_accuracy of stage quantization, and the stage itself 0\.96",
    ),
    (
        lambda run: edit(run / "summary.json", '"mismatches": 0', '"mismatches": 7'),
        r"the summary's ladder is not that of",
    ),
    (
        lambda run: edit(run / "summary.json", "fixed<7,3>", "fixed<6,3>"),
        r"the summary's types are not those of stage project",
    ),
    (
        lambda run: [shutil.rmtree(path) for path in run.iterdir() if path.is_dir()],
        r"the folders of its stages are gone: nothing that the summary says can be checked",
    ),
]


@pytest.mark.parametrize(("harm", "said"), FAULTS, ids=[said[:40] for _, said in FAULTS])
def test_a_run_that_is_no_longer_what_it_was_is_not_trustworthy(make_run, harm, said):
    folder = make_run("a")
    assert read_entry(folder).is_trustworthy
    assert read_entry(folder).notes == ()
    harm(folder)
    entry, description = read_entry(folder), summarise(folder)
    assert not entry.is_trustworthy
    assert not description.is_trustworthy
    assert any(re.match(said, note) for note in entry.notes), entry.notes
    assert set(entry.notes) <= set(description.notes)
    ladder = description.tables[-1]
    assert ladder.title.endswith("when it was verified; not what is here now, see the notes")


def test_files_that_a_later_build_adds_are_no_fault(make_run):
    folder = make_run("a")
    (folder / "project" / "hls" / "build_gcc").mkdir()
    (folder / "project" / "hls" / "build_gcc" / "csim.log").write_text("built later")
    assert read_entry(folder).is_trustworthy


def test_a_project_that_was_changed_is_not_trustworthy(tmp_path):
    folder = project(tmp_path / "p")
    assert read_entry(folder).is_trustworthy
    damage_file(folder / "firmware.cpp")
    for found in (read_entry(folder), summarise(folder)):
        assert not found.is_trustworthy
        assert (
            found.notes[0] == "1 of 1 files is changed or gone, first firmware.cpp; convert the student again"
        )
    shutil.copy(FIXTURES / "vitis_hls_2023_csynth.xml", folder)  # a good report does not make it good
    assert not read_entry(folder).is_trustworthy
    assert not summarise(folder).is_trustworthy
    write_project(folder, {})
    for read in (read_entry, summarise):
        with pytest.raises(ReportFormatError, match="it names no files, so nothing can be checked"):
            read(folder)


def test_a_name_may_be_given_and_a_path_with_an_equals_sign_is_a_path(tmp_path, make_run):
    odd = make_run("a=b")
    assert split_name(str(odd)) == (None, odd)
    assert split_name("small=some/where") == ("small", Path("some/where"))
    assert [entry.name for entry in read_entries([f"small={odd}"])] == ["small"]


def test_the_summary_file_stands_for_its_run(make_run):
    folder = make_run("a")
    assert read_entry(folder / "summary.json", name="x") == read_entry(folder, name="x")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/digits/run"], ["digits/run"]),
        (["/x/a", "/x/b"], ["a", "b"]),
        (["/x/a/run", "/x/b/run"], ["a/run", "b/run"]),
        (["/x/a/project/hls", "/x/b/project/hls"], ["a/.../hls", "b/.../hls"]),
        (["/x/a/syn/k.xml", "/x/b/syn/k.xml"], ["a/.../k.xml", "b/.../k.xml"]),
    ],
)
def test_names_are_as_short_as_they_can_be(paths, names):
    assert short_names([Path(path) for path in paths]) == names
