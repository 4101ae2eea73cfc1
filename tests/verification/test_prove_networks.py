"""The proof over many networks: its quick part runs here, its whole on demand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from codesign.errors import ToolNotFoundError

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prove_networks.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("prove_networks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(SCRIPT.parent))  # where the script finds its neighbour
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return module


def test_the_quick_proof_finds_no_mismatch(script, capsys):
    assert script.main(["--quick", "--samples", "300"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(
        "2 projects, 4 rungs, 0 skipped, 1200 samples compared with QKeras, 0 mismatches\n"
    )
    assert "emulation: 0, csim: 0" in printed


@pytest.fixture
def rungs_replaced(script, monkeypatch):
    """Put other computations in place of the rungs, made from the emulation."""

    def replace(**rungs):
        emulation = script.ladder_rungs(["emulation"])["emulation"]
        made = {
            name: (lambda project, x, rung=rung: rung(emulation(project, x))) for name, rung in rungs.items()
        }
        monkeypatch.setattr(script, "ladder_rungs", lambda words: made)

    return replace


def test_a_mismatch_is_counted_and_diagnosed(script, capsys, rungs_replaced):
    rungs_replaced(emulation=lambda outputs: outputs + 1.0)
    assert script.main(["--quick", "--only", "small", "--samples", "50"]) == 1
    printed = capsys.readouterr().out
    assert "emulation: 50" in printed
    assert "no layer of the emulation or the C++ differs" in printed
    assert printed.endswith(
        "1 projects, 1 rungs, 0 skipped, 50 samples compared with QKeras, 50 mismatches\n"
    )


def test_a_rung_that_could_not_be_climbed_is_no_proof(script, capsys, rungs_replaced):
    def missing(outputs):
        raise ToolNotFoundError("Verilator", ["/nowhere"])

    rungs_replaced(emulation=lambda outputs: outputs, rtl=missing)
    assert script.main(["--quick", "--only", "small", "--samples", "50"]) == 1
    printed = capsys.readouterr().out
    assert "emulation: 0, rtl: skipped" in printed
    assert "  rtl: Verilator was not found (looked for /nowhere)\n" in printed
    assert printed.endswith("1 projects, 1 rungs, 1 skipped, 50 samples compared with QKeras, 0 mismatches\n")


def test_nothing_proved_is_no_proof(script, capsys):
    assert script.main(["--only", "no such network"]) == 1
    assert "0 projects, 0 rungs" in capsys.readouterr().out


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
    script_subjects = sys.modules["proof_subjects"]
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(20, 10))
    assert (script_subjects.pruned(kernel, rng) == 0).mean() == 0.8
    assert set(np.unique(script_subjects.binary(kernel, rng))) == {-1.0, 1.0}
    assert set(np.unique(script_subjects.ternary(kernel, rng))) == {-1.0, 0.0, 1.0}


def test_the_students_of_the_designs_are_proved(script):
    networks = {subject.name: subject.make() for subject in script.SUBJECTS}
    jets, magic, digits = (
        networks[name]
        for name in ("jets 16-64-32-32-5", "magic 10-16-16-1", "pruned 80 % digits 64-64-32-10")
    )
    assert [model.name for model in (jets, magic, digits)] == [
        "jets_student",
        "magic_student",
        "digits_student",
    ]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_whole_proof_finds_no_mismatch(script, capsys):
    assert script.main([]) == 0
    assert "Verilated RTL: 0" in capsys.readouterr().out


def test_every_kind_of_layer_is_proved_after_training(script):
    from codesign.core.layers import LAYERS
    from codesign.networks.prepare import prepare_for_quantization
    from codesign.networks.read_keras import read_keras

    read = [read_keras(subject.make(), check=False) for subject in script.SUBJECTS if subject.trained]
    networks = [*read, *(prepare_for_quantization(network) for network in read)]
    assert {layer.kind for network in networks for layer in network.layers} == {row.kind for row in LAYERS}
