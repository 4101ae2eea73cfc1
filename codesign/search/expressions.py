"""Conditions in words, such as ``student.width2 <= student.width1``: read as Python's grammar, never run as Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from codesign.errors import SettingsError, did_you_mean

_LONGEST = 1000
_OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: operator.mod,
    }
)
_COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
        ast.In: lambda one, many: one in many,
        ast.NotIn: lambda one, many: one not in many,
    }
)
_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType({"min": min, "max": max, "abs": abs})
_WORDS = MappingProxyType({"true": True, "false": False, "null": None})

_Values = Mapping[str, Any]
_Part = Callable[[_Values], Any]


@dataclass(frozen=True)
class Expression:
    """A condition on settings by dotted path.

    Parameters
    ----------
    text
        As it was written.
    names
        The settings that it speaks of.
    """

    text: str
    names: frozenset[str]
    _compute: _Part

    def holds(self, values: _Values) -> bool:
        """Whether the condition holds for values by dotted path; raises what `value` does."""
        return bool(self.value(values))

    def value(self, values: _Values) -> Any:
        """What comes out for values by dotted path: a number, a word, or whether a condition holds.

        Raises
        ------
        SettingsError
            If it cannot be computed with them: a division by zero, a word below a number.
        """
        try:
            return self._compute(values)
        except (TypeError, ArithmeticError, ValueError) as error:
            given = ", ".join(f"{name} = {values.get(name)!r}" for name in sorted(self.names))
            raise SettingsError(f"{self.text!r} cannot be computed for {given}: {error}") from None


def parse_expression(text: str, known: Collection[str]) -> Expression:
    """Read a condition: comparisons, ``and``, ``or``, ``not``, ``in``, arithmetic, min, max, abs.

    Parameters
    ----------
    text
        For example ``student.width2 <= student.width1``.
    known
        The settings that it may speak of.

    Raises
    ------
    SettingsError
        One sentence: what is not understood, or which setting is unknown.
    """
    if len(text) > _LONGEST:
        raise SettingsError(f"{text[:40]!r}... is longer than {_LONGEST} letters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        reader = _Parser(text, known)
        compute = reader.part(tree.body)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise SettingsError(
            f"{text!r} is no condition ({getattr(error, 'msg', error)}); write one such as student.width2 <= student.width1"
        ) from None
    if not reader.names:
        raise SettingsError(f"{text!r} speaks of no setting of the space")
    return Expression(text, frozenset(reader.names), compute)


class _Parser:
    """Turns a syntax tree into closures; every kind of node that is not named here is refused."""

    def __init__(self, text: str, known: Collection[str]) -> None:
        self.text, self.known, self.names = text, known, set[str]()

    def part(self, node: ast.expr) -> _Part:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return lambda _: value
            case ast.Name() | ast.Attribute():
                return self._name(node)
            case ast.BoolOp(op=ast.And(), values=parts):
                every = [self.part(part) for part in parts]
                return lambda values: all(part(values) for part in every)
            case ast.BoolOp(values=parts):
                some = [self.part(part) for part in parts]
                return lambda values: any(part(values) for part in some)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.part(operand)
                return lambda values: not inner(values)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self.part(operand)
                return lambda values: -_number(inner(values))
            case ast.BinOp(op=op) if type(op) in _OPERATORS:
                left, right, apply = self.part(node.left), self.part(node.right), _OPERATORS[type(op)]
                return lambda values: apply(_number(left(values)), _number(right(values)))
            case ast.Compare():
                return self._comparison(node)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                entries = [self.part(part) for part in parts]
                return lambda values: [entry(values) for entry in entries]
            case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in _FUNCTIONS and parts:
                given, call = [self.part(part) for part in parts], _FUNCTIONS[name]
                return lambda values: call(*(_number(part(values)) for part in given))
        raise SettingsError(
            f"{self.text!r}: {ast.unparse(node)!r} is not understood; a condition has comparisons, and, or, not, in, "
            "+ - * / // %, min, max, abs"
        )

    def _comparison(self, node: ast.Compare) -> _Part:
        sides = [self.part(node.left), *(self.part(side) for side in node.comparators)]
        unknown = [op for op in node.ops if type(op) not in _COMPARISONS]
        if unknown:
            raise SettingsError(f"{self.text!r}: write == or !=, not 'is'")
        tests = [_COMPARISONS[type(op)] for op in node.ops]

        def compare(values: _Values) -> bool:
            found = [side(values) for side in sides]
            return all(test(one, other) for test, one, other in zip(tests, found, found[1:], strict=False))

        return compare

    def _name(self, node: ast.expr) -> _Part:
        name = _dotted(node)
        if name in _WORDS:
            word = _WORDS[name]
            return lambda _: word
        if name not in self.known:
            hint = did_you_mean(name, sorted(self.known), "the space has")
            raise SettingsError(f"{self.text!r}: {name} is not in the space; {hint}")
        self.names.add(name)
        return lambda values: values[name]


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise SettingsError(f"{ast.unparse(node)!r} is not the dotted path of a setting")


def _number(value: Any) -> Any:
    """A number; text times a number would be text of any length."""
    if isinstance(value, int | float):
        return value
    raise TypeError(f"{value!r} is no number")
