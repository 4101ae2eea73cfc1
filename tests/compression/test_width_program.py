"""The integer program against brute force, and the smallest feasible budget."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.compression.sensitivity import Sensitivity
from codesign.compression.width_program import CostTerm, WidthChoice, choose_widths
from codesign.core.fixed_point import FixedPoint
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.cost import INPUT
from codesign.errors import SettingsError

Instance = tuple[list[Sensitivity], list[CostTerm]]


@st.composite
def instances(draw) -> Instance:
    rows = []
    for k in range(draw(st.integers(1, 4))):
        widths = tuple(draw(st.sets(st.integers(2, 16), min_size=1, max_size=5)))
        decades = st.floats(-12, 3).map(lambda power: 10.0**power)
        values = st.one_of(st.just(0.0), decades, st.sampled_from([1.0, 2.0, 3.0]))
        sensitivity = draw(st.lists(values, min_size=len(widths), max_size=len(widths)))
        rows.append(Sensitivity(f"l{k}", "weight" if k % 2 else "result", widths, tuple(sensitivity)))
    terms = []
    for _ in range(draw(st.integers(1, 4))):
        names = draw(st.permutations(range(len(rows))))[: draw(st.integers(0, 3))]
        shape = [len(rows[index].widths) for index in names]
        costs = st.one_of(st.integers(1, 9).map(float), st.floats(1, 1e7))
        entries = draw(st.lists(costs, min_size=math.prod(shape), max_size=math.prod(shape)))
        terms.append(CostTerm(tuple(rows[index].name for index in names), np.array(entries).reshape(shape)))
    return rows, terms


def all_choices(rows: list[Sensitivity], terms: list[CostTerm]) -> list[tuple[float, float]]:
    """Sensitivity and cost of every choice."""
    position = {row.name: index for index, row in enumerate(rows)}
    return [
        (
            math.fsum(row.values[index] for row, index in zip(rows, choice, strict=True)),
            math.fsum(term.values[tuple(choice[position[name]] for name in term.tensors)] for term in terms),
        )
        for choice in itertools.product(*(range(len(row.widths)) for row in rows))
    ]


@settings(deadline=None, max_examples=150)
@given(instances(), st.floats(0, 1))
def test_as_good_as_brute_force(instance, where):
    rows, terms = instance
    choices = all_choices(rows, terms)
    costs = [cost for _, cost in choices]
    budget = min(costs) + where * (max(costs) - min(costs))
    found = choose_widths(rows, terms, budget)
    within = [choice for choice in choices if choice[1] <= budget * (1 + 1e-12)]
    best = min(sensitivity for sensitivity, _ in within)
    assert found.cost <= budget * (1 + 1e-12)
    assert found.sensitivity == pytest.approx(best, rel=1e-8, abs=0)
    assert found.cost <= min(cost for s, cost in within if s <= best) * (1 + 1e-8)
    # what it says is what the widths give
    chosen = tuple(row.widths.index(found.widths[row.name]) for row in rows)
    index = list(itertools.product(*(range(len(row.widths)) for row in rows))).index(chosen)
    assert (found.sensitivity, found.cost) == choices[index]


@settings(deadline=None, max_examples=40)
@given(instances())
def test_an_infeasible_budget_says_the_smallest_feasible_one(instance):
    rows, terms = instance
    least = min(cost for _, cost in all_choices(rows, terms))
    with pytest.raises(SettingsError) as caught:
        choose_widths(rows, terms, 0.999 * least, unit="LUTs")
    said = re.fullmatch(
        r"budget: [\d.e+]+ LUTs cannot be met; the smallest feasible one is (\d+) LUTs", str(caught.value)
    )
    assert said is not None
    assert least * (1 - 1e-9) <= float(said[1]) < least + 1
    assert choose_widths(rows, terms, float(said[1])).cost <= float(said[1]) * (1 + 1e-12)


def rows_of(*names: str, widths: tuple[int, ...] = (2, 4, 8)) -> list[Sensitivity]:
    return [Sensitivity(name, "weight", widths, tuple(4.0**-width for width in widths)) for name in names]


def test_products_of_two_widths_stay_exact():
    weight = rows_of("fc")[0]
    activation = Sensitivity("relu", "result", (3, 5), (1e-3, 1e-4))
    product = CostTerm((weight.name, activation.name), np.outer([2.0, 4.0, 8.0], [3.0, 5.0]))
    found = choose_widths([weight, activation], [product], 24)
    # of 2x3 2x5 4x3 4x5 8x3 within 24, (8, 3) has 1.02e-3 and (4, 5) has 4.0e-3
    assert dict(found.widths) == {("fc", "weight"): 8, ("relu", "result"): 3}
    assert found.cost == 24


def test_among_equals_the_cheapest():
    rows = [Sensitivity("a", "weight", (2, 3, 4), (1.0, 0.0, 0.0))]
    found = choose_widths(rows, [CostTerm((("a", "weight"),), np.array([2.0, 3.0, 4.0]))], 100)
    assert found == WidthChoice({("a", "weight"): 3}, 0.0, 3.0, 100)


def least_of_pairs(rows: list[Sensitivity], terms: list[CostTerm], budget: float) -> float:
    """The least sensitivity where each term has two tensors of its own: fronts of pairs, merged one by one."""
    values = {row.name: np.array(row.values) for row in rows}
    front = [(0.0, 0.0)]  # (cost, sensitivity), costs rising, sensitivities falling
    for term in terms:
        one, two = (values[name] for name in term.tensors)
        pairs = zip(term.values.ravel(), np.add.outer(one, two).ravel(), strict=True)
        sums = sorted(
            (c + cost, s + sensitivity) for c, s in pairs for cost, sensitivity in front if c + cost <= budget
        )
        front, best = [], math.inf
        for cost, sensitivity in sums:
            if sensitivity < best:
                best = sensitivity
                front.append((cost, sensitivity))
    return front[-1][1]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_ten_tensors_of_fifteen_widths(share):
    """Sensitivities over eight decades: the solver's own gap is too wide for the small ones."""
    widths = tuple(range(2, 17))
    rng = np.random.default_rng(5)
    rows, terms = [], []
    for k in range(5):
        for layer, tensor in ((f"fc{k}", "weight"), (f"relu{k}", "result")):
            values = 10 ** rng.uniform(-2, 1) * 4.0 ** -np.array(widths) * rng.uniform(0.5, 1, 15)
            rows.append(Sensitivity(layer, tensor, widths, tuple(values)))
        terms.append(
            CostTerm((rows[-2].name, rows[-1].name), rng.integers(1, 9) * np.outer(widths, widths) * 100.0)
        )
    budget = share * sum(term.values.max() for term in terms)
    found = choose_widths(rows, terms, budget)
    assert found.cost <= budget
    assert found.sensitivity == pytest.approx(least_of_pairs(rows, terms, budget), rel=1e-9)


def test_a_choice_that_exceeds_the_budget_by_a_hair_is_refused():
    """The solver itself allows a part in a million."""
    rows = [Sensitivity(name, "weight", (2, 3), (1.0, 0.0)) for name in "ab"]
    costs = [
        CostTerm((row.name,), np.array([0.0, cost])) for row, cost in zip(rows, (1, 1 + 1e-8), strict=True)
    ]
    refused, allowed = (choose_widths(rows, costs, budget) for budget in (2.0, 2 + 1e-8))
    assert (refused.cost, refused.sensitivity) == (1.0, 1.0)
    assert (allowed.cost, allowed.sensitivity) == (2 + 1e-8, 0.0)


def test_the_choice_becomes_a_map():
    weight, result = FixedPoint(8, 1, True, "RND_CONV", "SAT"), FixedPoint(9, 3, False, "RND", "SAT")
    layers = {"fc": LayerPrecision(weight, weight), "relu": LayerPrecision(result=result)}
    precision = PrecisionMap(FixedPoint(10, 2), layers)
    choice = WidthChoice({("fc", "weight"): 3, ("relu", "result"): 5, (INPUT, "result"): 7}, 0, 0, 0)
    changed = choice.apply(precision)
    assert changed.input == FixedPoint(7, 2)
    assert changed["fc"] == LayerPrecision(FixedPoint(3, 1, True, "RND_CONV", "SAT"), weight)
    assert changed["relu"].result == FixedPoint(5, 3, False, "RND", "SAT")


def test_faults_are_named():
    rows = rows_of("a")
    term = CostTerm((("a", "weight"),), np.array([1.0, 2.0, 3.0]))
    for arguments, message in [
        ((rows, [term], math.nan), "budget: must be a finite number of BOPs, not nan"),
        (([], [term], 1), "sensitivities: must be one for each tensor, at least one, each tensor once"),
        ((rows * 2, [term], 1), "sensitivities: must be one for each tensor, at least one, each tensor once"),
        (
            (rows_of("b"), [term], 1),
            "costs: ('a', 'weight') has a cost but no sensitivity; give it a row",
        ),
        (
            (rows, [CostTerm(term.tensors, np.ones(2))], 1),
            "costs: the term of (('a', 'weight'),) must be finite numbers of shape (3,), not (2,)",
        ),
    ]:
        with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
            choose_widths(*arguments)
