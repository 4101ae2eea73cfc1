"""An RTL project is written whole, says what it is, comes out the same twice, and tells when it was changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_graphs import a_dense, emulated, inputs_of, quantized_network

from codesign.core.fixed_point import FixedPoint
from codesign.core.target import Interface
from codesign.errors import ConversionError, OutputFolderError, SettingsError, StaleProjectError
from codesign.rtl import interpret, open_rtl, write_rtl
from codesign.rtl.project import MANIFEST
from codesign.rtl.trace import pipeline, trace_graph


@pytest.fixture(scope="module")
def graph():
    return quantized_network(0.5, (6, 10, 4))


@pytest.fixture
def project(graph, tmp_path):
    return write_rtl(graph, tmp_path / "rtl", clock_period_ns=4.0)


def test_a_project_says_what_it_is(project, graph):
    assert open_rtl(project.folder) == project
    assert (project.top, project.part, project.ii) == ("codesign_top", "xcvu9p-flga2104-2L-e", 1)
    assert project.latency_ns == project.latency_cycles * 4.0
    assert 0 < project.stage_delay_ns <= 0.9 * 4.0
    assert project.estimated_lut == trace_graph(graph).cost
    (port,) = project.inputs
    assert (port.name, port.shape, port.precision) == ("x", (6,), FixedPoint(8, 3, True, "RND_CONV", "SAT"))
    assert [field.width for field in port.fields] == [8] * 6
    assert len(project.outputs[0].fields) == 4
    header = (project.folder / "src" / "codesign_top.v").read_text()
    assert "input wire [47:0] in_x" in header
    assert f"output wire [{4 * project.outputs[0].precision.width - 1}:0] out_" in header
    assert project.interface == Interface()


def test_its_logic_computes_the_network(project, graph):
    arrays = inputs_of(np.random.default_rng(0), graph, 300)
    np.testing.assert_array_equal(interpret(project, arrays[0]), emulated(graph, arrays))
    assert interpret(project, np.zeros((0, 6))).shape == (0, 4)


def test_inputs_off_the_grid_are_rounded_and_saturated_by_the_input_type(project, graph):
    x = np.random.default_rng(1).normal(0, 3, (200, 6))
    np.testing.assert_array_equal(interpret(project, x), emulated(graph, [x]))


def test_modules_and_files_have_names_of_their_own(graph, tmp_path):
    found = []
    for top in ("jets", "muons"):
        project = write_rtl(graph, tmp_path / top, top=top)
        text = "".join(path.read_text() for path in project.sources)
        modules = re.findall(r"^module (\w+)", text, re.MULTILINE)
        assert {top, f"{top}_core", f"{top}_logic0"} <= set(modules)
        assert all(name == top or name.startswith(f"{top}_") for name in modules)
        assert all(path.stem == top or path.stem.startswith(f"{top}_") for path in project.sources)
        assert not re.search(r"INTERNAL_|_inst_", text)
        used = set(re.findall(r"^ *(\w+) (?:#\([^)]*\) )?\w+ \(", text, re.MULTILINE)) - {"module"}
        used |= set(re.findall(r"; (\w+) #\(", text))
        assert used <= set(modules)
        found += modules
    assert len(found) == len(set(found))


@pytest.mark.parametrize("top", ["", "9lives", "module", "Input", "class", "a__b", "a-b", "é", "x" * 65])
def test_a_top_that_is_no_name_is_refused(graph, tmp_path, top):
    with pytest.raises(SettingsError, match=r"^top: '.*' is no name for a module: letters, digits"):
        write_rtl(graph, tmp_path / "rtl", top=top)


def test_ports_do_not_change_with_the_weights_unless_asked(tmp_path):
    full, pruned = (quantized_network(sparsity, (6, 10, 4)) for sparsity in (0.0, 0.97))
    heads = {}
    for style in ("fixed", "packed"):
        for name, graph in (("full", full), ("pruned", pruned)):
            project = write_rtl(graph, tmp_path / style / name, interface=Interface(style))
            text = (project.folder / "src" / "codesign_top.v").read_text()
            heads[style, name] = text.partition(");")[0]
    assert heads["fixed", "full"] == heads["fixed", "pruned"]
    assert heads["packed", "full"] != heads["packed", "pruned"]


def test_the_constraints_ask_for_the_clock(project):
    assert "set clock_period 4.0" in (project.folder / "src" / "codesign_top.xdc").read_text()


def test_a_shorter_clock_takes_more_stages_of_less_delay(graph, tmp_path):
    slow = write_rtl(graph, tmp_path / "slow", clock_period_ns=10.0)
    fast = write_rtl(graph, tmp_path / "fast", clock_period_ns=2.5)
    assert fast.latency_cycles > slow.latency_cycles
    assert fast.stage_delay_ns < slow.stage_delay_ns
    assert fast.register_bits > slow.register_bits


def test_a_cut_off_that_no_stage_can_keep_gives_the_shortest_stages():
    logic = trace_graph(quantized_network(0.5, (3, 4, 2)))
    stages = pipeline(logic, 0.1)
    assert stages.stage_delay_ns > 0.1
    assert stages.stage_delay_ns == min(pipeline(logic, cutoff).stage_delay_ns for cutoff in (0.1, 1.0, 3.0))


def test_ternary_adders_compute_the_same_with_fewer_luts(graph, project, tmp_path):
    fused = write_rtl(graph, tmp_path / "fused", clock_period_ns=4.0, ternary_adders=True)
    assert fused.estimated_lut < project.estimated_lut
    x = inputs_of(np.random.default_rng(2), graph, 200)[0]
    np.testing.assert_array_equal(interpret(fused, x), interpret(project, x))


def test_the_same_network_gives_the_same_bytes_in_another_process(project, tmp_path):
    code = (
        "from small_graphs import quantized_network; from codesign.rtl import write_rtl; "
        f"print(write_rtl(quantized_network(0.5, (6, 10, 4)), {str(tmp_path / 'again')!r}, clock_period_ns=4.0).digest)"
    )
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.stdout.strip() == project.digest, done.stderr


def test_nothing_is_left_beside_a_project_and_it_names_no_other_place(project, tmp_path):
    assert [path.name for path in tmp_path.iterdir()] == ["rtl"]
    for path in project.folder.rglob("*"):
        assert path.is_dir() or str(tmp_path) not in path.read_text()


def test_a_changed_file_is_refused(project):
    source = project.folder / "src" / "codesign_top_logic0.v"
    source.write_text(source.read_text().replace("1'b0", "1'b1", 1) + "\n")
    with pytest.raises(
        StaleProjectError,
        match=r"rtl: 1 of \d+ files were changed after the manifest, first src/codesign_top_logic0\.v; write the RTL again$",
    ):
        open_rtl(project.folder)


def test_a_missing_file_is_refused(project):
    (project.folder / "model" / "logic.json").unlink()
    with pytest.raises(
        StaleProjectError,
        match=r"rtl: 1 of \d+ files are missing, first model/logic\.json; write the RTL again$",
    ):
        open_rtl(project.folder)


def test_a_truncated_manifest_is_refused(project):
    path = project.folder / MANIFEST
    path.write_text(path.read_text()[:300])
    with pytest.raises(
        StaleProjectError, match=r"codesign_rtl\.json is damaged \(.*\); write the RTL again$"
    ):
        open_rtl(project.folder)


def test_a_folder_without_manifest_is_no_project(tmp_path):
    with pytest.raises(
        StaleProjectError,
        match=r"is no RTL project of codesign \(it has no codesign_rtl\.json\); write the RTL again$",
    ):
        open_rtl(tmp_path)


def test_a_project_is_only_overwritten_when_asked(project, graph, tmp_path):
    with pytest.raises(
        OutputFolderError,
        match=r"rtl already holds an RTL project of codesign; choose another folder or ask to overwrite it$",
    ):
        write_rtl(graph, project.folder)
    (project.folder / "notes").write_text("mine")
    again = write_rtl(graph, project.folder, clock_period_ns=8.0, overwrite=True)
    assert again.clock_period_ns == 8.0
    assert not (project.folder / "notes").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("dear")
    with pytest.raises(
        OutputFolderError, match=r"other is not empty and no RTL project of codesign; choose another folder$"
    ):
        write_rtl(graph, other, overwrite=True)


def test_a_network_that_cannot_become_rtl_leaves_nothing(graph, tmp_path):
    from dataclasses import replace

    broken = replace(graph, nodes=(*graph.nodes[:-1], replace(graph.nodes[-1], kind="garnet")))
    with pytest.raises(ConversionError, match="garnet"):
        write_rtl(broken, tmp_path / "rtl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clock_period_ns": 0.0}, r"^clock_period_ns must be greater than 0, not 0\.0$"),
        ({"latency_cutoff_ns": -1.0}, r"^latency_cutoff_ns must be greater than 0, not -1\.0$"),
        (
            {"part": "vu9p"},
            r"^part: 'vu9p' is not a Xilinx part name; did you mean 'xcvu9p-flga2104-2L-e'\?$",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(graph, tmp_path, arguments, message):
    with pytest.raises(SettingsError, match=message):
        write_rtl(graph, tmp_path / "rtl", **arguments)


def test_inputs_that_nothing_reads_have_no_bits(tmp_path):
    rng = np.random.default_rng(8)
    graph = a_dense(rng)
    weights = dict(graph.nodes[-1].weights)
    weights["weight"] = weights["weight"].copy()
    weights["weight"][2] = 0
    from dataclasses import replace

    graph = replace(graph, nodes=(graph.nodes[0], replace(graph.nodes[-1], weights=weights)))
    project = write_rtl(graph, tmp_path / "rtl")
    assert project.inputs[0].fields[2].width == 0
    arrays = inputs_of(rng, graph, 100)
    np.testing.assert_array_equal(interpret(project, arrays[0]), emulated(graph, arrays))
