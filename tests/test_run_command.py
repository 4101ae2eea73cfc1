"""`codesign run` as a user types it, with stages that make nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import fake_chain
import numpy as np
import pytest
from tiny_design import codesign, environment, write_design

import codesign as package
from codesign import flow
from codesign.cli import main
from codesign.errors import OutputFolderError, ToolFailedError, ToolNotFoundError
from codesign.hls.csim import c_string, check_compiler
from codesign.stages import STAGES

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in a folder with the design `tiny`; its exit code, output and errors, spaces for line breaks."""
    fake_chain.install(monkeypatch.setattr, tmp_path / "log")
    write_design(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        out, error = (" ".join(text.split()) for text in captured)
        return int(ended.value.code or 0), out, error

    return run


def test_the_version_is_that_of_the_installed_package(tmp_path: Path) -> None:
    done = codesign("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"codesign {version('codesign')}\n")
    assert package.__version__ == version("codesign")


def test_a_run_ends_with_the_next_three_commands(command: Command) -> None:
    code, text, _ = command("run", "tiny")
    assert code == 0
    folder = "hls_projects/tiny/run"
    assert text.endswith(f"Next: codesign report {folder} codesign verify {folder} codesign build {folder}")
    assert command("run", "tiny")[1].count("Done now: nothing: all of it stood already") == 1


def test_another_point_of_a_front_ends_as_a_run_does(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "tiny")
    write_design(
        tmp_path / "tiny", quantization={"method": "learned"}, scan=None, hardware={"open_rtl": True}
    )
    points = [
        SimpleNamespace(luts=luts, quality=quality, test_quality=0.5)
        for luts, quality in ((800.0, 0.5), (900.5, 0.75))
    ]
    front = SimpleNamespace(
        points=points,
        measure="accuracy",
        reference=0.8,
        choose=lambda budget_luts: [point for point in points if point.luts <= budget_luts][-1],
    )
    monkeypatch.setattr("codesign.compression.learned.front.Front.load", lambda folder: front)
    assert command("run", "tiny")[0] == 3
    run = "hls_projects/tiny/run"
    # the point that the run is built of is marked, and not built twice
    kept = Path(run, "quantization", "stage.json")
    stage = json.loads(kept.read_text())
    stage["record"]["metrics"]["estimated_luts"] = 900.5
    kept.write_text(json.dumps(stage))
    assert "800 │ 0.5000 │ 0.5000 │ │ │ 900 │ 0.7500 │ 0.5000 │ built │" in command("front", run)[1]
    assert command("front", run, "--pick", 950)[:2] == (
        0,
        f"The best point of at most 950 LUTs is the one that {run} is built of, with 900; there is nothing to build.",
    )
    assert not Path(f"{run}-950").exists()
    code, text, error = command("front", run, "--pick", 900)
    # what a run could not do is an error here too
    assert (code, error.split("error: ")[-1]) == (3, "not run, though asked for: - open RTL: it is a fake")
    new = f"{run}-900"
    assert text.endswith(f"Next: codesign report {new} codesign verify {new} codesign build {new}")


def test_a_point_that_was_asked_for_is_not_kept_away_by_the_designs_own_target(
    command: Command, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "tiny")
    learned = {"target_luts": 4500.0, "budget_luts": 4800.0}
    write_design(tmp_path / "tiny", quantization={"method": "learned", "learned": learned}, scan=None)
    assert command("run", "tiny", "--budget-luts", 3000)[0] == 0
    found = json.loads(Path("hls_projects/tiny/run/run.json").read_text())["settings"]["quantization"][
        "learned"
    ]
    assert (found["budget_luts"], found["target_luts"]) == (3000.0, None)
    words = ("--name", "other", "--set", "quantization.learned.target_luts=2900.0")
    assert command("run", "tiny", "--budget-luts", 3000, *words)[0] == 0
    found = json.loads(Path("hls_projects/tiny/other/run.json").read_text())["settings"]["quantization"][
        "learned"
    ]
    assert (found["budget_luts"], found["target_luts"]) == (3000.0, 2900.0)


def test_a_design_below_the_quality_that_was_asked_for_is_an_error(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = [
        {"stage": "teacher", "validation_accuracy": 0.97},
        {"stage": "quantization", "validation_accuracy": 0.9},
    ]
    read = flow.read_summary
    monkeypatch.setattr(flow, "read_summary", lambda folder: {**read(folder), "stages": measured})
    assert command("run", "tiny", "--fail-below", 0.9)[0] == 0
    code, text, error = command("run", "tiny", "--fail-below", 0.91)
    assert code == 1
    assert "Everything is in" in text
    assert "--fail-below 0.91: the validation accuracy of quantization is 0.9000" in error


def test_until_and_dry_run(command: Command) -> None:
    code, text, _ = command("run", "tiny", "--dry-run")
    assert (code, Path("hls_projects").exists()) == (0, False)
    assert "teacher │ to be made │ not made yet" in text
    assert command("run", "tiny", "--until", "scan")[1].endswith("the same command without --until goes on")
    text = command("run", "tiny", "--dry-run")[1]
    assert "scan │ stands │" in text
    assert "quantization │ to be made │ not made yet" in text
    code, _, text = command("run", "tiny", "--until", "scans")
    assert (code, text.startswith("error: --until: there is no stage 'scans'; the stages are teacher, ")) == (
        1,
        True,
    )
    code, _, text = command("run", "tiny", "--from", "rtl", "--until", "scan")
    assert (code, text) == (1, "error: --from rtl comes after --until scan; swap them")


def test_what_was_asked_for_and_did_not_run_is_said_with_exit_code_3(
    command: Command, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "tiny")
    write_design(tmp_path / "tiny", hardware={"open_rtl": True})
    code, _, text = command("run", "tiny")
    assert code == 3
    assert text.endswith("error: not run, though asked for: - open RTL: it is a fake")
    assert Path("hls_projects/tiny/run/summary.json").is_file()
    # without the word in the design it is written where it can be
    write_design(tmp_path / "tiny", hardware={"open_rtl": None})
    assert command("run", "tiny", "--overwrite")[0] == 0


def test_json_lines_are_for_programs_and_quiet_prints_nothing(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["codesign", "run", "tiny", "--json-lines"])
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert printed.err == ""
    assert [line["note"] for line in lines if line.get("what") == "flow"][:2] == ["teacher", "student"]
    assert lines[-1]["result"] == "hls_projects/tiny/run"
    assert lines[-1]["redone"] == [stage.name for stage in STAGES]
    assert lines[-1]["summary"]["design"] == "tiny"
    assert command("run", "tiny", "--quiet", "--name", "b") == (0, "", "")
    code, out, error = command("run", "tiny", "--quiet", "--json-lines")
    assert (code, out, error) == (
        1,
        "",
        "error: --quiet: does nothing beside --json-lines, which prints JSON; leave one of them out",
    )


def test_typed_files_start_at_the_working_directory(command: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", X=rng.normal(size=(90, 4)), y=np.arange(90) % 3)
    assert command("run", "tiny", "--set", "data.source=mine.npz")[0] == 0
    kept = json.loads(Path("hls_projects/tiny/run/run.json").read_text())["settings"]["data"]["source"]
    assert kept == str(tmp_path / "mine.npz")
    shutil.copy(tmp_path / "mine.npz", tmp_path / "tiny" / "inside.npz")
    assert command("run", "tiny", "--set", "data.source=tiny/inside.npz", "--name", "b")[0] == 0
    kept = json.loads(Path("hls_projects/tiny/b/run.json").read_text())["settings"]["data"]["source"]
    assert kept == "inside.npz"
    word = "data.source={train: mine.npz, test: tiny/inside.npz}"
    code, _, text = command("run", "tiny", "--set", word, "--name", "parts")
    assert (code, "test samples are in the train part too" in text) == (1, True)  # both files were found
    (tmp_path / "folder").mkdir()
    for part, count in (("train", 60), ("test", 30)):
        np.save(tmp_path / "folder" / f"x_{part}.npy", rng.normal(size=(count, 4)))
        np.save(tmp_path / "folder" / f"y_{part}.npy", np.arange(count) % 3)
    assert command("run", "tiny", "--set", "data.source=folder", "--name", "d")[0] == 0
    code, _, text = command("run", "tiny", "--set", "data.source=inside.npz", "--name", "c")
    assert (code, text.startswith(f"error: {tmp_path / 'inside.npz'}: no such file")) == (1, True)


def test_a_fault_of_the_command_line_is_said_to_be_one(command: Command) -> None:
    code, _, text = command("run", "tiny", "--set", "distillation.alpha=7")
    assert (code, text) == (1, "error: --set distillation.alpha: should be less than or equal to 1, not 7")
    code, _, text = command("run", "tiny", "--set", "name.x=7")
    assert (code, text) == (1, "error: --set name.x: name is no section")


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "g++"
    path.write_text("#!/bin/sh\necho 'cannot execute cc1plus' >&2\nexit 1\n")
    path.chmod(0o755)
    monkeypatch.setenv("CODESIGN_GXX", str(path))
    return path


def test_a_compiler_that_cannot_compile_is_known_before_work(compiler: Path) -> None:
    with pytest.raises(ToolFailedError, match="cannot execute cc1plus"):
        check_compiler()
    os.environ.pop("CODESIGN_GXX")
    check_compiler()


def test_a_wrong_path_of_the_vendor_is_known_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codesign.settings import make_design
    from codesign.stages import Context

    monkeypatch.setenv("CODESIGN_VITIS", str(tmp_path / "nowhere"))
    context = Context(
        tmp_path, make_design({"name": "d", "data": {"source": "digits"}}), tmp_path / "run", {}
    )
    (csynth,) = [stage for stage in STAGES if stage.name == "csynth"]
    with pytest.raises(ToolNotFoundError, match="nowhere"):
        csynth.check(context)


@pytest.mark.parametrize("name", ['a"b', "$HOME", "line\nbreak"])
def test_a_folder_that_verilator_does_not_take_is_known_before_work(tmp_path: Path, name: str) -> None:
    from codesign.settings import make_design
    from codesign.stages import Context

    context = Context(tmp_path, make_design({"name": "d", "data": {"source": "digits"}}), tmp_path / name, {})
    (verification,) = [stage for stage in STAGES if stage.name == "verification"]
    with pytest.raises(
        OutputFolderError, match=r": Verilator takes no path with .* in it; choose another folder"
    ):
        verification.check(context)


@pytest.mark.parametrize("text", ["/plain", 'a "b" c', "back\\slash", "??/", "tab\there", "ü"])
def test_a_path_in_cpp_is_the_path(text: str, tmp_path: Path) -> None:
    from codesign.core.process import capture, run_process

    source = tmp_path / "say.cpp"
    source.write_text("#include <cstdio>\nint main() { std::fputs(TEXT, stdout); }\n")
    run_process(["g++", f"-DTEXT={c_string(text)}", str(source), "-o", str(tmp_path / "say")], cwd=tmp_path)
    assert capture([tmp_path / "say"]) == text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("doctor",), ("--version",), ("--help",)])
def test_an_output_without_room_is_one_sentence(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "codesign", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=300,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: what is printed cannot be written (No space left on device)\n"


def test_golden_outputs_beside_a_run_are_refused(command: Command, tmp_path: Path) -> None:
    assert command("run", "tiny")[0] == 0
    Path("hls_projects/tiny/run/project/hls").mkdir(parents=True, exist_ok=True)
    np.savez(tmp_path / "vectors.npz", x=np.zeros((2, 4)), golden=np.zeros((2, 3)))
    code, out, error = command("verify", "hls_projects/tiny/run", "--vectors", tmp_path / "vectors.npz")
    assert (code, out) == (1, "")
    assert error.endswith(
        "has golden outputs, and a run is held against its own student; take them out, or verify "
        "hls_projects/tiny/run/project/hls"
    )
