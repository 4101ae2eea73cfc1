"""Every setting of a design with its type, default, range and meaning, read from the models themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from codesign.core.text_table import TextTable
from codesign.settings import DesignSettings

HEADER = ("setting", "type", "default", "range", "meaning")


def settings_tables() -> tuple[TextTable, ...]:
    """A table for the design, and for each section in it, whose title is its place in a `design.yaml`."""
    schema = DesignSettings.model_json_schema()
    return tuple(_tables("", schema, schema["$defs"]))


def _tables(path: str, section: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[TextTable]:
    rows, inner = [], []
    for name, field in section["properties"].items():
        made, place = _section_of(field, known)
        if made is not None:
            inner.append((f"{path}{name}{place}", made))
        kind = "section" if made is not None and not place else _kind(field, known)
        default = _default(name, field, section) if kind != "section" else "its own"
        rows.append((name, kind, default, _range(field), " ".join(str(field.get("description", "")).split())))
    title = path.rstrip(".") or "A design"
    yield TextTable(title, HEADER, tuple(rows))
    for place, made in inner:
        yield from _tables(f"{place}.", made, known)


def _section_of(field: Mapping[str, Any], known: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The section that a field is or holds, and what stands for its place in a list or mapping."""
    for option in (field, *field.get("anyOf", ())):
        if "$ref" in option:
            return known[option["$ref"].rsplit("/", 1)[-1]], ""
        for key, place in (("items", "[]"), ("additionalProperties", ".NAME")):
            inside = option.get(key)
            if isinstance(inside, Mapping) and "$ref" in inside:
                return known[inside["$ref"].rsplit("/", 1)[-1]], place
    return None, ""


_WORDS = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "null": "null",
}


_PLAIN = {"text", "number", "whole number", "true or false"}


def _kind(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        kinds = list(dict.fromkeys(_kind(option, known) for option in field["anyOf"]))
        if set(kinds) >= _PLAIN:  # whatever YAML has
            kinds = ["value", *(kind for kind in kinds if kind not in _PLAIN)]
        return " or ".join(kinds)
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        return "section"
    kind = field.get("type")
    if kind == "array":
        inside = field.get("prefixItems") or [field.get("items", {})]
        words = dict.fromkeys(_kind(item, known) for item in inside)
        if "prefixItems" in field:
            return f"list of {len(inside)}: {', '.join(words)}"
        return f"list of {' or '.join(words)}"
    if kind == "object":
        inside = field.get("additionalProperties")
        values = _kind(inside, known) if isinstance(inside, Mapping) and inside else "value"
        return f"mapping of names to {values}"
    return _WORDS.get(str(kind), "value")


def _default(name: str, field: Mapping[str, Any], section: Mapping[str, Any]) -> str:
    if name in section.get("required", ()):
        return "must be given"
    value = field.get("default")
    return "none" if value is None else f"`{json.dumps(value) if not isinstance(value, str) else value}`"


def _range(field: Mapping[str, Any]) -> str:
    found = []
    for option in (field, *field.get("anyOf", ())):
        for inside in (option, option.get("items", {}), *option.get("prefixItems", ())):
            if not isinstance(inside, Mapping):
                continue
            text = _bounds(inside)
            if text and text not in found:
                found.append(text)
    return "; ".join(found)


def _bounds(field: Mapping[str, Any]) -> str:
    words = []
    for key, sign in (
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
    ):
        if key in field and abs(field[key]) < 1e9:
            words.append(f"{sign} {field[key]:g}")
    if "pattern" in field:
        words.append(f"`{field['pattern']}`")
    return ", ".join(words)
