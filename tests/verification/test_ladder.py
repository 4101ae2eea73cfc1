"""The equality ladder: exact comparisons, counted by hand, and a missing tool that is no agreement."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_chain import SmallChain

from codesign.core.fixed_point import FixedPoint
from codesign.core.quality import predicted_classes
from codesign.emulation import Emulator
from codesign.errors import DataError, ToolNotFoundError, VerificationError
from codesign.hls.graph import Graph, Node
from codesign.stages import STAGES
from codesign.stages.verification import compare_all, verify
from codesign.verification import RUNGS, Rung, Verification, compare, ladder, verify_project
from codesign.verification import rungs as rungs_module
from codesign.verification.ladder import Decisions

GRID = FixedPoint(6, 3)
"""Steps of an eighth."""


@dataclass(frozen=True)
class FakeProject:
    """As much of a project as the ladder looks at."""

    n_outputs: int = 3
    input_shape: tuple[int, ...] = (2,)

    def graph(self) -> Graph:
        given = Node("x", "input", (), self.input_shape, types={"result": GRID})
        sums = Node("y", "dense", ("x",), (self.n_outputs,), types={"result": FixedPoint(10, 6)})
        return Graph((given, sums), ("x",), ("y",), "io_parallel", "Vitis")


X = np.array([[0.0, 0.125], [1.0, -1.0], [3.875, -4.0], [0.5, 0.5]])
REFERENCE = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [0.0, 0.0, 0.5], [1.0, 1.0, 1.0]], np.float32)


def table(project: Any = FakeProject(), x: Any = X, reference: Any = REFERENCE, **rungs: Any) -> Verification:
    def rung(outputs: Any) -> Any:
        return outputs if callable(outputs) else lambda project, x: np.array(outputs, np.float64)

    return compare(project, x, reference, rungs={name: rung(outputs) for name, outputs in rungs.items()})


def test_equal_numbers_agree() -> None:
    found = table(csim=REFERENCE)
    (rung,) = found.rungs
    assert (rung.samples, rung.mismatches, rung.first_index, rung.largest_lsb, rung.argmax_flips) == (
        4,
        0,
        None,
        0,
        0,
    )
    assert found.agrees
    found.require_agreement()


def test_what_computes_classes_alone_is_compared_with_those_of_the_reference() -> None:
    right = predicted_classes(REFERENCE)[:, None].astype(np.float64)
    wrong = right.copy()
    wrong[2] -= 2
    found = table(right=lambda project, x: Decisions(right), wrong=lambda project, x: Decisions(wrong))
    (good, bad) = found.rungs
    assert (good.samples, good.mismatches, good.argmax_flips) == (4, 0, 0)
    assert [table.rows[0][0] for table in found.tables()] == ["right, decisions"]
    assert Verification.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert (bad.mismatches, bad.first_index, bad.largest_lsb, bad.argmax_flips) == (1, 2, 2, 1)
    with pytest.raises(DataError, match="wrong computed outputs of shape"):
        table(wrong=lambda project, x: Decisions(REFERENCE))


def test_changes_of_class_are_counted_in_each_head_that_has_classes() -> None:
    outputs = REFERENCE.copy()
    outputs[0] = [3.0, 2.0, 3.0]  # the first head's class changes, the value does not
    outputs[1] = [3.0, 2.0, 9.0]  # a value alone
    rungs = {"csim": lambda project, x: outputs.astype(np.float64)}

    def changes(classes: Any) -> tuple[Any, Any]:
        (rung,) = compare(FakeProject(), X, REFERENCE, rungs=rungs, classes=classes).rungs  # type: ignore[arg-type]
        assert rung.mismatches == 2
        return rung.argmax_flips, dict(rung.head_flips)

    assert changes({"kind": slice(0, 2)}) == (1, {})
    assert changes({"kind": slice(0, 2), "big": slice(2, 3)}) == (1, {"kind": 1, "big": 0})
    assert changes({}) == (None, {})
    several = compare(
        FakeProject(),  # type: ignore[arg-type]
        X,
        REFERENCE,
        rungs=rungs,
        classes={"kind": slice(0, 2), "big": slice(2, 3)},
    )
    assert Verification.from_dict(json.loads(json.dumps(several.to_dict()))) == several
    (row,) = next(several.tables()).rows
    assert "kind 1, big 0" in row


def test_differences_are_counted_by_sample_and_in_steps() -> None:
    outputs = REFERENCE.copy()
    outputs[1] += [0.0625, -0.0625, 0]  # one step each, the class stays
    outputs[2] = [1.0, 0.0, 0.5]  # sixteen steps, another class
    found = table(csim=REFERENCE, rtl=outputs)
    rung = found.rungs[1]
    assert found.lsb == 0.0625
    assert (rung.samples, rung.mismatches, rung.first_index, rung.largest_lsb, rung.argmax_flips) == (
        4,
        2,
        1,
        16,
        1,
    )
    assert not found.agrees
    with pytest.raises(VerificationError) as caught:
        found.require_agreement()
    assert str(caught.value) == (
        "rtl and QKeras disagree on 2 of 4 samples: first at index 1, largest difference 16 LSB"
    )
    assert (caught.value.mismatches, caught.value.samples, caught.value.first_index) == (2, 4, 1)


def test_the_smallest_difference_of_one_output_is_a_mismatch() -> None:
    outputs = REFERENCE.astype(np.float64)
    outputs[3, 2] = np.nextafter(outputs[3, 2], 2)
    assert table(csim=outputs).rungs[0].mismatches == 1


def test_one_output_changes_class_with_its_sign() -> None:
    reference = np.array([[0.5], [-0.5], [0.0], [1.0]], np.float32)
    outputs = np.array([[-0.5], [-0.25], [0.0625], [2.0]])
    rung = table(FakeProject(n_outputs=1), reference=reference, csim=outputs).rungs[0]
    assert (rung.mismatches, rung.argmax_flips) == (4, 2)


def missing(project: object, x: object) -> np.ndarray:
    raise ToolNotFoundError("g++", ["g++ on PATH"], variable="CODESIGN_GXX")


def test_many_samples_are_compared_share_by_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the share, the counts are those of the whole, and no rung sees more at once."""
    outputs = REFERENCE.astype(np.float64)
    outputs[1, 0] += 0.0625
    outputs[3, 2] = -9.0
    whole = table(csim=outputs).rungs[0]
    for share in (1, 2, 3):
        monkeypatch.setattr("codesign.verification.ladder.SAMPLES_AT_ONCE", share)
        seen: list[int] = []

        def compute(project: Any, x: np.ndarray, seen: list[int] = seen) -> np.ndarray:
            start = sum(seen)
            seen.append(len(x))
            return outputs[start : start + len(x)]

        rung = table(csim=compute).rungs[0]
        assert max(seen) <= share
        assert replace(rung, seconds=0.0) == replace(whole, seconds=0.0)
    assert (whole.mismatches, whole.first_index) == (2, 1)


def test_a_missing_tool_is_skipped_with_its_reason() -> None:
    found = table(csim=missing, rtl=REFERENCE)
    reason = "g++ was not found (looked for g++ on PATH); set CODESIGN_GXX to its path"
    assert found.rungs[0] == Rung("csim", 0, 0, None, 0.0, 0, 0.0, skipped=reason)
    assert found.agrees
    found.require_agreement()


def test_nothing_compared_is_no_agreement() -> None:
    found = table(csim=missing)
    assert not found.agrees
    with pytest.raises(DataError, match=r"^nothing was compared with QKeras \(csim: g\+\+ was not found "):
        found.require_agreement()
    assert not table().agrees


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x": X + np.array([[0], [0], [0.0625], [0.03]])},
            "2 of 4 input vectors are off the input grid fixed<6,3>, first at index 2; quantize them with the grid's "
            "quantize first",
        ),
        (
            {"x": X * 2},
            "1 of 4 input vectors are off the input grid fixed<6,3>, first at index 2; quantize them with the grid's "
            "quantize first",
        ),
        ({"reference": REFERENCE[:3]}, "the reference has shape (3, 3), not (4, 3)"),
        ({"reference": REFERENCE[:, :2]}, "the reference has shape (4, 2), not (4, 3)"),
        ({"x": X[:, :1]}, "inputs have shape (1,), but the project takes (2,)"),
        ({"x": X[:0], "reference": REFERENCE[:0]}, "there are no samples to compare; give at least one"),
        ({"csim": REFERENCE[:3]}, "csim computed outputs of shape (3, 3), not (4, 3)"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        table(**{"csim": REFERENCE, **changes})
    assert str(caught.value) == message


def test_a_table_survives_json() -> None:
    found = table(csim=missing, rtl=REFERENCE + 1)
    assert Verification.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_progress_is_told_by_rung() -> None:
    steps = []

    class Told:
        def step(self, *step: Any) -> None:
            steps.append(step)

    rungs = {"a": lambda project, x: REFERENCE, "b": lambda project, x: REFERENCE}
    compare(FakeProject(), X, REFERENCE, rungs=rungs, progress=Told())  # type: ignore[arg-type]
    assert steps == [("verification", 0, 2, "a"), ("verification", 1, 2, "b"), ("verification", 2, 2)]


def test_a_converted_student_agrees_on_the_whole_test_part(small_chain: SmallChain) -> None:
    found, reference = compare_all(small_chain.quantized, small_chain.converted, small_chain.dataset)
    assert {rung.name: (rung.samples, rung.mismatches) for rung in found.rungs if rung.name in RUNGS} == {
        name: (len(small_chain.dataset.x_test), 0) for name in RUNGS
    }
    assert reference.shape == (len(small_chain.dataset.x_test), 3)


def test_the_outputs_of_the_test_part_are_kept_sample_by_sample(
    small_chain: SmallChain, tmp_path: Path
) -> None:
    verified = verify(small_chain.quantized, small_chain.converted, small_chain.dataset)
    stage = next(stage for stage in STAGES if stage.name == "verification")
    stage.save(verified, tmp_path)
    kept = stage.load(None, tmp_path, verified.record).test  # type: ignore[arg-type]
    dataset = small_chain.dataset
    assert (kept["targets"] == dataset.y_test).all()
    assert tuple(kept["class_names"]) == dataset.class_names
    right = predicted_classes(kept["outputs"]) == dataset.y_test
    assert right.mean() == verified.record.metrics["test_accuracy"]
    (tmp_path / "test.npz").unlink()  # as of older runs
    assert stage.load(None, tmp_path, verified.record).test == {}  # type: ignore[arg-type]


def test_a_project_is_verified_by_its_own_golden_outputs(small_chain: SmallChain) -> None:
    found = verify_project(small_chain.converted.project.folder)
    assert found.agrees
    assert found.reference == "the student's golden outputs"


def test_wrong_expectations_of_a_project_are_found(small_chain: SmallChain, tmp_path: Path) -> None:
    student = small_chain.quantized
    x = student.precision.input.quantize(small_chain.dataset.x_test[:20])
    rungs = {"emulation": RUNGS["emulation"]}
    right = RUNGS["emulation"](small_chain.converted.project, x)
    golden = right.copy()
    step = verify_project(small_chain.converted.project.folder, x, right, rungs=rungs).lsb
    golden[13, 0] -= 3 * step
    wrong = verify_project(small_chain.converted.project.folder, x, golden, rungs=rungs)
    assert (wrong.rungs[0].mismatches, wrong.rungs[0].first_index, wrong.rungs[0].largest_lsb) == (1, 13, 3.0)


def test_the_emulation_is_planned_once_for_all_shares(
    small_chain: SmallChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, plan = [], Emulator.of
    monkeypatch.setattr(Emulator, "of", lambda graph: planned.append(1) or plan(graph))
    monkeypatch.setattr(ladder, "SAMPLES_AT_ONCE", 7)
    rungs_module._planned.cache_clear()
    found = verify_project(small_chain.converted.project.folder, rungs={"emulation": RUNGS["emulation"]})
    assert found.agrees
    assert len(planned) == 1
