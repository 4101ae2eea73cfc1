"""`verify`, `rtl`, `advise` and `build` on a project that hls4ml wrote by itself, without our manifest."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from codesign.cli import main
from codesign.hls.project import open_project
from codesign.hls.testbench import read_vectors
from codesign.verification.project import ADOPTED


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    import hls4ml
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="relu", name="first"),
            layers.Dense(3, name="last"),
        ]
    )
    folder = tmp_path_factory.mktemp("foreign") / "mine"
    config = hls4ml.utils.config_from_keras_model(
        model, granularity="name", backend="Vitis", default_precision="fixed<14,5>"
    )
    hls4ml.converters.convert_from_keras_model(
        model,
        hls_config=config,
        backend="Vitis",
        output_dir=str(folder),
        project_name="tagger",
        part="xcku115-flvb2104-2-i",
        clock_period=4.0,
    ).write()
    return folder


@pytest.fixture
def project(written, tmp_path) -> Path:
    """A copy elsewhere: hls4ml notes absolute paths."""
    shutil.copytree(written, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = (" ".join(text.split()) for text in capsys.readouterr())
        return int(ended.value.code or 0), out, error

    return run


def test_all_commands_take_it_and_say_what_cannot_be_checked(project, command):
    code, out, error = command("advise", project)
    assert (code, "first │ 6 x 5 │ latency │ 1 (now)" in out) == (0, True)
    assert "was written by hls4ml itself; " in error
    assert "there is no student." in error
    code, out, _ = command("rtl", project, "--no-count", "--clock-period", "3")
    assert (code, f"The Verilog is in {project / ADOPTED / 'build_rtl'}" in out) == (0, True)
    # the Verilog of the call before is still there
    code, out, _ = command("verify", project, "--rungs", "emulation,csim,rtl")
    assert code == 0
    assert "Bit-exact against the emulation's golden outputs" in out
    assert out.count("│ 200 │ 0 │ 0 │ 0 │") == 3
    adopted = open_project(project / ADOPTED)
    assert (adopted.target.part, adopted.target.clock_period_ns) == ("xcku115-flvb2104-2-i", 4.0)
    code, _, error = command("build", project, "--steps", "csynth", "--plan", project.parent / "plan")
    assert (code, (project.parent / "plan" / "run.sh").is_file()) == (0, True)


@pytest.mark.slow
def test_its_own_test_inputs_are_taken(project, command):
    x = np.arange(24).reshape(4, 6) / 8
    (project / "tb_data").mkdir(exist_ok=True)
    np.savetxt(project / "tb_data" / "tb_input_features.dat", x)
    assert command("verify", project, "--rungs", "csim")[0] == 0
    given, golden = read_vectors(project / ADOPTED, 3)
    assert np.array_equal(given, x)
    assert golden.any()


def test_changed_sources_are_refused_before_and_after_it_was_adopted(project, command):
    weights = project / "firmware" / "weights" / "w2.txt"
    kept = weights.read_text()
    weights.write_text("0.5" + kept[kept.index(",") :])
    for _ in range(2):
        code, _, error = command("verify", project)
        assert code == 1
        assert (
            f"{weights} is another: it is not what the installed hls4ml writes of keras_model.keras" in error
        )
        assert not (project / ADOPTED).exists()
    weights.write_text(kept)
    assert command("advise", project)[0] == 0
    weights.write_text("0.5" + kept[kept.index(",") :])
    assert command("advise", project)[0] == 1
    assert not (project / ADOPTED).exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "keras_model.keras").unlink(),
            "has no keras_model.keras, which hls4ml leaves",
        ),
        (
            lambda folder: (folder / "hls4ml_config.yml").write_text("[1"),
            "hls4ml_config.yml cannot be read: ",
        ),
        (lambda folder: (folder / "hls4ml_config.yml").write_text("a"), "holds no configuration of hls4ml"),
        (
            lambda folder: (folder / "hls4ml_config.yml").write_text("Backend: Quartus\nPart: x\n"),
            "Backend is 'Quartus'; known are Vitis, Vivado",
        ),
        (lambda folder: (folder / "keras_model.keras").write_bytes(b"no"), "keras_model.keras"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(project, command, damage, message):
    damage(project)
    code, _, error = command("advise", project)
    assert (code, error.startswith("error: "), message in error) == (1, True, True)
