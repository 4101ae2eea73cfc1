"""Records: plain, complete, the same when read back."""

from __future__ import annotations

import json
import platform
import re

import keras
import pytest

from codesign.core.record import Record, versions
from codesign.errors import DataError


def make_record() -> Record:
    return Record("pruning", {"sparsity": 0.5}, 3, {"student": "ab"}, "cd", {"test_accuracy": 0.97}, 1.5)


def test_a_record_survives_json() -> None:
    record = make_record()
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_a_record_knows_the_versions_that_decide_the_numbers() -> None:
    found = make_record().versions
    assert found == versions()
    assert found["python"] == platform.python_version()
    assert found["keras"] == keras.__version__
    assert {"tensorflow", "qkeras-v3", "hls4ml", "numpy"} <= set(found)


def test_versions_kept_are_those_of_the_run_not_of_the_reader() -> None:
    old = {**make_record().to_dict(), "versions": {"keras": "3.0.0"}}
    assert Record.from_dict(old).versions == {"keras": "3.0.0"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"colour": 1}, "unexpected keyword argument 'colour'"),
        ({"stage": None, "digest": None}, None),
    ],
)
def test_what_is_no_record_is_refused(change: dict[str, object], reason: str | None) -> None:
    value = {**make_record().to_dict(), **change}
    if reason is None:
        value = {key: entry for key, entry in value.items() if key not in change}
        reason = "missing 2 required positional arguments: 'stage' and 'digest'"
    with pytest.raises(
        DataError, match=r"^this is no record of a stage: .*" + re.escape(reason) + "; redo the stage$"
    ):
        Record.from_dict(value)
