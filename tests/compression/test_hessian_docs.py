"""The page on widths from second derivatives runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hessian-widths.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_has_snippets():
    assert len(SNIPPETS) == PAGE.read_text(encoding="utf-8").count("```python") == 2


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_of_the_page_runs_by_itself(snippet):
    exec(compile(snippet, str(PAGE), "exec"), {})
