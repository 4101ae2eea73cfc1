"""`codesign new` and `settings`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def new(
    folder: Annotated[
        Path | None, typer.Argument(help="The new design's folder; its name becomes the design's.")
    ] = None,
    start: Annotated[str, typer.Option("--from", help="The design to begin with: see --list.")] = "digits",
    list_all: Annotated[
        bool, typer.Option("--list", help="Say which designs there are, and what of.")
    ] = False,
) -> None:
    """Begin a design of your own: a folder with settings and networks, copied from one that comes with codesign."""
    from codesign.core.text_table import TextTable
    from codesign.errors import SettingsError
    from codesign.starting import designs, new_design
    from codesign.terminal import say, show_tables

    if list_all:
        show_tables([TextTable("Designs to begin with", ("--from", "what"), tuple(designs().items()))])
        return
    if folder is None:
        raise SettingsError(
            f"name the new design's folder: codesign new my_design --from {'|'.join(designs())}"
        )
    made = new_design(folder, start)
    shown = shlex.quote(str(made))
    say(
        f"{made}: design.yaml has the settings, networks.py the teacher and the student. Next:\n"
        f"  codesign run {shown}\n  codesign run {shown} --dry-run\n  codesign doctor"
    )


def settings(
    section: Annotated[
        str | None, typer.Argument(help="Only this section, or the sections in it: pruning, distillation.")
    ] = None,
) -> None:
    """List every setting of a design: its type, default, range and meaning."""
    from codesign.errors import SettingsError
    from codesign.settings_reference import settings_tables
    from codesign.terminal import show_tables

    tables = settings_tables()
    chosen = [table for table in tables if section is None or f"{table.title}.".startswith(f"{section}.")]
    if not chosen:
        raise SettingsError(
            f"there is no section {section!r}; the sections are {', '.join(table.title for table in tables[1:])}"
        )
    show_tables(chosen)
