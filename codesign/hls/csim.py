"""C simulation without vendor tools: the project's own test bench, compiled by g++ with the bundled headers."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.core.files import CACHE_ADVICE, is_kept, json_digest, keep, programs_folder, write_text
from codesign.core.locks import scratch
from codesign.core.process import run_process
from codesign.core.sealed import writable
from codesign.core.shown import Brief
from codesign.errors import DataError, ToolFailedError
from codesign.hls.project import HlsProject
from codesign.hls.testbench import read_outputs, write_vectors
from codesign.hls.toolchain import GXX

BUILD = "build_gcc"
"""The folder below a project for the log of a simulation; not part of the manifest."""

ELSEWHERE = "the simulation's log is written there: copy the project to where there is room to write"
"""What to do about a project that cannot be written."""

PROGRAMS = "csim"
"""The folder of compiled C++ in the user's cache (`codesign.core.files.programs_folder`)."""

_SAMPLES_A_PROCESS = 250
_SUMMARY = re.compile(r"^codesign: (\d+) samples, (\d+) compared, (\d+) differ, first (-?\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class CsimResult(Brief):
    """What a C simulation computed.

    Parameters
    ----------
    outputs
        float64 of shape `(n_samples, n_outputs)`: the design's numbers, exactly; several outputs side by side.
    compile_seconds, run_seconds
        Wall time; compiling is 0 when the program was there already.
    log_path
        What all processes printed, and the total; `codesign.reports.read_csim_log` reads it.
    """

    outputs: np.ndarray
    compile_seconds: float
    run_seconds: float
    log_path: Path


def compile_csim(project: HlsProject, *, timeout_s: float | None = 1800.0) -> Path:
    """Compile the test bench, unless it already stands compiled from these very sources.

    Returns
    -------
    Path
        The program, in the user's cache: it holds paths of this machine and does not travel with the project.

    Raises
    ------
    ToolNotFoundError, ToolFailedError
        If there is no g++, or it fails.
    """
    folder = programs_folder(PROGRAMS)
    weights = (project.folder / "firmware" / "weights").resolve()
    # the program reads the weights from where they were: a project that was moved is compiled anew
    program = folder / f"csim-{json_digest([project.digest, str(weights)])[:32]}"
    if is_kept(program):
        return program
    log = folder / f"{program.name}.log"
    with writable(folder, CACHE_ADVICE), scratch(folder, "compile") as temporary:
        _compile(project, weights, temporary / "csim", log, timeout_s)
        keep(temporary / "csim", program)
        log.unlink(missing_ok=True)
    return program


def _compile(project: HlsProject, weights: Path, program: Path, log: Path, timeout_s: float | None) -> None:
    command: list[str | Path] = [
        GXX.find().path,
        "-std=c++14",
        "-O2",
        "-w",
        "-fno-gnu-unique",
        "-I.",
        "-Ifirmware/ap_types",
        f"-DWEIGHTS_DIR={c_string(weights)}",
        f"{project.top}_test.cpp",
        f"firmware/{project.top}.cpp",
        "-o",
        str(program.resolve()),
    ]
    run_process(command, cwd=project.folder, timeout_s=timeout_s, log_path=log)


def check_compiler(*, timeout_s: float = 120.0) -> None:
    """Compile a program of one line, as a test bench is compiled.

    Raises
    ------
    ToolNotFoundError
        If there is no g++.
    ToolFailedError
        If it is there and cannot compile, with what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "one.cpp", Path(folder) / "one"
        source.write_text(
            "#include <cmath>\n#include <iostream>\nint main() { std::cout << std::sqrt(1.0); }\n"
        )
        run_process(
            [GXX.find().path, "-std=c++14", str(source), "-o", str(program)], cwd=folder, timeout_s=timeout_s
        )
        run_process([program], cwd=folder, timeout_s=timeout_s)


def c_string(path: str | Path) -> str:
    """A path as C++ spells it."""
    escaped = "".join(
        f"\\{ord(char):03o}" if char in '"\\?' or ord(char) < 32 else char for char in str(path)
    )
    return f'"{escaped}"'


def run_csim(
    project: HlsProject,
    x: np.ndarray,
    golden: np.ndarray | None = None,
    *,
    processes: int | None = None,
    timeout_s: float | None = 3600.0,
) -> CsimResult:
    """Simulate a project on given inputs, large sets in several processes.

    Parameters
    ----------
    project
        The project.
    x
        Inputs of shape `(n_samples, *input_shape)`, several side by side; the design's input type rounds and saturates them.
    golden
        Outputs for the test bench to compare with, or ``None``; a difference does not raise here, the outputs tell.
    processes
        How many at once; by default the machine's cores.
    timeout_s
        Wall time for each process.

    Raises
    ------
    DataError
        If `x` does not fit the project.
    ToolError
        If compiling or running fails.
    """
    x = np.asarray(x)
    if x.shape[1:] != project.input_shape and x.shape[1:] != (project.n_inputs,):
        raise DataError(
            f"inputs have shape {x.shape[1:]}, but the project {project.folder} takes {project.input_shape}"
        )
    started = time.monotonic()
    program = compile_csim(project, timeout_s=timeout_s)
    compiled = time.monotonic()
    processes = processes or os.cpu_count() or 1
    n_parts = max(1, min(processes, len(x) // _SAMPLES_A_PROCESS))
    parts = np.array_split(np.arange(len(x)), n_parts)
    log_path = project.folder / BUILD / "csim.log"
    logs = [""] * n_parts

    def run(index: int, folder: Path) -> np.ndarray:
        part = parts[index]
        try:
            write_vectors(folder, x[part], None if golden is None else golden[part])
            log = folder / "csim.log"
            done = run_process(
                [program.resolve()], cwd=folder, timeout_s=timeout_s, log_path=log, check=False
            )
            # the bench ends with 1 when a sample differs from its golden line: that is a result, not a failure
            if done.exit_code not in (0, 1):
                raise ToolFailedError(done.command, done.exit_code, done.last_lines, log_path)
            outputs = read_outputs(folder / "tb_data" / "csim_results.log", project.n_outputs)
            if len(outputs) != len(part):
                reason = f"{len(outputs)} of {len(part)} samples came out"
                raise ToolFailedError(done.command, done.exit_code, done.last_lines, log_path, reason)
            return outputs
        finally:
            if (folder / "csim.log").is_file():
                logs[index] = (folder / "csim.log").read_text(encoding="utf-8", errors="replace")

    with writable(log_path.parent, ELSEWHERE), scratch(log_path.parent, "run") as work:
        folders = [work / str(index) for index in range(n_parts)]
        for folder in folders:
            folder.mkdir()
        try:
            with ThreadPoolExecutor(n_parts) as pool:
                outputs = np.concatenate(list(pool.map(run, range(n_parts), folders)))
        finally:
            write_text(log_path, _whole_log(logs, parts))
    done = time.monotonic()
    return CsimResult(outputs, compiled - started, done - compiled, log_path)


def _whole_log(logs: Sequence[str], parts: Sequence[np.ndarray]) -> str:
    """What all processes printed; the total is missing if one of them did not end well."""
    lines = [
        f"codesign: C simulation by g++ in {len(logs)} processes",
        *(log.rstrip("\n") for log in logs if log),
    ]
    found = [_SUMMARY.search(log) for log in logs]
    summaries = [[int(number) for number in match.groups()] for match in found if match is not None]
    if len(summaries) == len(parts):
        firsts = [part[first] for part, (*_, first) in zip(parts, summaries, strict=True) if first >= 0]
        samples, compared, differ, _ = (sum(numbers) for numbers in zip(*summaries, strict=True))
        first = min(firsts, default=-1)
        lines.append(
            f"codesign: in all {samples} samples, {compared} compared, {differ} differ, first {first}"
        )
    return "\n".join(lines) + "\n"
