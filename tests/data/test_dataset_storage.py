from __future__ import annotations

import json
import re

import numpy as np
import pytest

from codesign.core import files
from codesign.data import dataset_from_arrays, load_dataset, read_dataset, save_dataset
from codesign.errors import OutputFolderError


@pytest.fixture
def dataset():
    random = np.random.default_rng(4)
    x = random.normal(size=(60, 3, 2)) * 10
    return dataset_from_arrays(x, np.repeat(["no", "yes", "höchst"], 20), name="made", seed=9)


def test_what_is_read_is_what_was_saved(tmp_path, dataset):
    path = save_dataset(dataset, tmp_path / "new" / "made.npz")
    again = read_dataset(path)
    assert again == dataset
    assert (again.name, again.class_names) == ("made", ("höchst", "no", "yes"))
    assert again.scaling == dataset.scaling
    assert (again.split.seed, again.split.fractions) == (9, (0.6, 0.2, 0.2))
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(again.split, part), getattr(dataset.split, part))
    with pytest.raises(ValueError, match="read-only"):
        again.x_train[0] = 0


def test_saving_that_fails_leaves_the_older_file_whole(tmp_path, dataset, monkeypatch):
    path = save_dataset(dataset, tmp_path / "made.npz")

    def full_disk(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.np, "savez", full_disk)
    message = (
        f"{path}: the dataset cannot be written ([Errno 28] No space left on device); "
        "free space or choose another folder"
    )
    with pytest.raises(OutputFolderError, match=f"^{re.escape(message)}$"):
        save_dataset(dataset.subset(train=10), path)
    assert read_dataset(path) == dataset
    assert list(tmp_path.iterdir()) == [path]


def test_only_npz_is_written(tmp_path, dataset, refusal):
    path = tmp_path / "made.csv"
    assert refusal(save_dataset, dataset, path) == f"{path}: a dataset is saved as .npz, not .csv"
    bare = tmp_path / "made"
    assert (
        refusal(save_dataset, dataset, bare)
        == f"{bare}: a dataset is saved as .npz, not without an extension"
    )


def changed(path, **changes):
    with np.load(path) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays["dataset"]))
    about.update(changes.pop("about", {}))
    np.savez(path, **{**arrays, "dataset": json.dumps(about), **changes})


def test_a_changed_file_is_found_out(tmp_path, dataset, refusal):
    path = save_dataset(dataset, tmp_path / "made.npz")
    changed(path, y_test=dataset.y_test[::-1])
    assert refusal(read_dataset, path) == (
        f"{path}: the content does not have the digest it was written with; make it again"
    )


def test_a_file_of_another_format_or_with_impossible_content(tmp_path, dataset, refusal):
    path = save_dataset(dataset, tmp_path / "made.npz")
    changed(path, about={"format": "codesign.Dataset/9"})
    assert refusal(read_dataset, path) == (
        f"{path}: a dataset that cannot be used (format 'codesign.Dataset/9', this program reads "
        "'codesign.Dataset/2'); make it again"
    )
    save_dataset(dataset, path)
    changed(path, y_test=dataset.y_test + 7)
    assert refusal(read_dataset, path).startswith(
        f"{path}: a dataset that cannot be used (dataset 'made': y_test: label "
    )


def test_raw_and_saved_data_are_told_apart(tmp_path, dataset, refusal):
    saved = save_dataset(dataset, tmp_path / "made.npz")
    assert refusal(load_dataset, saved) == (
        f"{saved}: a saved dataset, already split and scaled; read it with read_dataset"
    )
    raw = tmp_path / "raw.npz"
    np.savez(raw, X=np.eye(4), y=[0, 1, 0, 1])
    assert refusal(read_dataset, raw) == (
        f"{raw}: not a dataset that save_dataset wrote (keys: X, y); raw data are read by load_dataset"
    )
    gone = tmp_path / "gone.npz"
    assert refusal(read_dataset, gone) == f"{gone}: no such file; check the path"
