"""Simulation of the Verilog with Verilator, and of its logic with alkaid's interpreter."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from codesign.core.files import CACHE_VARIABLE, is_kept, json_digest, keep, programs_folder
from codesign.core.locks import scratch
from codesign.core.process import run_process
from codesign.core.sealed import writable
from codesign.errors import ToolFailedError
from codesign.rtl.packing import Port, flat_inputs, pack_ports, unpack_ports
from codesign.rtl.project import RtlProject
from codesign.rtl.tools import Verilator, find_compiler, find_verilator

PROGRAMS = "verilator"
"""The folder of compiled simulations in the user's cache (`codesign.core.files.programs_folder`)."""

ELSEWHERE = f"simulations are built and run there: name another folder in {CACHE_VARIABLE}"
"""What to do about a cache that cannot be written."""

_SAMPLES_A_PROCESS = 2000
_SPLIT_STATEMENTS = 20000
_UNIT_BYTES = 500_000
# the fast parts at -O1: -O2 takes twice as long to compile and saves a few microseconds a sample
_FAST, _SLOW = "-O1", "-O0"
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")


@dataclass(frozen=True)
class Simulation:
    """A compiled simulation.

    Parameters
    ----------
    program
        The program, in the user's cache; it is built once for the same sources and tools, wherever they lie.
    build_seconds
        Wall time of building it, 0 if it stood already.
    verilator_version
        For example ``5.48.0``.
    """

    program: Path
    build_seconds: float
    verilator_version: str


def build_simulation(
    project: RtlProject, *, jobs: int | None = None, timeout_s: float | None = 1800.0
) -> Simulation:
    """Translate the Verilog to C++ and compile it, unless that stands already from these very sources.

    Parameters
    ----------
    project
        The project.
    jobs
        How many compilers at once; by default the machine's cores.
    timeout_s
        Wall time for each tool.

    Raises
    ------
    ToolNotFoundError
        Verilator or g++ is missing.
    ToolError
        One of them is too old or fails.
    """
    verilator, compiler = find_verilator(), find_compiler()
    started = time.monotonic()
    key = json_digest([project.digest, verilator.version, _harness(), _FAST, _SPLIT_STATEMENTS])
    folder = programs_folder(PROGRAMS)
    program = folder / f"simulation-{key[:32]}"
    if is_kept(program):
        return Simulation(program, 0.0, verilator.version)
    with writable(folder, ELSEWHERE), scratch(folder, "building") as temporary:
        _translate(project, verilator, temporary, folder / f"{program.name}.log", timeout_s)
        n_jobs = jobs or os.cpu_count() or 1
        keep(_compile(project, verilator, compiler.path, temporary, n_jobs, timeout_s), program)
        (folder / f"{program.name}.log").unlink(missing_ok=True)
    return Simulation(program, time.monotonic() - started, verilator.version)


def simulate(
    project: RtlProject,
    x: np.ndarray | Sequence[np.ndarray],
    *,
    processes: int | None = None,
    timeout_s: float | None = 3600.0,
) -> np.ndarray:
    """Compute with the simulated Verilog: one vector into the pipeline each clock, results after its latency.

    Parameters
    ----------
    project
        The project.
    x
        Inputs `(n_samples, *input_shape)`; several inputs as a sequence. The network's input types round and
        saturate them first.
    processes
        How many simulations share the samples; by default the machine's cores.
    timeout_s
        Wall time for each process.

    Returns
    -------
    np.ndarray
        float64 `(n_samples, n_outputs)`: the design's numbers, exactly; all outputs side by side, flat.

    Raises
    ------
    DataError
        Inputs that do not fit the design.
    ToolError
        Building or running the simulation fails.
    """
    values = flat_inputs(project.inputs, x)
    simulation = build_simulation(project, timeout_s=timeout_s)
    vectors = pack_ports(values, project.inputs)
    n_parts = max(1, min(processes or os.cpu_count() or 1, len(vectors) // _SAMPLES_A_PROCESS))

    folder = simulation.program.parent
    with writable(folder, ELSEWHERE), scratch(folder, "run") as work:

        def run(index: int, part: np.ndarray) -> np.ndarray:
            return _run(project, simulation, part, work / str(index), timeout_s)

        with ThreadPoolExecutor(n_parts) as pool:
            words = np.concatenate(list(pool.map(run, range(n_parts), np.array_split(vectors, n_parts))))
    return unpack_ports(words, project.outputs)


def interpret(project: RtlProject, x: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Compute with alkaid's interpreter of the logic that the Verilog was made from; no tool is needed.

    Parameters
    ----------
    project
        The project.
    x
        As for `simulate`.

    Returns
    -------
    np.ndarray
        float64 `(n_samples, n_outputs)`.
    """
    values = flat_inputs(project.inputs, x)
    if not len(values):
        return np.zeros((0, sum(len(port.fields) for port in project.outputs)))
    return np.asarray(project.logic().predict(values))


def _words(ports: Sequence[Port]) -> int:
    return sum(port.words for port in ports)


def _ports_header(project: RtlProject) -> str:
    """How the harness drives and reads the design's own signals."""
    lines = []
    for function, move, words, ports in (
        ("load_inputs", "load", "const std::uint32_t *", project.inputs),
        ("store_outputs", "store", "std::uint32_t *", project.outputs),
    ):
        at, body = 0, []
        for port in ports:
            if port.width:
                body.append(f"    {move}(dut.{port.signal}, words + {at}, {port.words});")
            at += port.words
        lines += [f"void {function}(Vdut &dut, {words}words) {{", *body, "}", ""]
    interface = project.interface
    idle = {"in_valid": 1, "out_ready": 1, "rst": 0, "rst_n": 1}
    begin = [f"    dut.{name} = {idle[name]};" for name, _, _ in interface.controls() if name in idle]
    valid = "dut.out_valid" if interface.has_valid else "true"
    return "\n".join(
        [
            *lines,
            "void begin(Vdut &dut) {",
            *begin,
            "}",
            "",
            f"bool is_valid(Vdut &dut) {{ return {valid}; }}",
            "",
        ]
    )


def _harness() -> str:
    return files("codesign.rtl").joinpath("templates", "harness.cpp").read_text(encoding="utf-8")


def _translate(
    project: RtlProject, verilator: Verilator, folder: Path, log_path: Path, timeout_s: float | None
) -> None:
    command: list[str | Path] = [
        verilator.program,
        "--cc",
        "--Mdir",
        folder.absolute(),
        *("--top-module", project.top, "--prefix", "Vdut"),
        *("-Wno-fatal", "-Wno-WIDTH", "-Wno-UNUSED", "--no-timing", "--noassert", "--no-decoration"),
        *("--x-assign", "fast", "--x-initial", "fast"),
        *("--output-split", str(_SPLIT_STATEMENTS)),
        *(path.absolute() for path in project.sources),
    ]
    run_process(command, cwd=folder, env=verilator.environment, timeout_s=timeout_s, log_path=log_path)


def _compile(
    project: RtlProject,
    verilator: Verilator,
    compiler: Path,
    folder: Path,
    jobs: int,
    timeout_s: float | None,
) -> Path:
    """Compile what Verilator wrote, its run-time library and the harness."""
    (folder / "harness.cpp").write_text(_harness(), encoding="utf-8")
    (folder / "ports.h").write_text(_ports_header(project), encoding="utf-8")
    include = verilator.root / "include"
    flags = [
        "-std=c++17",
        "-w",
        "-DVL_TIME_CONTEXT",
        f"-DINPUT_WORDS={_words(project.inputs)}",
        f"-DOUTPUT_WORDS={_words(project.outputs)}",
        f"-DLATENCY={project.latency_cycles}",
        f"-I{include}",
        f"-I{include / 'vltstd'}",
        "-I.",
    ]

    def compile_unit(unit: tuple[Path, str]) -> str:
        source, level = unit
        command: list[str | Path] = [compiler, *flags, level, "-c", source.name, "-o", f"{source.stem}.o"]
        run_process(command, cwd=folder, timeout_s=timeout_s)
        return f"{source.stem}.o"

    with ThreadPoolExecutor(jobs) as pool:
        objects = list(pool.map(compile_unit, _units(folder, include, jobs)))
    run_process([compiler, *objects, "-pthread", "-o", "simulation"], cwd=folder, timeout_s=timeout_s)
    return folder / "simulation"


def _units(folder: Path, include: Path, jobs: int) -> list[tuple[Path, str]]:
    """Gather sources in a few files for the compiler: each of them would read the same long headers again.

    Returns
    -------
    list of tuple
        Files to compile and their level of optimisation, the longest first.
    """
    slow = [path for path in folder.glob("*.cpp") if "Slow" in path.name or path.name == "Vdut.cpp"]
    fast = [path for path in folder.glob("*.cpp") if path not in slow]
    units = []
    for name, sources, level in (("fast", fast, _FAST), ("slow", slow, _SLOW)):
        count = min(jobs, 1 + sum(path.stat().st_size for path in sources) // _UNIT_BYTES)
        bins: list[list[Path]] = [[] for _ in range(count)]
        for path in sorted(sources, key=lambda path: (-path.stat().st_size, path.name)):
            min(bins, key=lambda held: sum(other.stat().st_size for other in held)).append(path)
        for index, held in enumerate(bins):
            units.append((_unit(folder / f"unit_{name}{index}.cpp", held), level))
    runtime = _unit(folder / "unit_runtime.cpp", [include / name for name in _RUNTIME])
    return [*units, (runtime, _SLOW)]


def _unit(path: Path, sources: Sequence[Path]) -> Path:
    path.write_text("".join(f'#include "{source.absolute()}"\n' for source in sources), encoding="utf-8")
    return path


def _run(
    project: RtlProject, simulation: Simulation, vectors: np.ndarray, folder: Path, timeout_s: float | None
) -> np.ndarray:
    """Run one process on its share of the vectors."""
    n_words = _words(project.outputs)
    folder.mkdir()
    np.ascontiguousarray(vectors, dtype="<u4").tofile(folder / "inputs.bin")
    done = run_process(
        [simulation.program.absolute(), "inputs.bin", "outputs.bin"], cwd=folder, timeout_s=timeout_s
    )
    words = np.fromfile(folder / "outputs.bin", dtype="<u4")
    if words.size != len(vectors) * n_words:
        reason = f"{words.size // max(n_words, 1)} of {len(vectors)} samples came out"
        raise ToolFailedError(done.command, done.exit_code, done.last_lines, reason=reason)
    return words.astype(np.uint32).reshape(len(vectors), n_words)
