"""The doctor on project folders: planted in the conversion, in the files, in the C++; and on the command line."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from planted import ACTIVATION, small_case
from typer.testing import CliRunner

from codesign.cli.program import app
from codesign.core.files import read_json, tree_digests, write_json
from codesign.core.layer_trace import LayerTrace
from codesign.emulation import emulate
from codesign.errors import DataError, StaleProjectError, VerificationError
from codesign.hls.project import MANIFEST, open_project
from codesign.hls.testbench import read_vectors
from codesign.verification import diagnose_project, verify_project
from codesign.verification.csim_trace import trace_csim


@pytest.fixture(scope="module")
def case():
    return small_case(n=60)


@pytest.fixture(scope="module")
def right(case, tmp_path_factory):
    return case.project(tmp_path_factory.mktemp("right") / "project")


@pytest.fixture(scope="module")
def truncating(case, tmp_path_factory):
    """A project whose second rectifier truncates."""
    precision = case.precision.replaced("relu2", "result", ACTIVATION.with_modes("TRN", "SAT"))
    return case.project(tmp_path_factory.mktemp("truncating") / "project", precision)


@pytest.fixture
def copy(right, tmp_path):
    shutil.copytree(right.folder, tmp_path / "project")
    return tmp_path / "project"


def sign(folder):
    """Write the manifest anew, as if the files had been made so."""
    manifest = read_json(folder / MANIFEST)
    write_json(folder / MANIFEST, {**manifest, "files": tree_digests(folder, manifest["files"])})


def shorten(path):
    """Cut every number to one decimal."""
    path.write_text(re.sub(r"(\d\.\d)\d+", r"\1", path.read_text()))


def test_every_layer_of_the_cpp_is_what_the_emulation_computes(right):
    x, _ = read_vectors(right.folder, right.n_outputs)
    traced = trace_csim(right, x)
    assert list(traced) == ["fc1", "relu1", "fc2", "relu2", "logits"]
    emulated = emulate(right.graph(), x, trace=True)
    for name, values in traced.items():
        np.testing.assert_array_equal(values, emulated[name])
    assert diagnose_project(right.folder) is None


def test_a_fault_of_the_conversion_is_found_from_the_folder_alone(case, truncating):
    found = diagnose_project(truncating.folder)
    assert (found.layer, found.cause) == ("relu2", "rounding differs")
    assert found.setting == f"result of relu2 to {ACTIVATION}"
    assert found.explained == found.mismatches > 0
    # with the student the layer is found by walking, and seen where it is
    walked = diagnose_project(truncating, case.x, reference=case.trace(truncating.graph()))
    assert (walked.layer, walked.cause, walked.setting) == (found.layer, found.cause, found.setting)
    assert (walked.evidence["seen_in"], found.evidence["seen_in"]) == ("relu2", "logits")


@pytest.mark.parametrize(
    ("file", "reader"), [("w4.txt", "the C simulation reads"), ("w4.h", "the vendor's synthesis compiles")]
)
def test_weight_files_with_too_few_digits_are_found(copy, file, reader):
    shorten(copy / "firmware" / "weights" / file)
    with pytest.raises(StaleProjectError) as caught:
        diagnose_project(copy)
    assert str(caught.value).endswith(
        f"files were changed after the manifest, first firmware/weights/{file}; convert the student again"
    )
    sign(copy)
    found = diagnose_project(copy)
    assert (found.layer, found.cause) == ("fc2", "weights printed with too few digits")
    assert found.mismatches > 0
    different = found.evidence["different"]
    assert found.evidence == {"file": file, "tensor": "weight", "different": different, "decimals": 1}
    assert (
        f"{different} of 64 values of {file}, which {reader}, are not those of the converted network; "
        "it has 1 decimals and fixed<6,2,RND_CONV,SAT,0> needs 4: convert the student again"
    ) in found.sentence


def test_other_weights_in_the_files_are_found(copy):
    path = copy / "firmware" / "weights" / "b2.txt"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    sign(copy)
    found = diagnose_project(copy)
    assert (found.layer, found.cause, found.evidence["different"]) == ("fc1", "weights differ", 1)


def test_a_layer_that_the_cpp_computes_in_another_way_is_named_as_a_defect(copy):
    top = copy / "firmware" / "codesign_top.cpp"
    text, count = re.subn(r"(nnet::relu<.*// relu2)", r"layer4_out[0] = 1;\n    \1", top.read_text())
    assert count == 1
    top.write_text(text)
    sign(copy)
    found = diagnose_project(copy)
    assert (found.layer, found.cause, found.explained) == ("relu2", "emulation and csim differ", 0)
    assert "report it with the project: one of the two is wrong, not a setting" in found.sentence


def test_the_command_line_says_what_the_doctor_found_and_fails(truncating, right):
    result = CliRunner().invoke(app, ["verify", str(truncating.folder)])
    assert result.exit_code != 0
    assert isinstance(result.exception, VerificationError)
    assert "relu2: rounding differs" in result.output
    result = CliRunner().invoke(app, ["verify", str(right.folder), "--diagnose"])
    assert result.exit_code == 0
    assert "no layer of the emulation or of the C++ differs" in result.output


def test_files_for_the_vendor_that_no_rung_reads_fail_the_command_when_asked(copy):
    shorten(copy / "firmware" / "weights" / "w4.h")
    sign(copy)
    assert CliRunner().invoke(app, ["verify", str(copy)]).exit_code == 0
    result = CliRunner().invoke(app, ["verify", str(copy), "--diagnose"])
    assert isinstance(result.exception, DataError)
    assert str(result.exception) == f"{copy}: every rung agrees, but fc2 must not stay so; see above"
    assert "fc2: weights printed with too few digits" in result.output


def test_what_is_no_project_or_half_of_one_is_refused(copy, tmp_path):
    with pytest.raises(StaleProjectError) as caught:
        verify_project(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is no HLS project of codesign (it has no {MANIFEST}); convert a student into it"
    )
    n_files = len(read_json(copy / MANIFEST)["files"])
    (copy / "firmware" / "weights" / "w2.h").unlink()
    with pytest.raises(StaleProjectError) as caught:
        verify_project(copy)
    assert str(caught.value) == (
        f"{copy}: 1 of {n_files} files are missing, first firmware/weights/w2.h; convert the student again"
    )
    (copy / MANIFEST).write_text((copy / MANIFEST).read_text()[:100])
    with pytest.raises(StaleProjectError) as caught:
        diagnose_project(copy)
    assert str(caught.value).startswith(f"{copy / MANIFEST} is damaged (")
    assert str(caught.value).endswith("); convert the student again")


def test_vectors_that_do_not_fit_are_refused(case, right):
    with pytest.raises(DataError) as caught:
        verify_project(right.folder, case.x + 0.01, case.logits())
    assert str(caught.value) == (
        "60 of 60 input vectors are off the input grid fixed<8,3,RND_CONV,SAT,0>, first at index 0; "
        "quantize them with the grid's quantize first"
    )
    with pytest.raises(DataError) as caught:
        verify_project(right.folder, case.x[:, :5], case.logits())
    assert str(caught.value) == "inputs have shape (5,), but the project takes (6,)"
    with pytest.raises(DataError) as caught:
        verify_project(right.folder, case.x, case.logits()[:10])
    assert str(caught.value) == "the reference has shape (10, 4), not (60, 4)"
    with pytest.raises(DataError) as caught:
        diagnose_project(right, reference=LayerTrace({}))
    assert (
        str(caught.value) == "a reference was given without the inputs that it was computed for; give x too"
    )


def test_a_weight_file_that_is_cut_off_is_refused(copy):
    path = copy / "firmware" / "weights" / "w2.txt"
    path.write_text(", ".join(path.read_text().split(", ")[:40]))
    sign(copy)
    with pytest.raises(StaleProjectError) as caught:
        diagnose_project(open_project(copy))
    assert str(caught.value) == f"{path} holds 40 numbers, not 48; convert again"


def factors_of(project, *options):
    result = CliRunner().invoke(app, ["advise", str(project.folder), *options])
    assert result.exit_code == 0
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line
    ]
    return {name: [row[3:] for row in rows if row[0] == name] for name in ("fc1", "fc2", "logits")}


def test_the_adviser_lists_the_factors_of_a_project(right):
    found = factors_of(right, "--strategy", "resource", "--all")
    assert found["fc1"][:3] == [["1", "48", "1"], ["2", "24", "2"], ["3", "16", "3"]]
    assert all(found.values())
    # the project has the strategy latency
    assert factors_of(right)["fc1"][0][0] == "1 (now)"
