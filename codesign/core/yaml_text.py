"""Read YAML as people mean it: numbers such as ``1e-3`` are numbers, and a key that stands twice is a fault."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from codesign.errors import SettingsError


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice", problem_mark=key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, wants a point and a signed exponent in a number: 1e-3 would be text
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+"), list("-+0123456789")
)


def read_yaml(text: str, source: str | Path | None = None) -> Any:
    """Read YAML text.

    Parameters
    ----------
    text
        One document.
    source
        Where it came from, for the message.

    Raises
    ------
    SettingsError
        If it is no YAML or a key stands twice; with line and column.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise SettingsError(f"not valid YAML: {error.problem}{where}", source) from error
    except yaml.YAMLError as error:
        raise SettingsError(f"not valid YAML: {' '.join(str(error).split())}", source) from error


def read_assignments(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Read ``name=value`` words as a command line takes them, each value as YAML.

    Parameters
    ----------
    pairs
        For example ``distillation.alpha=0.5``.
    option
        The option that takes them, for the message.

    Raises
    ------
    SettingsError
        If a word has no name or no equals sign, or its value is no YAML.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(
                f"{option} takes NAME=VALUE, for example distillation.alpha=0.5, not {pair!r}"
            )
        values[name.strip()] = read_yaml(value, source=f"{option} {pair}")
    return values
