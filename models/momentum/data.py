"""Muons that cross magnetised steel: how far they bend between four stations, and their transverse momentum.

A toy with the traits of a forward muon trigger: the bend is inverse to the momentum, the field falls with pseudorapidity,
the steel takes energy and scatters by as much as a tenth of the bend, a station measures in strips, and some muons shower.
`make_data` is what a design's `data.source: data.py` calls: the same seed makes the same data.
"""

import numpy as np

SAMPLES = 8000
STRIP = 0.002  # radians
STEEL = (1.0, 0.6, 0.35)  # bend between stations of a muon of 1 GeV at the lowest pseudorapidity, in radians


def make_data(seed):
    random = np.random.default_rng(seed)
    log_pt = random.uniform(np.log(3.0), np.log(60.0), SAMPLES)  # as many muons in each octave
    eta = random.uniform(1.2, 2.4, SAMPLES)
    charge = random.choice([-1.0, 1.0], SAMPLES)
    pt = np.exp(log_pt)
    inside = np.maximum(pt - 1.2, 0.5)  # what is left of it in the steel
    field = 1.0 - 0.45 * (eta - 1.2) / 1.2
    bends = []
    for strength in STEEL:
        bend = charge * strength * field / inside
        scattering = 0.1 * strength / inside * random.normal(size=SAMPLES)
        shower = (random.random(SAMPLES) < 0.02) * random.normal(scale=0.05, size=SAMPLES)
        bends.append(np.round((bend + scattering + shower) / STRIP) * STRIP)
    bends = np.stack(bends, axis=1)
    # a trigger folds the charge away: the bends as if the first were positive
    bends *= np.where(bends[:, :1] < 0, -1.0, 1.0)
    return {
        "X": np.concatenate([bends, eta[:, None]], axis=1),
        "log_pt": log_pt,
        "feature_names": ["bend12", "bend23", "bend34", "eta"],
    }
