"""The snippets of the emulation page run, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "emulation.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(SNIPPETS) == 3
    names = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^fc1: fixed<29,13> holds -\S+ to \S+: exact$", printed, re.MULTILINE)
    assert "'layer': 'x', 'tensor': 'input', 'precision': 'fixed<6,2>'" in printed
