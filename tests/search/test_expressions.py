"""Conditions in words: what they compute, and that nothing else can be written in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import SettingsError
from codesign.search.expressions import parse_expression

KNOWN = ("student.width1", "student.width2", "student.kind", "pruning.sparsity")


def holds(text: str, **values: object) -> bool:
    plain = {"student.width1": 8, "student.width2": 4, "student.kind": "dense", "pruning.sparsity": 0.5}
    return parse_expression(text, KNOWN).holds({**plain, **values})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("student.width2 <= student.width1", True),
        ("student.width2 > student.width1", False),
        ("2 * student.width2 == student.width1 and not student.width1 < 8", True),
        ("student.width1 * student.width2 <= 31", False),
        ("student.width1 % 3 == 2 or student.width1 // 3 == 0", True),
        ("4 <= student.width2 < student.width1 <= 8", True),
        ("4 < student.width2 < student.width1", False),
        ("student.kind in ['dense', \"conv\"]", True),
        ("student.kind not in ('dense',)", False),
        ("student.kind == 'conv'", False),
        ("max(student.width1, student.width2) - min(student.width1, 20) == 0", True),
        ("abs(-student.width1) == 8 and true", True),
        ("pruning.sparsity + 0.25 >= 3 / 4", True),
    ],
)
def test_what_a_condition_says(text: str, expected: bool) -> None:
    assert holds(text) is expected


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_comparisons_are_those_of_numbers(one: int, two: int) -> None:
    values = {"student.width1": one, "student.width2": two}
    assert holds("student.width1 <= student.width2", **values) is (one <= two)
    assert holds("student.width1 + student.width2 != 0", **values) is (one + two != 0)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') or student.width1",
        "student.width1.__class__ == 3",
        "(lambda: student.width1)()",
        "[x for x in student.width1]",
        "student.width1 ** 9 > 3",
        "student.width1 if true else 2",
        "open('x') == student.width1",
        "max(*student.width1) > 2",
        "f'{student.width1}' == '8'",
        "student.width1 is 8",
        "(y := student.width1) > 2",
        "student['width1'] > 2",
        "student.width1 << 3 > 2",
        "min() < student.width1",
        "student.width1 <=",
        "student.width1 = 3",
        "b'x' == student.kind",
        "(" * 500 + "student.width1" + ")" * 500,
        "not " * 400 + "student.width1",
        "student.width1 > 1 " + "and student.width1 > 1 " * 60,
        "1 < 2",
        "",
    ],
)
def test_nothing_else_is_understood(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_expression(text, KNOWN).holds({"student.width1": 8, "student.kind": "dense"})


def test_a_name_that_is_not_there_has_a_suggestion() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_expression("student.widht1 > 3", KNOWN)
    assert (
        str(caught.value)
        == "'student.widht1 > 3': student.widht1 is not in the space; did you mean student.width1?"
    )


@pytest.mark.parametrize(
    "text", ["student.kind < 3", "student.width1 / 0 > 1", "student.kind * 1000000000 == 'a'"]
)
def test_what_cannot_be_computed_says_with_what(text: str) -> None:
    with pytest.raises(SettingsError, match=r"cannot be computed for student\.\w+ = "):
        holds(text)
