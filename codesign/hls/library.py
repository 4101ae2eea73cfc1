"""A project's C++ as a shared library with a C interface: a namespace of its own, its weights inside, a golden test.

What experiments link into their own programs (a trigger's emulation, for one). Two networks live in one program, since
all that hls4ml writes stands in the library's namespace and only its C functions are visible.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.files import write_text
from codesign.core.process import run_process
from codesign.core.sealed import EMULATOR, field
from codesign.core.target import check_top
from codesign.errors import ConversionError, ToolFailedError
from codesign.hls.project import HlsProject
from codesign.hls.testbench import read_vectors
from codesign.hls.toolchain import GXX

_FIRMWARE = "firmware"
_INCLUDE = re.compile(r'^[ \t]*#include ([<"])([^>"]+)[>"]', re.MULTILINE)
_CALL = re.compile(
    r"std::ostringstream line;\n\s*line << std::setprecision\(17\);\n(?P<call>.*?)\n\s*results << line\.str\(\);",
    re.DOTALL,
)
_PRINT = re.compile(r"nnet::print_result<(?P<type>\w+), (?P<size>[^>]+)>\((?P<name>\w+), line\);")
_LOADING = re.compile(r"#ifndef __SYNTHESIS__\n\s*static bool loaded_weights = false;.*?#endif\n", re.DOTALL)
_WEIGHTS = re.compile(r"#ifndef __SYNTHESIS__\n.*?#else\n(.*?)\n\s*#endif\n", re.DOTALL)

_SOURCE = """\
// Written by codesign: the network @NAME@ as a library. Everything but the C functions of @NAME@.h is in the namespace @NAME@.
@OUTSIDE@
#include "@NAME@.h"

namespace @NAME@ {
#include "firmware/@TOP@.cpp"

namespace nnet {
bool trace_enabled = false;
std::map<std::string, void *> *trace_outputs = nullptr;
size_t trace_type_size = sizeof(double);
}  // namespace nnet

template <class T> void take(const T *values, int count, double *&out) {
    for (int i = 0; i < count; ++i) *out++ = static_cast<double>(values[i]);
}

template <class T> void take(hls::stream<T> &values, int count, double *&out) {
    for (int i = 0; i < count / static_cast<int>(T::size); ++i) {
        const T pack = values.read();
        for (unsigned j = 0; j < T::size; ++j) *out++ = static_cast<double>(pack[j]);
    }
}

void compute(const std::vector<double> &in, double *out) {
@CALL@
}

// tables and the states of recurrent layers are static in hls4ml's code
std::mutex turn;
}  // namespace @NAME@

extern "C" {
int @NAME@_n_inputs(void) { return @N_INPUTS@; }
int @NAME@_n_outputs(void) { return @N_OUTPUTS@; }
const char *@NAME@_digest(void) { return "@DIGEST@"; }
void @NAME@_predict(const double *inputs, double *outputs, size_t n_samples) {
    std::lock_guard<std::mutex> mine(@NAME@::turn);
    std::vector<double> sample(@N_INPUTS@);
    for (size_t i = 0; i < n_samples; ++i) {
        sample.assign(inputs + i * @N_INPUTS@, inputs + (i + 1) * @N_INPUTS@);
        @NAME@::compute(sample, outputs + i * @N_OUTPUTS@);
    }
}
}
"""

_HEADER = """\
/* Written by codesign: the C interface of the network @NAME@. Any thread may call it: calls of one network wait for each other,
   those of different networks do not. */
#ifndef CODESIGN_@NAME@_H
#define CODESIGN_@NAME@_H

#include <stddef.h>

#if defined(_WIN32)
#define CODESIGN_VISIBLE __declspec(dllexport)
#else
#define CODESIGN_VISIBLE __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* values of a sample: @INPUTS@ */
CODESIGN_VISIBLE int @NAME@_n_inputs(void);
/* results of a sample: @OUTPUTS@ */
CODESIGN_VISIBLE int @NAME@_n_outputs(void);
/* SHA-256 of the project that it was made of */
CODESIGN_VISIBLE const char *@NAME@_digest(void);
/* inputs: n_samples rows of @NAME@_n_inputs() values, which the network's input type rounds and saturates;
   outputs: n_samples rows of @NAME@_n_outputs() values, the hardware's own numbers */
CODESIGN_VISIBLE void @NAME@_predict(const double *inputs, double *outputs, size_t n_samples);

#ifdef __cplusplus
}
#endif
#undef CODESIGN_VISIBLE
#endif
"""

_MAKEFILE = """\
# make: the library; make test: the golden vectors through it.
CXX ?= g++
CXXFLAGS ?= -O2
FLAGS := -std=c++14 -pthread -w -fPIC -fvisibility=hidden -fno-gnu-unique -Ifirmware/ap_types

lib@NAME@.so: @NAME@.cpp @NAME@.h
\t$(CXX) $(FLAGS) $(CXXFLAGS) -shared -o $@ @NAME@.cpp

.PHONY: test clean
test: lib@NAME@.so
\t$(CC) -o test_@NAME@ test_@NAME@.c -L. -l@NAME@ -Wl,-rpath,'$$ORIGIN'
\t./test_@NAME@

clean:
\trm -f lib@NAME@.so test_@NAME@
"""

_TEST = """\
/* The golden vectors of the project through the library; ends with 0 if every number is the same. */
#include <stdio.h>
#include "@NAME@.h"
#include "golden.h"

int main(void) {
    static double outputs[GOLDEN_SAMPLES * GOLDEN_OUTPUTS];
    int wrong = 0, i, j;
    if (@NAME@_n_inputs() != GOLDEN_INPUTS || @NAME@_n_outputs() != GOLDEN_OUTPUTS) return 2;
    @NAME@_predict(golden_inputs, outputs, GOLDEN_SAMPLES);
    for (i = 0; i < GOLDEN_SAMPLES; ++i) {
        int differs = 0;
        for (j = 0; j < GOLDEN_OUTPUTS; ++j)
            differs |= outputs[i * GOLDEN_OUTPUTS + j] != golden_outputs[i * GOLDEN_OUTPUTS + j];
        wrong += differs;
    }
    printf("@NAME@: %d golden vectors, %d mismatches\\n", GOLDEN_SAMPLES, wrong);
    return wrong != 0;
}
"""

_EXAMPLE = '''\
"""Compute with this network, and with others beside it, through ctypes: python example.py [FOLDER_OF_ANOTHER ...]"""

import ctypes
import json
import pathlib
import sys


class Network:
    """A library that codesign wrote.

    Parameters
    ----------
    folder
        Where it lies.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.name = json.loads((self.folder / "codesign_emulator.json").read_text())["name"]
        library = ctypes.CDLL(str((self.folder / f"lib{self.name}.so").resolve()))
        self.n_inputs = getattr(library, f"{self.name}_n_inputs")()
        self.n_outputs = getattr(library, f"{self.name}_n_outputs")()
        self._predict = getattr(library, f"{self.name}_predict")
        doubles = ctypes.POINTER(ctypes.c_double)
        self._predict.argtypes, self._predict.restype = [doubles, doubles, ctypes.c_size_t], None

    def predict(self, samples):
        """Give the results of samples, lists of numbers."""
        inputs = (ctypes.c_double * (len(samples) * self.n_inputs))(*(x for sample in samples for x in sample))
        outputs = (ctypes.c_double * (len(samples) * self.n_outputs))()
        self._predict(inputs, outputs, len(samples))
        return [list(outputs[i : i + self.n_outputs]) for i in range(0, len(outputs), self.n_outputs)]


def main():
    networks = [Network(folder) for folder in (pathlib.Path(__file__).parent, *sys.argv[1:])]
    golden = [json.loads((network.folder / "golden.json").read_text()) for network in networks]
    wrong = [0] * len(networks)
    # all networks at once, sample by sample
    for at in range(max(len(vectors["inputs"]) for vectors in golden)):
        for which, (network, vectors) in enumerate(zip(networks, golden)):
            if at < len(vectors["inputs"]):
                (result,) = network.predict([vectors["inputs"][at]])
                wrong[which] += result != vectors["outputs"][at]
    for network, vectors, count in zip(networks, golden, wrong):
        print(f"{network.name}: {len(vectors['inputs'])} golden vectors, {count} mismatches")
    return int(any(wrong))


if __name__ == "__main__":
    sys.exit(main())
'''

_README = """\
# @NAME@: the network as a library

`make` builds `lib@NAME@.so` with any C++14 compiler and the headers here, `make test` sends the project's golden vectors
through it, `python example.py` does so by ctypes (name the folders of other networks to load them beside it). The interface
is in `@NAME@.h`: doubles in, the hardware's own numbers out, as the C++ of the HLS project computes them.

All of the project's C++ is in the namespace `@NAME@` and hidden, its weights are compiled in, and nothing is read from disk: as
many networks as have names fit one program, linked or loaded. `@NAME@.cpp` may also be compiled into a program directly
(`-std=c++14 -Ifirmware/ap_types -pthread`). Any thread may call a network: calls of one network wait for each other.

Inputs of a sample: @INPUTS@. Outputs: @OUTPUTS@.
"""


@dataclass(frozen=True)
class EmulatorLibrary:
    """The sources of a library on disk.

    Parameters
    ----------
    folder
        Where they lie.
    name
        Its namespace, the prefix of its functions and the name of its file.
    project_digest
        Of the project that it was made of.
    """

    folder: Path
    name: str
    project_digest: str

    @property
    def path(self) -> Path:
        """The library, once it is built."""
        return self.folder / f"lib{self.name}.so"


def write_library(
    project: HlsProject, folder: str | Path, *, name: str | None = None, overwrite: bool = False
) -> EmulatorLibrary:
    """Write a project's C++ as the sources of a library.

    Parameters
    ----------
    project
        The project; its golden vectors become the library's test.
    folder
        A new folder.
    name
        The namespace; by default the project's top function.
    overwrite
        Replace a library that is there.

    Raises
    ------
    SettingsError
        A name that is none.
    ConversionError
        The project's C++ has another form than hls4ml 1.3 gives it.
    OutputFolderError
        `folder` is taken or cannot be written.
    """
    name = check_top(project.top if name is None else name, setting="name")
    vectors, golden = read_vectors(project.folder, project.n_outputs)

    def fill(temporary: Path) -> dict[str, Any]:
        _copy_firmware(project, temporary / _FIRMWARE)
        graph = project.graph()
        values = {
            "NAME": name,
            "TOP": project.top,
            "OUTSIDE": "\n".join(_outside(temporary / _FIRMWARE)),
            "CALL": _call(project),
            "N_INPUTS": str(project.n_inputs),
            "N_OUTPUTS": str(project.n_outputs),
            "DIGEST": project.digest,
            "INPUTS": _listed(graph, graph.inputs),
            "OUTPUTS": _listed(graph, graph.outputs),
        }
        texts = {
            f"{name}.cpp": _SOURCE, f"{name}.h": _HEADER, "Makefile": _MAKEFILE, f"test_{name}.c": _TEST,
            "example.py": _EXAMPLE, "README.md": _README,
        }  # fmt: skip
        for file, text in texts.items():
            write_text(temporary / file, re.sub(r"@([A-Z_]+)@", lambda key: values[key[1]], text))
        write_text(temporary / "golden.h", _golden_header(vectors, golden))
        listed = {"inputs": vectors.tolist(), "outputs": golden.tolist()}
        write_text(temporary / "golden.json", json.dumps(listed, allow_nan=False) + "\n")
        return {"name": name, "project_digest": project.digest}

    EMULATOR.write(folder, fill, overwrite=overwrite)
    return open_library(folder)


def open_library(folder: str | Path) -> EmulatorLibrary:
    """Read a library's manifest and check every source against it.

    Raises
    ------
    StaleProjectError
        The folder is no library, is half written, or a source is missing or was changed.
    """
    manifest = EMULATOR.open(folder)
    return manifest.of(
        lambda values: EmulatorLibrary(
            Path(folder), field(values, "name", str), field(values, "project_digest", str)
        )
    )


def build_library(library: EmulatorLibrary, *, timeout_s: float | None = 1800.0) -> str:
    """Build a library with make and send its golden vectors through it.

    Returns
    -------
    str
        What the test said.

    Raises
    ------
    ToolNotFoundError
        There is no g++.
    ToolFailedError
        It does not compile, or a vector differs.
    """
    command = ["make", f"CXX={GXX.find().path}", "test"]
    done = run_process(command, cwd=library.folder, timeout_s=timeout_s)
    said = [line for line in done.last_lines if "golden vectors" in line]
    if not said:
        raise ToolFailedError(
            done.command, done.exit_code, done.last_lines, reason="the test of the library said nothing"
        )
    return said[-1]


def _copy_firmware(project: HlsProject, folder: Path) -> None:
    """Copy the C++ with the weights as constants in the sources, and without the code that reads them from disk."""
    home = project.folder / _FIRMWARE
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("*.txt"))
    for path in sorted((folder / "weights").glob("*.h")):
        text, count = _WEIGHTS.subn(r"static \1\n", path.read_text(encoding="utf-8"))
        if count != 1:
            raise ConversionError(f"{home / 'weights' / path.name} is not a header of hls4ml 1.3")
        path.write_text(text, encoding="utf-8")
    path = folder / f"{project.top}.cpp"
    text, count = _LOADING.subn("", path.read_text(encoding="utf-8"))
    if count > 1 or "load_weights_from_txt" in text:
        raise ConversionError(f"{home / path.name} loads weights in another way than hls4ml 1.3 does")
    path.write_text(text, encoding="utf-8")


def _outside(firmware: Path) -> Iterator[str]:
    """The headers that must not stand in the namespace: the system's, and those of `ap_types`, which all networks share."""
    system, shared = {"<cstddef>", "<map>", "<mutex>", "<string>", "<vector>"}, set()
    for path in [*firmware.glob("*.[ch]*"), *(firmware / "nnet_utils").glob("*.h")]:
        for sign, name in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            if (firmware / "ap_types" / name).is_file():
                shared.add(name)
            elif sign == "<":
                system.add(f"<{name}>")
    yield from (f"#include {name}" for name in sorted(system))
    yield from (f'#include "{name}"' for name in sorted(shared))


def _call(project: HlsProject) -> str:
    """The lines of the project's test bench that call it, giving the results as doubles."""
    path = project.folder / f"{project.top}_test.cpp"
    found = _CALL.search(path.read_text(encoding="utf-8"))
    if found is None or not _PRINT.search(found["call"]):
        raise ConversionError(f"{path} is no test bench of this version; convert again")
    lines = _PRINT.sub(r"take(\g<name>, \g<size>, out);", found["call"]).splitlines()
    return "\n".join(f"    {line.strip()}" for line in lines)


def _listed(graph: Any, names: Any) -> str:
    return ", ".join(
        f"{name} {'x'.join(map(str, graph[name].output_shape))} ({graph[name].result})" for name in names
    )


def _golden_header(vectors: np.ndarray, golden: np.ndarray) -> str:
    """The vectors as C arrays, in the hexadecimal form that holds a double exactly."""

    def rows(values: np.ndarray) -> str:
        return ",\n".join("    " + ", ".join(float(x).hex() for x in row) for row in values)

    return (
        f"#define GOLDEN_SAMPLES {len(vectors)}\n#define GOLDEN_INPUTS {vectors.shape[1]}\n"
        f"#define GOLDEN_OUTPUTS {golden.shape[1]}\n"
        f"static const double golden_inputs[] = {{\n{rows(vectors)}\n}};\n"
        f"static const double golden_outputs[] = {{\n{rows(golden)}\n}};\n"
    )
