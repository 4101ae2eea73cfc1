"""Settings: strict, complete before work, every fault named with its path and a way out."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from codesign.core.target import Target
from codesign.errors import SettingsError
from codesign.settings import DesignSettings, HardwareSettings, QuantizationSettings, make_design, read_design

MODELS = Path(__file__).parents[1] / "models"
SECTIONS = ("teacher", "distillation", "pruning", "scan", "quantization", "hardware")


def design(**sections: Any) -> DesignSettings:
    return make_design({"name": "tiny", "data": {"source": "digits"}, **sections})


def faults(**sections: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        design(**sections)
    return caught.value.faults


@pytest.mark.parametrize("name", sorted(path.parent.name for path in MODELS.glob("*/design.yaml")))
def test_every_shipped_design_is_valid_and_named_as_its_folder(name: str) -> None:
    assert read_design(MODELS / name).name == name
    assert (MODELS / name / "networks.py").is_file()


def test_a_file_and_its_folder_are_the_same_design() -> None:
    assert read_design(MODELS / "digits" / "design.yaml") == read_design(MODELS / "digits")


def test_defaults_are_valid_and_frozen() -> None:
    settings = design()
    assert make_design(json.loads(settings.model_dump_json())) == settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.distillation.alpha = 0.9


@pytest.mark.parametrize(
    ("section", "value", "fault"),
    [
        ("distillation", {"temperature": 0}, "distillation.temperature: should be greater than 0, not 0"),
        (
            "distillation",
            {"temperature": -2.0},
            "distillation.temperature: should be greater than 0, not -2.0",
        ),
        (
            "distillation",
            {"temperature": math.inf},
            "distillation.temperature: should be a finite number, not inf",
        ),
        (
            "distillation",
            {"alpha": -0.01},
            "distillation.alpha: should be greater than or equal to 0, not -0.01",
        ),
        ("distillation", {"alpha": 1.5}, "distillation.alpha: should be less than or equal to 1, not 1.5"),
        ("distillation", {"alpha": "0.5"}, "distillation.alpha: should be a valid number, not '0.5'"),
        ("pruning", {"sparsity": 1.0}, "pruning.sparsity: should be less than 1, not 1.0"),
        ("pruning", {"sparsity": -0.1}, "pruning.sparsity: should be greater than or equal to 0, not -0.1"),
        ("pruning", {"layers": {"fc1": 1}}, "pruning.layers.fc1: should be less than 1, not 1"),
        ("pruning", {"ramp": 0}, "pruning.ramp: should be greater than 0, not 0"),
        ("teacher", {"epochs": 0}, "teacher.epochs: should be greater than or equal to 1, not 0"),
        ("teacher", {"epochs": 3.0}, "teacher.epochs: should be a valid integer, not 3.0"),
        ("teacher", {"epochs": True}, "teacher.epochs: should be a valid integer, not True"),
        ("teacher", {"file": 3}, "teacher.file: should be a valid string, not 3"),
        (
            "teacher",
            {"members": 3},
            "teacher: members is for the kind 'ensemble', and nothing of the kind 'single' reads it; leave it out",
        ),
        ("teacher", {"epoch": 3}, "teacher.epoch: unknown setting; did you mean epochs?"),
        ("distilation", {}, "distilation: unknown setting; did you mean distillation?"),
        ("scan", {"quality": "f1"}, "scan.quality: should be 'accuracy', 'auc' or 'r2', not 'f1'"),
        ("scan", {"tolerance": 1}, "scan.tolerance: should be less than 1, not 1"),
        (
            "scan",
            {"least_bits": 9, "most_bits": 8},
            "scan: least_bits must not be above most_bits, 9 > 8",
        ),
        (
            "hardware",
            {"clock_period_ns": 1e-9},
            "hardware.clock_period_ns: should be greater than or equal to 0.5, not 1e-09",
        ),
        (
            "quantization",
            {"learning_rate": 1e300},
            "quantization.learning_rate: should be less than or equal to 10, not 1e+300",
        ),
        (
            "scan",
            {"calibration_samples": 1},
            "scan.calibration_samples: should be greater than or equal to 10, not 1",
        ),
        (
            "hardware",
            {"backend": "Quartus"},
            "hardware.backend: should be 'Vitis' or 'Vivado', not 'Quartus'",
        ),
        (
            "hardware",
            {"layers": {"fc1": {"reuse": 2}}},
            "hardware.layers.fc1.reuse: unknown setting; did you mean reuse_factor?",
        ),
        (
            "hardware",
            {"reuse_factor": 0},
            "hardware.reuse_factor: should be greater than or equal to 1, not 0",
        ),
        (
            "hardware",
            {"part": "xcvu9p"},
            "hardware.part: 'xcvu9p' names a Virtex UltraScale+ device, but not a complete part (UltraScale and "
            "later: device-package-speed-temperature, as in xcvu9p-flga2104-2L-e); did you mean "
            "'xcvu9p-flga2104-2L-e'?",
        ),
        (
            "hardware",
            {"part": "EP4CE115"},
            "hardware.part: 'EP4CE115' is not a Xilinx part name; the default is 'xcvu9p-flga2104-2L-e'",
        ),
        ("seed", -1, "seed: should be greater than or equal to 0, not -1"),
        ("seed", 2**32, "seed: should be less than 4294967296, not 4294967296"),
        ("pruning", None, "pruning: should be an object, not None"),
        ("name", "a/b", "name: string should match pattern '^[A-Za-z][A-Za-z0-9_-]*$', not 'a/b'"),
        ("data", {}, "data.source: missing"),
        (
            "data",
            {"source": "digits", "fractions": [0.5, 0.25, 0.35]},
            "data.fractions: must sum to 1, not 1.1",
        ),
        ("data", {"source": "digits", "fractions": [0.5, 0.5]}, "data.fractions.2: missing"),
        (
            "data",
            {"source": "digits", "scaling": "robust"},
            "data.scaling: must be auto, none, standard, minmax, shift or a number above 0, not 'robust'",
        ),
        (
            "data",
            {"source": "digits", "scaling": 0},
            "data.scaling: must be auto, none, standard, minmax, shift or a number above 0, not 0",
        ),
        (
            "data",
            {"source": "digits", "input_shape": [8, 0]},
            "data.input_shape.1: should be greater than or equal to 1, not 0",
        ),
    ],
)
def test_a_fault_is_one_whole_sentence(section: str, value: Any, fault: str) -> None:
    assert faults(**{section: value}) == (fault,)


def test_an_unknown_setting_unlike_any_other_lists_those_that_exist() -> None:
    (fault,) = faults(quantization={"colour": 3})
    known = ", ".join(QuantizationSettings.model_fields)
    assert fault == f"quantization.colour: unknown setting; known are {known}"


@pytest.mark.parametrize(
    "path",
    ["distillation.alpha", "distillation.temperature", "pruning.sparsity", "pruning.ramp", "scan.tolerance"],
)
def test_a_number_that_is_none_is_refused(path: str) -> None:
    section, name = path.split(".")
    (fault,) = faults(**{section: {name: math.nan}})
    assert fault.startswith(f"{path}: should be ")
    assert fault.endswith(", not nan")


def test_all_faults_of_a_design_come_together(tmp_path: Path) -> None:
    (tmp_path / "design.yaml").write_text(
        "name: tiny\ndata: {source: digits}\ndistillation: {alpha: 2, temperature: 0}\nhardwar: {}\n"
    )
    with pytest.raises(SettingsError) as caught:
        read_design(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'design.yaml'}: 3 settings cannot be used\n"
        "  - distillation.temperature: should be greater than 0, not 0\n"
        "  - distillation.alpha: should be less than or equal to 1, not 2\n"
        "  - hardwar: unknown setting; did you mean hardware?"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "must be a mapping of settings, not list"),
        ("", "must be a mapping of settings, not NoneType"),
        (
            "name: [\n",
            "not valid YAML: expected the node content, but found '<stream end>' (line 2, column 1)",
        ),
        ("name: a\nseed: 1\nname: b\n", "not valid YAML: name stands twice (line 3, column 1)"),
        ("? [a, b]\n: 1\n", "not valid YAML: a key must be one word (line 1, column 3)"),
        ("a: " + "[" * 3000, "not valid YAML: nested deeper than 50 (line 1, column 54)"),
        ("a: " + "[" * 60 + "]" * 60, "not valid YAML: nested deeper than 50 (line 1, column 54)"),
        ("a: &a [*a]\n", "not valid YAML: an alias holds itself (line 1, column 4)"),
        ("a: 2020-99-99\n", "not valid YAML: month must be in 1..12"),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            "not valid YAML: its aliases stand for more than 100,000 values (line 5, column 5)",
        ),
        ("teacher:\n  epochs: 1\n  epochs: 2\n", "not valid YAML: epochs stands twice (line 3, column 3)"),
    ],
)
def test_a_file_that_is_no_design(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "design.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="^" + re.escape(f"{path}: {message}") + "$"):
        read_design(path)


def test_a_folder_without_a_design(tmp_path: Path) -> None:
    expected = (
        f"{tmp_path} is no design (it has no design.yaml); give a design folder with a design.yaml; codesign new my_design "
        "makes one"
    )
    with pytest.raises(SettingsError, match="^" + re.escape(expected) + "$"):
        read_design(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "design.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(SettingsError, match=r"cannot be read \(it is no UTF-8 text\)"):
        read_design(tmp_path)


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.e-3", "0.1e-2", "1.0e-3", "0.001"])
def test_every_spelling_of_a_number_is_a_number(tmp_path: Path, text: str) -> None:
    # YAML 1.1 takes 1e-3 for text
    (tmp_path / "design.yaml").write_text(
        f"name: tiny\ndata: {{source: digits}}\nteacher: {{learning_rate: {text}}}\n"
    )
    assert read_design(tmp_path).teacher.learning_rate == 1e-3


def test_merged_keys_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "design.yaml").write_text(
        "name: tiny\ndata: {source: digits}\nteacher: &training {epochs: 7, batch_size: 16}\n"
        "quantization:\n  <<: *training\n  epochs: 9\n"
    )
    settings = read_design(tmp_path)
    assert (settings.quantization.epochs, settings.quantization.batch_size) == (9, 16)


def test_overrides_replace_single_values() -> None:
    file = read_design(MODELS / "digits")
    changed = read_design(
        MODELS / "digits",
        {
            "distillation.alpha": 0.9,
            "pruning.layers.fc1": 0.25,
            "hardware.layers.fc2.reuse_factor": 4,
            "seed": 7,
        },
    )
    assert changed.distillation == file.distillation.model_copy(update={"alpha": 0.9})
    assert changed.pruning.layers == {"fc1": 0.25}
    assert changed.hardware.layers["fc2"].reuse_factor == 4
    assert (changed.seed, changed.teacher) == (7, file.teacher)
    assert changed.digest != file.digest


def test_an_override_below_a_value_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^--set name\.first: name is no section$"):
        read_design(MODELS / "digits", {"name.first": 1})


def test_an_override_is_checked_like_the_file() -> None:
    with pytest.raises(
        SettingsError, match=r"^--set distillation.alpah: unknown setting; did you mean alpha\?$"
    ):
        read_design(MODELS / "digits", {"distillation.alpah": 0.5})


def test_a_value_without_a_plain_form() -> None:
    with pytest.raises(SettingsError, match=r"^a value has no plain form: Object of type set is not JSON"):
        design(teacher={"epochs": {1}})


def test_the_target_is_one_value() -> None:
    settings = HardwareSettings(
        part="xc7z020clg400-1", clock_period_ns=4.0, backend="Vivado", io_type="io_stream"
    )
    assert settings.target == Target("xc7z020clg400-1", 4.0, "Vivado", "io_stream")


@given(st.floats(0, 1), st.floats(1e-6, 1e6), st.floats(0, 1, exclude_max=True), st.integers(0, 2**32 - 1))
def test_every_possible_value_is_taken_as_it_is(
    alpha: float, temperature: float, sparsity: float, seed: int
) -> None:
    settings = design(
        distillation={"alpha": alpha, "temperature": temperature}, pruning={"sparsity": sparsity}, seed=seed
    )
    assert (settings.distillation.alpha, settings.distillation.temperature) == (alpha, temperature)
    assert (settings.pruning.sparsity, settings.seed) == (sparsity, seed)


@given(
    st.one_of(
        st.floats(max_value=0, exclude_max=True), st.floats(min_value=1, exclude_min=True), st.just(math.nan)
    )
)
def test_no_impossible_alpha_is_taken(alpha: float) -> None:
    assert len(faults(distillation={"alpha": alpha})) == 1


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_plain_and_complete(section: str) -> None:
    plain = design().section(section)
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain) == set(type(getattr(design(), section)).model_fields)


@pytest.mark.parametrize(
    ("student", "fault"),
    [
        ([1], "student: must be a mapping of choices of build_student to values, not [1]"),
        ({"a b": 1}, "student: a b: must be the name of an argument of build_student"),
        ({"width": {}}, "student: width: must be a number, a word, true or false, or a list of them, not {}"),
        (
            {"width": None},
            "student: width: must be a number, a word, true or false, or a list of them, not None",
        ),
    ],
)
def test_choices_of_a_student_that_cannot_be(student: object, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_design({"name": "a", "data": {"source": "digits"}, "student": student})
    assert caught.value.faults == (fault,)


def test_choices_of_a_student_stay_as_they_are_through_files() -> None:
    values = {
        "name": "a",
        "data": {"source": "digits"},
        "student": {"widths": [8, 4], "act": "relu", "bias": True},
    }
    settings = make_design(values)
    assert settings.student == {"widths": (8, 4), "act": "relu", "bias": True}
    assert make_design(settings.model_dump(mode="json")) == settings
    assert settings.section("student") == values["student"]


def test_a_heads_task_alone_is_enough() -> None:
    heads = {"kind": "classification", "pt": {"task": "regression", "weight": 0.5}}
    data = make_design({"name": "x", "data": {"source": "d.npz", "task": heads}}).data
    assert data.task["kind"].task == "classification"
    assert data.task["pt"].weight == 0.5


def test_settings_show_what_is_no_default_in_a_line() -> None:
    design = make_design({"name": "mine", "data": {"source": "mine.npz"}, "distillation": {"epochs": 7}})
    line = "<DesignSettings: name mine, data.source mine.npz, distillation.epochs 7>"
    assert (repr(design), str(design)) == (line, line)
    assert ">data.source</td>" in design._repr_html_()
    assert repr(design.pruning) == "<PruningSettings: all defaults>"
