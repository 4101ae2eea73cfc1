"""A report file is opened once, whoever asks: a report alone, a build with a marker that holds digests, a project."""

import builtins
import io
import sys
from collections import Counter
from hashlib import sha256

import pytest
from reports_project import FIXTURES, PLACES, listed, mark, place, put

from codesign.cli import main
from codesign.reports import read_build, read_report


@pytest.fixture
def opened(monkeypatch):
    """How often each report file was opened, by name."""
    counts = Counter()
    real = io.open

    def count(file, *words, **options):
        name = str(file)
        if name.endswith((".rpt", ".xml", ".log")):
            counts[name.rpartition("/")[2]] += 1
        return real(file, *words, **options)

    monkeypatch.setattr(io, "open", count)
    monkeypatch.setattr(builtins, "open", count)
    return counts


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["codesign", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    capsys.readouterr()
    return end.value.code


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
def test_a_report_by_itself_is_opened_once(opened, name):
    read_report(FIXTURES / name)
    assert opened == {name: 1}


def test_the_command_opens_a_report_once(opened, monkeypatch, capsys):
    assert command(monkeypatch, capsys, "report", FIXTURES / "vivado_power.rpt") == 0
    assert opened == {"vivado_power.rpt": 1}


def test_every_report_of_a_marked_build_is_opened_once(tmp_path, opened, monkeypatch, capsys):
    place(tmp_path)
    steps = [
        {
            "name": "csynth",
            "status": "finished",
            "reports": listed(tmp_path, "xml", "rpt", "whole", "summary"),
        },
        {"name": "impl", "status": "finished", "reports": listed(tmp_path, "timing", "power")},
    ]
    mark(tmp_path, steps=steps)
    put(tmp_path / "notes.rpt", "no report of any tool\n")
    opened.clear()
    assert read_build(tmp_path).is_trustworthy
    names = [where.rpartition("/")[2] for where, _ in PLACES.values()]
    assert opened == {name: 1 for name in [*names, "notes.rpt"]}
    opened.clear()
    assert command(monkeypatch, capsys, "report", tmp_path) == 0
    assert set(opened.values()) == {1}


def test_every_report_of_a_project_is_opened_once(tmp_path, opened, monkeypatch, capsys):
    place(tmp_path)
    put(tmp_path / "source.cpp", "int main() {}\n")
    digest = sha256((tmp_path / "source.cpp").read_bytes()).hexdigest()
    put(
        tmp_path / "codesign_project.json",
        f'{{"format": 1, "target": {{"part": "xcvu9p-flga2104-2L-e"}}, "settings": {{}}, "files": {{"source.cpp": "{digest}"}}}}',
    )
    opened.clear()
    assert command(monkeypatch, capsys, "report", tmp_path) == 0
    assert {where.rpartition("/")[2]: 1 for where, _ in PLACES.values()} == opened


def test_the_script_that_wrote_a_report_knows_how_far_the_netlist_had_come(tmp_path):
    place(tmp_path)
    entries = listed(tmp_path, "power")
    mark(tmp_path, steps=[{"name": "impl", "status": "finished", "reports": entries}])
    assert set(read_build(tmp_path).power) == {"post-route"}  # what the report itself says
    mark(tmp_path, steps=[
        {"name": "impl", "status": "finished", "reports": [{**entries[0], "stage": "post-place"}]}
    ])  # fmt: skip
    assert set(read_build(tmp_path).power) == {"post-place"}


def test_a_report_changed_after_its_step_is_told_from_the_bytes_that_were_read(tmp_path, opened):
    place(tmp_path)
    step = {"name": "impl", "status": "finished", "reports": listed(tmp_path, "power")}
    mark(tmp_path, steps=[step])
    path = tmp_path / PLACES["power"][0]
    put(path, path.read_text().replace("2.871", "2.872"))
    opened.clear()
    build = read_build(tmp_path)
    assert [(finding.reason, finding.path) for finding in build.findings] == [("stale", path)]
    assert opened[path.name] == 1
