"""The proof over many networks: its quick part runs here, its whole on demand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prove_networks.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("prove_networks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_quick_proof_finds_no_mismatch(script, capsys):
    assert script.main(["--quick", "--samples", "300"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("2 projects, 4 rungs, 1200 samples compared with QKeras, 0 mismatches\n")
    assert "emulation: 0, csim: 0" in printed


def test_a_mismatch_is_counted_and_diagnosed(script, capsys, monkeypatch):
    true = script.RUNGS["emulation"]
    monkeypatch.setattr(script, "RUNGS", {"emulation": lambda project, x: true(project, x) + 1.0})
    assert script.main(["--quick", "--only", "small", "--samples", "50"]) == 1
    printed = capsys.readouterr().out
    assert "emulation: 50" in printed
    assert "no layer of the emulation or the C++ differs" in printed
    assert printed.endswith("1 projects, 1 rungs, 50 samples compared with QKeras, 50 mismatches\n")


def test_every_variant_and_every_kind_of_layer_is_in_the_plan(script):
    pairs = script.plan("", quick=False)
    assert {variant for _, _, variant in pairs} == set(script.VARIANTS)
    # a part of the proof is the same as in the whole
    assert [pair for pair in pairs if "conv" in pair[1].name] == script.plan("conv", quick=False)
    rng = np.random.default_rng(0)
    kinds = {
        layer.kind for subject in script.SUBJECTS for layer in script.random_network(subject, rng).layers
    }
    needed = {"dense", "conv1d", "conv2d", "depthwise_conv2d", "relu", "linear", "add", "concatenate"}
    assert needed <= kinds
    assert {"max_pool1d", "max_pool2d", "average_pool2d", "zero_padding2d", "flatten"} <= kinds


def test_special_weights_are_what_their_names_say(script):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(20, 10))
    assert (script.pruned(kernel, rng) == 0).mean() == 0.8
    assert set(np.unique(script.binary(kernel, rng))) == {-1.0, 1.0}
    assert set(np.unique(script.ternary(kernel, rng))) == {-1.0, 0.0, 1.0}


@pytest.mark.slow
def test_the_whole_proof_finds_no_mismatch(script, capsys):
    assert script.main([]) == 0
    assert "Verilated RTL: 0" in capsys.readouterr().out
