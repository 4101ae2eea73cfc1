"""Every setting says what it is; the reference has them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tiny_design import codesign

from codesign.settings import DesignSettings, make_design
from codesign.settings_reference import settings_tables

TABLES = {table.title: table for table in settings_tables()}


def sections(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """The section and all that its annotations hold, without the schema that the reference reads."""
    seen.add(model)
    for field in model.model_fields.values():
        stack: list[Any] = [field.annotation]
        while stack:
            part = stack.pop()
            stack += getattr(part, "__args__", ())
            if isinstance(part, type) and issubclass(part, BaseModel) and part not in seen:
                sections(part, seen)
    return seen


ALL = [
    (made, name)
    for made in sorted(
        sections(DesignSettings, set()), key=lambda made: made.__name__
    )  # the same for each worker
    for name in made.model_fields
]


@pytest.mark.parametrize(("section", "name"), ALL, ids=lambda value: getattr(value, "__name__", value))
def test_every_setting_is_described_in_a_sentence(section: type[BaseModel], name: str) -> None:
    """Write it as a docstring below the field."""
    text = section.model_fields[name].description
    assert text, f"{section.__name__}.{name} has no description: write a docstring below the field"
    assert text.endswith(".")
    assert "\n\n" not in text
    assert len(text) < 220


def test_the_reference_has_every_setting_of_every_section() -> None:
    shown = {(title, row[0]) for title, table in TABLES.items() for row in table.rows}
    assert {name for _, name in shown} == {name for _, name in ALL}
    for place in ("distillation.terms[]", "hardware.layers.NAME", "quantization.polish", "data.task.NAME"):
        assert place in TABLES
    assert all(all(row[column] for column in (0, 1, 2, 4)) for table in TABLES.values() for row in table.rows)


def test_types_defaults_and_ranges_are_those_of_the_models() -> None:
    row = {row[0]: row[1:4] for row in TABLES["pruning"].rows}
    assert row["ramp"] == ("number", "`0.6`", "> 0, ≤ 1")
    assert row["method"][0] == "`magnitude`, `taylor`, `hessian`, `structured`, `hardware`"
    design = {row[0]: row[1:4] for row in TABLES["A design"].rows}
    assert design["name"][1] == "must be given"
    assert design["pruning"][0] == "section"
    given = make_design({"name": "d", "data": {"source": "digits"}}).model_dump(mode="json")
    for section in ("scan", "hardware", "teacher"):
        for name, kind, default, *_ in TABLES[section].rows:
            if kind != "section" and default not in ("none", "must be given"):
                assert default.strip("`").replace('"', "'") == str(given[section][name]).replace(
                    "True", "true"
                ).replace("False", "false"), name


def test_the_command_lists_a_section(tmp_path: Path) -> None:
    done = codesign("settings", "distillation", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "distillation.search" in done.stdout
    assert "hint_epochs" in done.stdout
    assert "reuse_factor" not in done.stdout
    refused = codesign("settings", "prunning", cwd=tmp_path).stderr
    assert refused.startswith(
        "error: there is no section 'prunning'; the sections are data, data.task.NAME, teacher"
    )
