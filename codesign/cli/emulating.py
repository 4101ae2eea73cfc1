"""`codesign emulator`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.projects import project_of


def emulator(
    folder: Annotated[Path, typer.Argument(help="An HLS project, or a run's folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the library.")],
    name: Annotated[
        str | None,
        typer.Option(help="Its namespace and the prefix of its functions; else the top function's name."),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build/--no-build", help="Compile it and send the golden vectors through it.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a library that is there.")] = False,
) -> None:
    """Write a project's C++ as a shared library with a C interface, its weights inside, for other programs."""
    from codesign.hls.library import build_library, write_library
    from codesign.terminal import say

    library = write_library(project_of(folder), output, name=name, overwrite=overwrite)
    say(f"The sources of the library {library.name} are in {library.folder}")
    if build:
        say(build_library(library))
        say(f"{library.path} is built; {library.name}.h has its interface, example.py calls it by ctypes")
