"""The docs as a whole: links, commands, settings, errors and snippets are real, and the site builds without a network."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.specifiers import SpecifierSet

import codesign
import codesign.errors
from codesign.cli import app
from codesign.errors import CodesignError
from codesign.search.cluster import ClusterSettings
from codesign.search.settings import SearchSettings
from codesign.settings import make_design, make_settings

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("models/*/*.md")])
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def made_pages() -> dict[str, str]:
    import docs_pages

    return dict(docs_pages.pages())


def fenced(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(path), re.MULTILINE | re.DOTALL)


@cache
def anchors(path: Path) -> set[str]:
    text = made_pages()[path.name] if path.name in made_pages() else text_of(path)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text_of(page), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists() or (there.parent == DOCS and there.name in made_pages()), target
        if anchor:
            assert anchor in anchors(there), target


def command_lines(page: Path) -> list[str]:
    blocks = [*fenced(page, "sh"), *re.findall(r"(?:^    codesign .*\n?)+", text_of(page), re.MULTILINE)]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(codesign [a-z]+(?: [^`]*)?)`", re.sub(r"\n", " ", text_of(page)))
    return [line for line in [*lines, *inline] if line.startswith("codesign ")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_of_the_docs_exists(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("it names commands of every version")
    for line in command_lines(page):
        words = shlex.split(line, comments=True)
        if words[1] == "COMMAND" or words[1].startswith("-"):
            continue
        assert words[1] in COMMANDS, line
        command = COMMANDS[words[1]]
        if hasattr(command, "commands"):
            assert words[2] in command.commands, line
            command = command.commands[words[2]]
        known = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        } | {"--help"}
        used = {word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert used <= known, line


def test_the_docs_show_many_commands() -> None:
    shown = {line.split()[1] for page in PAGES for line in command_lines(page)}
    assert shown >= set(COMMANDS), f"no page shows {set(COMMANDS) - shown}"


@pytest.mark.parametrize("page", [page for page in PAGES if fenced(page, "yaml")], ids=name_of)
def test_every_block_of_settings_is_one(page: Path) -> None:
    for block in fenced(page, "yaml"):
        values = yaml.safe_load(block)
        if page.name == "search.md":
            make_settings(SearchSettings if "space" in values else ClusterSettings, values, name_of(page))
            continue
        design = {"name": "d", "data": {"source": "digits"}, **values}
        design["data"] = {"source": "digits", **design["data"]}
        make_design(design, source=name_of(page))


def test_every_page_with_python_is_run_by_a_test() -> None:
    tests = "\n".join(text_of(path) for path in (REPOSITORY / "tests").rglob("test_*.py"))
    bare = [page.name for page in PAGES if fenced(page, "python") and f'"{page.name}"' not in tests]
    assert bare == []


def test_every_error_has_its_cure() -> None:
    errors = {
        name
        for name, value in vars(codesign.errors).items()
        if inspect.isclass(value) and issubclass(value, CodesignError)
    }
    sections = re.split(r"^##+ ", text_of(DOCS / "errors.md"), flags=re.MULTILINE)[1:]
    cures = {section.split("\n")[0]: "**Cure:**" in section for section in sections}
    assert set(cures) == errors - {"CodesignError"}
    assert [name for name, cure in cures.items() if not cure] == ["ToolError", "ReportError"]


def test_the_made_pages_have_every_command_and_public_name() -> None:
    commands, python, settings = (made_pages()[name] for name in ("commands.md", "python.md", "settings.md"))
    for name, command in COMMANDS.items():
        assert f"## codesign {name}\n" in commands
        for parameter in command.params:
            assert parameter.help, f"codesign {name}: {parameter.name} has no help"
    assert set(re.findall(r"^::: codesign\..*\.(\w+)$", python, re.MULTILINE)) == set(codesign.__all__)
    assert "## quantization.polish\n" in settings


def test_no_page_waits_for_somebody_to_fill_it() -> None:
    for page in PAGES:
        assert not re.search(r"TODO|FIXME|TBD|XXX|\| \? \||lorem ipsum", text_of(page)), page.name


class Loads(HTMLParser):
    """What a page loads of its own accord."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(values.get("src") or "")
        if tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon", "preconnect"):
            self.found.append(values.get("href") or "")


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="pip install 'codesign[docs]'")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    path = {"PYTHONPATH": str(REPOSITORY), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, text=True, check=False, env={**os.environ, **path}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    built = list((tmp_path / "site").glob("*.html"))
    assert {path.stem for path in built} >= {page.stem for page in DOCS.glob("*.md")} | {"settings", "python"}
    for page in built:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert [url for url in loads.found if re.match(r"(https?:)?//", url)] == [], page.name
    functions = (tmp_path / "site" / "python.html").read_text(encoding="utf-8")
    assert functions.count("doc-heading") >= len(codesign.__all__)


def test_a_version_is_a_dated_release_of_the_changes_everywhere_the_same() -> None:
    released = re.findall(
        r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", text_of(REPOSITORY / "CHANGELOG.md"), re.MULTILINE
    )
    assert released, "no version of the changes has a date"
    project = tomllib.loads(text_of(REPOSITORY / "pyproject.toml"))["project"]
    citation = yaml.safe_load(text_of(REPOSITORY / "CITATION.cff"))
    assert released[0][0] == project["version"] == citation["version"] == codesign.__version__
    assert str(citation["date-released"]) == released[0][1]


def test_every_python_that_is_named_is_one_that_pip_takes() -> None:
    """The Pythons of `pyproject.toml` are those of the README, the Makefile and the workflow."""
    allowed = SpecifierSet(
        tomllib.loads(text_of(REPOSITORY / "pyproject.toml"))["project"]["requires-python"]
    )
    workflow = yaml.safe_load(text_of(REPOSITORY / ".github" / "workflows" / "ci.yml"))
    tried = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tried == [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}" in allowed]
    for name in ("README.md", "Makefile", "docs/supported.md"):
        assert all(python in text_of(REPOSITORY / name) for python in (tried[0], tried[-1])), name


def test_every_page_is_in_the_site() -> None:
    listed = set(re.findall(r"([\w-]+\.md)", text_of(REPOSITORY / "mkdocs.yml").split("\nnav:")[1]))
    assert listed == {page.name for page in DOCS.glob("*.md")} | set(made_pages())
