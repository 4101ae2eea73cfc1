"""The snippets and the commands of docs/comparison.md work."""

from __future__ import annotations

import re
from pathlib import Path

from comparison_runs import YOSYS, write_run

from codesign.cli import app
from codesign.comparison.entry import STEPS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "comparison.md"


def test_the_snippet_runs(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "runs" / "dense", rtl=YOSYS)
    write_run(tmp_path / "runs" / "pruned", rtl={**YOSYS, "lut": 3000}, sparsity=0.75)
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    exec(compile(snippet, str(PAGE), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "LUT 3000.0"
    assert lines[-1] == "-1000 LUTs (-25.0 %), better"
    assert (tmp_path / "comparison.html").is_file()


def test_every_stage_but_the_teacher_and_the_unknown_is_explained():
    text = PAGE.read_text(encoding="utf-8")
    assert [step for step in STEPS if f"`{step}`" not in text] == ["teacher", "unknown"]


def test_every_option_of_the_commands_exists():
    lines = re.findall(r"^    codesign (\w+) (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for name, _ in lines} == {"compare", "report", "build"}
    import typer

    commands = typer.main.get_command(app).commands
    for name, words in lines:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words.split() if word.startswith("-")} <= known, words
