"""The compression study: its grids, what its table says of given rows, and one small study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_searches import points_of, run_small

from studies.compression import report as results
from studies.runs import Run


def rows(
    teacher: str, precision: str, sparsity: float, tests: list[float], **more: Any
) -> list[dict[str, Any]]:
    fixed = {"auc": 0.9, "rejection": 10.0, "bops": 1000.0, "removed": sparsity, **more}
    return [
        {
            "teacher": teacher,
            "precision": precision,
            "sparsity": sparsity,
            "method": "",
            "seed": seed,
            "test": test,
            **fixed,
        }
        for seed, test in enumerate(tests)
    ]


GRID = [
    *rows("labels alone", "float", 0.0, [0.90, 0.92, 0.91]),
    *rows("one teacher", "float", 0.0, [0.92, 0.93, 0.93], bops=50_000.0, auc=0.95),
    *rows("one teacher", "6 bits", 0.8, [0.91, 0.92], bops=1000.0, auc=0.949, estimated_luts=250, lut=300),
    {
        **{
            "teacher": "one teacher",
            "precision": "6 bits",
            "sparsity": 0.8,
            "method": "",
            "seed": 2,
            "test": 0.92,
            "auc": 0.949,
        },
        **{"rejection": 10.0, "bops": 1000.0, "estimated_luts": 250, "removed": 0.8},
    },
    *rows(
        "one teacher", "6 bits", 0.0, [0.92, 0.92, 0.92], bops=5000.0, auc=0.95, estimated_luts=1000, lut=1000
    ),
    *rows("ensemble", "float", 0.0, [0.93, 0.93, 0.95]),
]


def test_differences_are_of_the_same_seeds() -> None:
    groups = results.grouped(GRID)
    gain = results.paired(groups["one teacher", "float", 0.0, ""], groups["labels alone", "float", 0.0, ""])
    # 0.02, 0.01, 0.02
    assert gain.mean == pytest.approx(0.05 / 3)
    assert gain.error == pytest.approx(((2 * (0.01 / 3) ** 2 + (0.02 / 3) ** 2) / 2 / 3) ** 0.5)
    shuffled = list(reversed(groups["labels alone", "float", 0.0, ""]))
    again = results.paired(groups["one teacher", "float", 0.0, ""], shuffled)
    assert (again.mean, again.error, again.n) == pytest.approx((gain.mean, gain.error, 3))
    # t of 97.5 % with two degrees of freedom is 4.3027; the variance is 1/3 + 1/3 of that of one difference
    half = 4.302653 * gain.error * 3**0.5 * (2 / 3) ** 0.5
    assert gain.interval == f"{100 * (gain.mean - half):+.2f} to {100 * (gain.mean + half):+.2f}"


def test_a_cell_with_one_seed_has_no_spread() -> None:
    grid = [*rows("labels alone", "float", 0.0, [0.9, 0.92]), *rows("one teacher", "float", 0.0, [0.95])]
    groups = results.grouped(grid)
    assert "| 1 | 0% | 95.00 ± ? |" in results.table(groups)
    assert "+5.00 ± nan points: of no known error (one seed)" in "\n".join(results.findings(groups, []))
    results.draw(groups, "one")


def run_of(kind: str, seed: int, test: float, **student: Any) -> Any:
    settings = SimpleNamespace(
        distillation=SimpleNamespace(alpha=None), teacher=SimpleNamespace(kind=kind), seed=seed
    )
    records = {
        "teacher": SimpleNamespace(metrics={"test_accuracy": test}),
        "student": SimpleNamespace(metrics=student),
    }
    return Run({}, seed, SimpleNamespace(settings=settings, records=records))


def test_the_findings_are_counted_from_the_rows() -> None:
    runs = [
        run_of(kind, seed, test, **more)
        for kind, tests, more in (
            ("single", [0.95, 0.96], {"search": {}, "distillation": {"temperature": 2.0, "alpha": 0.1}}),
            ("ensemble", [0.97, 0.98], {"distillation": {"temperature": 3.0, "alpha": 0.3}}),
        )
        for seed, test in enumerate(tests)
    ]
    text = "\n".join(results.findings(results.grouped(GRID), [*runs, *runs]))
    assert (
        "one teacher against labels alone, dense, float: +1.67 ± 0.33 points: a gain beyond its standard error"
        in text
    )
    assert "the teacher 'ensemble' has 97.50 ± 0.71 %" in text
    assert "the ensemble as a teacher against one, dense, float: +1.00 ± 0.58 points" in text
    assert (
        "one teacher, 6 bits, 80% pruned: 50.0 times fewer BOPs than 32 bits dense; AUC -0.0010 ± 0.0000"
        in text
    )
    assert (
        "one teacher, 6 bits, 80% pruned: LUTs saved 75% (estimated, 3 seeds) and 70% (Yosys, 2 seeds); accuracy"
        in text
    )
    assert "chosen for one teacher (seeds): T = 2 and alpha = 0.1 (2)" in text
    assert "chosen for ensemble" not in text  # its design says both


def test_a_gain_within_its_error_is_not_called_one() -> None:
    grid = [
        *rows("labels alone", "float", 0.0, [0.90, 0.92]),
        *rows("one teacher", "float", 0.0, [0.93, 0.90]),
    ]
    text = "\n".join(results.findings(results.grouped(grid), []))
    assert "+0.50 ± 2.50 points: within its standard error" in text
    worse = [
        *rows("labels alone", "float", 0.0, [0.95, 0.97]),
        *rows("one teacher", "float", 0.0, [0.90, 0.90]),
    ]
    text = "\n".join(results.findings(results.grouped(worse), []))
    assert "-6.00 ± 1.00 points: a loss beyond its standard error" in text


def test_the_table_has_a_row_for_each_cell_and_no_invented_numbers() -> None:
    lines = results.table(results.grouped(GRID)).splitlines()
    assert len(lines) == 2 + 5
    assert (
        "| labels alone | float | 0% | 3 | 0% | 91.00 ± 1.00 | 0.9000 ± 0.0000 | 10.0 ± 0.0 | 1,000 |  |  |  |  |  |"
        in lines
    )
    assert {line.count("|") for line in lines} == {15}


@pytest.mark.parametrize(("name", "count"), [("tiny", 16), ("jets", 5), ("methods", 11), ("ranking", 5)])
def test_every_point_of_a_grid_has_a_row_of_its_own(name: str, count: int, tmp_path: Path) -> None:
    points = points_of(f"compression/{name}.yaml", tmp_path)
    # alpha is 1 for who learns from the labels alone
    teachers = [(point.get("teacher.kind"), point.get("distillation.alpha")) for point in points]
    keys = {
        (*teacher, point["pruning.sparsity"], results.way_of(point))
        for teacher, point in zip(teachers, points, strict=True)
    }
    assert len(points) == len(keys) == count


def test_a_way_to_prune_is_named_by_what_is_varied() -> None:
    lottery = {"pruning.method": "magnitude", "pruning.scope": "global", "pruning.rewind": "initial"}
    assert results.way_of(lottery) == "magnitude, global, rewound"
    plain = {"pruning.method": "hardware", "pruning.rewind": "none", "pruning.l1": 0.0}
    assert results.way_of(plain) == "hardware"
    assert results.way_of({"pruning.inside": "quantization"}) == "in quantization"
    assert results.way_of({"pruning.inside": "float"}) == ""


@pytest.mark.slow
def test_a_small_study_is_run_proved_and_reported(tmp_path: Path) -> None:
    short = {f"{stage}.epochs": 2 for stage in ("teacher", "distillation", "pruning")}
    choices: dict[str, list[Any]] = {
        "teacher.kind": ["single", "specialists"],
        "pruning.sparsity": [0.0, 0.5],
    }
    derived = {"data.split_seed": "seed", "quantization.epochs": "1 + 2 * (pruning.sparsity == 0)"}
    # ranges and widths of students that learnt nothing
    settings = {**short, "scan.tolerance": 0.5, "distillation.search.epochs": 1}
    folder = run_small("compression/tiny.yaml", tmp_path, choices, settings, derived=derived)
    text = results.write_results(folder, "digits-tiny")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 3 * 2 * 2
    assert {tuple(row[0:3]) for row in rows} == {
        (f"| {teacher}", precision, pruned)
        for teacher in ("labels alone", "one teacher", "specialists")
        for precision in ("float", "scanned")
        for pruned in ("0%", "50%")
    }
    counted = {row[1]: row[11] for row in rows}
    assert counted["float"] == ""
    assert int(counted["scanned"].replace(",", "")) > 0
    assert "- the logic of 6 designs against their students, bit for bit: 0 differ" in text
    assert "chosen for one teacher (seeds): T = " in text
    assert "chosen for labels alone" not in text
    again = run_small("compression/tiny.yaml", tmp_path, choices, settings, derived=derived)
    assert results.write_results(again, "digits-tiny") == text
