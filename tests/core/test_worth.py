"""What is said of networks that are not worth building."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.task import (
    Classification,
    Head,
    Heads,
    MultiLabel,
    Reconstruction,
    Regression,
    Score,
    Task,
)
from codesign.core.worth import worth_notes

CLASSES = Classification(("a", "b", "c"))


def labels(n: int) -> np.ndarray:
    """Of three classes, the commonest with a share of 0.34."""
    counts = np.array([0.34, 0.33, 0.33]) * n
    return np.repeat(
        np.arange(3), counts.astype(int) + (np.arange(3) == 0) * (n - int(counts.astype(int).sum()))
    )


def test_what_is_not_worth_building_is_said() -> None:
    good = {"teacher": 0.95, "student": 0.94, "pruning": 0.935, "quantization": 0.93}
    assert worth_notes(CLASSES, good, labels(300), 0.01) == ()
    (near,) = worth_notes(CLASSES, {"teacher": 0.95, "student": 0.447}, labels(200), 0.01)
    assert near.startswith(
        "student is near chance: accuracy 0.4470 on the validation samples, and a guess gets 0.3400; train longer"
    )
    (far,) = worth_notes(CLASSES, {"teacher": 0.95, "student": 0.75}, labels(300), 0.01)
    assert far == "student is far below its teacher: accuracy 0.7500 against 0.9500 on the validation samples"
    (lost,) = worth_notes(CLASSES, {"teacher": 0.95, "student": 0.94, "pruning": 0.88}, labels(2000), 0.01)
    assert (
        lost
        == "pruning lost more than the tolerance of 0.01: accuracy 0.8800 on the validation samples after 0.9400"
    )
    # what the samples cannot tell apart is not said
    assert worth_notes(CLASSES, {"teacher": 0.95, "student": 0.94, "pruning": 0.90}, labels(100), 0.01) == ()


def test_a_regression_that_says_a_constant_is_said_so() -> None:
    (note,) = worth_notes(Regression(("pt",)), {"teacher": 0.9, "student": 0.02}, np.zeros((500, 1)), 0.01)
    assert note.startswith(
        "student is near a constant predictor: r2 0.0200 on the validation samples, and a constant gets 0.0000"
    )


@pytest.mark.parametrize(
    ("task", "targets", "guess"),
    [
        (CLASSES, np.array([0, 0, 1, 2]), 0.5),
        (MultiLabel(("a", "b")), np.array([[0, 1], [0, 1], [0, 0], [1, 0]]), 0.625),
        (Regression(("pt",)), np.arange(4.0)[:, None], 0.0),
        (Reconstruction(("a", "b"), labelled=True), np.eye(4, 3), 0.0),
        (Score(), np.array([0, 1, 0, 0]), 0.5),
        (
            Heads(heads=(Head("kind", CLASSES, 3.0), Head("pt", Regression(("pt",)), 1.0))),
            np.array([[0, 0.5], [0, 0.1], [1, 0.2], [2, 0.3]]),
            0.375,
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_a_guess_reaches(task: Task, targets: np.ndarray, guess: float) -> None:
    assert task.guess(targets) == pytest.approx(guess)


def test_the_error_of_r2_is_its_spread_over_samples() -> None:
    random, n = np.random.default_rng(0), 400
    found = []
    for _ in range(300):
        truth = random.normal(size=(n, 1))
        found.append(Regression(("pt",)).quality(truth, truth + random.normal(scale=0.5, size=(n, 1))))
    assert np.std(found) == pytest.approx(Regression(("pt",)).standard_error(0.75, n), rel=0.25)
