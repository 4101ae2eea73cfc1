from __future__ import annotations

import gzip
import hashlib
import json
import re
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import sklearn.datasets

from codesign.data import dataset_from_arrays, load_dataset
from codesign.data.openml import default_cache_dir
from codesign.errors import OutputFolderError


@pytest.fixture
def answer(monkeypatch):
    """Let OpenML answer with a frame, or with an error; returns the calls it got."""

    def install(reply: pandas.DataFrame | Exception, target: str = "class") -> list[dict]:
        calls: list[dict] = []

        def fetch_openml(**options):
            calls.append(options)
            if isinstance(reply, Exception):
                raise reply
            return SimpleNamespace(data=reply.drop(columns=target), target=reply[target])

        monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
        return calls

    return install


def expected_jets(frame: pandas.DataFrame):
    return dataset_from_arrays(
        frame.drop(columns="class").to_numpy(),
        frame["class"].to_numpy(dtype=str),
        feature_names=list(frame.columns[:-1]),
    )


@pytest.mark.parametrize(
    "encoded",
    [
        lambda labels: labels,
        lambda labels: labels.astype("category"),
        lambda labels: labels.astype("category").cat.reorder_categories(["w", "z", "t", "g", "q"]),
        lambda labels: labels.map(str.encode),
        lambda labels: labels.map(str.encode).astype("category"),
        lambda labels: labels.map(lambda letter: f"b'{letter}'").astype("category"),
    ],
    ids=["text", "category", "unsorted category", "bytes", "bytes category", "b''"],
)
def test_jets_in_every_encoding_of_the_labels(tmp_path, answer, jets_frame, encoded):
    expected = expected_jets(jets_frame)
    answer(jets_frame.assign(**{"class": encoded(jets_frame["class"])}))
    dataset = load_dataset("openml:42468", cache_dir=tmp_path)
    assert dataset == expected
    assert dataset.name == "hls4ml_lhc_jets_hlf"
    assert dataset.class_names == ("g", "q", "t", "w", "z")
    assert dataset.feature_names[:2] == ("zlogz", "c1_b0_mmdt")


def test_data_are_fetched_once_and_then_read_without_the_network(tmp_path, answer, jets_frame):
    calls = answer(jets_frame)
    first = load_dataset("openml:hls4ml_lhc_jets_hlf", cache_dir=tmp_path)
    assert len(calls) == 1
    assert calls[0]["data_id"] == 42468
    answer(urllib.error.URLError("no route to host"))
    again = load_dataset("openml:42468", cache_dir=tmp_path)
    assert again == first
    assert again.name == first.name
    # the cached table is a file like any other, to be carried to another machine
    assert load_dataset(tmp_path / "openml_42468.npz") == first
    assert load_dataset("openml:42468", cache_dir=tmp_path, seed=1, scaling="minmax") != first


def test_offline_and_not_cached_says_what_to_do(tmp_path, answer, refusal):
    answer(urllib.error.URLError("no route to host"))
    assert refusal(load_dataset, "openml:42468", cache_dir=tmp_path) == (
        "openml:42468: cannot be fetched (<urlopen error no route to host>) and is not cached at "
        f"{tmp_path}/openml_42468.npz; connect to the network once, or give a file instead: "
        "a .npz with X and y, a .csv or a .parquet"
    )
    assert not list(tmp_path.glob("*.npz"))


def test_an_unknown_dataset_and_one_that_is_a_regression(tmp_path, answer, refusal, jets_frame):
    answer(ValueError("Dataset with data_id 7 not found."))
    assert refusal(load_dataset, "openml:7", cache_dir=tmp_path) == (
        "openml:7: OpenML gave nothing usable (ValueError: Dataset with data_id 7 not found.); "
        "check the number or name, or give a file instead"
    )
    answer(jets_frame.drop(columns="class"), target="mass_mmdt")
    first = load_dataset("openml:7", cache_dir=tmp_path)
    assert (first.task.kind, first.n_outputs) == ("regression", 1)
    answer(urllib.error.URLError("no route to host"))
    assert np.array_equal(load_dataset("openml:7", cache_dir=tmp_path).y_test, first.y_test)


def test_names_and_label_columns_are_passed_on_and_cached_apart(tmp_path, answer, jets_frame):
    calls = answer(jets_frame.assign(side=["left", "right"] * 50), target="side")
    frame = jets_frame.assign(side=["left", "right"] * 50).drop(columns="class")
    answer_calls = answer(frame, target="side")
    dataset = load_dataset("openml:Some-Name", label_column="side", cache_dir=tmp_path)
    assert dataset.class_names == ("left", "right")
    assert calls == []
    assert answer_calls[0]["name"] == "some-name"
    assert answer_calls[0]["target_column"] == "side"
    assert (tmp_path / "openml_some-name_side.npz").is_file()


def test_the_default_cache_is_the_users_own(monkeypatch, tmp_path, answer, jets_frame):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "codesign"
    answer(jets_frame)
    load_dataset("openml:42468")
    assert (tmp_path / "codesign" / "openml_42468.npz").is_file()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "codesign"


def test_a_cache_that_cannot_be_made(tmp_path, answer, jets_frame):
    calls = answer(jets_frame)
    (tmp_path / "file").write_text("")
    cache = tmp_path / "file" / "cache"
    with pytest.raises(
        OutputFolderError, match=f"^{re.escape(str(cache))}: the cache for OpenML data cannot be"
    ):
        load_dataset("openml:42468", cache_dir=cache)
    assert calls == []


def test_a_damaged_cache_is_named(tmp_path, refusal):
    cached = tmp_path / "openml_42468.npz"
    cached.write_bytes(b"PK not a zip")
    assert refusal(load_dataset, "openml:42468", cache_dir=tmp_path).startswith(
        f"{cached}: not a readable .npz ("
    )


def keep(folder: Path, address: str, content: bytes) -> None:
    path = folder / "openml" / "openml.org" / f"{address}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content))


def test_the_files_openml_sends_are_understood(tmp_path, jets_frame):
    """Through scikit-learn's own reader, from the answers as its cache keeps them: no network."""
    header = "".join(f"@ATTRIBUTE {name} REAL\n" for name in jets_frame.columns[:-1])
    rows = jets_frame.to_csv(index=False, header=False)
    arff = f"@RELATION jets\n\n{header}@ATTRIBUTE class {{g, q, t, w, z}}\n\n@DATA\n{rows}".encode()
    features = [
        {
            "index": str(index),
            "name": name,
            "data_type": "nominal" if name == "class" else "numeric",
            "is_target": "true" if name == "class" else "false",
            "is_ignore": "false",
            "number_of_missing_values": "0",
            "is_row_identifier": "false",
        }
        for index, name in enumerate(jets_frame.columns)
    ]
    description = {
        "id": "42468",
        "name": "hls4ml_lhc_jets_hlf",
        "version": "1",
        "description": "jets",
        "format": "ARFF",
        "status": "active",
        "file_id": "22044755",
        "url": "https://www.openml.org/data/v1/download/22044755",
        "md5_checksum": hashlib.md5(arff).hexdigest(),
    }
    quality = [{"name": "NumberOfInstances", "value": "100.0"}]
    api = "api/v1/json/data"
    keep(tmp_path, f"{api}/42468", json.dumps({"data_set_description": description}).encode())
    keep(tmp_path, f"{api}/features/42468", json.dumps({"data_features": {"feature": features}}).encode())
    keep(tmp_path, f"{api}/qualities/42468", json.dumps({"data_qualities": {"quality": quality}}).encode())
    keep(tmp_path, "data/v1/download/22044755", arff)
    dataset = load_dataset("openml:42468", cache_dir=tmp_path)
    assert dataset == expected_jets(jets_frame)
    assert np.array_equal(dataset.split.train, load_dataset("openml:42468", cache_dir=tmp_path).split.train)
