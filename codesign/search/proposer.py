"""What proposes the trials: Optuna, asked and told by the one coordinator, its storage a journal in the search's folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codesign.errors import SettingsError
from codesign.search.ledger import JOURNAL, State, TrialLine, append, mend
from codesign.search.objectives import OBJECTIVES
from codesign.search.settings import SearchSettings
from codesign.search.space import BUDGET, Dimension, Params, Space, is_varied, params_key

_READY = "ready"
_MOST_OTHERS = 500
"""Trials not among the best that TPE's density of them is made of."""

_MOST_REFUSED = 1000
"""Proposals in a row that may break a constraint or stand already."""


class Proposer:
    """Proposes points and is told what came of them.

    A trial that was proposed and not told is still open when the search begins again: the same trial goes on. Optuna's
    journal is never rebuilt, so that NSGA-II finds the generations of its trials.

    Parameters
    ----------
    folder
        The search's; the caller holds its lock, so the journal needs none.
    space, settings
        Of the search.
    """

    def __init__(self, folder: Path, space: Space, settings: SearchSettings) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        mend(folder / JOURNAL)
        self._journal = _journal(folder / JOURNAL)
        storage = _storage(self._journal)
        directions = [OBJECTIVES[name].direction for name in settings.objectives]
        self.study = optuna.create_study(
            storage=storage, study_name="search", directions=directions, load_if_exists=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names(list(settings.objectives))
        self.space, self.settings = space, settings
        self._states = optuna.trial.TrialState
        self._keys: set[str] = set()
        self._last_index = -1
        self._points = space.points() if settings.sampler.kind in ("grid", "random", "qmc") else None
        self._common = optuna.search_space.IntersectionSearchSpace()
        self.proposed: dict[int, Params] = {}
        """Every trial's point, by its number."""
        self.parents: dict[int, int] = {}
        """Of further points of a training the trial that it is of."""
        known = self.study.get_trials(deepcopy=False)
        self._n_asked = len(known)
        for trial in known:
            if trial.state == self._states.RUNNING and _READY not in trial.user_attrs:
                # cut off before all of its choices were made
                self.study.tell(trial.number, state=self._states.FAIL)
            elif _READY in trial.user_attrs:
                ready = trial.user_attrs[_READY]
                self._last_index = max(self._last_index, ready["index"])
                self._remember(trial.number, self._params(ready["params"]), ready.get("of"))

    @property
    def n_proposed(self) -> int:
        """How many different trials there are, those that have ended included and further points of theirs not."""
        return len(self.proposed) - len(self.parents)

    def ask(self) -> tuple[int, Params] | None:
        """The next trial's number and point; ``None`` if the space has no further one.

        Raises
        ------
        SettingsError
            If no point meets the constraints.
        """
        return self._ask_optuna() if self._points is None else self._ask_points()

    def further(self, of: int, budget_luts: int) -> tuple[int, Params] | None:
        """A trial that is another point of a trial's training: its number and point; ``None`` if it stands already."""
        params = {**self.proposed[of], BUDGET: float(budget_luts)}
        if params_key(params) in self._keys:
            return None
        return self._ready(self._asked(self.proposed[of]), params, of=of)

    def sync(self) -> None:
        """Put what was asked and told on the disk, once for many trials.

        Raises
        ------
        OutputFolderError
            If it cannot be written.
        """
        self._journal.sync()

    def tell(self, line: TrialLine) -> None:
        """Tell what came of a trial; one that was told before stays as it is."""
        trial_id = self.study._storage.get_trial_id_from_study_id_trial_number(
            self.study._study_id, line.number
        )
        if self.study._storage.get_trial(trial_id).state != self._states.RUNNING:
            return
        storage = self.study._storage
        if line.reason:
            storage.set_trial_user_attr(trial_id, "reason", line.reason)
        for name, value in line.violations.items():
            # what `Trial.set_constraint` writes, for a trial of an earlier process
            storage.set_trial_system_attr(trial_id, f"constraints:{name}", value)
        states: Mapping[State, Any] = {"pruned": self._states.PRUNED, "failed": self._states.FAIL}
        if line.state == "complete":
            self.study.tell(line.number, [line.values[name] for name in self.settings.objectives])
        else:
            self.study.tell(line.number, state=states[line.state])

    def _ask_points(self) -> tuple[int, Params] | None:
        stood = 0
        for index, params in self._points or ():
            if index <= self._last_index:
                continue
            self._last_index = index
            if params_key(params) in self._keys:
                stood += 1
                if stood >= _MOST_REFUSED:
                    return None
                continue
            return self._ready(self._asked(params), params, index)
        return None

    def _asked(self, params: Params) -> Any:
        """A trial of Optuna's at a point that is given."""
        self.study.sampler = _given(params)
        trial = self.study.ask()
        for dimension in self.space.dimensions:
            if dimension.name in params:
                self._suggest(trial, dimension)
        return trial

    def _ask_optuna(self) -> tuple[int, Params] | None:
        refused = 0
        for _ in range(_MOST_REFUSED):
            # a sampler made anew for each trial proposes the same after an interruption
            self.study.sampler = self._sampler(self._n_asked)
            trial = self.study.ask()
            self._n_asked += 1
            params: Params = {}
            for dimension in self.space.dimensions:
                if is_varied(dimension, params):
                    params[dimension.name] = dimension.value(self._suggest(trial, dimension))
            if self.space.broken(params) is None and params_key(params) not in self._keys:
                return self._ready(trial, params)
            refused += self.space.broken(params) is not None
            self.study.tell(trial, state=self._states.FAIL)
        if refused == _MOST_REFUSED:
            raise SettingsError(
                f"constraints: none of {_MOST_REFUSED:,} proposals meets "
                + " and ".join(constraint.text for constraint in self.space.constraints)
            )
        return None

    def _ready(
        self, trial: Any, params: Params, index: int = -1, of: int | None = None
    ) -> tuple[int, Params]:
        trial.set_user_attr(_READY, {"params": params, "index": index, "of": of})
        self._remember(trial.number, params, of)
        return trial.number, params

    def _remember(self, number: int, params: Params, of: int | None) -> None:
        self.proposed[number] = params
        self._keys.add(params_key(params))
        if of is not None:
            self.parents[number] = of

    def _sampler(self, number: int) -> Any:
        chosen = self.settings.sampler
        seed = (chosen.seed * 1_000_003 + number) % 2**32
        if chosen.kind == "nsga2":
            return _nsga2(self._common, population_size=chosen.population, seed=seed)
        return _tpe(self._is_refused, n_startup_trials=chosen.startup_trials, seed=seed)

    def _is_refused(self, kept: Mapping[str, Any]) -> bool:
        """Whether choices, as Optuna keeps them, break a constraint whatever the others will be."""
        by_name = self.space.by_name
        return (
            self.space.broken({name: by_name[name].value(value) for name, value in kept.items()}) is not None
        )

    def _suggest(self, trial: Any, dimension: Dimension) -> Any:
        settings, name = dimension.settings, dimension.name
        if settings.type == "categorical":
            return trial.suggest_categorical(name, dimension.categories)
        if settings.type == "int":
            low, high = int(dimension.low), int(dimension.high)
            return trial.suggest_int(name, low, high, step=int(settings.step or 1), log=settings.log)
        return trial.suggest_float(name, dimension.low, dimension.high, step=settings.step, log=settings.log)

    def _params(self, kept: Mapping[str, Any]) -> Params:
        """What the journal gives back, whole numbers and floats told apart again."""
        by_name = self.space.by_name
        return {
            name: float(value) if name == BUDGET or by_name[name].settings.type == "float" else value
            for name, value in kept.items()
        }


def _journal(path: Path) -> Any:
    """Optuna's journal in a file, which `sync` puts on the disk.

    Optuna's own waits for the disk after each of a trial's dozen lines and takes a lock that a killed process leaves to
    the next. Here the folder's lock stands for it, and a file that a crash cut off is mended when it is opened.
    """
    from optuna.storages.journal import JournalFileBackend

    class Held:
        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    class Journal(JournalFileBackend):
        def __init__(self) -> None:
            super().__init__(str(path), lock_obj=Held())  # type: ignore[arg-type]
            self.unsynced = False

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            append(path, text.encode(), durable=False)
            self.unsynced = True

        def sync(self) -> None:
            if self.unsynced:
                append(path, b"")
                self.unsynced = False

    return Journal()


def _storage(journal: Any) -> Any:
    """Optuna's storage on a journal; for each trial that is asked for, its own looks through all for one that waits."""
    from optuna.storages.journal import JournalStorage
    from optuna.trial import TrialState

    class Storage(JournalStorage):
        def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[Any]:
            if states == (TrialState.WAITING,):  # nobody puts trials in a queue here
                return []
            return super().get_all_trials(study_id, deepcopy, states)

    return Storage(journal)


def _nsga2(common: Any, **settings: Any) -> Any:
    """NSGA-II that is told which choices all trials have in common, and does not look through all of them again."""
    import optuna

    class Nsga2(optuna.samplers.NSGAIISampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            found = common.calculate(study)
            return {name: choice for name, choice in found.items() if not choice.single()}

    return Nsga2(**settings)


def _tpe(is_refused: Callable[[Mapping[str, Any]], bool], **settings: Any) -> Any:
    """TPE that looks only among what the constraints allow, and whose effort for a trial is bounded.

    Of the values that it draws for a choice those are left out that break a constraint together with the choices made before:
    otherwise whole trials are refused, most of them where the best lie beside a constraint. The trials that are not among
    the best are looked at no further than is of use: their density does not change with ever more of them. Which are the
    best is asked once for a trial: none ends while it is proposed, and one sampler proposes one.
    """
    import numpy as np
    import optuna
    from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_gamma_multiobjective

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)

    class Tpe(optuna.samplers.TPESampler):
        _parts: tuple[list[Any], list[Any]] | None = None

        def _sample(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            self._made, self._asked = dict(trial.params), search_space
            if self._parts is None:
                trials = study._get_trials(deepcopy=False, states=ended, use_cache=True)
                gamma = default_gamma if len(study.directions) == 1 else default_gamma_multiobjective
                self._parts = _split_trials(study, trials, gamma(len(trials)))
            below, above = (
                self._build_parzen_estimator(study, search_space, part, handle_below=is_best)
                for part, is_best in zip(self._parts, (True, False), strict=True)
            )
            drawn = below.sample(self._rng.rng, self._n_ei_candidates)
            best = self._compare(drawn, self._compute_acquisition_func(drawn, below, above))
            return {name: kind.to_external_repr(best[name]) for name, kind in search_space.items()}

        def _build_parzen_estimator(
            self, study: Any, search_space: Any, trials: Any, handle_below: bool
        ) -> Any:
            if not handle_below:
                every = -(-len(trials) // _MOST_OTHERS) or 1
                trials = trials[::-1][::every][::-1]  # the newest, which weighs most, among them
            return super()._build_parzen_estimator(study, search_space, trials, handle_below)

        def _compute_acquisition_func(self, samples: Any, mpe_below: Any, mpe_above: Any) -> Any:
            worth = super()._compute_acquisition_func(samples, mpe_below, mpe_above)
            for index in range(len(worth)):
                drawn = {
                    name: kind.to_external_repr(samples[name][index]) for name, kind in self._asked.items()
                }
                if is_refused({**self._made, **drawn}):
                    worth[index] = -np.inf
            return worth

    return Tpe(**settings)


def _given(params: Params) -> Any:
    """A sampler that proposes what it is given."""
    import optuna

    class Given(optuna.samplers.BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, param_name: str, distribution: Any) -> Any:
            value = params[param_name]
            return repr(value) if isinstance(value, list) else value

    return Given()
