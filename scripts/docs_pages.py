"""The pages of the docs that are made from the package itself when the site is built: settings, commands, functions.

MkDocs calls `on_files` (`mkdocs.yml`, hooks). Nothing of it is kept in the repository, so nothing of it can be out of date.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def pages() -> Mapping[str, str]:
    """The Markdown of each made page, by its file name in `docs`."""
    return {"settings.md": settings(), "commands.md": commands(), "python.md": functions()}


def on_files(files: Any, config: Any) -> Any:
    """Add the made pages to the files of the site."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def settings() -> str:
    """Every setting, a table a section."""
    from codesign.settings_reference import settings_tables

    lines = [
        "# Settings",
        "",
        "Every setting of a `design.yaml`, made from the models that check it; `codesign settings` prints the same. A section",
        "`a.b` stands inside `a`, `[]` is an entry of a list, `NAME` a name of your own. Any of them can be given for one run:",
        "`--set pruning.sparsity=0.7`.",
        "",
    ]
    return "\n".join(lines) + "\n" + "\n".join(table.markdown() for table in settings_tables())


def commands() -> str:
    """Every command with its arguments and options."""
    import typer

    from codesign.cli import app

    lines = ["# Commands", "", "What `codesign COMMAND --help` prints.", ""]
    for name, command in _leaves(typer.main.get_command(app)):
        arguments = " ".join(_argument(p) for p in command.params if p.param_type_name == "argument")
        lines += [
            f"## codesign {name}",
            "",
            f"    codesign {name} {arguments} [OPTIONS]".rstrip(),
            "",
            _plain(command.help),
            "",
        ]
        lines += ["| | |", "| --- | --- |"]
        for parameter in command.params:
            words = (
                str(parameter.name)
                if parameter.param_type_name == "argument"
                else ", ".join([*parameter.opts, *parameter.secondary_opts])
            )
            lines.append(f"| `{words}` | {_plain(parameter.help or '')} |")
        lines.append("")
    return "\n".join(lines)


def _leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; one that has commands of its own, then those."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{before}{name} ")


def _argument(parameter: Any) -> str:
    name = str(parameter.name).upper()
    name = f"{name}..." if parameter.nargs != 1 else name
    return name if parameter.required else f"[{name}]"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def functions() -> str:
    """The public names, each as its docstring says, in the order of the chain."""
    import codesign

    lines = [
        "# Python",
        "",
        "What `import codesign` gives, in the order of the chain; everything takes values and returns new ones. All values show",
        "themselves in a line and in notebooks as tables, and those that hold many numbers have `to_frame()`.",
        "",
    ]
    for name, home in codesign._HOMES.items():
        lines += [f"::: {home}.{name}", ""]
    return "\n".join(lines)
