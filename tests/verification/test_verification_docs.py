"""The pages on verification and open RTL: their snippets run, and what they list is all that there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from planted import small_case
from typer.main import get_command

from codesign.cli.program import app
from codesign.rtl.layers import TRACERS
from codesign.verification import CAUSES, RUNG_NAMES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("verification.md", "rtl.md")}


@pytest.fixture(scope="module")
def project_folder(tmp_path_factory):
    return small_case(n=40).project(tmp_path_factory.mktemp("docs") / "project").folder


@pytest.mark.parametrize(("page", "count"), [("verification.md", 2), ("rtl.md", 1)])
def test_the_snippets_run(page, count, project_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    assert len(snippets) == count
    names = {"project_folder": project_folder}
    for snippet in snippets:
        exec(compile(snippet, page, "exec"), names)
    printed = capsys.readouterr().out
    if page == "rtl.md":
        assert "\n0 0\n" in printed
        assert printed.splitlines()[-1].endswith(" yosys")
    else:
        assert (
            "emulation 40 0 None\ncsim 40 0 None\nalkaid interpreter 0 0 no open RTL was written" in printed
        )
        assert printed.endswith("every layer agrees\n")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_of_the_pages_exists(page):
    lines = re.findall(r"^    (codesign .*)$", PAGES[page], re.MULTILINE)
    assert len(lines) >= 2
    commands = get_command(app).commands
    for line in lines:
        words = shlex.split(line, comments=True)
        options = {name for parameter in commands[words[1]].params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
        if "--rungs" in words:
            assert set(words[words.index("--rungs") + 1].split(",")) <= {*RUNG_NAMES, "all"}


def first_cells(page, header):
    """What the first column lists of the table whose header begins so, commas apart."""
    after = PAGES[page].split(f"| {header} | ")[1]
    table = after.split("\n\n")[0].splitlines()[2:]  # the header's rest and the rule
    return [word.strip(" `") for line in table for word in line.split("|")[1].split(",")]


def test_every_rung_cause_and_layer_is_listed():
    assert first_cells("verification.md", "`--rungs`") == list(RUNG_NAMES)
    assert sorted(first_cells("rtl.md", "layers")) == sorted(TRACERS)
    # "accumulator wrapped, saturated" lists two causes
    listed = " ".join(first_cells("verification.md", "cause"))
    assert all(word in listed for cause in CAUSES for word in cause.split())
