from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.data.split import Split, in_fold, require_fractions, stratified_sample, stratified_split
from codesign.errors import DataError

NAMES = tuple("abcdefgh")


@st.composite
def labels_of_some_classes(draw: st.DrawFn) -> np.ndarray:
    sizes = draw(st.lists(st.integers(10, 60), min_size=2, max_size=6))
    order = np.random.RandomState(draw(st.integers(0, 100))).permutation(sum(sizes))
    return np.repeat(np.arange(len(sizes)), sizes)[order]


@st.composite
def shares(draw: st.DrawFn) -> tuple[float, float, float]:
    weights = [draw(st.integers(2, 8)) for _ in range(3)]
    return tuple(weight / sum(weights) for weight in weights)


@given(labels_of_some_classes(), shares(), st.integers(0, 2**32 - 1))
def test_every_row_is_in_exactly_one_part_and_every_class_has_its_share(labels, fractions, seed):
    split = stratified_split(labels, NAMES[: labels.max() + 1], seed=seed, fractions=fractions)
    parts = (split.train, split.validation, split.test)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    totals = np.bincount(labels)
    for part, share in zip(parts, fractions, strict=True):
        assert np.all(np.abs(np.bincount(labels[part], minlength=len(totals)) - totals * share) <= 1 + 1e-9)


@given(labels_of_some_classes(), st.integers(0, 1000))
def test_the_same_seed_gives_the_same_split_and_another_seed_another(labels, seed):
    names = NAMES[: labels.max() + 1]
    first, again, other = (stratified_split(labels, names, seed=number) for number in (seed, seed, seed + 1))
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.test, again.test)
    assert not np.array_equal(first.train, other.train)


def test_the_split_is_the_same_on_every_machine_and_version():
    labels = np.repeat([0, 1], 10)
    split = stratified_split(labels, "ab", seed=3)
    # written down once: figures on record could not be compared with new ones if this ever changed
    assert split.validation.tolist() == [7, 16, 0, 10]
    assert split.test.tolist() == [15, 8, 3, 17]


def test_a_sorted_source_gives_shuffled_parts():
    labels = np.repeat([0, 1, 2], 100)
    split = stratified_split(labels, "abc")
    assert set(labels[split.train[:20]]) == {0, 1, 2}
    assert set(labels[split.test[:20]]) == {0, 1, 2}


def test_rows_of_a_split_cannot_be_changed():
    split = stratified_split(np.repeat([0, 1], 10), "ab")
    with pytest.raises(ValueError, match="read-only"):
        split.train[0] = 7


def test_a_class_too_small_for_the_split_is_named(refusal):
    labels = np.array([0] * 50 + [1] * 2)
    assert refusal(stratified_split, labels, ["gamma", "hadron"], where="events.csv") == (
        "events.csv: class 'hadron' has 2 samples, too few for the fractions 0.6/0.2/0.2: "
        "none is left for validation; add samples or choose other fractions"
    )


@pytest.mark.parametrize(
    "fractions",
    [(0.6, 0.4), (0.6, 0.2, 0.3), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1), "abc", 3, (float("nan"), 0.5, 0.5)],
)
def test_impossible_fractions(refusal, fractions):
    assert refusal(require_fractions, fractions) == (
        f"fractions must be three positive numbers that sum to 1 (train, validation, test), not {fractions!r}"
    )


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "0", None])
def test_impossible_seeds(refusal, seed):
    message = f"seed must be a whole number from 0 to 4294967295, not {seed!r}"
    assert refusal(stratified_split, np.repeat([0, 1], 10), "ab", seed=seed) == message


def test_a_row_in_two_parts_or_twice_in_one_is_refused(refusal):
    assert refusal(Split, [0, 1, 2], [3], [2, 4]) == (
        "split: 1 row named again, the first is row 2 (in train and test); keep each row in one part, once"
    )
    assert refusal(Split, [0, 1, 1], [3, 4], [4]) == (
        "split: 2 rows named again, the first is row 1 (in train and train); keep each row in one part, once"
    )


@given(labels_of_some_classes(), st.integers(1, 400), st.integers(0, 1000))
def test_a_stratified_sample_has_the_size_asked_for_and_the_proportions(labels, count, seed):
    rows = stratified_sample(labels, count, seed)
    sizes = np.bincount(labels)
    assert len(rows) == min(count, len(labels))
    assert np.array_equal(rows, np.unique(rows))
    drawn = np.bincount(labels[rows], minlength=len(sizes))
    if count >= len(sizes):
        assert drawn.min() >= 1
    # one sample of every class is given before the rest is shared: off by what that is beside a fair share, and a rounding
    share = sizes / len(labels)
    assert np.all(np.abs(drawn - share * len(rows)) < 1 + np.maximum(1, np.abs(1 - len(sizes) * share)))
    assert np.array_equal(rows, stratified_sample(labels, count, seed))


def test_folds_share_out_train_and_validation_and_leave_the_test_part() -> None:
    labels = np.repeat([0, 1, 2], [50, 31, 20])
    split = stratified_split(labels, ("a", "b", "c"), seed=3)
    folds = [in_fold(split, labels, index, 4) for index in range(4)]
    known = np.sort(np.concatenate([split.train, split.validation]))
    assert np.array_equal(np.sort(np.concatenate([fold.validation for fold in folds])), known)
    for fold in folds:
        assert np.array_equal(fold.test, split.test)
        assert np.array_equal(np.sort(np.concatenate([fold.train, fold.validation])), known)
        assert np.array_equal(in_fold(split, labels, folds.index(fold), 4).train, fold.train)
    counts = np.array([np.bincount(labels[fold.validation], minlength=3) for fold in folds])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 1


@pytest.mark.parametrize("fold", [(2, 2), (-1, 3), (0, 1), (0, 100)])
def test_a_fold_that_cannot_be(fold: tuple[int, int]) -> None:
    labels = np.repeat([0, 1], 20)
    split = stratified_split(labels, ("a", "b"))
    with pytest.raises(
        DataError, match=r"^here: fold must be a part's number, counted from 0, and a number of parts"
    ):
        in_fold(split, labels, *fold, where="here")
