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

_SCALE = 1e4  # HiGHS stops at an absolute gap of 1e-6: that leaves 1e-10 of what can still be gained
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
        Their sum must not exceed the budget (`codesign.compression.hessian_precision` makes them for BOPs, bits and
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
    HAWQ-V3, arXiv:2011.10680, extended by coupled costs; solved by HiGHS (`scipy.optimize.milp`).
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


def least_cost(sensitivities: Sequence[Sensitivity], costs: Sequence[CostTerm]) -> float:
    """The cost of the cheapest choice, which is the smallest budget that `choose_widths` takes."""
    program = _Program(sensitivities, costs)
    return program.cost(program.cheapest())


Choice = tuple[int, ...]
"""For each sensitivity the index of the chosen width."""

Vector = NDArray[np.float64]
"""One number for each variable."""


class _Program:
    """The variables are one for each width of each tensor, then one for each entry of each cost term."""

    def __init__(self, rows: Sequence[Sensitivity], terms: Sequence[CostTerm]) -> None:
        self.rows, self.terms = tuple(rows), tuple(terms)
        self.position = {row.name: index for index, row in enumerate(self.rows)}
        if not self.rows or len(self.position) < len(self.rows):
            raise SettingsError("sensitivities: must be one for each tensor, at least one, each tensor once")
        for term in self.terms:
            self._check(term)
        self.first = [0, *itertools.accumulate(len(row.widths) for row in self.rows)]
        sizes = (np.size(term.values) for term in self.terms)
        self.first_entry = list(itertools.accumulate(sizes, initial=self.first[-1]))
        entries = [np.ravel(term.values) for term in self.terms]
        self.values = np.zeros(self.first_entry[-1])
        self.values[: self.first[-1]] = np.concatenate([row.values for row in self.rows])
        self.costs = np.concatenate([np.zeros(self.first[-1]), *entries])

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
        return math.fsum(self.values[self._picked(choice)])

    def cost(self, choice: Choice) -> float:
        return math.fsum(self.costs[self._picked(choice)])

    def cheapest(self) -> Choice:
        """The choice of least cost."""
        return self._minimise(self.costs, (0,) * len(self.rows))

    def least_sensitive(self, start: Choice, budget: float) -> Choice:
        """The best choice within the budget, improving on `start`, which is within it; among equals the cheapest."""
        best = self._minimise(self.values, start, (self.costs, budget))
        reached = self.sensitivity(best)
        return self._minimise(self.costs, best, (self.values, reached))

    def _minimise(self, objective: Vector, best: Choice, limit: tuple[Vector, float] | None = None) -> Choice:
        """The choice with the least sum of `objective`, improving on `best`, which keeps the limit.

        The solver's tolerances are absolute, and the numbers span many decades. So only what exceeds the least of each
        block counts (exactly one variable of a block is 1), the best excess found so far sets the scale, what alone
        exceeds it is left out, and the search is repeated until the scale stands still.
        """
        excess, _ = self._excess(objective)
        before = math.inf
        while 0 < (reached := math.fsum(excess[self._picked(best)])) < 0.5 * before:
            before = reached
            useful = excess <= reached * (1 + _SLACK)
            found = self._solve_within(np.where(useful, excess / reached, 0.0), useful, limit)
            if math.fsum(excess[self._picked(found)]) < reached:
                best = found
        return best

    def _solve_within(
        self, objective: Vector, useful: NDArray[np.bool_], limit: tuple[Vector, float] | None
    ) -> Choice:
        constraints = [self._structure()]
        if limit is not None:
            excess, least = self._excess(limit[0])
            room = _allowed(limit[1]) - least
            useful = useful & (excess <= room)
            row = np.where(useful, excess, 0.0)[None, :]
            if row.any():
                constraints.append(optimize.LinearConstraint(row / room, ub=1.0))
        while True:
            choice = self._solve(_SCALE * objective, useful, constraints)
            if limit is None or math.fsum(limit[0][self._picked(choice)]) <= _allowed(limit[1]):
                return choice
            # it keeps the limit within the solver's tolerance only: exclude it
            meets = np.zeros(len(self.costs))
            meets[[start + index for start, index in zip(self.first, choice, strict=False)]] = 1
            constraints.append(optimize.LinearConstraint(meets[None, :], ub=len(self.rows) - 1))

    def _solve(
        self,
        objective: Vector,
        useful: NDArray[np.bool_],
        constraints: Sequence[optimize.LinearConstraint],
    ) -> Choice:
        # with coefficients of very different sizes HiGHS' presolve may call a program infeasible that is not
        for presolve in (True, False):
            solution = optimize.milp(
                objective,
                integrality=np.ones(len(objective)),  # the entries would follow, but HiGHS is faster so
                bounds=optimize.Bounds(0, useful.astype(float)),
                constraints=constraints,
                options={"mip_rel_gap": 0.0, "presolve": presolve},
            )
            if solution.x is not None:
                break
        if solution.x is None:
            raise CodesignError(f"the integer program was not solved: {solution.message}")
        return tuple(int(np.argmax(solution.x[start:end])) for start, end in itertools.pairwise(self.first))

    def _excess(self, vector: Vector) -> tuple[Vector, float]:
        """How far each variable is above the least of its block, and the sum of the least ones."""
        starts = [*self.first[:-1], *self.first_entry[:-1]]
        least = np.minimum.reduceat(vector, starts)
        return vector - np.repeat(least, np.diff([*starts, len(vector)])), math.fsum(least)

    def _picked(self, choice: Choice) -> list[int]:
        """The variables that are 1."""
        widths = [start + index for start, index in zip(self.first, choice, strict=False)]
        for term, start in zip(self.terms, self.first_entry, strict=False):
            index = tuple(choice[self.position[name]] for name in term.tensors)
            widths.append(start + int(np.ravel_multi_index(index, np.shape(term.values))) if index else start)
        return widths

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
