"""Small runs, projects and builds, written as the flow and the tools write them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comparison_runs import FIXTURES, write_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run("a", accuracy=0.95)`: a finished run in a folder of that name."""

    def make(name: str, **values: Any) -> Path:
        return write_run(tmp_path / name, **values)

    return make


@pytest.fixture
def make_build(tmp_path: Path) -> Callable[..., Path]:
    """`make_build("b", "vivado_power.rpt", ...)`: a folder with copies of report fixtures."""

    def make(name: str, *reports: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for report in reports:
            shutil.copy(FIXTURES / report, folder / report)
        return folder

    return make
