"""Yosys' counts: real ones of a small network, and what is said when the tool or its file is not as it should be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from small_graphs import quantized_network

from codesign.errors import ConversionError, ReportFormatError, ToolFailedError
from codesign.rtl import RtlUtilization, synthesise, write_rtl
from codesign.rtl.synthesise import BUILD, LOG, read_stat, yosys_family


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    graph = quantized_network(0.5, (4, 6, 3))
    return write_rtl(graph, tmp_path_factory.mktemp("synthesis") / "rtl")


@pytest.fixture
def fake_yosys(tmp_path, monkeypatch):
    """Put another Yosys in place: ``fake_yosys("what it does")``."""

    def install(text: str) -> Path:
        program = tmp_path / "yosys"
        head = "import sys, time\nif '--version' in sys.argv:\n    print('Yosys 0.99'); sys.exit()\n"
        program.write_text(f"#!{sys.executable}\n{head}{text}\n")
        program.chmod(0o755)
        monkeypatch.setenv("CODESIGN_YOSYS", str(program))
        return program

    return install


def write_stat(path: Path, **cells: int) -> Path:
    path.write_text(json.dumps({"design": {"num_cells_by_type": cells}}))
    return path


def test_a_small_network_has_the_luts_that_alkaid_estimates(project):
    counts = synthesise(project)
    assert 0.7 < counts.lut / project.estimated_lut < 1.4
    # registers of equal or constant bits are merged
    assert 0.7 * project.register_bits < counts.ff <= project.register_bits
    assert counts.carry8 > 0
    assert (counts.dsp, counts.bram_18k, counts.uram) == (0, 0, 0)
    assert (counts.top, counts.family, counts.stage) == ("codesign_top", "xcup", "yosys")
    assert counts.seconds > 0
    assert "synth_xilinx -family xcup" in (project.folder / BUILD / "synthesis.ys").read_text()
    assert (project.folder / BUILD / LOG).stat().st_size > 1000
    assert RtlUtilization.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts
    assert synthesise(project) == counts  # not run again: the seconds are the same


def test_counts_are_read_by_name(tmp_path):
    path = write_stat(
        tmp_path / "stat.json",
        **{"$scopeinfo": 9, "LUT1": 1, "LUT2": 20, "LUT6": 300, "SRL16E": 4, "SRLC32E": 2, "FDRE": 50, "FDSE": 5},
        CARRY4=7, MUXF7=3, MUXF8=1, DSP48E2=6, RAMB18E2=1, RAMB36E2=2, URAM288=1, INV=8,
    )  # fmt: skip
    counts = RtlUtilization(**read_stat(path), top="t", part="p", family="f", yosys_version="1", seconds=1.0)
    assert counts.lut_by_size == {"lut1": 1, "lut2": 20, "lut3": 0, "lut4": 0, "lut5": 0, "lut6": 300}
    assert (counts.lut_memory, counts.lut, counts.ff) == (6, 327, 55)
    assert (counts.carry4, counts.carry8, counts.muxf7, counts.muxf8, counts.muxf9) == (7, 4, 3, 1, 0)
    assert (counts.dsp, counts.bram_18k, counts.uram, counts.inverters) == (6, 5, 1, 8)


def test_cells_that_were_not_mapped_are_an_error(tmp_path):
    path = write_stat(tmp_path / "stat.json", **{"LUT2": 1, "$mul": 3})
    with pytest.raises(
        ReportFormatError, match=rf"^{path}: num_cells_by_type: cells that were not mapped: \$mul$"
    ):
        read_stat(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"design": {}}'])
def test_a_damaged_or_empty_file_is_an_error(tmp_path, text):
    path = tmp_path / "stat.json"
    path.write_text(text)
    with pytest.raises(ReportFormatError, match=rf"^{path}: num_cells_by_type: not in the file \("):
        read_stat(path)


def test_a_yosys_that_hangs_is_ended(project, fake_yosys):
    fake_yosys("time.sleep(60)")
    with pytest.raises(ToolFailedError, match=r"ran out of time: no end after 0\.5 s"):
        synthesise(project, timeout_s=0.5)


def test_a_yosys_that_dies_shows_its_last_lines_and_keeps_its_log(project, fake_yosys):
    fake_yosys("print('ERROR: no such cell', flush=True)\nimport os\nos.kill(os.getpid(), 9)")
    with pytest.raises(ToolFailedError, match="ERROR: no such cell") as caught:
        synthesise(project)
    assert caught.value.exit_code == -9
    assert caught.value.log_path == project.folder / BUILD / LOG


def test_a_yosys_that_writes_nothing_is_not_believed(project, fake_yosys):
    (project.folder / BUILD).mkdir(exist_ok=True)
    write_stat(project.folder / BUILD / "stat.json", LUT2=1)  # left by an earlier run
    fake_yosys("")
    with pytest.raises(ReportFormatError, match=r"stat\.json: num_cells_by_type: not in the file"):
        synthesise(project)


@pytest.mark.parametrize(
    ("part", "family"),
    [
        ("xcvu9p-flga2104-2L-e", "xcup"),
        ("xczu9eg-ffvb1156-2-e", "xcup"),
        ("xcu250-figd2104-2L-e", "xcup"),
        ("xck26-sfvc784-2LV-c", "xcup"),
        ("xcku115-flvb2104-2-i", "xcu"),
        ("xc7z020clg400-1", "xc7"),
        ("xc7vx690tffg1927-2", "xc7"),
    ],
)
def test_the_family_follows_from_the_part(part, family):
    assert yosys_family(part) == family


def test_a_family_that_yosys_does_not_know_is_refused():
    with pytest.raises(
        ConversionError,
        match=r"^Yosys cannot synthesise for xcvc1902-vsva2197-2MP-e-S: it knows no Versal parts; use Vivado, or another part$",
    ):
        yosys_family("xcvc1902-vsva2197-2MP-e-S")


@pytest.mark.slow
def test_a_pruned_network_of_the_jet_size(tmp_path):
    project = write_rtl(quantized_network(0.8), tmp_path / "rtl")
    counts = synthesise(project, timeout_s=900.0)
    assert 0.9 < counts.lut / project.estimated_lut < 1.2
