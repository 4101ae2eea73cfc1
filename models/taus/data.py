"""Sets of particles around a trigger's seed: a narrow hadronic tau or a broad jet, and the momentum it had before losses.

A tau decays to one or three particles and neutral ones close by; a jet to more of them, farther off. Every particle has a
fraction of the momentum and is measured with an error; some are lost. The eight hardest are kept, zeros fill the rest.
`make_data` is what a design's `data.source: data.py` calls: the same seed makes the same data.
"""

import numpy as np

SAMPLES, PARTICLES = 5000, 8


def particles(random, is_tau, pt):
    charged = random.choice([1, 3], p=[0.7, 0.3]) if is_tau else 3 + random.poisson(4)
    count = charged + random.poisson(0.8 if is_tau else 2.0)
    shares = random.dirichlet(np.full(count, 1.5 if is_tau else 1.0))
    width = (0.04 if is_tau else 0.12) * (30 / pt) ** 0.5
    places = random.normal(scale=width, size=(count, 2))
    measured = pt * shares * random.normal(1.0, 0.15, count)
    kept = (measured > 1.0) & (random.random(count) > 0.1)
    kept[np.argmax(measured)] = True  # what the trigger's seed was
    found = np.concatenate([np.log1p(np.maximum(measured, 0))[:, None], 10 * places], axis=1)[kept]
    found = found[np.argsort(-found[:, 0])][:PARTICLES]
    return np.concatenate([found, np.zeros((PARTICLES - len(found), 3))])


def make_data(seed):
    random = np.random.default_rng(seed)
    is_tau = random.integers(0, 2, SAMPLES)
    log_pt = random.uniform(np.log(20), np.log(120), SAMPLES)
    sets = [particles(random, tau, np.exp(log)) for tau, log in zip(is_tau, log_pt, strict=True)]
    return {
        "X": np.array(sets),
        "is_tau": is_tau,
        "log_pt": log_pt,
        "feature_names": [f"{what}{n}" for n in range(PARTICLES) for what in ("log_pt", "eta", "phi")],
    }
