"""What users keep their data in: names of arrays, parts of their own, weights, damaged and hostile files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from codesign.data import load_dataset, load_design_data
from codesign.data.dataset import Overlap
from codesign.settings import make_design

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 3)).astype(np.float32)
Y = np.arange(60) % 2


def npz(folder: Path, **arrays) -> Path:
    path = folder / "events.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "names", [("x", "y"), ("data", "labels"), ("features", "target"), ("X_train", "y_train"), ("x_train", "labels"),
              ("xtrain", "ytrain"), ("train_data", "train_labels")]
)  # fmt: skip
def test_names_that_users_have(tmp_path, names):
    dataset = load_dataset(npz(tmp_path, **dict(zip(names, (X, Y), strict=True))))
    assert dataset == load_dataset(npz(tmp_path, X=X, y=Y))


PARTS = {"train": slice(0, 30), "val": slice(30, 40), "test": slice(40, 60)}


def check_parts(dataset):
    for part, rows in zip(("train", "validation", "test"), PARTS.values(), strict=True):
        assert sorted(getattr(dataset.split, part)) == list(range(rows.start, rows.stop))
        x, y = dataset.part(part)
        order = getattr(dataset.split, part)
        np.testing.assert_allclose(dataset.scaling.inverse(x), X[order], atol=1e-5)
        assert np.array_equal(y, Y[order])


def test_own_parts_in_one_npz_a_folder_and_pairs_of_files(tmp_path):
    arrays = {f"{axis}_{part}": a[rows] for part, rows in PARTS.items() for axis, a in (("X", X), ("y", Y))}
    check_parts(load_dataset(npz(tmp_path, **arrays)))
    folder = tmp_path / "arrays"
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    check_parts(load_dataset(folder))
    pairs = {name: str(folder / f"{name}.npy") for name in arrays}
    check_parts(load_dataset(pairs))
    design = make_design({"name": "own", "data": {"source": {n: f"arrays/{n}.npy" for n in arrays}}})
    check_parts(load_design_data(design.data, tmp_path))


def test_own_parts_in_several_files(tmp_path):
    source = {}
    for part, rows in PARTS.items():
        name = {"val": "validation"}.get(part, part)
        lines = "".join(f"{a},{b},{c},{'gh'[k]}\n" for (a, b, c), k in zip(X[rows], Y[rows], strict=True))
        (tmp_path / f"{part}.csv").write_text("a,b,c,kind\n" + lines)
        source[name] = str(tmp_path / f"{part}.csv")
    dataset = load_dataset(source)
    check_parts(dataset)
    assert dataset.class_names == ("g", "h")
    text = (tmp_path / "test.csv").read_text().replace("a,b,c", "a,b,other")
    (tmp_path / "test.csv").write_text(text)
    with pytest.raises(Exception, match="test part has other features than the train part \\(c, other\\)"):
        load_dataset(source)


def test_a_validation_part_is_drawn_from_the_train_part(tmp_path):
    dataset = load_dataset(
        npz(tmp_path, X_train_val=X[:40], y_train_val=Y[:40], X_test=X[40:], y_test=Y[40:])
    )
    assert sorted(dataset.split.test) == list(range(40, 60))
    assert len(dataset.split.validation) == 10
    assert sorted([*dataset.split.train, *dataset.split.validation]) == list(range(40))


@pytest.mark.parametrize("last", [20, 30])  # as many labels as samples in all, or not
def test_a_part_with_more_or_fewer_labels_than_samples_is_named(tmp_path, refusal, last):
    given = {"X_train": X[:40], "y_train": Y[:50], "X_test": X[40:70], "y_test": Y[70 - last : 70]}
    path = npz(tmp_path, **given)
    assert refusal(load_dataset, path) == (
        f"{path}: the train part has 40 samples but 50 rows of y; give one for each sample"
    )


def test_own_parts_that_overlap_or_lack_one(tmp_path, refusal):
    path = npz(
        tmp_path, X_train=X[:40], y_train=Y[:40], X_val=X[40:], y_val=Y[40:], X_test=X[:20], y_test=Y[:20]
    )
    assert refusal(load_dataset, path) == (
        f"{path}: 20 of 20 test samples are in the train part too, so that no quality measured there would be true; give "
        "parts that do not overlap"
    )
    path = npz(tmp_path, X_train=X[:40], y_train=Y[:40], X_val=X[40:], y_val=Y[40:])
    assert refusal(load_dataset, path) == (
        f"{path}: no test part among train, validation; give it, or one part to be split"
    )


@pytest.mark.parametrize(("part", "other"), [("test", "train"), ("val", "train"), ("test", "val")])
def test_own_parts_of_which_some_samples_are_in_two_are_refused(tmp_path, refusal, part, other):
    parts = {"train": slice(0, 40), "val": slice(40, 50), "test": slice(50, 60)}
    rows = {name: np.arange(60)[own] for name, own in parts.items()}
    rows[part] = np.concatenate([rows[part][:-1], rows[other][:1]])
    arrays = {f"X_{name}": X[own] for name, own in rows.items()}
    arrays |= {f"y_{name}": Y[own] for name, own in rows.items()}
    names = [{"val": "validation"}.get(name, name) for name in (part, other)]
    assert f"1 of 10 {names[0]} samples are in the {names[1]} part too" in refusal(
        load_dataset, npz(tmp_path, **arrays)
    )
    # of coarse features that repeat by themselves, equal samples are no sign
    coarse = {name: np.round(array) if name.startswith("X") else array for name, array in arrays.items()}
    assert load_dataset(npz(tmp_path, **coarse)).overlap != Overlap(0, 0, 0)


def test_sample_weights_are_read_and_a_bad_one_is_refused(tmp_path, refusal):
    weights = RANDOM.uniform(0.5, 2, 60)
    dataset = load_dataset(npz(tmp_path, X=X, y=Y, sample_weight=weights))
    expected = weights[dataset.split.train]
    np.testing.assert_allclose(dataset.weights_train, expected / expected.mean(), rtol=1e-6)
    weights[3] = 0
    assert refusal(load_dataset, npz(tmp_path, X=X, y=Y, sample_weight=weights)) == (
        f"{tmp_path / 'events.npz'}: 1 of 60 weights are not above 0 and finite, the first (0.0) at row 3 (counted from "
        "0); remove these samples"
    )


def test_class_weights(tmp_path, refusal):
    y = (np.arange(60) % 4 == 0).astype(int)
    path = npz(tmp_path, X=X, y=y)
    dataset = load_dataset(path, class_weights="balanced")
    sums = [dataset.weights_train[dataset.y_train == label].sum() for label in (0, 1)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    named = load_dataset(path, class_weights={"1": 3.0})
    assert set(np.round(named.weights_train / named.weights_train.min(), 5)) == {1, 3}
    assert refusal(load_dataset, path, class_weights={"signal": 2.0}) == (
        f"{path}: class_weights name the class 'signal'; the classes are 0, 1"
    )


def test_arrays_that_are_not_read_are_said(tmp_path):
    dataset = load_dataset(npz(tmp_path, X=X, y=Y, run_number=np.arange(60)))
    assert dataset.notes == (f"not read: run_number of {tmp_path / 'events.npz'}",)
    assert dataset.notes[0] in dataset.warnings


def test_a_one_hot_class_without_samples_is_no_class_less(tmp_path, refusal):
    path = npz(tmp_path, X=X, y=np.eye(4)[np.arange(60) % 3])
    assert refusal(load_dataset, path) == f"{path}: y: no sample of class 3; every class needs samples"


def test_labels_from_one_and_minus_one_on_request(tmp_path):
    assert load_dataset(npz(tmp_path, X=X, y=Y + 1), renumber=True).class_names == ("1", "2")
    assert load_dataset(npz(tmp_path, X=X, y=2 * Y - 1), renumber=True).class_names == ("-1", "1")


def test_semicolons_and_decimal_commas(tmp_path):
    plain = tmp_path / "plain.csv"
    plain.write_text("a,b,y\n" + "".join(f"{a:.3f},{b:.3f},{k}\n" for (a, b, _), k in zip(X, Y, strict=True)))
    european = tmp_path / "european.csv"
    european.write_text(plain.read_text().replace(",", ";").replace(".", ","))
    assert load_dataset(european) == load_dataset(plain)


def test_a_table_whose_columns_are_counted_keeps_its_header(tmp_path):
    path = tmp_path / "counted.csv"
    path.write_text("0,1,label\n" + "".join(f"{a},{b},{k}\n" for (a, b, _), k in zip(X, Y, strict=True)))
    assert load_dataset(path).feature_names == ("0", "1")


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_a_header_that_claims_more_than_there_is(tmp_path, refusal):
    claim = b"{'descr': '<f8', 'fortran_order': False, 'shape': (8000000000, 1000), }"
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + claim.ljust(117) + b"\n"
    path = archive(tmp_path / "huge.npz", {"X.npy": header + bytes(64), "y.npy": npy(Y)})
    assert refusal(load_dataset, path) == (
        f"{path}: X.npy claims 64,000,000,000,000 bytes (shape (8000000000, 1000), float64) but holds 192; the file is "
        "damaged"
    )


def test_an_archive_that_inflates_beyond_all_data(tmp_path, refusal):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("X.npy", "w") as opened:
        opened.write(npy(np.zeros((1, 1))))
        for _ in range(300):
            opened.write(bytes(2**20))
    sentence = refusal(load_dataset, path)
    assert sentence.startswith(f"{path}: ")
    assert "which no measured data do" in sentence


def test_an_encrypted_member(tmp_path, refusal):
    path = archive(tmp_path / "secret.npz", {"X.npy": npy(X), "y.npy": npy(Y)})
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        content[start + offset] |= 1
    path.write_bytes(bytes(content))
    assert refusal(load_dataset, path) == f"{path}: X.npy is encrypted; write it with numpy.savez"


def test_what_is_doubtful_is_said(tmp_path):
    rows = np.r_[np.arange(60), np.arange(60)]
    x = np.c_[X, np.ones(60, np.float32)][rows]
    warnings = load_dataset(npz(tmp_path, X=x, y=Y[rows])).warnings
    assert any("constant in the train part: 1 feature of 4 (x3)" in text for text in warnings)
    assert any("test samples have the features of a train sample" in text for text in warnings)
    assert any(text.startswith("few samples") for text in load_dataset(npz(tmp_path, X=X, y=Y)).warnings)
    assert any(
        "number formats for such inputs" in text
        for text in load_dataset(npz(tmp_path, X=X, y=Y), scaling=1e9).warnings
    )


def test_a_scaling_that_leaves_nothing(tmp_path, refusal):
    assert refusal(load_dataset, npz(tmp_path, X=X, y=Y), scaling=1e300) == (
        f"{tmp_path / 'events.npz'}: every feature is the same for all train samples after scaling 'divisor', so that "
        "there is nothing to learn from; check the data and the scaling"
    )


def test_several_inputs_and_doubled_names_are_refused(tmp_path, refusal):
    path = npz(tmp_path, x1=X, x2=X, y=Y)
    assert "look like several inputs; name them in data.inputs" in refusal(load_dataset, path)
    path = npz(tmp_path, X=X, y=Y, feature_names=["a", "b", "a"])
    assert refusal(load_dataset, path) == (
        f"{path}: feature names are repeated (a); give each feature its own"
    )
    path = npz(tmp_path, X=X, x=X, y=Y)
    assert refusal(load_dataset, path) == f"{path}: X and x could both be the x; rename one"


def test_arrays_of_a_part_without_features_are_not_lost(tmp_path, refusal):
    path = npz(tmp_path, X=X, y=Y, sample_weight_train=np.ones(len(Y)))
    assert refusal(load_dataset, path) == (
        f"{path}: the train weights among its keys (X, y, sample_weight_train) belong to a part without features; name "
        "the arrays of a part alike"
    )
    path = npz(tmp_path, X_train=X, y_train=Y, X_test=X + 9, y_test=Y, sample_weight=np.ones(len(Y)))
    assert "the weights among its keys" in refusal(load_dataset, path)


def test_a_table_with_its_columns_twice(tmp_path, refusal):
    path = tmp_path / "twice.csv"
    rows = [[f"{value:.4f}" for value in row] + [str(label)] for row, label in zip(X, Y, strict=True)]
    names = [*(f"x{index}" for index in range(X.shape[1])), "label"]
    header = [*names, *(f"{name}.1" for name in names)]
    path.write_text("\n".join(",".join(line) for line in [header, *(row + row for row in rows)]))
    assert refusal(load_dataset, path) == (
        f"{path}: the feature label.1 tells the target of all {len(Y)} samples: a network would learn to copy it; remove "
        "it from the features"
    )
    path.write_text("\n".join(",".join(line[:-1]) for line in [header, *(row + row for row in rows)]))
    twice = X.shape[1]
    assert any(
        text.startswith(f"{twice} features with the values of another (x0.1 is x0")
        for text in load_dataset(path, label_column="label").warnings
    )


def test_a_feature_that_is_the_target_is_refused_by_any_numbers(tmp_path, refusal):
    leaking = np.column_stack([X, np.where(Y == 0, 7.5, -2.0 - Y)])
    assert "the feature x" in refusal(load_dataset, npz(tmp_path, X=leaking, y=Y))
    values = X @ np.arange(1.0, 1.0 + X.shape[1]) + 0.25
    leaking = np.column_stack([X, values])
    assert "tells the target" in refusal(load_dataset, npz(tmp_path, X=leaking, y=values))
    almost = np.column_stack([X, np.where(np.arange(len(Y)) == 5, 9.0, Y)])
    assert load_dataset(npz(tmp_path, X=almost, y=Y)).n_features == X.shape[1] + 1


def test_what_may_be_weights_is_not_passed_over(tmp_path, refusal):
    path = npz(tmp_path, X=X, y=Y, SampleWeight=np.ones(len(Y)))
    assert refusal(load_dataset, path) == (
        f"{path}: SampleWeight may be weights of the samples; call it sample_weight, or leave it out of the file"
    )
    path = tmp_path / "weighed.csv"
    rows = [f"{a:.4f},{b:.4f},{c:.4f},{y}" for (a, b, c), y in zip(X, Y, strict=True)]
    path.write_text("\n".join(["pt,eta,weight,label", *rows]))
    assert (
        f"{path}: the column 'weight' is taken for a feature; if it weighs the samples, call it sample_weight"
        in (load_dataset(path).warnings)
    )


def test_decimal_commas_without_a_header(tmp_path, refusal):
    path = tmp_path / "german.csv"
    rows = [
        ";".join(f"{value:.3f}".replace(".", ",") for value in row) + f";{'gh'[y]}"
        for row, y in zip(X, Y, strict=True)
    ]
    path.write_text("\n".join(rows))
    assert "the first line must name the columns, not hold data" in refusal(load_dataset, path)
