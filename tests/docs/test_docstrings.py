"""One mood of docstrings: what a function does is commanded, what it returns is described, what a class does is told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "codesign"

NOUNS = {"As", "Lists", "Masks", "Names", "Places", "Shares"}
"""First words that only look like a verb with an s."""


def functions() -> Iterator[tuple[str, str, bool]]:
    """Where, the first word, and whether nothing is returned: then the word is a verb."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
                acts = isinstance(node.returns, ast.Constant) and node.returns.value is None
                yield f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}", text.split()[0], acts


def test_no_function_tells_what_it_does_in_the_third_person_or_that_it_returns_something() -> None:
    found = list(functions())
    verbs = {word for _, word, acts in found if acts}
    assert {"Write", "Refuse", "Remove"} <= verbs
    told = {f"{verb}{ending}" for verb in verbs for ending in ("s", "es")} - NOUNS
    told |= {"Return", "Returns", "Get", "Gets"}
    assert [(where, word) for where, word, _ in found if word in told] == []
