"""The ledger: whole lines only, the first result is the result, a torn end is mended wherever it was torn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codesign.errors import OutputFolderError, StaleProjectError
from codesign.search.ledger import Ledger, append, mend

UNIT = {
    "key": "00001-run-seed0",
    "trial": 1,
    "unit_kind": "run",
    "step": -1,
    "values": {"luts": 3.0},
    "seconds": 2.0,
}


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add("unit", UNIT)
    ledger.add(
        "trial", {"number": 1, "params": {"a": [1, "ä"]}, "state": "complete", "values": {"luts": 3.0}}
    )
    ledger.add("attempt", {"key": "x", "trial": "2", "how": "death", "reason": "killed"})
    ledger.add("proof", {"trial": 1, "state": "refuted", "reason": "differs"})
    again = Ledger(tmp_path)
    assert (again.trials, again.proofs, again.units) == (ledger.trials, ledger.proofs, ledger.units)
    assert again.attempts == ledger.attempts
    assert again.seconds == {1: 2.0}
    assert again.trials[1].params == {"a": [1, "ä"]}


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this machine has no /dev/full")
    (tmp_path / "ledger.jsonl").symlink_to("/dev/full")
    with pytest.raises(OutputFolderError, match=r"ledger\.jsonl cannot be written any more \(No space left"):
        append(tmp_path / "ledger.jsonl", b"{}\n")


def test_the_first_result_is_the_result(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add("unit", UNIT)
    ledger.add("unit", {**UNIT, "values": {"luts": 4.0}})
    assert ledger.units[UNIT["key"]]["values"] == {"luts": 3.0}
    assert Ledger(tmp_path).units[UNIT["key"]]["values"] == {"luts": 3.0}
    assert ledger.seconds == {1: 2.0}


def test_a_file_torn_anywhere_is_mended_to_its_whole_lines(tmp_path: Path) -> None:
    lines = [json.dumps({"kind": "attempt", "key": f"k{n}", "reason": "ä" * n}) + "\n" for n in range(4)]
    whole = "".join(lines).encode()
    path = tmp_path / "ledger.jsonl"
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        mend(path)
        kept = path.read_bytes()
        assert whole.startswith(kept)
        assert kept.count(b"\n") == whole[:cut].count(b"\n")
        assert kept == b"" or kept.endswith(b"\n")
        assert len(Ledger(tmp_path).attempts) == kept.count(b"\n")


def test_zeros_that_a_crash_left_at_the_end_are_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"kind":"attempt","key":"a"}\n' + b"\0" * 300 + b"\n")
    mend(path)
    assert path.read_bytes() == b'{"kind":"attempt","key":"a"}\n'


def test_a_reader_leaves_the_line_that_is_being_written(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(b'{"kind":"attempt","key":"a"}\n{"kind":"att')
    assert list(Ledger(tmp_path).attempts) == ["a"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(
        b'{"kind":"attempt","key":"a"}\nnonsense\n{"kind":"attempt","key":"b"}\n'
    )
    with pytest.raises(StaleProjectError, match=r"ledger\.jsonl: line 2 is damaged; "):
        Ledger(tmp_path)
