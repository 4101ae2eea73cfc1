"""Energies in a ring of calorimeter towers: ordinary events, and rare ones of another kind that judge the score alone.

An ordinary event has one or two deposits of a steep spectrum, back to back, that spread to their neighbours, over noise. An
anomalous one has five or six softer deposits anywhere. Nothing is trained on anomalous events: the train part has none.
`make_data` is what a design's `data.source: data.py` calls: the same seed makes the same data.
"""

import numpy as np

TOWERS = 16
ORDINARY = {"train": 4000, "validation": 1500, "test": 1500}
ANOMALOUS = {"validation": 300, "test": 300}
SPREAD = np.array([0.08, 0.2, 0.44, 0.2, 0.08])


def event(random, places, energies):
    towers = np.abs(random.normal(scale=0.4, size=TOWERS))
    for place, energy in zip(places, energies, strict=True):
        towers[(place + np.arange(-2, 3)) % TOWERS] += energy * SPREAD * random.gamma(20, 1 / 20, 5)
    return np.log1p(towers)


def ordinary(random):
    place = random.integers(TOWERS)
    first = 10 + 15 * random.pareto(4)
    both = [place, place + TOWERS // 2 + random.integers(-1, 2)][: random.integers(1, 3)]
    return event(random, both, [first, first * random.uniform(0.5, 1.0)][: len(both)])


def anomalous(random):
    places = random.choice(TOWERS, random.integers(5, 7), replace=False)
    return event(random, places, 5 + 5 * random.pareto(4, len(places)))


def make_data(seed):
    random = np.random.default_rng(seed)
    arrays = {"feature_names": [f"tower{number}" for number in range(TOWERS)]}
    for part, count in ORDINARY.items():
        events = [ordinary(random) for _ in range(count)]
        strange = [anomalous(random) for _ in range(ANOMALOUS.get(part, 0))]
        arrays[f"X_{part}"] = np.array(events + strange)
        arrays[f"y_{part}"] = np.repeat([0, 1], [len(events), len(strange)])
    return arrays
