"""The space of a search: what is varied, which points are allowed, and points in order for grids and random searches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from codesign.core.files import json_digest
from codesign.errors import SettingsError
from codesign.search.expressions import Expression, parse_expression
from codesign.search.settings import DimensionSettings, SearchSettings

Params = dict[str, Any]
"""Values by dotted path, only of what is varied at this point."""

BUDGET = "quantization.learned.budget_luts"
"""What tells points of one training apart."""

_MOST_TRIED = 10_000
"""Points that are tried to find the next allowed one."""

_BLOCK = 256


@dataclass(frozen=True)
class Dimension:
    """One thing that is varied.

    Parameters
    ----------
    name
        The setting, by dotted path.
    settings
        Its range or choices.
    when
        Where it is varied; ``None`` everywhere.
    """

    name: str
    settings: DimensionSettings
    when: Expression | None

    @property
    def size(self) -> int | None:
        """How many values there are; ``None`` for infinitely many."""
        if self.settings.type == "categorical":
            return len(self.settings.choices)
        if self.low == self.high:
            return 1
        step = self._step
        return None if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1

    @property
    def low(self) -> float:
        """The least value of a number."""
        return float(self.settings.low or 0.0)

    @property
    def high(self) -> float:
        """The largest value of a number."""
        return float(self.settings.high or 0.0)

    @property
    def _step(self) -> float | None:
        return self.settings.step or (1.0 if self.settings.type == "int" else None)

    @property
    def categories(self) -> list[Any]:
        """The choices as Optuna keeps them: a list as its text."""
        return [_category(choice) for choice in self.settings.choices]

    def value(self, category: Any) -> Any:
        """The plain value of what Optuna proposes."""
        if self.settings.type == "categorical":
            kept = [repr(entry) for entry in self.categories]
            chosen = self.settings.choices[kept.index(repr(category))]
            return list(chosen) if isinstance(chosen, tuple) else chosen
        return int(category) if self.settings.type == "int" else float(category)

    def grid(self) -> list[Any]:
        """Every value."""
        if self.settings.type == "categorical":
            return [self.value(category) for category in self.categories]
        count = self.size
        if count is None:
            raise SettingsError(f"space.{self.name}: a grid needs a step for a float")
        return [self._number(self.low + index * (self._step or 0.0)) for index in range(count)]

    def at(self, place: float) -> Any:
        """The value at a place from 0 to 1 (exclusive)."""
        if self.settings.type == "categorical":
            return self.value(self.categories[int(place * len(self.categories))])
        if self.settings.log:
            # whole numbers have the width of one at both ends
            low, high = (
                (self.low - 0.5, self.high + 0.5) if self.settings.type == "int" else (self.low, self.high)
            )
            number = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
            return self._number(min(max(number, self.low), self.high))
        count = self.size
        if count is None:
            return self._number(self.low + place * (self.high - self.low))
        return self._number(self.low + int(place * count) * (self._step or 0.0))

    def _number(self, value: float) -> int | float:
        # a float of a grid without the dust of its sum
        return round(value) if self.settings.type == "int" else float(f"{value:.12g}")


class Space:
    """All that is varied, its conditions and constraints.

    Parameters
    ----------
    settings
        Of the search.

    Raises
    ------
    SettingsError
        With every fault of the space.
    """

    def __init__(self, settings: SearchSettings) -> None:
        names = list(settings.space)
        faults: list[str] = []

        def parsed(where: str, text: str, *more: str) -> Expression | None:
            try:
                return parse_expression(text, [*names, *more])
            except SettingsError as error:
                faults.append(f"{where}: {error}")
                return None

        conditions = {
            name: parsed(f"space.{name}.when", entry.when)
            for name, entry in settings.space.items()
            if entry.when is not None
        }
        constraints = [
            parsed(f"constraints.{index}", text) for index, text in enumerate(settings.constraints)
        ]
        derived = {name: parsed(f"derived.{name}", text, "seed") for name, text in settings.derived.items()}
        for name in derived:
            if name in ("seed", "data.fold", "name") or name in names:
                faults.append(f"derived.{name}: is given already; leave one of them out")
        dimensions = {
            name: Dimension(name, entry, conditions.get(name)) for name, entry in settings.space.items()
        }
        if settings.sampler.kind == "grid":
            faults += [
                f"space.{name}: a grid needs a step for a float"
                for name, dimension in dimensions.items()
                if dimension.size is None
            ]
        if not faults and all(dimension.size == 1 for dimension in dimensions.values()):
            faults.append("space: has one point only; give a setting more than one value")
        if faults:
            raise SettingsError(faults)
        self.dimensions: tuple[Dimension, ...] = tuple(_in_order(dimensions))
        self.constraints = tuple(constraint for constraint in constraints if constraint is not None)
        self.derived = {name: one for name, one in derived.items() if one is not None}
        self.seed, self.kind = settings.sampler.seed, settings.sampler.kind

    @cached_property
    def by_name(self) -> Mapping[str, Dimension]:
        """The dimensions by name."""
        return {dimension.name: dimension for dimension in self.dimensions}

    def active(self, values: Mapping[str, Any]) -> Params:
        """The values of what is varied where these values are."""
        params: Params = {}
        for dimension in self.dimensions:
            if is_varied(dimension, params) and dimension.name in values:
                params[dimension.name] = values[dimension.name]
        return params

    def overrides(self, params: Params, seed: int) -> Params:
        """The settings of a trial's run: what is varied, the seed, and what is derived of both.

        What is derived of a thing that is not varied there is left as the design has it; the budget of a further point of a
        training (`codesign.search.front.FurtherPoint`) is its own.
        """
        given = {**params, "seed": seed}
        derived = {name: one.value(given) for name, one in self.derived.items() if one.names <= given.keys()}
        return {**derived, **given}

    def broken(self, params: Params) -> str | None:
        """The first constraint that a point breaks; one about a thing that is not varied there says nothing."""
        for constraint in self.constraints:
            if constraint.names <= params.keys() and not constraint.holds(params):
                return constraint.text
        return None

    def points(self) -> Iterator[tuple[int, Params]]:
        """The allowed points of a grid, or of a random or quasi-random sequence, without end and with their indices.

        Each is the same wherever one begins to count: the point of an index does not depend on those before it.

        Raises
        ------
        SettingsError
            If no point is allowed.
        """
        last, seen = -1, set[str]()
        for index, params in enumerate(self._grid() if self.kind == "grid" else self._sequence()):
            if self.kind != "grid" and index - last > _MOST_TRIED:
                raise SettingsError(
                    f"constraints: none of {_MOST_TRIED:,} points in a row meets {' and '.join(c.text for c in self.constraints)}"
                )
            if self.broken(params):
                continue
            if self.kind == "grid":
                key = params_key(params)
                if key in seen:  # what is not varied at a point makes no new one
                    continue
                seen.add(key)
            last = index
            yield index, params
        if last < 0:
            raise SettingsError(
                f"constraints: no point of the grid meets {' and '.join(c.text for c in self.constraints)}"
            )

    def _grid(self) -> Iterator[Params]:
        names = [dimension.name for dimension in self.dimensions]
        for values in itertools.product(*(dimension.grid() for dimension in self.dimensions)):
            yield self.active(dict(zip(names, values, strict=True)))

    def _sequence(self) -> Iterator[Params]:
        for block in itertools.count():
            for row in self._places(block):
                yield self.active(
                    {
                        dimension.name: dimension.at(place)
                        for dimension, place in zip(self.dimensions, row, strict=True)
                    }
                )

    def _places(self, block: int) -> np.ndarray:
        """Places from 0 to 1, float64, shape `(_BLOCK, n_dimensions)`."""
        if self.kind == "random":
            return np.random.default_rng([self.seed, block]).random((_BLOCK, len(self.dimensions)))
        from scipy.stats.qmc import Sobol

        sequence = Sobol(len(self.dimensions), scramble=True, rng=np.random.default_rng(self.seed))
        if block:
            sequence.fast_forward(block * _BLOCK)
        # scrambling can round up to 1
        places: np.ndarray = np.minimum(sequence.random(_BLOCK), np.nextafter(1.0, 0.0))
        return places


def is_varied(dimension: Dimension, params: Params) -> bool:
    """Whether a dimension is varied where the earlier ones have these values."""
    when = dimension.when
    return when is None or (when.names <= params.keys() and when.holds(params))


def params_key(params: Params) -> str:
    """The digest of a point."""
    return json_digest({name: repr(value) for name, value in params.items()})


def _category(choice: Any) -> Any:
    return repr(list(choice)) if isinstance(choice, tuple) else choice


def _in_order(dimensions: Mapping[str, Dimension]) -> Sequence[Dimension]:
    """The dimensions so that each stands behind those that its condition speaks of."""
    done: dict[str, Dimension] = {}
    while len(done) < len(dimensions):
        ready = [
            dimension
            for name, dimension in dimensions.items()
            if name not in done and (dimension.when is None or dimension.when.names <= done.keys())
        ]
        if not ready:
            left = ", ".join(name for name in dimensions if name not in done)
            raise SettingsError(f"space: the conditions of {left} depend on each other in a circle")
        done |= {dimension.name: dimension for dimension in ready}
    return list(done.values())
