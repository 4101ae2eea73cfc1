"""The g++ C simulation: QKeras' numbers to the last bit, compiled once, with full precision in and out."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_chain import SmallChain
from small_networks import inputs, prepared, random_precision

from codesign.core.files import is_kept, programs_folder
from codesign.core.locks import make_scratch
from codesign.core.target import Target
from codesign.errors import DataError, ReportFormatError, ToolFailedError, ToolNotFoundError
from codesign.hls.convert import HardwareChoices, convert_graph
from codesign.hls.csim import BUILD, PROGRAMS, compile_csim, run_csim
from codesign.hls.project import HlsProject, open_project, write_project
from codesign.networks.build import build_float, build_quantized
from codesign.networks.logits import predict_logits
from codesign.networks.prepare import hardware_form
from codesign.reports import read_csim_log
from codesign.verification.csim_trace import trace_csim

CASES = {
    "conv1d": (Target(), "latency"),
    "conv2d": (Target(backend="Vivado"), "latency"),
}


def make(name: str, folder: Path, target: Target, strategy: Any, seed: int) -> tuple[HlsProject, Any, Any]:
    """A project of a random network, its QKeras model and its formats."""
    network = prepared(name, seed, zeros=0.3)
    precision = random_precision(network, seed)
    hardware, formats = hardware_form(network, precision)
    graph = convert_graph(build_float(hardware), formats, target, HardwareChoices(strategy), folder)
    model = build_quantized(network, precision)
    x = precision.input.quantize(inputs(network, 10))
    project = write_project(graph, folder, target, vectors=x, golden=predict_logits(model, x))
    return project, model, precision


def assert_equal_bits(project: HlsProject, model: Any, precision: Any, n: int) -> None:
    random = np.random.default_rng(5)
    shape = (n, *project.input_shape)
    x = precision.input.quantize(random.normal(0, precision.input.maximum / 2, shape).astype(np.float32))
    outputs = run_csim(project, x).outputs
    assert outputs.dtype == np.float64
    np.testing.assert_array_equal(outputs, predict_logits(model, x).astype(np.float64))
    assert len(np.unique(outputs)) > 20


@pytest.mark.parametrize("name", CASES)
def test_convolutions_pools_and_branches_equal_qkeras_bit_for_bit(name: str, tmp_path: Path) -> None:
    target, strategy = CASES[name]
    assert_equal_bits(*make(name, tmp_path / name, target, strategy, seed=3), n=600)


SLOW = [
    (name, Target(backend=backend, io_type=io_type), strategy)
    for name in ("dense", "conv1d", "conv2d")
    for backend in ("Vitis", "Vivado")
    for io_type in ("io_parallel", "io_stream")
    for strategy in ("latency", "resource")
    # hls4ml cannot build these: pools with other strides and resource depthwise convolutions
    if not (name == "conv1d" and io_type == "io_stream") and not (name == "conv2d" and strategy == "resource")
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target", "strategy"), SLOW)
def test_every_back_end_io_type_and_strategy_equals_qkeras(
    name: str, target: Target, strategy: str, tmp_path: Path
) -> None:
    for seed in (11, 12):
        assert_equal_bits(*make(name, tmp_path / f"{name}{seed}", target, strategy, seed), n=2000)


def test_the_quantized_student_and_its_project_agree_bit_for_bit(small_chain: SmallChain) -> None:
    student, project = small_chain.quantized, small_chain.converted.project
    assert_equal_bits(project, student.model(), student.precision, n=1500)


def test_it_compiles_once(small_chain: SmallChain) -> None:
    project = small_chain.converted.project
    x = np.zeros((3, *project.input_shape))
    run_csim(project, x)
    program = compile_csim(project)
    before = program.stat().st_ino
    again = run_csim(open_project(project.folder), x)
    assert again.compile_seconds < 1
    assert program.stat().st_ino == before


def test_a_program_that_was_cut_is_compiled_again_and_leftovers_of_the_dead_go(
    small_chain: SmallChain, tmp_path: Path
) -> None:
    project = fresh(small_chain.converted.project, tmp_path / "project")
    (project.folder / f"{project.top}_test.cpp").write_text("int main() { return 0; }\n")
    (project.folder / "firmware" / f"{project.top}.cpp").write_text("")
    program = compile_csim(project)
    whole = program.read_bytes()
    program.write_bytes(whole[: len(whole) // 2])
    mine = make_scratch(program.parent, "compile")
    parts = mine.name.split("-")
    parts[-2] = str(int(parts[-2]) - 1)  # as if of a process that is gone
    dead = mine.rename(mine.with_name("-".join(parts)))
    assert compile_csim(project) == program
    assert program.read_bytes() == whole
    assert not dead.exists()
    program.with_name(f"{program.name}.sha256").unlink()
    assert compile_csim(project).read_bytes() == whole


def test_samples_are_independent_of_how_they_are_shared_out(small_chain: SmallChain) -> None:
    project = small_chain.converted.project
    x = small_chain.quantized.precision.input.quantize(np.random.default_rng(1).normal(size=(1001, 5)))
    one, three = (run_csim(project, x, processes=processes).outputs for processes in (1, 3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(run_csim(project, x[7:8]).outputs[0], one[7])
    assert not [path.name for path in (project.folder / BUILD).iterdir() if path.name.startswith(".")]


def test_flat_inputs_are_taken_as_well(small_chain: SmallChain) -> None:
    project = small_chain.converted.project
    x = np.ones((2, project.n_inputs))
    np.testing.assert_array_equal(run_csim(project, x).outputs, run_csim(project, x.reshape(2, 5)).outputs)


def test_golden_outputs_that_differ_are_counted_not_raised(small_chain: SmallChain) -> None:
    project = small_chain.converted.project
    x = small_chain.quantized.precision.input.quantize(np.random.default_rng(2).normal(size=(40, 5)))
    outputs = run_csim(project, x).outputs
    golden = outputs.copy()
    golden[11, 1] += 1
    wrong = run_csim(project, x, golden)
    np.testing.assert_array_equal(wrong.outputs, outputs)
    assert "codesign: 40 samples, 40 compared, 1 differ, first 11" in wrong.log_path.read_text()
    right = run_csim(project, x, outputs)
    assert "codesign: 40 samples, 40 compared, 0 differ, first -1" in right.log_path.read_text()


def test_the_log_of_several_processes_is_read_as_a_report(small_chain: SmallChain) -> None:
    project = small_chain.converted.project
    x = small_chain.quantized.precision.input.quantize(np.random.default_rng(2).normal(size=(900, 5)))
    golden = run_csim(project, x).outputs
    right = read_csim_log(run_csim(project, x, golden, processes=3).log_path)
    assert (right.tool, right.passed, right.errors, right.failure) == ("g++", True, 0, None)
    golden[[450, 710], 1] += 1
    log_path = run_csim(project, x, golden, processes=3).log_path
    wrong = read_csim_log(log_path)
    assert (wrong.passed, wrong.errors) == (False, 2)
    assert wrong.failure == "2 of 900 compared samples differ, first 450"
    assert wrong.output[-1] == "codesign: in all 900 samples, 900 compared, 2 differ, first 450"
    log_path.write_text("\n".join(log_path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ReportFormatError) as caught:
        read_csim_log(log_path)
    assert str(caught.value).startswith(
        f"{log_path}: in all: the line is missing: the simulation is running still"
    )


def test_no_samples_no_outputs(small_chain: SmallChain) -> None:
    project = small_chain.converted.project
    assert run_csim(project, np.zeros((0, 5))).outputs.shape == (0, 3)


def test_inputs_of_another_shape_are_refused(small_chain: SmallChain) -> None:
    project = small_chain.converted.project
    with pytest.raises(DataError) as caught:
        run_csim(project, np.zeros((3, 4)))
    assert str(caught.value) == f"inputs have shape (4,), but the project {project.folder} takes (5,)"


def test_inputs_that_are_not_finite_are_refused(small_chain: SmallChain) -> None:
    x = np.full((2, 5), np.nan)
    with pytest.raises(
        DataError, match=r"^test vectors must be finite; remove the samples with NaN or infinities$"
    ):
        run_csim(small_chain.converted.project, x)


def fresh(project: HlsProject, folder: Path) -> HlsProject:
    """The project as if it had not been compiled; its files are not needed."""
    (folder / "firmware" / "weights").mkdir(parents=True)
    return replace(project, folder=folder)


def test_without_a_compiler_it_says_what_to_install(
    small_chain: SmallChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("CODESIGN_GXX", raising=False)
    with pytest.raises(ToolNotFoundError) as caught:
        compile_csim(fresh(small_chain.converted.project, tmp_path / "project"))
    assert str(caught.value) == (
        "the C++ compiler g++ was not found (looked for g++ on PATH); set CODESIGN_GXX to its path; "
        "install g++ (Debian: apt install g++)"
    )


def test_sources_that_do_not_compile_leave_no_program(small_chain: SmallChain, tmp_path: Path) -> None:
    project = fresh(small_chain.converted.project, tmp_path / "project")
    (project.folder / f"{project.top}_test.cpp").write_text("int main() { return nothing; }\n")
    (project.folder / "firmware" / f"{project.top}.cpp").write_text("")
    with pytest.raises(ToolFailedError) as caught:
        compile_csim(project)
    assert caught.value.exit_code == 1
    assert any("nothing" in line for line in caught.value.last_lines)
    log = caught.value.log_path
    assert (log.parent, log.suffix) == (programs_folder(PROGRAMS), ".log")
    assert not is_kept(log.with_suffix(""))
    assert not (project.folder / BUILD).exists()


@pytest.mark.slow
def test_programs_and_paths_of_this_machine_do_not_travel(small_chain: SmallChain, tmp_path: Path) -> None:
    made = small_chain.converted.project
    project = open_project(
        shutil.copytree(made.folder, tmp_path / "somebodys home", ignore=shutil.ignore_patterns(BUILD))
    )
    x = np.zeros((3, project.n_inputs))
    run_csim(project, x)
    trace_csim(project, x)
    assert (project.folder / BUILD / "csim.log").is_file()
    places = [os.fsencode(path) for path in (tmp_path, Path.home(), programs_folder(PROGRAMS), sys.prefix)]
    walked = [path for path in project.folder.rglob("*") if path.is_file()]
    assert len(walked) > 20
    for path in walked:
        data = path.read_bytes()
        assert not data.startswith((b"\x7fELF", b"!<arch>")), path
        assert not [place for place in places if place in data], path


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return 3;", "ended with exit code 3"),
        ("abort();", "ended with exit code -6"),
        ('fopen("tb_data/csim_results.log", "w"); return 0;', "0 of 2 samples came out"),
    ],
)
def test_a_program_that_fails_is_named(
    small_chain: SmallChain, tmp_path: Path, body: str, reason: str
) -> None:
    # a path with spaces, as people have them
    project = fresh(small_chain.converted.project, tmp_path / "my project")
    source = f"#include <cstdio>\n#include <cstdlib>\nint main() {{ {body} }}\n"
    (project.folder / f"{project.top}_test.cpp").write_text(source)
    (project.folder / "firmware" / f"{project.top}.cpp").write_text("")
    with pytest.raises(ToolFailedError) as caught:
        run_csim(project, np.zeros((2, 5)))
    assert reason in str(caught.value)
