"""One width for each tensor: the least total sensitivity under a budget, by an exact integer program."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from codesign.compression.sensitivity import Sensitivity, TensorName, with_tensor_width
from codesign.core.precision_map import PrecisionMap
from codesign.errors import CodesignError, SettingsError

_SCALE = 1e4  # HiGHS stops at an absolute gap of 1e-6: relative to the optimum that leaves 1e-10
_SLACK = 1e-12  # sums of the same costs in another order differ by rounding alone


@dataclass(frozen=True, eq=False)
class CostTerm:
    """A part of the cost that depends on the widths of some tensors, and the whole cost is the sum of its terms.

    Parameters
    ----------
    tensors
        The tensors, none for a constant.
    values
        The cost for each combination of their widths: one axis for each tensor, in the order of its
        `Sensitivity.widths`. Finite; float64.
    """

    tensors: tuple[TensorName, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class WidthChoice:
    """The widths that the program chose.

    Parameters
    ----------
    widths
        Width in bits by tensor.
    sensitivity
        The total sensitivity, the least possible under the budget (to 1e-9 of it).
    cost
        What the widths cost, the least possible at that sensitivity.
    budget
        What they were allowed to cost.
    """

    widths: Mapping[TensorName, int]
    sensitivity: float
    cost: float
    budget: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", MappingProxyType(dict(self.widths)))

    def apply(self, precision: PrecisionMap) -> PrecisionMap:
        """A map with these widths; integer bits and modes stay."""
        for name, width in self.widths.items():
            precision = with_tensor_width(precision, name, width)
        return precision


def choose_widths(
    sensitivities: Sequence[Sensitivity], costs: Sequence[CostTerm], budget: float, *, unit: str = "BOPs"
) -> WidthChoice:
    """Choose one width for each tensor: minimal total sensitivity, then minimal cost, within a budget.

    Parameters
    ----------
    sensitivities
        One for each tensor whose width is to be chosen.
    costs
        Their sum must not exceed the budget (`codesign.compression.width_costs` makes them for BOPs, bits and
        LUTs). A term may couple several tensors: the product of weight and activation bits stays exact, because
        each combination of widths has a variable of its own.
    budget
        The largest cost.
    unit
        What costs and budget count, for messages.

    Raises
    ------
    SettingsError
        If no choice meets the budget; says the smallest budget that one does. For a term of another shape than its
        tensors' widths, or with a tensor that has no sensitivity.
    CodesignError
        If the solver gives up.

    Notes
    -----
    HAWQ-V3, arXiv:2011.10680, section 3.4, with coupled costs; solved by HiGHS (`scipy.optimize.milp`).
    """
    program = _Program(sensitivities, costs)
    if not math.isfinite(budget):
        raise SettingsError(f"budget: must be a finite number of {unit}, not {budget}")
    cheapest = program.cheapest()
    least = program.cost(cheapest)
    if least > _allowed(budget):
        raise SettingsError(
            f"budget: {budget:.10g} {unit} cannot be met; the smallest feasible one is {_up(least)} {unit}"
        )
    choice = program.least_sensitive(cheapest, budget)
    widths = {row.name: row.widths[index] for row, index in zip(program.rows, choice, strict=True)}
    return WidthChoice(widths, program.sensitivity(choice), program.cost(choice), budget)


Choice = tuple[int, ...]
"""For each sensitivity the index of the chosen width."""


class _Program:
    """The variables are one for each width of each tensor, then one for each entry of each cost term."""

    def __init__(self, rows: Sequence[Sensitivity], terms: Sequence[CostTerm]) -> None:
        self.rows, self.terms = tuple(rows), tuple(terms)
        self.position = {row.name: index for index, row in enumerate(self.rows)}
        if not self.rows or len(self.position) < len(self.rows):
            raise SettingsError("sensitivities: must be one for each tensor, at least one, each tensor once")
        for term in self.terms:
            self._check(term)
        self.values = np.concatenate([np.array(row.values) for row in self.rows])
        self.costs = np.concatenate(
            [np.zeros(len(self.values)), *(np.ravel(term.values) for term in self.terms)]
        )
        self.first = [0, *itertools.accumulate(len(row.widths) for row in self.rows)]
        sizes = (np.size(term.values) for term in self.terms)
        self.first_entry = list(itertools.accumulate(sizes, initial=len(self.values)))

    def _check(self, term: CostTerm) -> None:
        unknown = [name for name in term.tensors if name not in self.position]
        if unknown:
            raise SettingsError(f"costs: {unknown[0]} has a cost but no sensitivity; give it a row")
        shape = tuple(len(self.rows[self.position[name]].widths) for name in term.tensors)
        if np.shape(term.values) != shape or not np.isfinite(term.values).all():
            raise SettingsError(
                f"costs: the term of {term.tensors} must be finite numbers of shape {shape}, "
                f"not {np.shape(term.values)}"
            )

    def sensitivity(self, choice: Choice) -> float:
        return math.fsum(row.values[index] for row, index in zip(self.rows, choice, strict=True))

    def cost(self, choice: Choice) -> float:
        return math.fsum(
            term.values[tuple(choice[self.position[name]] for name in term.tensors)] for term in self.terms
        )

    def cheapest(self) -> Choice:
        """The choice of least cost."""
        return self._solve(self.costs)

    def least_sensitive(self, start: Choice, budget: float) -> Choice:
        """The best choice within the budget, improving on `start`, which is within it.

        The solver's tolerances are absolute, and sensitivities span many decades: so the best found so far sets the
        scale, widths that alone exceed it are left out, and the search is repeated until the scale stands still.
        """
        best, before = start, math.inf
        while 0 < self.sensitivity(best) < 0.5 * before:
            before = self.sensitivity(best)
            found = self._solve_within(budget, self._padded(self.values), self.values <= before)
            best = min(best, found, key=self.sensitivity)
        return self._cheapest_equal(best)

    def _cheapest_equal(self, best: Choice) -> Choice:
        """The cheapest choice that is as good as `best`."""
        reached = self.sensitivity(best)
        limits = [(self._padded(self.values), reached)] if reached else []
        choice = self._solve(self.costs, self.values <= reached, limits)
        equal = self.sensitivity(choice) <= reached * (1 + 1e-9)
        return choice if equal and self.cost(choice) < self.cost(best) else best

    def _solve_within(
        self, budget: float, objective: NDArray[np.float64], allowed: NDArray[np.bool_]
    ) -> Choice:
        excluded: list[Choice] = []
        while True:
            choice = self._solve(objective, allowed, [(self.costs, budget)], excluded)
            if self.cost(choice) <= _allowed(budget):
                return choice
            excluded.append(choice)  # it is within the solver's tolerance only

    def _padded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.pad(values, (0, len(self.costs) - len(values)))

    def _solve(
        self,
        objective: NDArray[np.float64],
        allowed: NDArray[np.bool_] | None = None,
        limits: Sequence[tuple[NDArray[np.float64], float]] = (),
        excluded: Sequence[Choice] = (),
    ) -> Choice:
        """Minimise `objective`, with the rows of `limits` at most their bounds, among the `allowed` widths."""
        size, n_widths = len(self.costs), len(self.values)
        upper = np.ones(size)
        if allowed is not None:
            upper[:n_widths] = allowed
        relevant = np.where(upper > 0, objective, 0.0)
        constraints = [self._structure()]
        for row, bound in limits:
            factor = _SCALE / (abs(bound) or 1.0)
            usable = np.where(upper > 0, row, 0.0)
            constraints.append(optimize.LinearConstraint(factor * usable[None, :], ub=factor * bound))
        for choice in excluded:
            meets = np.zeros(size)
            meets[[start + index for start, index in zip(self.first, choice, strict=False)]] = 1
            constraints.append(optimize.LinearConstraint(meets[None, :], ub=len(self.rows) - 1))
        solution = optimize.milp(
            relevant * (_SCALE / (np.abs(relevant).max() or 1.0)),
            integrality=np.arange(size) < n_widths,  # the entries follow: see _structure
            bounds=optimize.Bounds(0, upper),
            constraints=constraints,
            options={"mip_rel_gap": 0.0},
        )
        if solution.x is None:
            raise CodesignError(f"the integer program was not solved: {solution.message}")
        return tuple(int(np.argmax(solution.x[start:end])) for start, end in itertools.pairwise(self.first))

    def _structure(self) -> optimize.LinearConstraint:
        """One width for each tensor, and coupled entries whose margins are the widths.

        Margins with a single 1 leave one table of entries: 1 where all chosen widths meet, 0 elsewhere.
        """
        lines = list(self._lines())
        matrix = sparse.lil_array((len(lines), len(self.costs)))
        for index, (ones, minus) in enumerate(lines):
            matrix[index, ones] = 1.0
            if minus is not None:
                matrix[index, minus] = -1.0
        equal = np.array([1.0 if minus is None else 0.0 for _, minus in lines])
        return optimize.LinearConstraint(matrix.tocsr(), lb=equal, ub=equal)

    def _lines(self) -> Iterator[tuple[list[int], int | None]]:
        for start, end in itertools.pairwise(self.first):
            yield list(range(start, end)), None
        for term, start in zip(self.terms, self.first_entry, strict=False):
            entries = start + np.arange(np.size(term.values)).reshape(np.shape(term.values))
            if not term.tensors:
                yield [start], None
            for axis, name in enumerate(term.tensors):
                for index, part in enumerate(np.moveaxis(entries, axis, 0)):
                    yield np.ravel(part).tolist(), self.first[self.position[name]] + index


def _allowed(budget: float) -> float:
    return budget + _SLACK * abs(budget)


def _up(value: float) -> str:
    """The number rounded up to whole units, so that it is itself a feasible budget."""
    return f"{math.ceil(value - _SLACK * abs(value)):d}"
