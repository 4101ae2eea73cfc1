"""The result of every layer of a project's C++, compiled by g++."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from codesign.core.files import CACHE_ADVICE, json_digest, programs_folder, write_text
from codesign.core.locks import scratch
from codesign.core.process import run_process
from codesign.core.sealed import writable
from codesign.errors import StaleProjectError
from codesign.hls.csim import PROGRAMS, c_string
from codesign.hls.graph import Graph
from codesign.hls.project import HlsProject
from codesign.hls.testbench import read_outputs, write_vectors
from codesign.hls.toolchain import GXX

_CALL = re.compile(r"^\s*nnet::\w+<.*>\((?P<arguments>[^()]*)\);\s*//\s*(?P<name>\w+)\s*$")
_ALIAS = re.compile(r"^\s*auto& (\w+) = \w+;$")
"""Another name of values, as for a Flatten."""

_ENABLED = "bool trace_enabled = false;"
_OUTPUTS = "trace_outputs = NULL;"
_AFTER = "results << line.str();"
_START = "int main() {"


def trace_csim(
    project: HlsProject, x: np.ndarray, *, timeout_s: float | None = 1800.0
) -> dict[str, np.ndarray]:
    """Run a project's C++ and keep what each layer computes.

    The project is not changed: a copy of its top function saves every layer's result with hls4ml's own
    `save_layer_output`.

    Parameters
    ----------
    project
        The project.
    x
        Inputs `(n_samples, *input_shape)`.
    timeout_s
        Wall time for compiling and for running.

    Returns
    -------
    dict of ndarray
        float64 `(n_samples, *output_shape)` by layer, for every layer that has a call in the C++; layers that only
        give another name to values (a Flatten) have none.

    Raises
    ------
    ToolError
        If g++ is missing or fails.
    StaleProjectError
        If the sources are not those that `write_project` makes.
    """
    graph = project.graph()
    programs = programs_folder(PROGRAMS)
    # as many logs as projects, and none after a run that went well
    log = programs / f"trace-{json_digest([project.digest, str(project.folder.resolve())])[:32]}.log"
    with writable(programs, CACHE_ADVICE), scratch(programs, "trace") as folder:
        names = _write_sources(project, graph, folder)
        program = folder / "trace"
        weights = (project.folder / "firmware" / "weights").resolve()
        command: list[str | Path] = [GXX.find().path, "-std=c++14", "-O0", "-w", "-fno-gnu-unique"]
        command += ["-I.", "-Ifirmware", "-Ifirmware/ap_types", f"-DWEIGHTS_DIR={c_string(weights)}"]
        command += [str((folder / name).resolve()) for name in ("top.cpp", "bench.cpp")]
        command += ["-o", str(program.resolve())]
        run_process(command, cwd=project.folder, timeout_s=timeout_s, log_path=log)
        write_vectors(folder, x)
        run_process([program.resolve()], cwd=folder, timeout_s=timeout_s, log_path=log)
        log.unlink(missing_ok=True)
        return {name: _trace_of(folder, graph, name) for name in names}


def _trace_of(folder: Path, graph: Graph, name: str) -> np.ndarray:
    shape = graph[name].output_shape
    values = read_outputs(folder / "tb_data" / f"{name}.trace", math.prod(shape))
    return values.reshape(-1, *shape)


def _write_sources(project: HlsProject, graph: Graph, folder: Path) -> list[str]:
    """Write the top function and the bench that save every layer; return the layers' names."""
    known = {node.name for node in graph}
    lines, names, seen = [], [], set(graph.inputs)
    for line in (project.folder / "firmware" / f"{project.top}.cpp").read_text(encoding="utf-8").splitlines():
        lines.append(line)
        seen.update(_ALIAS.findall(line))
        call = _CALL.match(line)
        if call is None:
            continue
        words = [word.strip() for word in call["arguments"].split(",")]
        # what a call names for the first time is its result
        new = [word for word in words if re.fullmatch(r"layer\w+", word) and word not in seen]
        seen.update(words)
        if new and call["name"] in known:
            size = math.prod(graph[call["name"]].output_shape)
            lines.append(f'    nnet::save_layer_output({new[0]}, "{call["name"]}", {size});')
            names.append(call["name"])
    write_text(folder / "top.cpp", "\n".join(lines) + "\n")
    bench = (project.folder / f"{project.top}_test.cpp").read_text(encoding="utf-8")
    if not names or not all(mark in bench for mark in (_ENABLED, _OUTPUTS, _AFTER, _START)):
        raise StaleProjectError(f"{project.folder} has other sources than codesign writes; convert again")
    write_text(folder / "bench.cpp", _bench(bench, graph, names))
    return names


def _bench(bench: str, graph: Graph, names: list[str]) -> str:
    storage, after = [_START], [_AFTER]
    for name in names:
        size = math.prod(graph[name].output_shape)
        storage.append(f"    static double trace_{name}[{size}];")
        storage.append(f'    (*nnet::trace_outputs)["{name}"] = trace_{name};')
        storage.append(f'    std::ofstream file_{name}("tb_data/{name}.trace");')
        storage.append(f"    file_{name} << std::setprecision(17);")
        after.append(f'        for (double value : trace_{name}) file_{name} << value << " ";')
        after.append(f'        file_{name} << "\\n";')
    bench = bench.replace(_ENABLED, "bool trace_enabled = true;")
    bench = bench.replace(_OUTPUTS, "trace_outputs = new std::map<std::string, void *>();")
    return bench.replace(_AFTER, "\n".join(after)).replace(_START, "\n".join(storage))
