"""What lies at a path, and files that are run."""

from __future__ import annotations

import json
import sys

import pytest

from codesign.core.places import RUN, unfinished
from codesign.core.python_file import run_python_file
from codesign.core.sealed import STAGE
from codesign.core.shown import metric_facts
from codesign.core.target import Interface
from codesign.errors import PythonFileError


def test_a_run_that_is_not_far_enough_says_what_it_has_and_how_it_goes_on(tmp_path):
    told = unfinished(tmp_path, "a scan")
    assert told.startswith(f"{tmp_path} is a run without a scan (no stage is done); codesign run DESIGN -o")
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / STAGE.manifest).touch()
    (tmp_path / RUN).write_text(json.dumps({"design": "models/wer hören"}), encoding="utf-8")
    told = unfinished(tmp_path, "a scan")
    assert "(done are teacher); codesign run 'models/wer hören' -o" in told


def test_a_file_of_the_user_is_run_anew_and_named_in_what_it_raises(tmp_path):
    path = tmp_path / "networks.py"
    path.write_text("value = 3\nwhere = __file__\n")
    module = run_python_file(path, "its_networks")
    assert (module.value, module.where) == (3, str(path))
    assert sys.modules["its_networks"] is module
    path.write_text("value = 4\n")
    assert run_python_file(path, "its_networks").value == 4
    path.write_text("1 / 0\n")
    with pytest.raises(PythonFileError, match=r"networks\.py raised ZeroDivisionError") as caught:
        run_python_file(path, "its_networks")
    frames = []
    trace = caught.value.__cause__.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    assert str(path) in frames
    assert "its_networks" not in sys.modules


def test_qualities_and_sizes_are_the_facts_of_a_record():
    facts = metric_facts({"validation_accuracy": 0.5, "parameters": 120, "seconds": 3.0, "r2": "none"})
    assert {"0.5000", "120"} <= set(facts.values())
    assert len(facts) == 2


def test_the_control_signals_of_the_top_module():
    def named(interface):
        return [(name, direction) for name, direction, _ in interface.controls()]

    assert named(Interface()) == [("clk", "input")]
    assert named(Interface(control="valid", reset="low")) == [
        ("clk", "input"), ("rst_n", "input"), ("in_valid", "input"), ("out_valid", "output"),
    ]  # fmt: skip
    assert named(Interface(control="ready")) == [
        ("clk", "input"), ("in_valid", "input"), ("in_ready", "output"), ("out_valid", "output"), ("out_ready", "input"),
    ]  # fmt: skip
