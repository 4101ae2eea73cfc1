"""The page about reports runs and names what there is."""

import re
from pathlib import Path

from reports_project import place

import codesign.reports

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reports.md").read_text(encoding="utf-8")


def test_the_snippets_of_the_page_run(tmp_path, monkeypatch, capsys):
    place(tmp_path / "project")
    (tmp_path / "project" / "vivado_impl_power.rpt").write_text("")
    monkeypatch.chdir(tmp_path)
    for snippet in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        scope = {"read_build": codesign.reports.read_build}
        exec(compile(snippet, "reports.md", "exec"), scope)
    assert capsys.readouterr().out.splitlines() == [
        "jet_tagger xcvu9p-flga2104-2L-e 9 262.3294858342078",
        "post-route 4210 2.5",
        "damaged project/vivado_impl_power.rpt: contents: the file is empty (0 bytes); the run that wrote it died",
    ]


def test_the_page_names_every_reader_and_stage():
    readers = [name for name in codesign.reports.__all__ if name.startswith("read_")]
    assert [name for name in readers if f"`{name}`" not in PAGE] == []
    assert [stage for stage in codesign.reports.STAGES if f"`{stage}`" not in PAGE] == []
