"""Quality of logits, against values counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.core.quality import accuracy, background_rejection, macro_auc
from codesign.errors import DataError

LABELS = np.array([1] * 10 + [0] * 20)
# the signal's scores are 10, 9, ..., 1; of the background four are above 1.5, and two of them above 3.5
LOGIT = np.concatenate([np.arange(10, 0, -1), [8.5, 4.5, 2.5, 1.6], np.full(16, -1.0)])[:, None]


def test_one_logit_decides_by_its_sign() -> None:
    assert accuracy(LABELS, LOGIT) == pytest.approx(26 / 30)


def test_the_area_is_the_fraction_of_pairs_in_order() -> None:
    signal, background = LOGIT[:10, 0], LOGIT[10:, 0]
    assert macro_auc(LABELS, LOGIT) == pytest.approx((signal[:, None] > background[None, :]).mean())


@pytest.mark.parametrize(
    ("efficiency", "passed"), [(0.1, 0), (0.2, 0), (0.3, 1), (0.7, 2), (0.9, 3), (0.91, 4), (1.0, 4)]
)
def test_background_is_counted_at_the_score_that_keeps_the_signal(efficiency: float, passed: int) -> None:
    # where none passes, the number of background samples is a lower bound
    assert background_rejection(LABELS, LOGIT, efficiency) == 20 / max(passed, 1)


def test_two_logits_are_one() -> None:
    two = np.concatenate([np.zeros_like(LOGIT), LOGIT], axis=1)
    for measure in (accuracy, macro_auc, background_rejection):
        assert measure(LABELS, two) == measure(LABELS, LOGIT)


def test_several_classes_are_each_the_signal_once() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    logits = 1.5 * np.eye(3)[labels] + rng.normal(0, 1, (300, 3))
    odds = np.exp(logits)
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    background = passed = 0
    for number in range(3):
        scores, own = probabilities[:, number], labels == number
        kept = sorted(scores[own])[len(scores[own]) - int(np.ceil(0.9 * own.sum() - 1e-9))]
        background += int((~own).sum())
        passed += sum(1 for score in scores[~own] if score >= kept)
    assert background_rejection(labels, logits) == pytest.approx(background / passed)


@pytest.mark.parametrize("efficiency", [0.0, -0.5, 1.1, float("nan")])
def test_an_impossible_efficiency_is_refused(efficiency: float) -> None:
    with pytest.raises(DataError, match=r"^signal_efficiency must be above 0 and at most 1, not "):
        background_rejection(LABELS, LOGIT, efficiency)


def test_a_class_without_samples_is_refused() -> None:
    with pytest.raises(DataError, match=r"^class 2 has 0 of 30 samples; signal and background are needed$"):
        background_rejection(LABELS, np.zeros((30, 3)))
