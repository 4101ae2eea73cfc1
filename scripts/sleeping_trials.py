"""Trials that sleep instead of training, for `chaos_search.py` and `bench_search.py`: the search around them is real.

How long one sleeps and what it finds follow from its settings alone; a second finish of the same run is noted.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from codesign.search.unit import Outcome, Unit, worker_name

FINISHED = "finished.log"
"""A line for each run that slept to its end, in the search's folder: its key, and when it began and ended (monotonic, s). A
key that stands twice was done twice."""

SECONDS = "CODESIGN_SLEEP_S"
"""The variable that says how long a trial sleeps in the mean."""


def sleep(unit: Unit) -> Outcome:
    """Sleep for a time that differs from trial to trial as trainings do, then say what a network might reach."""
    started = time.monotonic()
    share = _share(unit)
    # a long tail: half of the trials take less than 0.7 of the mean, one in fifty more than 3 times as long
    mean = float(os.environ.get(SECONDS, "1.0"))
    time.sleep(mean * (0.3 + 0.7 * min(4.0, -_log(1 - share))))
    width = float(unit.overrides.get("student.width1", 16)) + float(unit.overrides.get("student.width2", 8))
    values = {name: 1.0 for name in unit.wanted}
    values["quality"] = 1 - 1 / (2 + width) - 0.02 * share
    values["luts"] = 40.0 * width * (1 + 0.1 * share)
    values["parameters"] = 10.0 * width
    if unit.kind == "proof":
        values = {"lut": values["luts"], "latency_cycles": 5.0, "validation_quality": values["quality"]}
    if unit.kind == "vendor":
        values = {"csynth_lut": 1.4 * values["luts"]}
    _note(unit, started)
    return Outcome(values, time.monotonic() - started, worker_name())


def _share(unit: Unit) -> float:
    told = repr(sorted((name, repr(value)) for name, value in unit.overrides.items())) + unit.kind
    return int(hashlib.sha256(told.encode()).hexdigest()[:8], 16) / 2**32


def _log(value: float) -> float:
    import math

    return math.log(max(value, 1e-9))


def _note(unit: Unit, started: float) -> None:
    handle = os.open(Path(unit.home) / FINISHED, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(handle, f"{unit.key} {started:.6f} {time.monotonic():.6f}\n".encode())
    finally:
        os.close(handle)
