"""A comparison as a file: Markdown, CSV, JSON or a page, by the file's ending."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codesign.comparison.compare import Column, Comparison
from codesign.comparison.entry import Entry
from codesign.comparison.tables import comparison_tables, kind_text
from codesign.core.files import read_json, write_text
from codesign.core.text_table import printable, spreadsheet_safe
from codesign.errors import OutputFolderError, ReportFormatError, ReportMissingError, SettingsError


def as_markdown(comparison: Comparison) -> str:
    """Every table, then the notes."""
    text = "# Comparison\n\n" + "\n".join(table.markdown() for table in comparison_tables(comparison))
    if comparison.notes:
        text += "\n## Notes\n\n" + "".join(f"- {printable(note)}\n" for note in comparison.notes)
    return text


def as_csv(comparison: Comparison) -> str:
    """One line a design; columns are ``<stage>.<metric>`` and what belongs to it.

    Numbers are written in full. A quality's column names its dataset (``quantized.test_accuracy[digits]``); the columns
    after a number are its spread over seeds, its percentage of the part, and the difference to the reference; those
    that would be empty everywhere are left out.
    """
    rows = [_csv_row(comparison, entry) for entry in comparison.entries]
    names = [name for name in dict.fromkeys(name for row in rows for name in row)]
    filled = [name for name in names if any(row.get(name) not in (None, "") for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, filled, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet_safe(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_row(comparison: Comparison, entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": entry.name,
        "what": kind_text(entry),
        "reference": entry.name == comparison.reference,
        "trustworthy": entry.is_trustworthy,
        "dataset": comparison.dataset_label(entry) if entry.dataset else "",
        "part": entry.part,
        "source": entry.source,
    }
    for column in comparison.columns():
        number, change = comparison.number(entry, column), comparison.change(entry, column)
        name = column_name(column)
        row[name] = None if number is None else number.value
        row[f"{name}.spread"] = None if number is None else number.spread
        row[f"{name}.percent_of_part"] = None if number is None else number.percent
        row[f"{name}.delta"] = None if change is None else change.delta
        row[f"{name}.delta_percent"] = None if change is None else change.percent
        row[f"{name}.verdict"] = None if change is None else change.verdict
    return row


def column_name(column: Column) -> str:
    """A column's name in files: ``csynth.lut``, ``quantized.test_accuracy[digits]``."""
    dataset = f"[{column.dataset}]" if column.dataset is not None else ""
    return f"{column.step}.{column.metric}{dataset}"


def as_json(comparison: Comparison) -> str:
    """Everything, differences included; `read_comparison` reads it back."""
    return json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_page(comparison: Comparison) -> str:
    """One HTML page with tables and plots that needs nothing else."""
    from codesign.comparison.page import render_page

    return render_page(comparison)


FORMS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {"markdown": as_markdown, "csv": as_csv, "json": as_json, "html": as_page}
)
"""What writes each form."""

ENDINGS: Mapping[str, str] = MappingProxyType(
    {".md": "markdown", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html"}
)
"""Which ending asks for which form."""


def check_outputs(paths: list[Path]) -> None:
    """Refuse a file that no form can be written to, before any work.

    Raises
    ------
    SettingsError
        Its ending tells no form.
    """
    for path in paths:
        if path.suffix.lower() not in ENDINGS:
            raise SettingsError(f"--output: {path} ends in none of {', '.join(ENDINGS)}, which tell the form")


def check_form(form: str) -> None:
    """Refuse a form that cannot be printed, before any work.

    Raises
    ------
    SettingsError
        It is none of the forms.
    """
    printed = ("terminal", "markdown", "csv", "json")
    if form not in printed:
        raise SettingsError(
            f"--format: {form!r} is none of {', '.join(printed)}; a page is written by --output"
        )


def write_comparison(comparison: Comparison, path: str | Path) -> Path:
    """Write a comparison in the form that the file's ending asks for.

    Raises
    ------
    SettingsError
        The ending tells no form.
    OutputFolderError
        The file cannot be written.
    """
    path = Path(path)
    check_outputs([path])
    text = FORMS[ENDINGS[path.suffix.lower()]](comparison)
    try:
        return write_text(path, text)
    except OSError as error:
        raise OutputFolderError(
            f"{path} cannot be written ({error.strerror}); choose another file"
        ) from error


def read_comparison(path: str | Path) -> Comparison:
    """Read a comparison's JSON.

    Raises
    ------
    ReportMissingError
        There is no such file.
    ReportFormatError
        It is damaged or no comparison.
    """
    path = Path(path)
    if not path.is_file():
        raise ReportMissingError(f"{path}: there is no such file; write it with codesign compare --output")
    try:
        value = read_json(path)
    except ValueError as error:
        raise ReportFormatError(path, "JSON", f"damaged ({error})") from None
    return Comparison.from_dict(value, path)
