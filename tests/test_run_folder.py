"""A run's folder: one process at a time, every stage whole or absent, nothing of another kind touched."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_design import environment

from codesign.core.record import Record
from codesign.core.sealed import STAGE
from codesign.errors import FolderInUseError, OutputFolderError
from codesign.flow import take_stages
from codesign.run_folder import LOCK, RunFolder, StageEvidence


def evidence(digest: str = "d") -> StageEvidence:
    return StageEvidence("key", {"settings teacher": "1"}, Record("teacher", {}, 0, {}, digest, {}, 1.0))


def make_stage(folder: RunFolder, name: str = "teacher", text: str = "weights", digest: str = "d") -> None:
    with folder.writing(name) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "model.keras").write_text(text)
        (temporary / "sub" / "history.json").write_text("{}")
        folder.commit(name, temporary, evidence(digest))


def break_off(folder: RunFolder, name: str, error: BaseException) -> None:
    """Begin to write a stage and fail."""
    with folder.writing(name) as temporary:
        (temporary / "model.keras").write_text("half")
        raise error


def refusal(path: Path) -> str:
    with pytest.raises(OutputFolderError) as caught, RunFolder(path).locked():
        pass
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        pass
    return folder


def test_a_folder_is_made_when_it_is_locked_not_when_it_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "b")
    assert folder.evidence("teacher") is None
    assert not folder.path.exists()
    with folder.locked():
        assert [path.name for path in folder.path.iterdir()] == [LOCK]


def test_a_stage_is_what_was_committed(folder: RunFolder) -> None:
    make_stage(folder)
    assert folder.evidence("teacher") == evidence()
    assert folder.evidence("student") is None
    assert (folder.path / "teacher" / "model.keras").read_text() == "weights"
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, "teacher"]


def test_a_new_stage_replaces_the_old_one_whole(folder: RunFolder) -> None:
    make_stage(folder)
    (folder.path / "teacher" / "stray").write_text("of the old one")
    make_stage(folder, text="new", digest="e")
    assert folder.evidence("teacher") == evidence("e")
    assert not (folder.path / "teacher" / "stray").exists()


def test_a_stage_that_fails_leaves_the_old_one_and_nothing_half(folder: RunFolder) -> None:
    make_stage(folder)
    with pytest.raises(KeyboardInterrupt):
        break_off(folder, "teacher", KeyboardInterrupt())
    assert folder.evidence("teacher") == evidence()
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, "teacher"]


def test_a_stage_that_was_left_out_has_no_files_and_is_whole(folder: RunFolder) -> None:
    with folder.writing("rtl") as temporary:
        folder.commit("rtl", temporary, evidence())
    assert folder.evidence("rtl") == evidence()


def test_a_removed_stage_is_gone(folder: RunFolder) -> None:
    make_stage(folder)
    folder.remove("teacher")
    folder.remove("teacher")
    assert folder.evidence("teacher") is None


def damage_text(stage: Path) -> None:
    (stage / "model.keras").write_text("weightz")


def damage_missing(stage: Path) -> None:
    (stage / "sub" / "history.json").unlink()


def damage_cut(stage: Path) -> None:
    path = stage / STAGE.manifest
    path.write_text(path.read_text()[:-10])


def damage_binary(stage: Path) -> None:
    (stage / STAGE.manifest).write_bytes(b"\xff\xfe")


def damage_form(value: Any) -> Callable[[Path], None]:
    def damage(stage: Path) -> None:
        (stage / STAGE.manifest).write_text(json.dumps(value))

    return damage


def damage_record(stage: Path) -> None:
    found = json.loads((stage / STAGE.manifest).read_text())
    found["record"]["colour"] = 1
    (stage / STAGE.manifest).write_text(json.dumps(found))


@pytest.mark.parametrize(
    "damage",
    [
        damage_text,
        damage_missing,
        damage_cut,
        damage_binary,
        damage_record,
        *map(damage_form, ([], {}, None, {"files": [], "key": 1}, {"files": 3})),
    ],
)
def test_a_damaged_stage_is_as_good_as_absent(folder: RunFolder, damage: Callable[[Path], None]) -> None:
    make_stage(folder)
    damage(folder.path / "teacher")
    assert folder.evidence("teacher") is None
    make_stage(folder)
    assert folder.evidence("teacher") == evidence()


def test_files_made_later_do_not_damage_a_stage(folder: RunFolder) -> None:
    # g++ products below a project, for instance
    make_stage(folder)
    (folder.path / "teacher" / "build").mkdir()
    (folder.path / "teacher" / "build" / "csim").write_text("")
    assert folder.evidence("teacher") == evidence()


def test_a_moved_run_keeps_its_stages(folder: RunFolder, tmp_path: Path) -> None:
    make_stage(folder)
    shutil.move(folder.path, tmp_path / "elsewhere")
    assert RunFolder(tmp_path / "elsewhere").evidence("teacher") == evidence()


def test_a_second_run_in_the_folder_is_refused_in_the_same_process(folder: RunFolder) -> None:
    with folder.locked():
        assert refusal(folder.path) == (
            f"another run works in {folder.path}; wait for it or choose another folder with --output or --name"
        )
    with folder.locked():
        pass


HOLD = """
import sys, time
from codesign.run_folder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_lock_of_another_process_goes_with_it(folder: RunFolder, end: signal.Signals) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert refusal(folder.path).startswith(f"another run works in {folder.path}; ")
    finally:
        holder.send_signal(end)
        holder.communicate()
    with folder.locked():
        pass


def test_what_a_killed_run_left_half_written_is_cleared(folder: RunFolder) -> None:
    half = folder.path / ".teacher-writing"
    half.mkdir()
    (half / "model.keras").write_text("half")
    (folder.path / ".writing-abc.json").write_text("half")
    with folder.locked():
        assert [path.name for path in folder.path.iterdir()] == [LOCK]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "run"
    assert refusal(path) == (
        f"the output folder {path} cannot be written (Not a directory); choose another with --output"
    )
    assert refusal(tmp_path / "file") == (
        f"the output folder {tmp_path / 'file'} cannot be written (File exists); choose another with --output"
    )


def test_a_read_only_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, data: bytes) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert refusal(tmp_path / "run") == (
        f"the output folder {tmp_path / 'run'} cannot be written (Read-only file system); choose another with --output"
    )


def test_a_disk_that_is_nearly_full_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=199.4 * 2**20))
    assert refusal(tmp_path / "run") == (
        f"the disk of {tmp_path / 'run'} has 199 MB left, and a run needs 200 MB; free some or choose another folder "
        "with --output"
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_becomes_full_keeps_the_finished_stages(folder: RunFolder, number: int) -> None:
    where = str(folder.path / "student" / "logits.npz")
    make_stage(folder)
    with pytest.raises(OutputFolderError) as caught, folder.locked():
        break_off(folder, "student", OSError(number, os.strerror(number), where))
    assert str(caught.value) == (
        f"{where} cannot be written any more ({os.strerror(number)}); the finished stages are kept: mend that, and the "
        "same command resumes"
    )
    assert folder.evidence("teacher") == evidence()
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, "teacher"]


def test_another_error_of_the_system_is_not_dressed_up(folder: RunFolder) -> None:
    with pytest.raises(FileNotFoundError), folder.locked():
        (folder.path / "nothing").read_text()


@pytest.mark.parametrize("name", ["teacher", "thesis.tex", "project"])
def test_a_folder_with_something_else_in_it_is_not_touched(tmp_path: Path, name: str) -> None:
    # a user's own folder `project` would be replaced by the stage of this name
    (tmp_path / name).mkdir()
    (tmp_path / name / "notes").write_text("mine")
    assert (
        refusal(tmp_path) == f"{tmp_path} is not empty and holds no run; choose another folder with --output"
    )
    assert (tmp_path / name / "notes").read_text() == "mine"
    assert not (tmp_path / LOCK).exists()


def test_an_empty_folder_and_hidden_files_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").write_text("")
    with RunFolder(tmp_path).locked():
        pass


WRITE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_run_folder import make_stage
from codesign.run_folder import RunFolder
folder = RunFolder(sys.argv[1])
with folder.locked():
    print("started", flush=True)
    for index in range(100000):
        make_stage(folder, text=str(index) * 50000, digest=str(index))
"""


def test_a_stage_is_whole_or_absent_whenever_the_process_is_killed(folder: RunFolder) -> None:
    seen = set()
    for index in range(200):
        if (
            index >= 12 and True in seen
        ):  # on a busy machine the first ones are killed before they wrote anything
            break
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(folder.path), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "started\n"
        time.sleep(0.013 * index)
        writer.kill()
        writer.communicate()
        found = folder.evidence("teacher")
        seen.add(found is not None)
        if found is not None:
            text = (folder.path / "teacher" / "model.keras").read_text()
            assert text == found.record.digest * 50000
    assert True in seen


def test_sentences_name_the_folder_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note").write_text("")
    assert refusal(Path("note/run")).startswith("the output folder note/run cannot be written (")


def test_a_stage_is_taken_of_another_run_whole_or_not_at_all(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = RunFolder(tmp_path / "other")
    with other.locked():
        make_stage(other)
    with folder.locked():
        folder.take("teacher", other)
    assert folder.evidence("teacher") == other.evidence("teacher") == evidence()
    make_stage(other, text="later", digest="e")

    def full(source: Path, target: Path, **_: object) -> None:
        (target / "model.keras").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OSError, match="No space"):
        folder.take("teacher", other)
    assert folder.evidence("teacher") == evidence()
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, "teacher"]


def test_a_search_copied_without_its_hidden_files_goes_on_and_is_called_a_search(tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text("{}")
    copy = RunFolder(tmp_path, "search", "search.json")
    with (
        copy.locked(),
        pytest.raises(FolderInUseError, match=rf"^another search works in {tmp_path}; "),
        copy.locked(),
    ):
        pass
    (tmp_path / LOCK).unlink()
    (tmp_path / "search.json").rename(tmp_path / "run.json")
    with pytest.raises(OutputFolderError, match="is not empty and holds no search; "), copy.locked():
        pass


def test_another_point_of_a_front_begins_with_the_stages_before_the_hardware(tmp_path: Path) -> None:
    run, stages = RunFolder(tmp_path / "run"), ("teacher", "student", "pruning", "scan", "quantization")
    with run.locked():
        for name in (*stages, "project"):
            make_stage(run, name, text=name)
    take_stages(run.path, tmp_path / "new", "quantization")
    new = RunFolder(tmp_path / "new")
    assert sorted(path.name for path in new.path.iterdir()) == sorted([LOCK, *stages])
    assert all(new.evidence(name) == run.evidence(name) for name in stages)
    make_stage(run, "quantization", text="later", digest="e")
    take_stages(run.path, new.path, "quantization")  # what stands there stays
    assert new.evidence("quantization") == evidence()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    with pytest.raises(OutputFolderError, match="is not empty and holds no run; "):
        take_stages(run.path, tmp_path / "mine", "quantization")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]
