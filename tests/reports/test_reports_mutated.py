"""Damaged copies of every fixture, made by a seeded mutator: refused with a sentence, or read without `inf`."""

import json
import random

import pytest
from reports_project import FIXTURES

from codesign.errors import ReportError
from codesign.reports import read_report

FILES = sorted(FIXTURES.iterdir())
PIECES = (
    "²", "1e999", "-1", "9" * 400, "٣", "", "|", "+", "?", "nan", "~", "<", "</", "\x1b[2J", "\x00", "\ud7ff", " ",
    "0", "-", "\n", "undef", "{", "%s", "1e-999999", "\ufeff", "--------",
)  # fmt: skip


def damaged(data, rng):
    """A copy with one to three faults: bytes, numbers, lines and cells changed, lost, doubled or swapped."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        lines = data.split(b"\n")
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        words = [word for word in lines[at].split() if word]
        fault = rng.randrange(9)
        if fault == 0:
            place = rng.randrange(len(data) + 1)
            data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
        elif fault == 1 and words:
            piece = rng.choice(PIECES).encode()
            lines[at] = lines[at].replace(rng.choice(words), piece, 1)
            data = b"\n".join(lines)
        elif fault == 2:
            data = b"\n".join(lines[:at] + lines[at + 1 :])
        elif fault == 3:
            data = b"\n".join([*lines[: at + 1], *lines[at:]])
        elif fault == 4:
            lines[at], lines[other] = lines[other], lines[at]
            data = b"\n".join(lines)
        elif fault == 5:
            data = data[: rng.randrange(len(data) + 1)]
        elif fault == 6:
            digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
            if digits:
                place = rng.choice(digits)
                data = data[:place] + rng.choice(PIECES).encode() + data[place + 1 :]
        elif fault == 7:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
            data = b"\n".join(lines)
        else:
            place, length = rng.randrange(len(data) + 1), rng.randrange(1, 40)
            data = data[:place] + data[place + length :]
        if not data:
            break
    return data


def outcome(path):
    """The record, or the error that refuses it; any other exception fails the test."""
    try:
        return read_report(path)
    except ReportError as error:
        return error


def hold(count, seed, path):
    rng = random.Random(seed)
    refused = 0
    for at in range(count):
        path.write_bytes(damaged(FILES[at % len(FILES)].read_bytes(), rng))
        record = outcome(path)
        if isinstance(record, ReportError):
            refused += 1
            assert str(record).startswith(f"{path}: ")
        else:
            json.dumps(record.to_dict(), allow_nan=False)
    return refused


def test_damaged_copies_are_refused_or_read(tmp_path):
    assert hold(400, 7, tmp_path / "report") > 100


@pytest.mark.slow
def test_ten_thousand_damaged_copies_are_refused_or_read(tmp_path):
    assert hold(10_000, 11, tmp_path / "report") > 3000
