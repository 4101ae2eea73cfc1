"""Sealed folders: whole or absent, checked on opening, and one sentence for whatever the system refuses."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_design import environment

from codesign.core import sealed
from codesign.core.sealed import Seal, field, is_refusal, read_object
from codesign.errors import OutputFolderError, StaleProjectError

SEAL = Seal("manifest.json", "box", "make one", "make it again")


def fill(text: str) -> Callable[[Path], Mapping[str, Any]]:
    def write(folder: Path) -> Mapping[str, Any]:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        (folder / "b.txt").write_text(text)
        return {"size": len(text)}

    return write


@pytest.fixture
def box(tmp_path: Path) -> Path:
    SEAL.write(tmp_path / "box", fill("one"))
    return tmp_path / "box"


def refusal(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_a_box_is_what_was_put_in(box: Path) -> None:
    manifest = SEAL.open(box)
    assert manifest.of(lambda values: field(values, "size", int)) == 3
    assert list(manifest.files) == ["b.txt", "sub/a.txt"]
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_a_box_is_replaced_only_when_asked(box: Path) -> None:
    assert refusal(OutputFolderError, lambda: SEAL.write(box, fill("two"))) == (
        f"{box} already holds a box; choose another folder or ask to overwrite it"
    )
    (box / "stray").write_text("of the old one")
    SEAL.write(box, fill("two"), overwrite=True)
    assert sorted(path.name for path in box.iterdir()) == ["b.txt", "manifest.json", "sub"]
    assert (box / "b.txt").read_text() == "two"
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert refusal(OutputFolderError, lambda: SEAL.write(tmp_path, fill("two"), overwrite=True)) == (
        f"{tmp_path} is not empty and no box; choose another folder"
    )
    file = tmp_path / "thesis.tex"
    assert refusal(OutputFolderError, lambda: SEAL.write(file, fill("two"), overwrite=True)) == (
        f"{file} is a file; choose another folder"
    )


DEEP = "[" * 200_000
DAMAGE: list[tuple[str, str]] = [
    ("", "Expecting value: line 1 column 1 (char 0)"),
    ("null", "it holds None, no object"),
    ("[]", "it holds [], no object"),
    (DEEP, "it is nested too deep"),
    ('{"format": 1, "a": ' + "9" * 5000 + "}", "Exceeds the limit"),
    ('{"format": 1}', "'files' is missing"),
    ('{"format": 1, "files": null}', "files is None, no dict"),
    ('{"format": 1, "files": []}', "files is [], no dict"),
    ('{"format": 1, "files": {}}', "it names no files, so nothing can be checked"),
    ('{"format": 1, "files": {"a": 3}}', "files names 'a' with the digest 3"),
    ('{"format": 1, "files": {"../a": "x"}}', "files names '../a' with the digest 'x'"),
    ('{"format": 1, "files": {"/etc/passwd": "x"}}', "files names '/etc/passwd' with the digest 'x'"),
]


@pytest.mark.parametrize(("text", "told"), DAMAGE, ids=[told for _, told in DAMAGE])
def test_a_damaged_manifest_is_one_sentence(box: Path, text: str, told: str) -> None:
    path = box / SEAL.manifest
    path.write_text(text)
    said = refusal(StaleProjectError, lambda: SEAL.open(box))
    assert said.startswith(f"{path} is damaged ({told}")
    assert said.endswith("; make it again")
    assert "\n" not in said


def test_another_form_and_bytes_that_are_no_text_are_told(box: Path) -> None:
    path = box / SEAL.manifest
    path.write_text('{"format": 2, "files": {"a": "b"}}')
    assert refusal(StaleProjectError, lambda: SEAL.open(box)) == f"{path} has format 2, not 1; make it again"
    path.write_bytes(b"\xff\xfe")
    assert refusal(StaleProjectError, lambda: SEAL.open(box)).startswith(f"{path} is damaged ('utf-8' codec")
    path.unlink()
    assert refusal(StaleProjectError, lambda: SEAL.open(box)) == (
        f"{box} is no box (it has no manifest.json); make one"
    )


@pytest.mark.parametrize("value", [None, "3", 3.0, True, [3]])
def test_an_entry_of_another_type_is_damage(box: Path, value: Any) -> None:
    path = box / SEAL.manifest
    path.write_text(json.dumps({**json.loads(path.read_text()), "size": value}))
    manifest = SEAL.open(box)
    assert refusal(StaleProjectError, lambda: manifest.of(lambda values: field(values, "size", int))) == (
        f"{path} is damaged (size is {value!r}, no int); make it again"
    )


def test_changed_and_missing_files_are_named(box: Path) -> None:
    (box / "b.txt").write_text("onE")
    assert refusal(StaleProjectError, lambda: SEAL.open(box)) == (
        f"{box}: 1 of 2 files were changed after the manifest, first b.txt; make it again"
    )
    (box / "sub" / "a.txt").unlink()
    (box / "sub" / "a.txt").mkdir()
    assert refusal(StaleProjectError, lambda: SEAL.open(box)) == (
        f"{box}: 1 of 2 files are missing, first sub/a.txt; make it again"
    )


def test_a_fill_that_fails_leaves_the_old_box_and_nothing_beside(box: Path) -> None:
    def fail(folder: Path) -> Mapping[str, Any]:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SEAL.write(box, fail, overwrite=True)
    SEAL.open(box)
    assert [path.name for path in box.parent.iterdir()] == ["box"]


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EIO", "ESTALE", "ENOTDIR"])
def test_what_the_system_refuses_is_one_sentence(box: Path, name: str) -> None:
    number = getattr(errno, name)

    def fail(folder: Path) -> Mapping[str, Any]:
        raise OSError(number, os.strerror(number), str(folder / "model"))

    said = refusal(OutputFolderError, lambda: SEAL.write(box, fail, overwrite=True))
    assert said.endswith(
        f"/model cannot be written ({os.strerror(number)}); choose another folder, or make room there"
    )
    SEAL.open(box)


def test_a_defect_is_not_dressed_up(box: Path) -> None:
    def fail(folder: Path) -> Mapping[str, Any]:
        return {"text": (folder.parent / "nothing").read_text()}

    with pytest.raises(FileNotFoundError):
        SEAL.write(box, fail, overwrite=True)


def test_a_place_that_is_removed_meanwhile_is_told(tmp_path: Path) -> None:
    place = tmp_path / "place"

    def remove(folder: Path) -> Mapping[str, Any]:
        folder.rmdir()
        place.rmdir()
        (folder / "model").write_text("x")
        return {}

    assert "cannot be written (No such file or directory)" in refusal(
        OutputFolderError, lambda: SEAL.write(place / "box", remove)
    )


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files may not grow beyond a kilobyte, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


@pytest.mark.usefixtures("small_files")
def test_a_file_that_may_not_grow_leaves_the_old_box(box: Path) -> None:
    said = refusal(OutputFolderError, lambda: SEAL.write(box, fill("x" * 5000), overwrite=True))
    assert "cannot be written (File too large)" in said
    SEAL.open(box)
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_libraries_that_hide_the_number_in_their_text_are_understood(tmp_path: Path) -> None:
    text = f"Can't write data (file write failed: errno = {errno.ENOSPC}, error message = 'No space left on device')"
    assert is_refusal(OSError(text), tmp_path)
    assert not is_refusal(OSError("Unable to open file"), tmp_path)


WRITE = """
import sys
sys.path.insert(0, sys.argv[2])
from test_sealed import SEAL, fill
print("started", flush=True)
for index in range(100000):
    SEAL.write(sys.argv[1], fill(str(index) * 20000), overwrite=True)
"""


def test_a_box_is_whole_whenever_its_writer_is_killed(box: Path) -> None:
    for index in range(12):
        words = [sys.executable, "-c", WRITE, str(box), str(Path(__file__).parent)]
        writer = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment(), text=True)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.01 + 0.007 * index)
        writer.kill()
        writer.communicate()
        manifest = SEAL.open(box)  # there is one at any moment: the old one or the new one
        assert (box / "b.txt").stat().st_size == manifest.values["size"]
    SEAL.write(box, fill("end"), overwrite=True)
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_what_was_set_aside_is_put_back(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two renames: the old box stands beside its place, and nothing in it."""
    rename = Path.rename

    class KilledError(BaseException):
        pass

    def cut(self: Path, target: Path) -> Path:
        if self.name.startswith(".box-scratch"):
            monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KilledError))
            raise KilledError
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", cut)
    with pytest.raises(KilledError):
        SEAL.write(box, fill("two"), overwrite=True)
    monkeypatch.undo()
    assert not box.exists()
    for aside in box.parent.glob(".box-replaced-*"):  # as if of a process that is gone
        parts = aside.name.split("-")
        parts[-2] = str(int(parts[-2]) - 1)
        aside.rename(aside.with_name("-".join(parts)))
    assert SEAL.open(box).values["size"] == 3
    assert (box / "b.txt").read_text() == "one"
    SEAL.write(box, fill("two"), overwrite=True)
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_what_was_set_aside_is_removed_where_the_new_box_is(box: Path) -> None:
    mine = sealed.make_scratch(box.parent, "box-replaced")
    parts = mine.name.split("-")
    parts[-2] = str(int(parts[-2]) - 1)
    dead = mine.rename(mine.with_name("-".join(parts)))
    (dead / "old").mkdir()
    SEAL.write(box, fill("two"), overwrite=True)
    assert [path.name for path in box.parent.iterdir()] == ["box"]


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert read_object(tmp_path / "a.json") == {"a": 1}
