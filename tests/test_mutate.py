"""The command that mutates a room: what a survivor is called, which reason explains it, which sample is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import mutate
import pytest


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("codesign.cost.luts.xǁ_Matrixǁ__init____mutmut_9", "codesign.cost.luts._Matrix.__init__"),
        ("codesign.cost.adder_trees.x__rounded__mutmut_22", "codesign.cost.adder_trees._rounded"),
        ("codesign.core.fixed_point.xǁFixedPointǁquantize__mutmut_1", "codesign.core.fixed_point.FixedPoint.quantize"),
    ],
)  # fmt: skip
def test_a_survivor_is_called_as_its_function(name: str, function: str) -> None:
    assert mutate.Survivor(name, "", "").function == function


def test_every_listed_reason_has_its_words_and_a_pattern() -> None:
    found = [reason for room in mutate.ROOMS for reason in mutate.read_reasons(room)]
    assert len(found) > 20
    for reason in found:
        assert reason.reason.endswith(".")
        assert reason.before or reason.after
        # not so wide that it explains anything
        assert not reason.explains(mutate.Survivor("codesign.x.x_f__mutmut_1", "a = b + 1", "a = b - 1"))


def test_a_reason_explains_mutants_of_its_form_alone() -> None:
    reason = mutate.Reason(r"f$", "a", "b", "why")
    assert reason.explains(mutate.Survivor("m.x_f__mutmut_1", "a", "b"))
    assert not reason.explains(mutate.Survivor("m.x_g__mutmut_1", "a", "b"))
    assert not reason.explains(mutate.Survivor("m.x_f__mutmut_1", "a", "c"))


def test_mutants_are_listed_by_pattern_in_one_order(tmp_path: Path) -> None:
    for name, keys in (("b", ["m.b.x_f__mutmut_2", "m.b.x_f__mutmut_1"]), ("a", ["m.a.x_g__mutmut_1"])):
        (tmp_path / f"{name}.py.meta").write_text(json.dumps({"exit_code_by_key": dict.fromkeys(keys)}))
    assert mutate._mutants(tmp_path, []) == ["m.a.x_g__mutmut_1", "m.b.x_f__mutmut_1", "m.b.x_f__mutmut_2"]
    assert mutate._mutants(tmp_path, ["m.b.*"]) == ["m.b.x_f__mutmut_1", "m.b.x_f__mutmut_2"]


def test_constructors_of_derived_classes_are_left_as_they_are() -> None:
    source = """class Own:
    def __init__(self, a=1):
        self.a = a


class Layer(Own):
    def __init__(
        self,
        a: int,
        **more: int,
    ) -> None:
        # why
        super().__init__(a + 1)

    def call(self): return 1
"""
    kept = mutate.with_constructors_kept(source)
    assert kept == source.replace(") -> None:\n", ") -> None:  # pragma: no mutate block\n")
