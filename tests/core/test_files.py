"""Files are written whole or not at all; digests change with content and with nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.core.files import (
    arrays_digest,
    file_digest,
    forget_moment,
    is_kept,
    json_digest,
    keep,
    programs_folder,
    read_json,
    tree_digests,
    write_arrays,
    write_bytes,
    write_json,
    write_text,
    write_with,
)
from codesign.errors import OutputFolderError

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


def test_a_file_appears_whole_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    assert write_text(path, "Größe\n") == path
    assert path.read_bytes() == "Größe\n".encode()
    assert write_bytes(path, b"\0") == path
    assert path.read_bytes() == b"\0"
    assert [entry.name for entry in path.parent.iterdir()] == ["c.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_text(tmp_path / "value.json", "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        write_with(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = write_text(tmp_path / "network.npz", "old")
    seen = []

    def write(temporary: Path) -> None:
        assert temporary.suffix == ".npz"
        temporary.write_text("new")
        seen.append(path.read_text())

    write_with(path, write)
    assert (seen, path.read_text()) == (["old"], "new")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_has_the_permissions_that_the_user_asks_for(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        path = write_text(tmp_path / "file", "")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_json_keeps_every_plain_value(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": -0.0}}
    assert read_json(write_json(tmp_path / "v.json", value)) == value


def test_json_never_holds_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", 1)
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        write_json(tmp_path / "v.json", {"loss": float("nan")})
    assert read_json(tmp_path / "v.json") == 1


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_a_json_digest_does_not_depend_on_order(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert json_digest(value) == json_digest(turned) == json_digest(json.loads(json.dumps(value)))


def test_digests_are_sha256_of_known_bytes(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "abc", b"abc")
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert json_digest({"b": 1, "a": [2]}) == hashlib.sha256(b'{"a":[2],"b":1}').hexdigest()


def test_arrays_digest_sees_name_dtype_shape_and_every_bit() -> None:
    base = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    same = {"a": np.asfortranarray(base["a"])}
    assert arrays_digest(base) == arrays_digest(same)
    others = [
        {"b": base["a"]},
        {"a": base["a"].astype(np.float64)},
        {"a": base["a"].reshape(3, 2)},
        {"a": base["a"] + np.float32(1e-6)},
        {"a": base["a"] * np.float32(-1) * np.float32(-1) - np.float32(0), "b": np.zeros(0)},
        {},
    ]
    digests = {arrays_digest(base), *map(arrays_digest, others)}
    assert len(digests) == 1 + len(others)


def test_arrays_digest_does_not_depend_on_the_order_of_the_names() -> None:
    a, b = np.ones(2), np.zeros(3)
    assert arrays_digest({"a": a, "b": b}) == arrays_digest({"b": b, "a": a})


def test_arrays_come_back_exactly(tmp_path: Path) -> None:
    arrays = {
        "layer/kernel": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
        "n": np.array(7),
    }
    with np.load(write_arrays(tmp_path / "a.npz", arrays), allow_pickle=False) as read:
        assert set(read.files) == set(arrays)
        assert all(np.array_equal(read[name], array) for name, array in arrays.items())
        assert arrays_digest({name: read[name] for name in read.files}) == arrays_digest(arrays)


def test_equal_arrays_make_equal_bytes(tmp_path: Path) -> None:
    # a digest of a folder must not change because a clock went on
    paths = [write_arrays(tmp_path / f"{index}.npz", {"a": np.arange(5)}) for index in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_tree_digests_name_every_file_by_its_path(tmp_path: Path) -> None:
    write_text(tmp_path / "b" / "c.txt", "1")
    write_text(tmp_path / "a.txt", "2")
    found = tree_digests(tmp_path)
    assert list(found) == ["a.txt", "b/c.txt"]
    assert found["b/c.txt"] == file_digest(tmp_path / "b" / "c.txt")
    write_text(tmp_path / "later.txt", "3")
    assert tree_digests(tmp_path, found) == found
    write_text(tmp_path / "a.txt", "changed")
    assert tree_digests(tmp_path, found) != found
    (tmp_path / "a.txt").unlink()
    with pytest.raises(FileNotFoundError):
        tree_digests(tmp_path, found)


def test_equal_keras_models_are_equal_bytes_whenever_and_wherever_they_were_saved(tmp_path: Path) -> None:
    paths = []
    for number, (date, shared) in enumerate(
        (("2026-11-27@09:30:02", 140571989676368), ("2026-11-28@10:00:00", 7))
    ):
        layer = {"dtype": {"shared_object_id": shared}, "again": {"shared_object_id": shared}}
        config = {"layers": [layer, {"dtype": {"shared_object_id": shared + 1}}]}
        path = tmp_path / f"{number}.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "3", "date_saved": date}))
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", b"weights")
        forget_moment(path)
        paths.append(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with zipfile.ZipFile(paths[0]) as archive:
        found = json.loads(archive.read("config.json"))["layers"]
        assert archive.read("model.weights.h5") == b"weights"
    # what was shared still is, and what was not is not
    assert found[0]["dtype"] == found[0]["again"] == {"shared_object_id": 1}
    assert found[1]["dtype"] == {"shared_object_id": 2}


def test_the_program_in_use_is_never_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path))

    def compiled(name):
        (tmp_path / "new").write_text(name)
        program = programs_folder("kind") / name
        keep(tmp_path / "new", program)
        os.utime(program, (len(name), len(name)))  # older by name, all older than now
        return program

    names = ["p" * n for n in range(1, 33)]
    programs = [compiled(name) for name in names]
    oldest, second = programs[:2]
    assert is_kept(programs_folder("kind") / oldest.name)
    compiled("next")
    assert is_kept(oldest)  # its use made it the newest
    assert not second.exists()
    assert not second.with_name(f"{second.name}.sha256").exists()
    assert len([path for path in (tmp_path / "kind").iterdir() if path.suffix != ".sha256"]) == 32
    programs[5].write_text("changed")
    assert not is_kept(programs[5])


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        OutputFolderError, match=r"kind cannot be made \(.*\); .* name another folder in CODESIGN_CACHE"
    ):
        programs_folder("kind")
