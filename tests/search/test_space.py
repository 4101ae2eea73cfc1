"""Spaces: values of every kind, conditions, constraints, grids, and sequences that do not depend on where they begin."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from search_cases import settings_of

from codesign.errors import SettingsError
from codesign.search.space import Space, params_key


def points(count: int, **values: Any) -> list[dict[str, Any]]:
    return [params for _, params in islice(Space(settings_of(**values)).points(), count)]


def faults(**values: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Space(settings_of(**values))
    return caught.value.faults


WIDTH = {"type": "int", "low": 2, "high": 10, "step": 4}
KIND = {"type": "categorical", "choices": ["a", [1, 2], None, True, 1]}
DEEP = {
    "student.depth": {"type": "int", "low": 1, "high": 2},
    "student.width2": {"type": "int", "low": 3, "high": 4, "when": "student.depth == 2"},
}


def test_a_grid_has_every_allowed_point_once() -> None:
    space = {"student.width": WIDTH, "student.kind": KIND}
    found = points(99, space=space, sampler="grid", budget={})
    assert len(found) == 3 * 5 == len({params_key(params) for params in found})
    assert [params["student.width"] for params in found[::5]] == [2, 6, 10]
    assert [repr(params["student.kind"]) for params in found[:5]] == ["'a'", "[1, 2]", "None", "True", "1"]


def test_what_is_not_varied_at_a_point_is_not_in_it() -> None:
    found = points(99, space=DEEP, sampler="grid")
    assert found == [
        {"student.depth": 1},
        {"student.depth": 2, "student.width2": 3},
        {"student.depth": 2, "student.width2": 4},
    ]


def test_a_condition_may_stand_before_what_it_speaks_of() -> None:
    turned = dict(reversed(DEEP.items()))
    assert points(99, space=turned, sampler="grid") == points(99, space=DEEP, sampler="grid")


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_sequences_cover_the_space_and_meet_the_constraints(sampler: str) -> None:
    space = {
        "a.x": {"type": "float", "low": 1e-3, "high": 10.0, "log": True},
        "a.n": {"type": "int", "low": 1, "high": 4},
        "a.m": {"type": "int", "low": 1, "high": 64, "log": True},
        "a.f": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25},
    }
    found = points(600, space=space, sampler=sampler, constraints=["a.n <= a.m"])
    assert all(params["a.n"] <= params["a.m"] for params in found)
    assert {params["a.n"] for params in found} == {1, 2, 3, 4}
    assert {params["a.f"] for params in found} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert min(params["a.m"] for params in found) == 1
    assert max(params["a.m"] for params in found) == 64
    logs = np.log10([params["a.x"] for params in found])
    assert abs(np.mean(logs) + 1.0) < 0.1  # even by its logarithm: the middle of -3 and 1
    assert -3 <= logs.min() < -2.9
    assert 0.9 < logs.max() <= 1


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_the_point_of_an_index_is_the_same_in_every_call(sampler: str) -> None:
    first, again = points(300, sampler=sampler), points(300, sampler=sampler)
    assert first == again
    assert points(300, sampler={"kind": sampler, "seed": 1}) != first


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"space": {}}, "space: is empty; name at least one setting to vary, such as student.width1"),
        (
            {
                "space": {
                    "a.b": {"type": "int", "low": 3, "high": 3},
                    "a.c": {"type": "categorical", "choices": [1]},
                }
            },
            "space: has one point only; give a setting more than one value",
        ),
        (
            {"space": {"a.b": {"type": "float", "low": 0.0, "high": 1.0}}, "sampler": "grid"},
            "space.a.b: a grid needs a step for a float",
        ),
        (
            {"derived": {"student.width2": "seed", "scan.most_bits": "seeds"}},
            (
                "derived.scan.most_bits: 'seeds': seeds is not in the space; did you mean seed?",
                "derived.student.width2: is given already; leave one of them out",
            ),
        ),
        (
            {"constraints": ["student.width3 < 2"]},
            "constraints.0: 'student.width3 < 2': student.width3 is not in the space; did you mean student.width2?",
        ),
        (
            {
                "space": {
                    "a.b": {"type": "int", "low": 1, "high": 2, "when": "a.c == 1"},
                    "a.c": {"type": "int", "low": 1, "high": 2, "when": "a.b == 1"},
                }
            },
            "space: the conditions of a.b, a.c depend on each other in a circle",
        ),
    ],
)
def test_spaces_that_cannot_be(values: dict[str, Any], fault: str | tuple[str, ...]) -> None:
    assert faults(**values) == ((fault,) if isinstance(fault, str) else fault)


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_constraints_that_nothing_meets_are_said(sampler: str) -> None:
    with pytest.raises(SettingsError, match=r"^constraints: n.* meets? student\.width1 > 99$"):
        points(1, sampler=sampler, constraints=["student.width1 > 99"])
