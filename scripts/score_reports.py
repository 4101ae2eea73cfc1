"""Read a folder of real tool reports and hold every value against its answer key.

    python scripts/score_reports.py [folder]

The folder holds `INDEX.json`: a list of entries with `path`, `kind`, `version`, `part`, `top`, and `truth`, the
values as printed. The score is printed by kind, with every deviation; the exit code is 1 unless it is perfect.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report_answer_key as key

from codesign.errors import ReportError
from codesign.reports import (
    read_cosim,
    read_csim_log,
    read_csynth,
    read_export,
    read_power,
    read_timing,
    read_transactions,
    read_utilization,
)

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data" / "reports"

KINDS: dict[str, tuple[Callable[[Path], Any], Callable[[dict[str, Any], Any], key.Pairs]]] = {
    "csynth.xml": (read_csynth, key.csynth_xml), "csynth.rpt": (read_csynth, key.csynth_rpt),
    "csynth_summary": (read_csynth, key.csynth_summary), "cosim.rpt": (read_cosim, key.cosim),
    "utilization": (read_utilization, key.utilization), "timing_summary": (read_timing, key.timing),
    "power": (read_power, key.power), "export.rpt": (read_export, key.export), "csim log": (read_csim_log, key.csim),
    "transactions": (read_transactions, key.transactions),
}  # fmt: skip


def kind_of(entry: dict[str, Any]) -> str | None:
    """The scored kind of an entry of the key; ``None`` for files that no reader is for."""
    if entry["kind"] == "log":
        return "csim log" if entry["path"].endswith("_csim.log") else None
    if entry["kind"] == "other":
        return "transactions" if "n_transactions" in entry["truth"] else None
    return entry["kind"] if entry["kind"] in KINDS else None


def compare(entry: dict[str, Any], kind: str, folder: Path) -> tuple[int, list[str]]:
    """How many values of one file were compared, and which of them deviate."""
    read, pairs = KINDS[kind]
    try:
        record = read(folder / entry["path"])
    except ReportError as error:
        return 1, [f"refused: {error}"]
    found = list(pairs(entry["truth"], record))
    for name in ("tool", "version", "part", "top"):
        value = getattr(record, name)
        # what a form does not print is known to the key from other files; HLS exports with Vivado
        if value is not None and entry[name] is not None and (name != "tool" or kind != "export.rpt"):
            found.append((name, entry[name], value))
    return len(found), [
        f"{name}: {want!r} in the key, {got!r} read" for name, want, got in found if want != got
    ]


def main() -> int:
    """Score a folder; 0 if everything fits."""
    parser = argparse.ArgumentParser(description="Hold the report readers against an answer key.")
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT, help="where INDEX.json is")
    folder = parser.parse_args().folder
    index = folder / "INDEX.json"
    if not index.is_file():
        print(f"{index} is not there; name a folder of reports with its answer key", file=sys.stderr)
        return 2
    scores = {kind: [0, 0, 0, 0] for kind in KINDS}
    unread = 0
    for entry in json.loads(index.read_text(encoding="utf-8")):
        kind = kind_of(entry)
        if kind is None:
            unread += 1
            continue
        values, deviations = compare(entry, kind, folder)
        for line in deviations:
            print(f"{entry['path']}\n    {line}")
        score = scores[kind]
        score[0] += not deviations
        score[1] += 1
        score[2] += values - len(deviations)
        score[3] += values
    for kind, (files, of_files, right, of_values) in scores.items():
        print(f"{kind:16} {files:4} of {of_files:4} files   {right:6} of {of_values:6} values")
    total = [sum(column) for column in zip(*scores.values(), strict=True)]
    print(f"{'all':16} {total[0]:4} of {total[1]:4} files   {total[2]:6} of {total[3]:6} values")
    print(f"{unread} other files (project files, logs of whole runs) have no reader")
    return 0 if total[0] == total[1] and total[1] else 1


if __name__ == "__main__":
    sys.exit(main())
