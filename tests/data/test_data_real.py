from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.data import Overlap, load_dataset

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"

# rows, features, classes; and, for the default split, samples equal to one of another part
FACTS = {
    "pendigits": (10992, 16, 10, Overlap(0, 0, 0)),
    "dry_bean": (13611, 16, 7, Overlap(17, 17, 5)),
    "magic_gamma": (19020, 10, 2, Overlap(22, 28, 9)),
}


@pytest.mark.parametrize("name", FACTS)
def test_real_measurements(name):
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        pytest.skip(
            f"{path.name} is not there: the folder shared/data lies beside the repository for development"
        )
    rows, features, classes, overlap = FACTS[name]
    dataset = load_dataset(path)
    assert (dataset.n_features, dataset.n_classes) == (features, classes)
    used = np.concatenate([dataset.split.train, dataset.split.validation, dataset.split.test])
    assert np.array_equal(np.sort(used), np.arange(rows))
    assert dataset.overlap == overlap
    assert dataset.constant_features == ()
    np.testing.assert_allclose(dataset.x_train.mean(axis=0, dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(dataset.x_train.std(axis=0, dtype=np.float64), 1, atol=1e-6)
    with np.load(path) as source:
        raw, labels = source["X"], source["y"]
        assert dataset.class_names == tuple(source["class_names"])
    assert np.array_equal(dataset.y_test, labels[dataset.split.test])
    spread = np.array(dataset.scaling.divisor)
    error = np.abs(dataset.scaling.inverse(dataset.x_test) - raw[dataset.split.test])
    # float32 keeps 24 bits of the scaled value, of which none exceeds 100 here
    assert np.all(error <= 100 * 2.0**-24 * spread)
