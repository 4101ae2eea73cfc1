"""Every block of settings in the page about distillation and pruning is one that a design may have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codesign.core.yaml_text import read_yaml
from codesign.settings import make_design

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compression.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_has_blocks() -> None:
    assert len(BLOCKS) >= 8


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_valid(block: str) -> None:
    values = read_yaml(block)
    settings = make_design({"name": "mine", "data": {"source": "digits"}, **values})
    for section, given in values.items():
        assert (
            settings.section(section)
            != make_design({"name": "x", "data": {"source": "digits"}}).section(section)
            or given == "single"
        ), "the block changes nothing"
