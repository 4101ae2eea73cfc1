from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest

from codesign.data import Scaling, dataset_from_arrays, load_dataset
from codesign.errors import DataError

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2


def npz(folder: Path, **arrays) -> Path:
    path = folder / "events.npz"
    np.savez(path, **{"X": X, "y": Y, **arrays})
    return path


def csv(folder: Path, text: str) -> Path:
    path = folder / "events.csv"
    path.write_text(text)
    return path


def test_npz_with_and_without_names(tmp_path):
    plain = load_dataset(npz(tmp_path))
    assert plain.name == "events"
    assert plain.feature_names == ("x0", "x1", "x2")
    assert plain.class_names == ("0", "1")
    named = load_dataset(
        str(
            npz(
                tmp_path, feature_names=["a", "b", "c"], class_names=np.array(["gamma", "hadron"], dtype="S6")
            )
        )
    )
    assert named.feature_names == ("a", "b", "c")
    assert named.class_names == ("gamma", "hadron")
    assert np.array_equal(named.x_train, plain.x_train)


def test_options_reach_the_dataset(tmp_path):
    path = npz(tmp_path)
    dataset = load_dataset(path, seed=7, scaling="minmax", fractions=(0.5, 0.25, 0.25))
    assert (dataset.split.seed, dataset.split.fractions) == (7, (0.5, 0.25, 0.25))
    assert [len(dataset.y_train), len(dataset.y_validation), len(dataset.y_test)] == [20, 10, 10]
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0, 1)
    assert load_dataset(path, seed=7, scaling="minmax", fractions=(0.5, 0.25, 0.25)) == dataset
    assert load_dataset(path, seed=8, scaling="minmax", fractions=(0.5, 0.25, 0.25)) != dataset
    assert np.array_equal(load_dataset(path, scaling="none").x_test, X[load_dataset(path).split.test])
    assert load_dataset(path, scaling=4).scaling == Scaling("divisor", (0.0,), (4.0,))
    assert load_dataset(path, scaling=dataset.scaling).scaling is dataset.scaling


def test_every_kind_of_file_gives_the_same_jets(tmp_path, jets_frame):
    features = jets_frame.drop(columns="class").to_numpy()
    expected = dataset_from_arrays(
        features, jets_frame["class"].to_numpy(dtype=str), feature_names=list(jets_frame.columns[:-1])
    )
    assert expected.class_names == ("g", "q", "t", "w", "z")
    assert expected.input_shape == (16,)
    np.savez(
        tmp_path / "jets.npz",
        X=features,
        y=jets_frame["class"].to_numpy(dtype="S1"),
        feature_names=expected.feature_names,
    )
    jets_frame.to_csv(tmp_path / "jets.csv", index=False)
    jets_frame.to_parquet(tmp_path / "jets.parquet")
    jets_frame.astype({"class": "category"}).to_parquet(tmp_path / "categories.parquet")
    jets_frame.assign(**{"class": jets_frame["class"].map(str.encode)}).to_parquet(tmp_path / "bytes.parquet")
    jets_frame.assign(**{"class": jets_frame["class"].map(str.encode)}).to_csv(
        tmp_path / "bytes.csv", index=False
    )
    for name in ("jets.npz", "jets.csv", "jets.parquet", "categories.parquet", "bytes.parquet", "bytes.csv"):
        dataset = load_dataset(tmp_path / name)
        assert dataset == expected, name
        assert dataset.name == name.split(".")[0]


def test_the_label_column_is_named_known_or_last(tmp_path):
    rows = "".join(f"{i},{i % 2},{i % 3}\n" for i in range(30))
    known = load_dataset(csv(tmp_path, "a,Target,b\n" + rows))
    assert (known.n_classes, known.feature_names) == (2, ("a", "b"))
    last = load_dataset(csv(tmp_path, "a,b,kind\n" + rows))
    assert (last.n_classes, last.feature_names) == (3, ("a", "b"))
    named = load_dataset(csv(tmp_path, "a,kind,y\n" + rows), label_column="kind")
    assert (named.n_classes, named.feature_names) == (2, ("a", "y"))


def test_weights_in_the_last_column_are_no_labels(tmp_path):
    rows = "".join(f"{i},{i % 2},{i % 3 + 1}\n" for i in range(30))
    data = load_dataset(csv(tmp_path, "a,signal,event_weight\n" + rows))
    assert (data.n_classes, data.feature_names) == (2, ("a",))
    assert data.weights_train is not None


def test_one_hot_columns_name_the_classes(tmp_path):
    rows = "".join(f"{i},{','.join('1' if c == i % 3 else '0' for c in range(3))}\n" for i in range(30))
    data = load_dataset(csv(tmp_path, "a,g,h,k\n" + rows), label_column=["g", "h", "k"], scaling="none")
    assert (data.class_names, data.feature_names) == (("g", "h", "k"), ("a",))
    assert all(int(x) % 3 == y for x, y in zip(data.x_test[:, 0], data.y_test, strict=True))


def test_a_column_that_counts_the_rows_is_noted(tmp_path):
    rows = "".join(f"{i + 7},{i * 5 % 11},{i % 2}\n" for i in range(30))
    path = csv(tmp_path, "event,a,label\n" + rows)
    note = f"{path}: the column 'event' is taken for a feature, but only counts the rows; remove it"
    assert note in load_dataset(path).notes


def test_a_class_may_be_called_na_or_none(tmp_path):
    rows = "".join(f"{i},{('NA', 'None')[i % 2]}\n" for i in range(30))
    assert load_dataset(csv(tmp_path, "a,label\n" + rows)).class_names == ("NA", "None")


def test_numbers_of_every_width_in_one_table(tmp_path):
    frame = pandas.DataFrame(
        {
            "flag": X[:, 0] > 0,
            "small": np.arange(40, dtype=np.int8),
            "nullable": pandas.array(range(40), dtype="Int64"),
            "half": X[:, 0],
            "y": pandas.array(Y, dtype="Int64"),
        }
    )
    frame.to_parquet(tmp_path / "mixed.parquet")
    dataset = load_dataset(tmp_path / "mixed.parquet", scaling="none")
    rows = dataset.split.train
    expected = np.column_stack([X[:, 0] > 0, np.arange(40), np.arange(40), X[:, 0]])[rows].astype(np.float32)
    assert np.array_equal(dataset.x_train, expected)


def test_arrays_in_memory_of_images():
    images = RANDOM.integers(0, 256, (30, 4, 4, 1), dtype=np.uint8)
    dataset = dataset_from_arrays(
        images, np.eye(3)[np.arange(30) % 3], scaling=256, class_names=["a", "b", "c"]
    )
    assert dataset.input_shape == (4, 4, 1)
    assert np.array_equal(dataset.x_test * 256, images[dataset.split.test])
    assert np.array_equal(dataset.y_test, dataset.split.test % 3)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "digit",
            "unknown source; use digits, openml:<number or name>, or a file ending in .npz, .csv, .parquet, .py",
        ),
        (
            "a.h5",
            "unknown source; use digits, openml:<number or name>, or a file ending in .npz, .csv, .parquet, .py",
        ),
        ("openml:", "must be the number or the name of a dataset, like openml:42468"),
        ("openml:../x", "must be the number or the name of a dataset, like openml:42468"),
    ],
)
def test_an_unknown_source(refusal, source, sentence):
    assert refusal(load_dataset, source) == f"{source}: {sentence}"


def test_a_missing_file_and_a_folder(refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    where = f"check the path (a relative one starts at {tmp_path})"
    assert refusal(load_dataset, "gone.npz") == f"gone.npz: no such file; {where}"
    assert refusal(load_dataset, "folder.csv") == (
        "folder.csv: a folder without .npy files; give one with X.npy and y.npy, or a file"
    )


def test_options_that_do_not_apply_or_are_impossible(refusal, tmp_path):
    path = npz(tmp_path)
    assert refusal(load_dataset, "digits", label_column="class") == (
        "digits: label_column 'class' is not for the digits; leave it out"
    )
    assert refusal(load_dataset, path, label_column="class") == (
        f"{path}: no array class for the targets among its keys (X, y)"
    )
    assert refusal(load_dataset, path, max_samples=0) == (
        "max_samples must be a whole number of at least 1, not 0"
    )
    assert refusal(load_dataset, path, max_samples=5) == (
        f"{path}: class '1' has 2 samples, too few for the fractions 0.6/0.2/0.2: "
        "none is left for validation; add samples or choose other fractions"
    )


def nan_at(*places):
    x = X.copy()
    for place in places:
        x[place] = np.nan
    return x


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"X": nan_at((7, 1), (30, 0)), "feature_names": ["a", "b", "c"]},
            "X: 2 NaN of 120 values, the first (nan) at row 7, feature 'b' (rows counted from 0); "
            "remove or fill these samples",
        ),
        ({"y": Y[:39]}, "X has 40 samples but y has 39 labels; give one label each"),
        ({"y": np.array(3)}, "X has 40 samples but y has no length; give one label each"),
        ({"X": X[:, 0]}, "X must have shape (samples, features...), not (40,)"),
        ({"X": X[:0], "y": Y[:0]}, "X is empty, shape (0, 3); give at least a few samples of every class"),
        ({"X": X.astype(str)}, "X must be real numbers, not <U32; convert it to float32"),
        ({"X": X.astype(complex)}, "X must be real numbers, not complex128; convert it to float32"),
        ({"X": X.astype(float) * 1e39}, None),
        ({"y": Y * 0}, "y: every label is 0; a classifier needs samples of at least two classes"),
        ({"feature_names": ["a"]}, "1 feature name for 3 features; give one name each"),
        (
            {"y": np.r_[Y[:-1], 2]},
            "class '2' has 1 sample, too few for the fractions 0.6/0.2/0.2: none is left for validation; "
            "add samples or choose other fractions",
        ),
        (
            {"y": Y.astype(object)},
            "y is an array of Python objects, which needs pickle and is never read; "
            "save numbers, or text as numpy.asarray(y, dtype=str)",
        ),
    ],
)
def test_npz_content_that_cannot_be_used(refusal, tmp_path, arrays, sentence):
    path = npz(tmp_path, **arrays)
    message = refusal(load_dataset, path)
    if sentence is None:
        largest = np.abs(arrays["X"]).max()
        assert message == f"{path}: X holds {largest:g}, beyond float32 (3.4e38); rescale it"
    else:
        assert message == f"{path}: {sentence}"


def test_other_spellings_of_the_keys_are_listed(refusal, tmp_path):
    path = tmp_path / "events.npz"
    np.savez(path, jets=X, labels=Y)
    assert refusal(load_dataset, path) == (
        f"{path}: X not found among its keys (jets, labels); name the features X and the labels y"
    )
    np.savez(path, X=X)
    assert refusal(load_dataset, path) == (
        f"{path}: no targets; name the column or array of the targets with data.label_column, or set data.task: "
        "reconstruction, which needs none"
    )


def test_damaged_npz_files(refusal, tmp_path):
    path = npz(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(load_dataset, path).startswith(f"{path}: not a readable .npz (")
    path.write_bytes(whole.replace(X.tobytes()[:8], b"12345678"))
    assert refusal(load_dataset, path).startswith(f"{path}: X cannot be read, the file is damaged (")
    path.write_bytes(b"")
    assert refusal(load_dataset, path).startswith(f"{path}: not a readable .npz (")
    with path.open("wb") as file:
        np.save(file, X)
    assert (
        refusal(load_dataset, path) == f"{path}: a single array, not a .npz; write X and y with numpy.savez"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,y\n1,0\n,1\n2,0\n", "X: 1 NaN of 3 values, the first (nan) at row 1, feature 'a' "
         "(rows counted from 0); remove or fill these samples"),
        ("a,y\n1,0\n2,\n3,1\n", "label column 'y': 1 of 3 labels are missing, the first at row 1 "
         "(counted from 0); remove these rows or label them"),
        ("a,b\n1,0.5\n2,0\n", "label column 'b': labels must be whole numbers, but 1 of 2 are not, "
         "the first (0.5) at row 0 (counted from 0); is this the column of the classes? "
         "For a quantity set data.task: regression"),
        ("a,y\n1,0\nred,1\n", "feature 'a' is not numeric: 'red' at row 1 (counted from 0); "
         "turn it into numbers or remove it, or name it as label_column"),
        ("1,2,0\n3,4,1\n", "the first line must name the columns, not hold data (1, 2, 0); add a header"),
        (",a,y\n0,1,0\n1,2,1\n", "column 0 (counted from 0) has no name, perhaps a saved row index; "
         "name it or remove it"),
        ("Unnamed: 0,a,y\n0,1,0\n1,2,1\n", "column 0 (counted from 0) has no name, perhaps a saved row index; "
         "name it or remove it"),
        # as R's write.table writes it: no name for the names of the rows
        ("a,b,y\n1,0.5,1.5,g\n2,0.5,2.5,h\n", "the first line has 3 names, but the rows have more values; name every "
         "column, that of the rows' own names or numbers too, or save the table without them"),
        ("a,signal,weight\n1,0,2\n2,1,3\n", "no column is called like labels, and the last one, 'weight', may be weights of "
         "the samples; say which are the labels with label_column"),
        ("a,g,h,k\n1,1,0,0\n2,0,1,0\n3,0,0,1\n", "the last columns g, h, k are one-hot classes; name all of them as "
         "label_column, or keep one column of classes"),
        ("a y\n1 0\n2 1\n", "features and labels need at least two columns, not 1 (a y); "
         "are the columns separated by commas?"),
        ("0.5,1.5,g\n1,2,h\n", "the first line must name the columns, not hold data (0.5, 1.5, g); add a header"),
        ("a,label,a,label\n1,0,1,0\n", "2 column names are repeated (a, label); rename them"),
        ("a,y,Label\n1,0,0\n2,1,1\n", "y and Label could all be the labels; say which with label_column"),
        ("a,y\n", "no rows below the column names; give at least a few samples of every class"),
        ("", "not a readable CSV file (No columns to parse from file); check the file"),
    ],
)  # fmt: skip
def test_csv_content_that_cannot_be_used(refusal, tmp_path, text, sentence):
    path = csv(tmp_path, text)
    assert refusal(load_dataset, path) == f"{path}: {sentence}"


def test_a_label_column_that_is_not_there(refusal, tmp_path):
    path = csv(tmp_path, "a,y\n1,0\n2,1\n")
    assert refusal(load_dataset, path, label_column="kind") == (
        f"{path}: no column 'kind' for the labels among a, y"
    )


def test_damaged_csv_and_parquet_files(refusal, tmp_path, jets_frame):
    path = tmp_path / "events.csv"
    path.write_bytes(b"a,y\n\xff\xfe,0\n")
    assert refusal(load_dataset, path).startswith(f"{path}: not a readable CSV file ('utf-8' codec")
    path = tmp_path / "events.parquet"
    jets_frame.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(load_dataset, path).startswith(f"{path}: not a readable Parquet file (")
    jets_frame.assign(zlogz=pandas.Timestamp("2026-01-01")).to_parquet(path)
    assert refusal(load_dataset, path) == (
        f"{path}: feature 'zlogz' is not numeric: Timestamp('2026-01-01 00:00:00') at row 0 "
        "(counted from 0); turn it into numbers or remove it, or name it as label_column"
    )


@pytest.mark.parametrize("masked", ["X", "y", "sample_weight"])
def test_what_is_masked_is_no_value(masked: str) -> None:
    rng = np.random.default_rng(0)
    given = {"X": rng.normal(size=(60, 2)), "y": rng.normal(size=60), "sample_weight": np.full(60, 2.0)}
    given[masked] = np.ma.masked_equal(given[masked], given[masked].flat[0])
    count = np.ma.count_masked(given[masked])
    with pytest.raises(
        DataError, match=f"^arrays: {masked}: {count} of {given[masked].size} values are masked"
    ):
        dataset_from_arrays(given["X"], given["y"], sample_weight=given["sample_weight"])
