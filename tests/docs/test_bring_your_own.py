from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-own.md"


def test_the_guide_runs_from_its_first_snippet_to_its_last(tmp_path, monkeypatch, capsys):
    snippets = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(snippets) == 9
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), scope)
    assert (tmp_path / "out" / "project" / "hls" / "codesign_project.json").is_file()
    assert (tmp_path / "out" / "plots" / "scan.png").is_file()
    assert "quantization" in capsys.readouterr().out
