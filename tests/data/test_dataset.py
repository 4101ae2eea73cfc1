from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from codesign.core.task import Classification
from codesign.data import Dataset, Overlap, Scaling, Split, dataset_from_arrays, load_dataset

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture
def small() -> Dataset:
    """Two features, two classes, 4 + 2 + 2 samples."""
    x = np.arange(16, dtype=np.float32).reshape(8, 2)
    y = np.array([0, 1] * 4)
    return Dataset(
        name="small",
        x_train=x[:4],
        y_train=y[:4],
        x_validation=x[4:6],
        y_validation=y[4:6],
        x_test=x[6:],
        y_test=y[6:],
        feature_names=("a", "b"),
        task=Classification(("no", "yes")),
        scaling=Scaling("none"),
        split=Split(range(4), [4, 5], [6, 7]),
    )


def test_digits_are_on_a_grid_of_four_fractional_bits(digits):
    assert digits.input_shape == (64,)
    assert (digits.n_features, digits.n_classes) == (64, 10)
    assert digits.class_names == tuple("0123456789")
    assert sum(len(digits.part(part)[0]) for part in PARTS) == 1797
    for part in PARTS:
        x, y = digits.part(part)
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert np.array_equal(x * 16, np.round(x * 16))
        assert (x.min(), x.max()) == (0, 1)
    assert digits.scaling == Scaling("divisor", (0.0,), (16.0,))
    assert "pixel_0_0" in digits.constant_features


def test_rows_of_the_split_lead_back_to_the_source(digits):
    from sklearn.datasets import load_digits

    source = load_digits()
    for part in PARTS:
        rows = getattr(digits.split, part)
        x, y = digits.part(part)
        assert np.array_equal(digits.scaling.inverse(x), source.data[rows])
        assert np.array_equal(y, source.target[rows])


def test_images_are_the_same_values_in_another_shape(digits):
    images = load_dataset("digits", input_shape=(8, 8, 1))
    assert images.input_shape == (8, 8, 1)
    assert images == digits.reshaped((8, 8, 1))
    assert images != digits
    assert images.reshaped([64]) == digits
    assert images.constant_features == digits.constant_features
    assert np.array_equal(
        images.x_test[:, 2, 3, 0], digits.x_test[:, digits.feature_names.index("pixel_2_3")]
    )


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((8, 9), "input_shape (8, 9) holds 72 values, but a sample has 64; give lengths whose product is 64"),
        ((), "input_shape must be positive whole numbers like (8, 8, 1), not ()"),
        ((-8, -8), "input_shape must be positive whole numbers like (8, 8, 1), not (-8, -8)"),
        ((8.0, 8.0), "input_shape must be positive whole numbers like (8, 8, 1), not (8.0, 8.0)"),
        (64, "input_shape must be positive whole numbers like (8, 8, 1), not 64"),
    ],
)
def test_an_impossible_input_shape(refusal, digits, shape, sentence):
    assert refusal(digits.reshaped, shape) == f"dataset 'digits': {sentence}"
    assert refusal(load_dataset, "digits", input_shape=shape) == f"digits: {sentence}"


def test_nothing_in_a_dataset_can_be_changed(small):
    for name, array in small.part_arrays().items():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            array.flags.writeable = True
        assert array.base is not None, name
    with pytest.raises(dataclasses.FrozenInstanceError):
        small.name = "other"


def test_a_dataset_does_not_follow_changes_of_the_arrays_it_was_made_from(small):
    x = np.array(small.x_train)
    view = x[:]
    view.flags.writeable = False
    dataset = dataclasses.replace(small, x_train=view)
    x[:] = 0
    assert dataset == small


def test_standardisation_is_fitted_on_the_train_part_only():
    random = np.random.default_rng(0)
    x, y = random.normal(5, 3, (300, 4)), random.integers(0, 2, 300)
    plain = dataset_from_arrays(x, y, scaling="none")
    moved = x.copy()
    moved[np.r_[plain.split.validation, plain.split.test]] += 100
    first, second = dataset_from_arrays(x, y), dataset_from_arrays(moved, y)
    assert first.scaling == second.scaling
    assert np.array_equal(first.x_train, second.x_train)
    np.testing.assert_allclose(first.x_train.mean(axis=0), 0, atol=1e-6)
    assert second.x_test.mean() > 20


def test_the_digest_is_of_the_content(small):
    assert dataclasses.replace(small, name="renamed") == small
    assert hash(dataclasses.replace(small, name="renamed")) == hash(small)
    changed = np.array(small.x_test)
    changed[0, 0] += 1
    others = [
        dataclasses.replace(small, x_test=changed),
        dataclasses.replace(small, y_test=small.y_test[::-1]),
        dataclasses.replace(small, task=Classification(("no", "perhaps"))),
        dataclasses.replace(small, feature_names=("a", "c")),
        dataclasses.replace(small, scaling=Scaling("divisor", (0.0,), (2.0,))),
        small.reshaped((1, 2)),
    ]
    assert len({small.digest, *(other.digest for other in others)}) == 1 + len(others)
    assert small != "small"


def test_equal_samples_in_different_parts_are_counted(small):
    repeated = np.array(small.x_test)
    repeated[0] = small.x_train[2]
    repeated[1] = small.x_validation[0]
    assert small.overlap == Overlap(0, 0, 0)
    assert dataclasses.replace(small, x_test=repeated).overlap == Overlap(0, 1, 1)
    zero, minus_zero = np.zeros((4, 2), np.float32), -np.zeros((2, 2), np.float32)
    both = dataclasses.replace(small, x_train=zero, x_validation=minus_zero)
    assert both.overlap == Overlap(validation_in_train=2, test_in_train=0, test_in_validation=0)
    assert both.constant_features == ("a", "b")


def test_calibration_is_a_seeded_stratified_sample_of_the_train_part(digits):
    sample = digits.calibration(100, seed=5)
    assert sample.shape == (100, 64)
    train = {row.tobytes() for row in digits.x_train}
    assert all(row.tobytes() in train for row in sample)
    assert np.array_equal(sample, digits.calibration(100, seed=5))
    assert not np.array_equal(sample, digits.calibration(100, seed=6))
    assert np.array_equal(digits.calibration(10**6), digits.x_train)
    with pytest.raises(ValueError, match="read-only"):
        sample[0] = 0


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None])
def test_an_impossible_calibration_size(refusal, digits, count):
    assert refusal(digits.calibration, count) == (
        f"calibration must be a whole number of at least 1, not {count!r}"
    )


def test_a_subset_keeps_the_scaling_and_the_other_parts(digits):
    subset = digits.subset(train=50, test=20, seed=1)
    assert [len(subset.part(part)[1]) for part in PARTS] == [50, len(digits.x_validation), 20]
    assert np.bincount(subset.y_train).min() >= 4
    assert subset.scaling == digits.scaling
    sample_of_row = dict(zip(digits.split.train.tolist(), digits.x_train, strict=True))
    for row, sample in zip(subset.split.train.tolist(), subset.x_train, strict=True):
        assert np.array_equal(sample, sample_of_row[row])
    assert subset == digits.subset(train=50, test=20, seed=1)
    assert digits.subset() == digits


def test_a_subset_without_a_class_is_refused(refusal, digits):
    message = refusal(digits.subset, train=9)
    assert message.startswith("dataset 'digits': no sample of class ")
    assert message.endswith(" in the train part; every class needs one to be learnt")
    assert refusal(digits.subset, test=0) == "test must be a whole number of at least 1, not 0"


def test_max_samples_takes_a_fair_sample():
    dataset = load_dataset("digits", max_samples=200)
    rows = np.concatenate([getattr(dataset.split, part) for part in PARTS])
    assert len(rows) == len(np.unique(rows)) == 200
    assert rows.max() > 1000
    labels = np.concatenate([dataset.part(part)[1] for part in PARTS])
    assert np.bincount(labels).min() >= 18


def test_summary_is_plain_json(digits):
    summary = digits.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["samples"] == {"train": 1079, "validation": 359, "test": 359}
    assert sum(summary["train_samples_of_class"].values()) == 1079
    assert (
        "samples 1,079/359/359 (train/validation/test), shape (64,), task classification, 10 classes"
        in repr(digits)
    )


def test_an_unknown_part(refusal, small):
    assert refusal(small.part, "valid") == "a part is one of train, validation, test, not 'valid'"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"x_test": np.array([[1, np.nan], [np.inf, 2]])},
            "x_test: 1 NaN and 1 infinite of 4 values, the first (nan) at row 0, feature 'b' "
            "(rows counted from 0); not representable after scaling 'none'",
        ),
        ({"x_train": np.zeros(4)}, "x_train must have shape (samples, features...) and samples, not (4,)"),
        (
            {"x_test": np.zeros((0, 2))},
            "x_test must have shape (samples, features...) and samples, not (0, 2)",
        ),
        ({"x_test": np.zeros((2, 3))}, "x_test has samples of shape (3,), x_train of (2,)"),
        ({"feature_names": ["a"]}, "x_train: 1 feature name for 2 features; give one each"),
        ({"y_test": [0, 2]}, "y_test: label 2 at row 1 (counted from 0) is outside 0 to 1 of the 2 classes"),
        (
            {"y_test": [0, -1]},
            "y_test: label -1 at row 1 (counted from 0) is outside 0 to 1 of the 2 classes",
        ),
        (
            {"y_test": [0.0, 1.0]},
            "y_test must be whole numbers of shape (samples,), not float64 of shape (2,)",
        ),
        ({"y_test": [0, 1, 0]}, "y_test: 3 labels, 2 samples and 2 rows in the split differ"),
        (
            {"split": Split(range(4), [4, 5], [6])},
            "y_test: 2 labels, 2 samples and 1 row in the split differ",
        ),
        (
            {"y_train": [1, 1, 1, 1]},
            "no sample of class no in the train part; every class needs one to be learnt",
        ),
        (
            {"task": Classification(("no", "no"))},
            "class names must be at least two and all different, not ('no', 'no')",
        ),
    ],
)
def test_parts_that_do_not_fit(refusal, small, change, sentence):
    assert refusal(dataclasses.replace, small, **change) == f"dataset 'small': {sentence}"


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import sys, codesign.data\n"
        "heavy = {'tensorflow', 'keras', 'hls4ml', 'sklearn', 'pandas', 'pyarrow', 'scipy'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
