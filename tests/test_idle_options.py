"""Options that would do nothing beside others are refused: none is ignored in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from codesign.cli import app
from codesign.cli.idle import IDLE


def commands(group: Any, words: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every command by its words, with its parameters by name."""
    for name, command in group.commands.items():
        here = f"{words} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, here)
        else:
            yield here, {param.name: param for param in command.params}


PARAMETERS = dict(commands(typer.main.get_command(app)))


def typed(command: str, name: str) -> list[str]:
    """One parameter as a user types it, with some value that its kind takes."""
    param = PARAMETERS[command][name]
    if param.param_type_name == "argument":
        return ["somewhere"]
    flag = max(param.opts, key=len)
    return [flag] if param.is_flag else [flag, "1"]


@pytest.mark.parametrize(
    ("words", "option", "other", "without"),
    [(row.command, option, row.other, row.without) for row in IDLE for option in row.options],
)
def test_what_would_do_nothing_is_refused_by_its_name(
    command: Callable[..., tuple[int, str, str]], words: str, option: str, other: str, without: bool
) -> None:
    line = [*words.split(), *typed(words, option), *([] if without else typed(words, other))]
    for name, param in PARAMETERS[words].items():
        if param.required and name not in (option, other):
            line += typed(words, name)
    code, out, error = command(*line)
    assert (code, out) == (1, "")
    what = "FOLDER" if option == "folder" else typed(words, option)[0]
    company = "without" if without else "beside"
    assert f"{what}: does nothing {company} {typed(words, other)[0]}, which" in error.replace(
        "whose", "which"
    )


def test_every_command_that_takes_long_has_one_way_to_speak() -> None:
    both = {words for words, params in PARAMETERS.items() if {"quiet", "json_lines"} <= set(params)}
    assert both == {row.command for row in IDLE if row.options == ("quiet",)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run d --name a -o b", "--name a is for a folder below hls_projects, and --output b names another; give one"),
        ("run d --seed 1 --set seed=2", "--set seed=2: another option of this line gives it as 1; leave one of them"),
        (
            "run d --budget-luts 9 --set quantization.method=scan",
            "--set quantization.method=scan: another option of this line gives it as learned; leave one",
        ),
        ("run d --set seed=1 --set seed=2", "--set seed=2: seed was given before and is lost; leave one of them out"),
        (
            "run d --set scan.cost=luts --set scan={}",
            "--set scan={}: scan.cost was given before and is lost; leave one of them out",
        ),
    ],
)  # fmt: skip
def test_a_value_that_another_takes_away_is_refused(
    command: Callable[..., tuple[int, str, str]],
    words: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    Path("d/design.yaml").write_text("name: d\ndata: {source: digits}\n")
    code, out, error = command(*words.split())
    assert (code, out) == (1, "")
    assert error.startswith(f"error: {sentence}")
