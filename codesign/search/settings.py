"""The settings of a search: strict, frozen, complete before any work starts; read from its `search.yaml`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from codesign.search.objectives import OBJECTIVES, objective_fault
from codesign.settings import make_settings, read_settings_file
from codesign.settings_base import Count, CountOrNone, Positive, Section, Seed

Plain = bool | int | float | str | None


class DimensionSettings(Section):
    """One thing that is varied: an ``int`` or ``float`` from `low` to `high`, or one of the `choices`.

    `step` makes a number even (of floats: a grid), `log` spreads it by its logarithm. `when` is a condition on other
    things that are varied; where it does not hold, the setting is left as the design has it. A list alone stands for its
    choices.
    """

    type: Literal["int", "float", "categorical"]
    low: float | None = None
    high: float | None = None
    step: Positive | None = None
    log: bool = False
    choices: tuple[Plain | tuple[Plain, ...], ...] = ()
    when: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _choices_alone(cls, value: Any) -> Any:
        if isinstance(value, list):
            value = {"type": "categorical", "choices": value}
        if isinstance(value, dict) and isinstance(value.get("choices"), list):
            # what a validator has touched is taken strictly: a list is no tuple then
            choices = tuple(tuple(one) if isinstance(one, list) else one for one in value["choices"])
            value = {**value, "choices": choices}
        return value

    @field_validator("low", "high")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("must be a finite number")
        return value

    @model_validator(mode="after")
    def _fits(self) -> DimensionSettings:
        if self.type == "categorical":
            given = [name for name in ("low", "high", "step") if getattr(self, name) is not None]
            if given or self.log:
                raise ValueError(f"a categorical has choices and no {given[0] if given else 'log'}")
            if not self.choices:
                raise ValueError("a categorical needs choices")
            # 1 and True, 1 and 1.0 are equal in Python and are different settings
            if len({repr(choice) for choice in self.choices}) < len(self.choices):
                raise ValueError("a choice stands twice")
            return self
        if self.choices:
            raise ValueError(f"an {self.type} has low and high and no choices")
        if self.low is None or self.high is None:
            raise ValueError(f"an {self.type} needs low and high")
        if self.low > self.high:
            raise ValueError(f"low must not be above high, {self.low:g} > {self.high:g}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0 and no step")
        if self.type == "int" and not all(
            float(x or 0).is_integer() for x in (self.low, self.high, self.step)
        ):
            raise ValueError("an int needs whole numbers for low, high and step")
        return self


class BudgetSettings(Section):
    """How long is searched: a number of trials, hours of wall time over all calls, or both; what is reached first."""

    trials: Count | None = None
    hours: Positive | None = None


class SamplerSettings(Section):
    """What proposes: ``grid``, ``random``, ``qmc`` (scrambled Sobol), ``tpe`` or ``nsga2``.

    `startup_trials` of TPE are random; `population` is NSGA-II's.
    """

    kind: Literal["grid", "random", "qmc", "tpe", "nsga2"] = "tpe"
    seed: Seed = 0
    startup_trials: Count = 10
    population: Annotated[int, Field(ge=2)] = 20

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


class PrunerSettings(Section):
    """Asynchronous successive halving on epochs of the distillation.

    A trial first trains a student for `least_epochs`, then for `factor` times as many, and so on; only one of `factor`
    of those that came so far goes on, by fronts of validation quality and parameters. What is left trains in full.
    """

    least_epochs: Count
    factor: Annotated[int, Field(ge=2)] = 3


class SearchSettings(Section):
    """A search.

    `design` is a design's folder, seen from the file. `space` are settings by dotted path, `constraints` conditions
    that every trial meets, `settings` further settings of every trial, `derived` settings that are computed for each run of
    what is varied and of the run's `seed`. Each trial is trained with each of the `seeds`
    (left out: the design's) on each of `folds` parts; its values are the means. `limits` are what no result may
    exceed (of quality: fall below). A run that takes longer than `time_limit_minutes` is ended (left out: 10 times the
    longest so far, at least 20 minutes). After `attempts` failures a trial is given up. `cache_gb` limits what is kept
    of shared stages. Of the fronts that learned widths leave, up to `points` further points become trials when the budget
    is used: those that no trial beats in quality and LUTs, which cost no training. With `proof` the points of the front
    go through open RTL, C simulation and the ladder, then through the vendor's C synthesis, at most `licences` at a time;
    with ``all`` every trial does.
    """

    design: str = "."
    space: Mapping[str, DimensionSettings]
    constraints: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}
    derived: Mapping[str, str] = {}
    objectives: Mapping[str, Literal["maximize", "minimize"]] = {"quality": "maximize", "luts": "minimize"}
    limits: Mapping[str, Positive] = {}
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] | None = None
    folds: Count = 1
    budget: BudgetSettings = BudgetSettings()
    sampler: SamplerSettings = SamplerSettings()
    pruner: PrunerSettings | None = None
    attempts: Count = 3
    time_limit_minutes: Positive | None = None
    cache_gb: Positive = 2.0
    points: CountOrNone = 12
    proof: bool | Literal["all"] = True
    licences: Count = 1

    @field_validator("space")
    @classmethod
    def _varies(cls, value: Mapping[str, DimensionSettings]) -> Mapping[str, DimensionSettings]:
        if not value:
            raise ValueError("is empty; name at least one setting to vary, such as student.width1")
        return value

    @field_validator("objectives")
    @classmethod
    def _objectives(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if not value:
            raise ValueError(f"needs at least one of {', '.join(OBJECTIVES)}")
        for name, direction in value.items():
            fault = objective_fault(name, direction)
            if fault:
                raise ValueError(fault)
        return value

    @field_validator("limits")
    @classmethod
    def _limits(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        for name in value:
            fault = objective_fault(name)
            if fault:
                raise ValueError(fault)
        return value

    @field_validator("seeds")
    @classmethod
    def _different(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError(f"must be different, not {', '.join(map(str, value))}")
        return value

    @model_validator(mode="after")
    def _ends(self) -> SearchSettings:
        if self.budget.trials is None and self.budget.hours is None and self.sampler.kind != "grid":
            raise ValueError("the budget needs trials, hours or both; only a grid ends by itself")
        return self


def read_search(path: str | Path) -> tuple[SearchSettings, Path]:
    """Read a `search.yaml` (or the one in a folder).

    Returns
    -------
    tuple
        The settings and the file.

    Raises
    ------
    SettingsError
        With every fault of the file.
    """
    values, path = read_settings_file(path, "search.yaml", "give a search.yaml or its folder: docs/search.md")
    return make_settings(SearchSettings, values, path), path
