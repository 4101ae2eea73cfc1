"""The page on the architecture shows the house as it is, and sends nobody to a file that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:codesign|tests|studies|scripts|models|docs)/[\w./]+)`", PAGE)))


def test_the_table_of_rooms_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/draw_house.py", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_changed_import_makes_the_table_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    import draw_house

    for name, text in (("low", '"""Low."""\n'), ("high", '"""High."""\nfrom codesign.low import x\n')):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(draw_house, "PACKAGE", tmp_path)
    assert draw_house.table().splitlines()[2:] == [
        "| `codesign/low.py` | Low | nothing |",
        "| `codesign/high.py` | High | low |",
    ]
    (tmp_path / "low.py").write_text('"""Low."""\nfrom codesign.high import y\n')
    with pytest.raises(SystemExit, match="import each other in a circle"):
        draw_house.table()


def test_the_page_names_many_files() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_is_named_is_there(name: str) -> None:
    assert (REPOSITORY / name).exists()


def test_a_stage_is_in_the_file_of_its_name() -> None:
    from codesign.stages import STAGES

    assert [type(stage).__module__ for stage in STAGES] == [
        f"codesign.stages.{stage.name}" for stage in STAGES
    ]
    for stage in STAGES:
        assert f"`{stage.name}`" in PAGE


ADDITIONS = [
    line
    for line in PAGE[PAGE.index("| I want to add |") :].split("\n\n")[0].splitlines()[2:]
    if line.startswith("| ")
]


@pytest.mark.parametrize("row", ADDITIONS, ids=lambda row: row.split(" | ")[0].strip("| "))
def test_each_way_to_add_a_thing_is_followed_by_a_test_or_a_page(row: str) -> None:
    assert re.search(r"`(tests|docs)/[\w./-]+`", row)


def test_the_things_that_one_adds_are_there() -> None:
    names = [row.split(" | ")[0].strip("| ") for row in ADDITIONS]
    assert {"a kind of layer", "a stage", "a way to prune", "a loss", "a task", "a command"} <= set(names)
    assert any(name.startswith("a report") for name in names)
