"""Read YAML as people mean it: numbers such as ``1e-3`` are numbers, and a key that stands twice is a fault.

A few hundred bytes of YAML can stand for gigabytes (anchors of anchors), so the tree is measured before it is built.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from codesign.errors import SettingsError

YAML_SUFFIXES = (".yaml", ".yml")

MOST_DEEP = 50
"""Levels of lists and mappings in one another."""
MOST_VALUES = 100_000
"""Values of one document, its aliases written out."""


class _Loader(yaml.SafeLoader):
    deep = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # before the rest is read: the reader takes a time that grows with the square of the depth
        self.deep += 1
        if self.deep > MOST_DEEP + 1:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MOST_DEEP}", problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.deep -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be one word", problem_mark=key.start_mark)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _measure(node, {}, ())
        return node


def _measure(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """How many values a node stands for, its aliases written out; raises for too many, too deep or without end."""
    if id(node) in known:
        return known[id(node)]
    if id(node) in above:
        raise yaml.MarkedYAMLError(problem="an alias holds itself", problem_mark=node.start_mark)
    if len(above) > MOST_DEEP:
        raise yaml.MarkedYAMLError(problem=f"nested deeper than {MOST_DEEP}", problem_mark=node.start_mark)
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inside = node.value
    size = 1
    for part in inside:
        size += _measure(part, known, (*above, id(node)))
        if size > MOST_VALUES:
            problem = f"its aliases stand for more than {MOST_VALUES:,} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    known[id(node)] = size
    return size


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
        If it is no YAML, a key stands twice or is no word, or it is too deep or too large; with line and column.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise SettingsError(f"not valid YAML: nested deeper than {MOST_DEEP}", source) from None
    except ValueError as error:
        # a number of thousands of digits, a date that is none
        raise SettingsError(f"not valid YAML: {error}", source) from None
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
        If a word has no name or no equals sign, its value is no YAML, or it takes away an earlier one.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingsError(
                f"{option} takes NAME=VALUE, for example distillation.alpha=0.5, not {pair!r}"
            )
        name = name.strip()
        if lost := [earlier for earlier in values if f"{earlier}.".startswith(f"{name}.")]:
            raise SettingsError(
                f"{option} {pair}: {lost[0]} was given before and is lost; leave one of them out"
            )
        values[name] = read_yaml(value, source=f"{option} {pair}")
    return values
