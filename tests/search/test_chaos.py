"""What the chaos scripts call lost: their judge must see it, or a search that loses results passes."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chaos_search import Chaos, judge, results
from sleeping_trials import FINISHED

UNIT = {"kind": "unit", "key": "00001-run-seed0"}
TRIAL = {"kind": "trial", "number": 1, "params": {"a": 3}, "state": "complete", "values": {"luts": 5.0}}
PROOF = {"kind": "proof", "trial": 1, "state": "proved", "values": {"lut": 4.0}, "vendor": ""}
VENDOR = {**PROOF, "vendor": "done"}
CALM = [UNIT, TRIAL, PROOF, VENDOR]


def home_of(folder: Path, lines: list[dict[str, Any]]) -> Path:
    (folder / "search").mkdir(parents=True)
    (folder / "search" / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "search" / FINISHED).write_text("00001-run-seed0 0 1\n00001-run-seed0 2 3\n")
    return folder


@pytest.mark.parametrize(
    ("lines", "kills", "sampler", "faults"),
    [
        (CALM, 2, "random", []),
        (CALM, 2, "tpe", []),
        ([UNIT, PROOF, VENDOR], 2, "random", ["1 of 2 results differ from those of a calm search"]),
        ([UNIT, PROOF, VENDOR], 2, "tpe", ["0 results of 1"]),
        ([UNIT, TRIAL], 2, "random", ["1 of 2 results differ from those of a calm search"]),
        ([UNIT, TRIAL, PROOF], 2, "random", ["1 of 2 results differ from those of a calm search"]),
        (
            [*CALM, {**TRIAL, "number": 2}],
            2,
            "random",
            ["1 of 2 results differ from those of a calm search"],
        ),
        (
            [UNIT, {**TRIAL, "values": {"luts": 6.0}}, PROOF, VENDOR],
            2,
            "random",
            ["1 of 2 results differ from those of a calm search"],
        ),
        ([UNIT, *CALM], 2, "random", ["1 runs have two results"]),
        ([*CALM, TRIAL], 2, "random", ["1 runs have two results"]),
        ([*CALM, VENDOR], 2, "random", ["1 runs have two results"]),
        (CALM, 1, "random", ["the search ended after 1 of 2 kills: give longer --seconds"]),
    ],
)
def test_what_is_lost_or_double_is_seen(
    tmp_path: Path, lines: list[dict[str, Any]], kills: int, sampler: str, faults: list[str]
) -> None:
    wanted, _ = results(home_of(tmp_path / "calm", CALM))
    chaos = Chaos(kills=Counter(worker=kills))
    judge(home_of(tmp_path / "chaos", lines), wanted, chaos, Namespace(sampler=sampler, trials=1, kills=2))
    assert chaos.faults == faults
    assert chaos.again == 1
