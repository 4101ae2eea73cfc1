"""The page on precision runs, shows pictures that are there, and names every setting with its default."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from codesign.cli import app
from codesign.settings import ScanSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "precision.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_snippets_run(tmp_path, monkeypatch, capsys):
    snippets = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(snippets) == TEXT.count("```python") == 2
    monkeypatch.chdir(tmp_path)
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), {})
    assert re.search(
        r"^hidden fixed<\d+,\d+> holds every sum: -\S+ to \S+ for any", capsys.readouterr().out, re.MULTILINE
    )


def test_pictures_and_pages_are_there():
    links = [link for link in re.findall(r"\]\(([^)]*)\)", TEXT) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []


def test_every_setting_of_the_scan_has_its_row():
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", TEXT, re.MULTILINE))
    assert rows == {name: str(field.default) for name, field in ScanSettings.model_fields.items()}


def test_the_commands_have_the_options_that_are_shown():
    lines = re.findall(r"^    codesign (\w+) (.*)$", TEXT, re.MULTILINE)
    assert lines
    commands = typer.main.get_command(app).commands
    for name, words in lines:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words.split() if word.startswith("-")} <= known, words
