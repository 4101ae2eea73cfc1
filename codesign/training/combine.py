"""One distribution over all classes from a generalist and specialists with dustbins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from codesign.training.clusters import Clusters

_MOST_STEPS = 2000
_CLOSE = 1e-10
_LEAST = 1e-30  # a probability whose logarithm is still an ordinary number


def combine_specialists(
    generalist: np.ndarray, specialists: Sequence[np.ndarray], clusters: Clusters
) -> np.ndarray:
    """The distribution `q` over all classes that minimises `KL(p_g, q)` plus `KL(p_m, q)` of the active specialists.

    Hinton et al., arXiv:1503.02531, section 5.4, eq. 5: a specialist is active where the generalist's most probable
    class is in its group; compared with its dustbin is the sum of `q` over all other classes. The authors descend
    along the gradient for each sample. The sum is that of the likelihood of counts some of which are known only as
    sums (the dustbins), and the EM iteration for it finds the same, only, minimum for all samples at once: every
    specialist's dustbin is shared out in the proportions that `q` has there, and the new `q` is the mean.

    Parameters
    ----------
    generalist
        Logits, shape `(n_samples, n_classes)`.
    specialists
        Logits of each, shape `(n_samples, 1 + classes of its group)`: the group's classes in rising order, then the
        dustbin, already corrected for over-sampling.
    clusters
        Their groups.

    Returns
    -------
    numpy.ndarray
        `log q`, float32 of shape `(n_samples, n_classes)`: logits of the combination.
    """
    p_general = softmax(generalist.astype(np.float64), axis=1)
    p_special = [softmax(logits.astype(np.float64), axis=1) for logits in specialists]
    q = p_general.copy()
    best = generalist.argmax(axis=1)
    for label in range(generalist.shape[1]):
        rows = np.flatnonzero(best == label)
        active = [number for number, cluster in enumerate(clusters) if label in cluster]
        if len(rows) and active:
            known = [(p_special[number][rows], clusters[number]) for number in active]
            q[rows] = _minimise(p_general[rows], known)
    return np.log(np.maximum(q, _LEAST)).astype(np.float32)


def _minimise(p_general: np.ndarray, known: Sequence[tuple[np.ndarray, tuple[int, ...]]]) -> np.ndarray:
    q = p_general
    fixed = p_general.copy()
    for p, cluster in known:
        fixed[:, list(cluster)] += p[:, :-1]
    others = [np.setdiff1d(np.arange(q.shape[1]), cluster) for _, cluster in known]
    for _ in range(_MOST_STEPS):
        total = fixed.copy()
        for (p, _), dustbin in zip(known, others, strict=True):
            share = q[:, dustbin]
            total[:, dustbin] += p[:, -1:] * share / np.maximum(share.sum(axis=1, keepdims=True), _LEAST)
        new = total / (1 + len(known))
        if np.abs(new - q).max() < _CLOSE:
            return new
        q = new
    return q
