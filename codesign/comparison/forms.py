"""A comparison as tables of text, and as a file: Markdown, CSV, JSON, a page or a picture, by the file's ending."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codesign.comparison.compare import Change, Column, Comparison
from codesign.comparison.entry import NETWORK, STEPS, TEACHER, Entry, Number
from codesign.core.files import read_json, write_text, write_with
from codesign.core.places import require_place
from codesign.core.text_table import TextTable, printable, spreadsheet_safe
from codesign.errors import OutputFolderError, ReportFormatError, ReportMissingError, SettingsError

MOST_SIDE_BY_SIDE = 4
"""Up to so many designs stand side by side; more stand below each other."""

_KINDS = {
    "run": "run",
    "unfinished": "unfinished run",
    "rtl": "open RTL",
    "project": "HLS project",
    "build": "build folder",
    "report": "report",
}


def comparison_tables(comparison: Comparison) -> tuple[TextTable, ...]:
    """Every table of a comparison; those of values before those of differences."""
    groups = [(title, columns) for title, columns in column_groups(comparison) if columns]
    values = [_values(comparison, title, columns) for title, columns in groups]
    changes = [_changes(comparison, title, columns) for title, columns in groups]
    return (
        _overview(comparison),
        *(table for table in values if table.rows),
        *(table for table in changes if table is not None),
        *_settings(comparison),
    )


def column_groups(comparison: Comparison) -> Iterator[tuple[str, tuple[Column, ...]]]:
    """The columns by table: the network's (the teacher's among them), then each stage's; a table never mixes stages."""
    yield "Network", (*comparison.columns(TEACHER), *comparison.columns(NETWORK))
    for name, step in STEPS.items():
        if step.is_hardware:
            yield step.title[0].upper() + step.title[1:], comparison.columns(name)


def heading(comparison: Comparison, column: Column) -> str:
    """A column's heading; with the dataset, where there are several: without its folders, if that tells it from the others."""
    title = column.about.heading
    if column.step == TEACHER:
        title = f"teacher's {title}"
    labels = {other.dataset for other in comparison.columns()} - {None}
    if column.dataset is not None and len(labels) > 1:
        name = Path(column.dataset).name
        alone = sum(Path(str(label)).name == name for label in labels) == 1
        title += f", {name if alone else column.dataset}"
    return title


def value_text(column: Column, number: Number | None) -> str:
    """A cell: the value, its spread over seeds, and its share of the part."""
    if number is None:
        return ""
    text = f"{column.about.text(number.value)}{spread_text(column, number)}"
    return text if number.percent is None else f"{text} ({percent_text(number.percent)})"


def spread_text(column: Column, number: Number) -> str:
    """The spread over seeds, with the sign before it; nothing where there is none to speak of."""
    return f" ± {column.about.text(number.spread)}" if number.spread else ""


def percent_text(percent: float) -> str:
    """A share of a part, with as many digits as tell something."""
    digits = 0 if percent == 0 or percent >= 100 else 1 if percent >= 10 else 2
    return "< 0.01 %" if 0 < percent < 0.005 else f"{percent:.{digits}f} %"


def change_text(column: Column, change: Change) -> str:
    """A difference: absolute with its error, relative, and whether it is for the better."""
    if change.delta == 0:
        return "same"
    text = column.about.delta_text(change.delta)
    if change.error is not None:
        text += f" ± {column.about.text(change.error)}"
    if change.percent is not None and not column.about.form.endswith("%}"):
        text += f" ({change.percent:+.1f} %)"
    return f"{text} {change.verdict}".rstrip()


def kind_text(entry: Entry) -> str:
    """What an entry is, in words."""
    if entry.kind == "seeds":
        return f"{len(entry.seeds)} runs, seeds {', '.join(map(str, entry.seeds))}"
    return _KINDS[entry.kind]


def where_text(entry: Entry) -> str:
    """Where an entry was read from; of several folders the first."""
    first, *others = entry.source.split(", ")
    return f"{first} and {len(others)} more" if entry.kind == "seeds" else entry.source


def _overview(comparison: Comparison) -> TextTable:
    rows = []
    for entry in comparison.entries:
        name = f"{entry.name} (reference)" if entry.name == comparison.reference else entry.name
        data = comparison.dataset_label(entry) if entry.dataset else ""
        rows.append((name, kind_text(entry), data, entry.part or "", where_text(entry)))
    return _oriented(TextTable("Compared", ("design", "what", "data", "part", "where"), tuple(rows)))


def _values(comparison: Comparison, title: str, columns: Sequence[Column]) -> TextTable:
    entries = [entry for entry in comparison.entries if any(comparison.number(entry, c) for c in columns)]
    devices = list(dict.fromkeys(entry.device or "unknown" for entry in entries))
    is_hardware = STEPS[columns[0].step].is_hardware
    several, step = is_hardware and len(devices) > 1, columns[0].step
    has_tools = is_hardware and any(step in entry.tools for entry in entries)
    numbers = [comparison.number(entry, column) for entry in entries for column in columns]
    if not several and any(number is not None and number.percent is not None for number in numbers):
        title += f" (percent of the {devices[0]})"
    header = ["design", *(["part"] if several else []), *(["tool"] if has_tools else [])]
    rows = []
    for entry in entries:
        row = [entry.name, *([entry.device or "unknown"] if several else [])]
        row += [entry.tools.get(step, "")] if has_tools else []
        rows.append((*row, *(value_text(column, comparison.number(entry, column)) for column in columns)))
    headings = (heading(comparison, column) for column in columns)
    return _oriented(TextTable(title, (*header, *headings), tuple(rows)))


def _changes(comparison: Comparison, title: str, columns: Sequence[Column]) -> TextTable | None:
    rows, used = [], set()
    for entry in comparison.entries:
        changes = [comparison.change(entry, column) for column in columns]
        used |= {index for index, change in enumerate(changes) if change is not None}
        if any(changes):
            rows.append((entry.name, changes))
    if not rows:
        return None
    kept = [index for index in range(len(columns)) if index in used]
    header = ("design", *(heading(comparison, columns[index]) for index in kept))
    cells = tuple(
        (name, *("" if (c := changes[i]) is None else change_text(columns[i], c) for i in kept))
        for name, changes in rows
    )
    return _oriented(TextTable(f"{title}, against {comparison.reference}", header, cells))


def _settings(comparison: Comparison) -> Iterator[TextTable]:
    """The settings in which designs with settings differ."""
    rows = setting_differences(comparison.entries)
    if rows:
        names = tuple(entry.name for entry in comparison.entries if entry.settings)
        yield TextTable("Settings that differ", ("setting", *names), rows)


def setting_differences(entries: Sequence[Entry]) -> tuple[tuple[str, ...], ...]:
    """Dotted path and each design's value, for the settings that differ; empty where a design has no such setting.

    The seed is no setting of a design, and one that only one version of the package knows differs in nothing.
    """
    known = [entry for entry in entries if entry.settings]
    paths = dict.fromkeys(path for entry in known for path in entry.settings if path != "seed")
    rows = []
    for path in paths:
        values = [str(entry.settings[path]) if path in entry.settings else "" for entry in known]
        if len(set(values) - {""}) > 1:
            rows.append((path, *values))
    return tuple(rows)


def _oriented(table: TextTable) -> TextTable:
    """Few designs side by side, a number a line; many below each other."""
    return table.transposed() if len(table.rows) <= MOST_SIDE_BY_SIDE else table


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
        row[f"{name}.delta_error"] = None if change is None else change.error
        row[f"{name}.verdict"] = None if change is None else change.verdict
    return row


def column_name(column: Column) -> str:
    """A column's name in files: ``csynth.lut``, ``quantized.test_accuracy[digits]``."""
    dataset = f"[{column.dataset}]" if column.dataset is not None else ""
    return f"{column.step}.{column.metric}{dataset}"


def as_json(comparison: Comparison) -> str:
    """Everything, differences included; `read_comparison` reads it back."""
    return json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_picture(comparison: Comparison, path: Path) -> None:
    """Draw every plot of the comparison into one picture, in the form that the path's ending asks for."""
    from codesign.comparison.figures import comparison_figure, save

    save(comparison_figure(comparison), path)


def as_page(comparison: Comparison) -> str:
    """One HTML page with tables and plots that needs nothing else."""
    from codesign.comparison.page import render_page

    return render_page(comparison)


FORMS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {"markdown": as_markdown, "csv": as_csv, "json": as_json, "html": as_page}
)
"""What writes each form."""

ENDINGS: Mapping[str, str] = MappingProxyType(
    {
        **{".md": "markdown", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html"},
        **{".png": "picture", ".svg": "picture", ".pdf": "picture"},
    }
)
"""Which ending asks for which form."""


def check_outputs(paths: list[Path]) -> None:
    """Refuse a file that no form can be written to, before any work.

    Raises
    ------
    SettingsError
        Its ending tells no form.
    OutputFolderError
        It cannot be written there.
    """
    for path in paths:
        if path.suffix.lower() not in ENDINGS:
            raise SettingsError(f"--output: {path} ends in none of {', '.join(ENDINGS)}, which tell the form")
        require_place(path)


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
    form = ENDINGS[path.suffix.lower()]
    text = "" if form == "picture" else FORMS[form](comparison)
    try:
        if form == "picture":
            return write_with(path, lambda temporary: as_picture(comparison, temporary))
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
