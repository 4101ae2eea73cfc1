"""The compression study: what it refuses, what its table says of given rows, and one small study, resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from studies.compression import __main__ as compression_study
from studies.compression import results
from studies.compression.grid import Cell, Study, read_results
from studies.compression.seed import SeedStudy, work

MODELS = Path(__file__).resolve().parents[2] / "models"


def rows(
    teacher: str, precision: str, sparsity: float, tests: list[float], **more: Any
) -> list[dict[str, Any]]:
    fixed = {"auc": 0.9, "rejection": 10.0, "bops": 1000.0, "removed": sparsity, **more}
    return [
        {
            "teacher": teacher,
            "precision": precision,
            "sparsity": sparsity,
            "method": "design",
            "seed": seed,
            "test": test,
            **fixed,
        }
        for seed, test in enumerate(tests)
    ]


GRID = [
    *rows("scratch", "float", 0.0, [0.90, 0.92, 0.91]),
    *rows("kd", "float", 0.0, [0.92, 0.93, 0.93], bops=50_000.0, auc=0.95),
    *rows("kd", "6", 0.8, [0.91, 0.92], bops=1000.0, auc=0.949, estimated_luts=250, lut=300, mismatches=0),
    {
        **{
            "teacher": "kd",
            "precision": "6",
            "sparsity": 0.8,
            "method": "design",
            "seed": 2,
            "test": 0.92,
            "auc": 0.949,
        },
        **{"rejection": 10.0, "bops": 1000.0, "estimated_luts": 250, "mismatches": 0, "removed": 0.8},
    },
    *rows(
        "kd", "6", 0.0, [0.92, 0.92, 0.92], bops=5000.0, auc=0.95, estimated_luts=1000, lut=1000, mismatches=2
    ),
    *rows("ensemble", "float", 0.0, [0.93, 0.93, 0.95]),
]


def test_differences_are_of_the_same_seeds() -> None:
    groups = results.grouped(GRID)
    gain = results.paired(groups["kd", "float", 0.0, "design"], groups["scratch", "float", 0.0, "design"])
    # 0.02, 0.01, 0.02
    assert gain.mean == pytest.approx(0.05 / 3)
    assert gain.error == pytest.approx(((2 * (0.01 / 3) ** 2 + (0.02 / 3) ** 2) / 2 / 3) ** 0.5)
    shuffled = list(reversed(groups["scratch", "float", 0.0, "design"]))
    again = results.paired(groups["kd", "float", 0.0, "design"], shuffled)
    assert (again.mean, again.error, again.n) == pytest.approx((gain.mean, gain.error, 3))
    # t of 97.5 % with two degrees of freedom is 4.3027; the variance is 1/3 + 1/3 of that of one difference
    half = 4.302653 * gain.error * 3**0.5 * (2 / 3) ** 0.5
    assert gain.interval == f"{100 * (gain.mean - half):+.2f} to {100 * (gain.mean + half):+.2f}"


def test_a_cell_with_one_seed_has_no_spread() -> None:
    grid = [*rows("scratch", "float", 0.0, [0.9, 0.92]), *rows("kd", "float", 0.0, [0.95])]
    groups = results.grouped(grid)
    assert "| 1 | 0% | 95.00 ± ? |" in results.table(groups)
    assert "+5.00 ± nan points: of no known error (one seed)" in "\n".join(results.findings(groups, []))
    results.draw(groups, "one")


def test_the_findings_are_counted_from_the_rows() -> None:
    learnt = {"kd": {"temperature": 2.0, "alpha": 0.1}, "ensemble": {"temperature": 3.0, "alpha": 0.3}}
    told = {"distillation": learnt, "searched": ["kd"]}
    teachers = [
        {"best member": 0.95, "ensemble": 0.97, **told},
        {"best member": 0.96, "ensemble": 0.98, **told},
    ]
    text = "\n".join(results.findings(results.grouped(GRID), teachers))
    assert (
        "one teacher against labels alone, dense, float: +1.67 ± 0.33 points: a gain beyond its standard error"
        in text
    )
    assert "the teacher 'ensemble' has 97.50 ± 0.71 %" in text
    assert "the ensemble as a teacher against its best member, dense, float: +1.00 ± 0.58 points" in text
    assert (
        "one teacher, 6 bits, 80% pruned: 50.0 times fewer BOPs than 32 bits dense; AUC -0.0010 ± 0.0000"
        in text
    )
    assert (
        "one teacher, 6, 80% pruned: LUTs saved 75% (estimated, 3 seeds) and 70% (Yosys, 2 seeds); accuracy"
        in text
    )
    assert "chosen for one teacher (seeds): T = 2 and alpha = 0.1 (2)" in text
    assert "chosen for ensemble" not in text  # its design says both
    assert text.endswith("the logic of 6 designs against QKeras on their test parts: 6 samples differ")


def test_a_gain_within_its_error_is_not_called_one() -> None:
    grid = [*rows("scratch", "float", 0.0, [0.90, 0.92]), *rows("kd", "float", 0.0, [0.93, 0.90])]
    text = "\n".join(results.findings(results.grouped(grid), []))
    assert "+0.50 ± 2.50 points: within its standard error" in text
    worse = [*rows("scratch", "float", 0.0, [0.95, 0.97]), *rows("kd", "float", 0.0, [0.90, 0.90])]
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--teachers", "kd,oracle"],
            "error: --teachers: must be of scratch, kd, ensemble, specialists, not 'oracle'",
        ),
        (["--precisions", "17"], "error: --precisions: must be float, scan or 2 to 16, not '17'"),
        (["--sparsities", "0,1"], "error: --sparsities: must be at least 0 and below 1, not 0,1"),
        (["--set", "teacher.epoch=3"], "teacher.epoch: unknown setting; did you mean epochs?"),
        (["--data", "missing.npz"], "missing.npz"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [
        "study",
        "--data",
        "digits",
        "--design",
        str(MODELS / "tiny"),
        "--output",
        str(tmp_path),
        *options,
    ]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr(compression_study, "_measure", lambda *_: pytest.fail("it was measured"))
    assert compression_study.main() == 1
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_study_ends_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [f"{stage}.epochs=2" for stage in ("teacher", "distillation", "pruning", "quantization")]
    # ranges and widths of students that learnt nothing
    short += ["scan.tolerance=0.5"]
    given = ["study", "--data", "digits", "--design", str(MODELS / "tiny"), "--output", str(tmp_path)]
    given += ["--seeds", "2", "--rtl-seeds", "1", "--members", "2", "--teachers", "scratch,specialists"]
    given += ["--sparsities", "0,0.5", *[word for pair in short for word in ("--set", pair)]]
    monkeypatch.setattr(sys, "argv", given)
    assert compression_study.main() == 0
    folder = tmp_path / "digits-tiny"
    made = json.loads((folder / "results.json").read_text())["rows"]
    assert len(made) == 2 * 8
    assert [row["mismatches"] for row in made if "mismatches" in row] == [0, 0, 0, 0]
    path = folder / "seed0" / "results.json"
    kept = json.loads(path.read_text())
    gone = Cell("scratch", "scan", 0.5).key
    path.write_text(json.dumps({key: row for key, row in kept.items() if key != gone}))
    assert compression_study.main() == 0
    again = read_results(folder, 0)
    assert again[gone] == kept[gone]
    assert {name: row for name, row in again.items() if name != gone} == {
        name: row for name, row in kept.items() if name != gone
    }


def test_a_student_without_formats_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codesign.errors import ScanError

    def measure(self: SeedStudy, cell: Cell) -> dict[str, Any]:
        if cell.precision == "scan":
            raise ScanError("no uniform width keeps the quality")
        return {"test": 0.5}

    monkeypatch.setattr(SeedStudy, "measure", measure)
    monkeypatch.setattr(
        SeedStudy, "measure_teachers", lambda self: {"ensemble": 0.9, "distillation": {"scratch": {}}}
    )
    cells = (Cell("scratch", "float", 0.9), Cell("scratch", "scan", 0.9))
    study = Study("digits-tiny", MODELS / "tiny", {"data.source": "digits"}, 2, cells, tmp_path, 1)
    work(study, 0, False)
    work(study, 0, True)
    assert [(row["precision"], row["test"]) for row in study.rows()] == [("float", 0.5)]
    assert study.skipped() == ["seed 0, scratch scan 0.9: no uniform width keeps the quality"]


def test_another_study_in_the_folder_is_not_mixed(tmp_path: Path) -> None:
    from codesign.errors import SettingsError

    # of no seeds: nothing is trained
    study = Study("digits-tiny", MODELS / "tiny", {"data.source": "digits"}, 2, (), tmp_path, 0)
    other = Study("digits-tiny", MODELS / "tiny", {"data.source": "digits", "seed": 4}, 2, (), tmp_path, 0)
    compression_study._measure(study, 1, 0)
    with pytest.raises(SettingsError, match=r"holds another study; remove it or choose another --output$"):
        compression_study._measure(other, 1, 0)
