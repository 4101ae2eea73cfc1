"""How much each choice matters for a value, by a forest of trees on the trials that were run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from codesign.search.results import Found, objective_columns

_LEAST_TRIALS = 15
_MOST_TRIALS = 2000
_TREES = 100


@dataclass(frozen=True)
class Importance:
    """What a forest says of one value.

    Parameters
    ----------
    objective
        The value.
    shares
        Of what the choices explain, by choice, the largest first; they sum to 1.
    r2
        How well the forest predicts trials that it was not grown on (out of bag): near 0, the shares say little.
    n_trials
        How many trials it was grown on.
    """

    objective: str
    shares: Mapping[str, float]
    r2: float
    n_trials: int


def importances(found: Found) -> Iterator[Importance]:
    """The importance of every choice for every value; nothing for fewer than 15 complete trials."""
    from sklearn.ensemble import ExtraTreesRegressor

    # further points of one training have its choices, whatever they cost
    trained = (line for line in found.ledger.trials.values() if line.state == "complete" and line.of is None)
    complete = list(trained)[-_MOST_TRIALS:]
    if len(complete) < _LEAST_TRIALS:
        return
    columns, owners = [], []
    for name, entry in found.settings.space.items():
        values = [line.params.get(name) for line in complete]
        if entry.type == "categorical":
            for choice in sorted({repr(value) for value in values}):
                columns.append([float(repr(value) == choice) for value in values])
                owners.append(name)
        else:
            # a setting that is not varied at a point lies outside its range
            outside = float(entry.low or 0.0) - 1.0
            columns.append([outside if value is None else float(value) for value in values])
            owners.append(name)
    x = np.array(columns).T
    for objective in objective_columns(found):
        y = np.array([line.values[objective] for line in complete])
        if np.ptp(y) == 0:
            continue
        forest = ExtraTreesRegressor(
            _TREES, bootstrap=True, oob_score=True, random_state=0, min_samples_leaf=2
        )
        forest.fit(x, y)
        shares: dict[str, float] = dict.fromkeys(found.settings.space, 0.0)
        for owner, share in zip(owners, forest.feature_importances_, strict=True):
            shares[owner] += float(share)
        ordered = dict(sorted(shares.items(), key=lambda pair: -pair[1]))
        yield Importance(objective, ordered, float(forest.oob_score_), len(complete))
