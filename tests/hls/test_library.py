"""The emulator as a library: the project's own numbers through C, two networks in one program."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small_networks import MODELS
from test_csim import make

from codesign.core.target import Target
from codesign.errors import (
    ConversionError,
    OutputFolderError,
    SettingsError,
    StaleProjectError,
    ToolFailedError,
)
from codesign.hls.csim import run_csim
from codesign.hls.library import EmulatorLibrary, build_library, open_library, write_library
from codesign.hls.project import HlsProject


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[HlsProject]:
    """One in parallel and one as streams; their layers, types and top functions have the same names."""
    folder = tmp_path_factory.mktemp("projects")
    return [
        make("dense", folder / "parallel", Target(), "latency", seed=3)[0],
        make("dense", folder / "stream", Target(io_type="io_stream"), "latency", seed=4)[0],
    ]


@pytest.fixture(scope="module")
def libraries(projects: list[HlsProject], tmp_path_factory: pytest.TempPathFactory) -> list[EmulatorLibrary]:
    folder = tmp_path_factory.mktemp("libraries")
    made = []
    for project, name in zip(projects, ("jets", "muons"), strict=True):
        made.append(write_library(project, folder / name, name=name))
        assert build_library(made[-1]) == f"{name}: 10 golden vectors, 0 mismatches"
    return made


def python(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)


def test_two_networks_live_in_one_process_by_ctypes(libraries: list[EmulatorLibrary]) -> None:
    done = python(libraries[0].folder / "example.py", libraries[1].folder)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["jets: 10 golden vectors, 0 mismatches", "muons: 10 golden vectors, 0 mismatches"],
    ), done.stderr


@pytest.mark.slow
def test_they_compute_what_csim_does(libraries: list[EmulatorLibrary], projects: list[HlsProject]) -> None:
    spec = "import sys, json; sys.path.insert(0, sys.argv[1]); from example import Network\n"
    spec += "print(json.dumps([Network(folder).predict(json.load(open(folder + '/x.json'))) for folder in sys.argv[1:]]))"
    rng = np.random.default_rng(8)
    wanted = []
    for library, project in zip(libraries, projects, strict=True):
        x = rng.normal(0, 2, (200, project.n_inputs))  # off the grid, beyond the range
        (library.folder / "x.json").write_text(json.dumps(x.tolist()))
        wanted.append(run_csim(project, x).outputs)
    done = python("-c", spec, *(library.folder for library in libraries))
    assert done.returncode == 0, done.stderr
    for got, expected in zip(json.loads(done.stdout), wanted, strict=True):
        np.testing.assert_array_equal(np.array(got), expected)


def recurrent():
    import keras

    return keras.Sequential(
        [keras.Input((6, 3)), keras.layers.GRU(8, name="gru"), keras.layers.Dense(3, name="out")]
    )


@pytest.mark.slow
def test_threads_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recurrent layer's state is static in the C++, so two samples at once would disturb each other."""
    monkeypatch.setitem(MODELS, "gru", recurrent)
    project = make("gru", tmp_path / "gru", Target(), "latency", seed=3)[0]
    library = write_library(project, tmp_path / "lib", name="gru")
    build_library(library)
    network = runpy.run_path(str(library.folder / "example.py"))["Network"](library.folder)
    random = np.random.default_rng(0)
    parts = [random.normal(0, 1, (400, project.n_inputs)).tolist() for _ in range(6)]
    alone = [network.predict(part) for part in parts]
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(network.predict, parts)) == alone


def test_two_networks_are_linked_into_one_program(libraries: list[EmulatorLibrary], tmp_path: Path) -> None:
    main = "".join(f'#include "{library.folder / library.name}.h"\n' for library in libraries)
    main += '#include <cstdio>\nint main() { std::printf("%d %d", jets_n_inputs(), muons_n_outputs()); }\n'
    (tmp_path / "main.cpp").write_text(main)
    sources = [str(library.folder / f"{library.name}.cpp") for library in libraries]
    include = f"-I{libraries[0].folder / 'firmware' / 'ap_types'}"
    subprocess.run(
        ["g++", "-std=c++14", "-w", "-O0", include, "main.cpp", *sources, "-o", "both"],
        cwd=tmp_path,
        check=True,
    )
    done = subprocess.run([tmp_path / "both"], capture_output=True, text=True, check=True)
    inputs, outputs = map(int, done.stdout.split())
    assert inputs == len(json.loads((libraries[0].folder / "golden.json").read_text())["inputs"][0])
    assert outputs == len(json.loads((libraries[1].folder / "golden.json").read_text())["outputs"][0])


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm here (Debian: apt install binutils)")
def test_only_the_c_functions_are_visible(libraries: list[EmulatorLibrary]) -> None:
    for library in libraries:
        done = subprocess.run(
            ["nm", "-D", "--defined-only", library.path], capture_output=True, text=True, check=True
        )
        strong = {line.split()[2] for line in done.stdout.splitlines() if line.split()[1] not in "VWuw"}
        assert strong == {f"{library.name}_{what}" for what in ("predict", "n_inputs", "n_outputs", "digest")}
        assert "nnet" not in done.stdout


def test_the_weights_are_inside_and_no_file_names_this_machine(libraries: list[EmulatorLibrary]) -> None:
    for library in libraries:
        sources = [
            path for path in library.folder.rglob("*") if path.suffix in (".cpp", ".h", ".c", ".py", ".md")
        ]
        text = "".join(path.read_text(errors="replace") for path in sources)
        assert "loaded_weights" not in text
        assert str(library.folder.parent) not in text
        assert not list((library.folder / "firmware").rglob("*.txt"))
        assert re.search(r"static \w+ w\d+\[\d+\] = \{", text)


def test_a_golden_vector_that_differs_fails(libraries: list[EmulatorLibrary], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(libraries[0].folder, tmp_path / "copy"))
    path = folder / "golden.h"
    head, _, outputs = path.read_text().partition("golden_outputs[] = {\n")
    first = outputs.split(",")[0]
    path.write_text(f"{head}golden_outputs[] = {{\n 0x1.8p+9{outputs[len(first) :]}")
    with pytest.raises(ToolFailedError, match="10 golden vectors, 1 mismatches"):
        build_library(EmulatorLibrary(folder, "jets", ""))
    with pytest.raises(
        StaleProjectError, match=r"1 of \d+ files were changed after the manifest, first golden\.h"
    ):
        open_library(folder)


def test_what_cannot_become_a_library_is_refused(projects: list[HlsProject], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^name: 'class' is no name for a module"):
        write_library(projects[0], tmp_path / "a", name="class")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("dear")
    with pytest.raises(OutputFolderError, match="is not empty and no emulator library"):
        write_library(projects[0], tmp_path / "taken", overwrite=True)
    copy = Path(shutil.copytree(projects[0].folder, tmp_path / "copy"))
    from dataclasses import replace

    other = replace(projects[0], folder=copy)
    (copy / "codesign_top_test.cpp").write_text("int main() {}\n")
    with pytest.raises(
        ConversionError, match=r"codesign_top_test\.cpp is no test bench of this version; convert again$"
    ):
        write_library(other, tmp_path / "b")
    header = next((copy / "firmware" / "weights").glob("w*.h"))
    header.write_text("static int w2[1];\n")
    with pytest.raises(ConversionError, match=rf"{header.name} is not a header of hls4ml 1\.3$"):
        write_library(other, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_the_command_writes_builds_and_says_so(
    projects: list[HlsProject],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from codesign.cli import main

    words = ["codesign", "emulator", str(projects[0].folder), "-o", str(tmp_path / "lib"), "--name", "taus"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    out = capsys.readouterr().out
    assert (end.value.code, "taus: 10 golden vectors, 0 mismatches" in out) == (0, True)
    assert open_library(tmp_path / "lib").path.is_file()
