"""A teacher that is only an array of logits, and arrays kept on disk by digest."""

import numpy as np
import pytest
from learning_tasks import clouds

from codesign.data.split import PARTS
from codesign.errors import DataError
from codesign.training.cache import OutputCache
from codesign.training.logits_teacher import load_logits


@pytest.fixture(scope="module")
def data():
    return clouds(n=90)


@pytest.fixture
def rows(data):
    """Logits that tell the classes, in the order of the source."""
    logits = np.random.default_rng(1).normal(size=(90, 3)).astype(np.float32)
    for part in PARTS:
        logits[getattr(data.split, part), data.part(part)[1]] += 2
    return logits


def refused(path, data):
    with pytest.raises(DataError) as caught:
        load_logits(path, data)
    return str(caught.value).replace(str(path), "FILE")


def test_rows_of_the_source_go_to_their_parts(data, rows, tmp_path):
    np.save(tmp_path / "z.npy", rows)
    teacher = load_logits(tmp_path / "z.npy", data)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(teacher, f"{part}_logits"), rows[getattr(data.split, part)])
    assert teacher.model is None
    right = rows[data.split.test].argmax(1) == data.y_test
    assert teacher.record.metrics["test_accuracy"] == right.mean()


def test_parts_by_name_are_the_same_teacher(data, rows, tmp_path):
    np.save(tmp_path / "z.npy", rows)
    np.savez(tmp_path / "z.npz", **{part: rows[getattr(data.split, part)] for part in PARTS})
    one, other = (load_logits(tmp_path / name, data) for name in ("z.npy", "z.npz"))
    assert one.record.digest == other.record.digest


def test_refuses_files_that_cannot_be_read(data, rows, tmp_path):
    path = tmp_path / "z.npy"
    assert refused(path, data) == "the teacher FILE does not exist; give a .npy or .npz file of logits"
    path.write_bytes(b"no array")
    assert refused(path, data).startswith("the teacher FILE cannot be read: ValueError: ")
    np.savez(tmp_path / "z.npz", train=rows, test=rows)
    assert refused(tmp_path / "z.npz", data) == (
        "the teacher FILE has no array validation (it has train, test); save the logits of the parts as train, "
        "validation and test"
    )
    whole = (tmp_path / "z.npz").read_bytes()
    (tmp_path / "z.npz").write_bytes(whole[:300])
    assert refused(tmp_path / "z.npz", data).startswith("the teacher FILE cannot be read: ")


def test_refuses_logits_that_do_not_fit(data, rows, tmp_path):
    path = tmp_path / "z.npy"
    np.save(path, rows[:50])
    assert refused(path, data) == (
        "the teacher FILE has shape (50, 3), but the split takes rows up to 89 (counted from 0) of the data's source; "
        "give one row of logits for each row of the source, in its order"
    )
    np.save(path, rows[:, :2])
    assert refused(path, data) == (
        "the teacher FILE, train part: the logits have shape (54, 2), but the data have 54 samples of 3 classes; the "
        "shape must be (54, 3)"
    )
    np.save(path, np.where(np.arange(90)[:, None] == data.split.test[0], np.nan, rows))
    assert refused(path, data) == (
        "the teacher FILE, test part: 1 of 18 rows hold NaN or infinities; give finite logits"
    )
    np.save(path, np.abs(rows) / np.abs(rows).sum(1, keepdims=True))
    assert refused(path, data) == (
        "the teacher FILE, train part: every value is in 0 to 1, so these are probabilities; give logits "
        "(the logarithm of the probabilities will do)"
    )
    np.save(path, np.concatenate([rows, rows]))
    assert refused(path, data) == (
        "the teacher FILE has 180 rows, but the data's source has 90; give one row of logits for each row of the source, "
        "in its order"
    )
    two = clouds(n_classes=2, n=90)
    np.save(path, 1 / (1 + np.exp(-rows[:, :1])))
    assert refused(path, two) == (
        "the teacher FILE, train part: every value is in 0 to 1, so these are probabilities; give logits (the logarithm "
        "of p / (1 - p) will do)"
    )
    np.save(path, np.full((90, 3), "a"))
    assert refused(path, data) == "the teacher FILE holds <U1 values; logits are numbers"


def test_two_classes_may_have_one_output(tmp_path):
    data = clouds(n_classes=2, n=40)
    logits = np.linspace(-1, 1, 40)[:, None]
    for part in PARTS:
        logits[getattr(data.split, part), 0] += 3 * data.part(part)[1] - 1.5
    np.save(tmp_path / "z.npy", logits)
    assert load_logits(tmp_path / "z.npy", data).train_logits.shape == (24, 1)


class TestOutputCache:
    KEY = {"dataset": "a", "layer": "fc1"}

    def counting(self, cache, key=None, value=1.0):
        calls = []

        def compute():
            calls.append(1)
            return {"train": np.full((2, 2), value, np.float32)}

        return cache.arrays(key or self.KEY, compute), len(calls)

    def test_computes_once_for_each_key(self, tmp_path):
        cache = OutputCache(tmp_path / "kept")
        first, computed = self.counting(cache)
        assert computed == 1
        again, computed = self.counting(cache, value=2.0)
        assert computed == 0
        np.testing.assert_array_equal(again["train"], first["train"])
        assert list(again) == ["train"]
        assert self.counting(cache, {**self.KEY, "layer": "fc2"})[1] == 1

    @pytest.mark.parametrize("damage", ["cut", "empty", "other", "changed"])
    def test_computes_again_what_is_damaged(self, tmp_path, damage):
        cache = OutputCache(tmp_path)
        self.counting(cache)
        path = cache.path(self.KEY)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-40])
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "other":
            np.savez(path, train=np.ones(3))
        else:
            with np.load(path) as file:
                kept = dict(file)
            np.savez(path, **{**kept, "train": kept["train"] + 1})
        found, computed = self.counting(cache)
        assert computed == 1
        np.testing.assert_array_equal(found["train"], np.ones((2, 2)))
        assert self.counting(cache)[1] == 0
