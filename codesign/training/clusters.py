"""Groups of classes that a generalist confuses, each worth a specialist."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from sklearn.cluster import KMeans

from codesign.core.text_table import counted
from codesign.errors import DataError, SettingsError

Clusters = tuple[tuple[int, ...], ...]
"""Class indices of each group, rising; the groups may overlap."""

_STARTS = 50


def confusable_clusters(logits: np.ndarray, number: int, seed: int = 0) -> Clusters:
    """Group the classes that a generalist predicts together.

    K-means on the columns of the covariance matrix of its predicted probabilities (arXiv:1503.02531, section 5.1).
    The columns of classes that are never confused are all as far from each other, so that what remains of their
    distances decides; of many starts the best is taken.

    Parameters
    ----------
    logits
        Of the generalist on any samples, shape `(n_samples, n_classes)`.
    number
        How many groups to look for.
    seed
        Of the starts.

    Returns
    -------
    Clusters
        The groups with at least two classes, in the order of their first class. A class alone is confused with
        none and needs no specialist.

    Raises
    ------
    SettingsError
        If `number` is not between 2 and the number of classes less 1, or no group has two classes.
    """
    n_classes = logits.shape[1]
    check_number(number, n_classes)
    columns = np.cov(softmax(logits.astype(np.float64), axis=1), rowvar=False)
    group_of = KMeans(number, n_init=_STARTS, random_state=seed).fit_predict(columns)
    groups = [tuple(np.flatnonzero(group_of == group).tolist()) for group in range(number)]
    clusters = tuple(sorted(group for group in groups if len(group) > 1))
    if not clusters:
        raise SettingsError(
            f"teacher.clusters: {number} groups of {n_classes} classes leave every class alone; ask for fewer groups"
        )
    return clusters


def check_number(number: int, n_classes: int) -> None:
    """Refuse a number of groups that the classes cannot make: `SettingsError`."""
    if not 2 <= number < n_classes:
        raise SettingsError(
            f"teacher.clusters: must be 2 to {n_classes - 1} groups of the {n_classes} classes, not {number}"
        )


def named_clusters(groups: Sequence[Sequence[int | str]], class_names: Sequence[str]) -> Clusters:
    """Groups that a user gave, as class indices.

    Parameters
    ----------
    groups
        Class names or indices.
    class_names
        Of the data.

    Raises
    ------
    SettingsError
        For an unknown class, a class twice in a group, a group of one class or of all classes; all faults together.
    """
    faults: list[str] = []
    clusters = []
    for number, group in enumerate(groups):
        indices, where = [], f"teacher.clusters.{number}"
        for name in group:
            index = _index(name, class_names)
            if index is None:
                faults.append(
                    f"{where}: there is no class {name!r}; the classes are {', '.join(class_names)}"
                )
            elif index in indices:
                faults.append(f"{where}: the class {name!r} is named twice")
            else:
                indices.append(index)
        if len(group) < 2:
            faults.append(
                f"{where}: a specialist needs at least two classes to tell apart, not {len(group)}; add the classes "
                "it is confused with, or remove the group"
            )
        if len(set(indices)) == len(class_names):
            faults.append(f"{where}: holds all classes and leaves none for the dustbin; remove some")
        clusters.append(tuple(sorted(indices)))
    if not groups:
        faults.append("teacher.clusters: holds no group; give groups of classes or how many to find")
    if faults:
        raise SettingsError(faults)
    return tuple(clusters)


def require_several_classes(n_outputs: int, what: str) -> None:
    """Refuse specialists where there is nothing to specialise in: `DataError` for fewer than three outputs."""
    if n_outputs < 3:
        raise DataError(
            f"{what} has {counted(n_outputs, 'output')}; specialists need at least three classes with an output each, use a "
            "single teacher or an ensemble"
        )


def _index(name: int | str, class_names: Sequence[str]) -> int | None:
    if isinstance(name, str):
        return list(class_names).index(name) if name in class_names else None
    return name if 0 <= name < len(class_names) else None
