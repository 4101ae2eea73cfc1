"""`codesign verify`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.projects import folder_of, project_of


def verify(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or an HLS project.")],
    rungs: Annotated[
        str | None,
        typer.Option(
            help="Only these, with commas between: emulation, csim, interpreter, rtl, cosim; or all."
        ),
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="A .npz with x on the input's grid and, for a project, golden.")
    ] = None,
    diagnose: Annotated[
        bool, typer.Option("--diagnose", help="Ask the mismatch doctor even if every rung agrees.")
    ] = False,
) -> None:
    """Compare everything that computes the network's numbers, bit for bit; a difference fails the command.

    Without --rungs, what was not built yet is skipped; a rung that was named and cannot be run ends with exit code 3.
    When a rung differs, the mismatch doctor says which layer is the first, why, and which setting to change.
    """
    from codesign.comparison.summary import ladder_table
    from codesign.errors import DataError
    from codesign.terminal import progress, say, show_tables
    from codesign.verification import RUNG_NAMES, ladder_rungs

    asked = None if rungs is None else _words(rungs, RUNG_NAMES)
    ladder_rungs(asked)  # a wrong word is refused before anything is opened
    given = _Given(folder, vectors)
    with progress() as shown:
        table = given.verification(asked, shown)
    show_tables([ladder_table(table.to_dict())], [])
    if diagnose or not table.agrees:
        found = given.diagnosis()
        agree = "no layer of the emulation or of the C++ differs"
        say(agree if found is None else found.sentence)
        table.require_agreement()
        if found is not None:
            raise DataError(f"{folder}: every rung agrees, but {found.layer} must not stay so; see above")
    table.require_run([RUNG_NAMES[word] for word in asked or ()])


def _words(rungs: str, names: Mapping[str, str]) -> list[str]:
    words = [word.strip() for word in rungs.split(",") if word.strip()]
    return list(names) if words == ["all"] else words


class _Given:
    """A run or a project, and the vectors to compare on."""

    def __init__(self, folder: Path, vectors: Path | None) -> None:
        from codesign.comparison.sources import PROJECT
        from codesign.errors import SettingsError
        from codesign.stages import RUN, open_run
        from codesign.verification import read_vector_file

        self.folder = folder
        self.x: Any = None
        self.golden: Any = None
        if vectors is not None:
            self.x, self.golden = read_vector_file(vectors)
        self.run: Any = None
        if (folder / RUN).is_file():
            folder_of(folder)  # a run that has not come so far is refused before the slow imports
            if self.golden is not None:
                raise SettingsError(
                    f"--vectors: {vectors} has golden outputs, and a run is held against its own student; take them out, or "
                    f"verify {folder / PROJECT}"
                )
            from codesign.networks.backend import import_backend

            import_backend()
            self.run = open_run(folder)
        else:
            self.folder = project_of(folder).folder

    def verification(self, asked: list[str] | None, progress: Any) -> Any:
        """Climb the ladder."""
        from codesign.verification import ladder_rungs, verify_project

        if self.run is None:
            rungs = ladder_rungs(asked)
            return verify_project(self.folder, self.x, self.golden, rungs=rungs, progress=progress)
        from codesign.stages.verification import compare_all

        student, converted, rtl = (self.run.value(stage) for stage in ("quantization", "project", "rtl"))
        rungs = ladder_rungs(asked, _rtl_of(rtl))
        return compare_all(student, converted, self.run.dataset, rungs=rungs, x=self.x, progress=progress)[0]

    def diagnosis(self) -> Any:
        """Ask the mismatch doctor."""
        from codesign.verification import diagnose_project

        if self.run is None:
            return diagnose_project(self.folder, self.x, self.golden)
        from codesign.networks.layer_outputs import trace_layers

        student, project = self.run.value("quantization"), self.run.value("project").project
        x = student.on_grid(self.run.dataset.x_test) if self.x is None else self.x
        names = [node.name for node in project.graph()]
        return diagnose_project(project, x, reference=trace_layers(student.model(), x, names))


def _rtl_of(rtl: Any) -> Callable[[Any], Any]:
    """Give a run's open RTL, or the reason why it has none."""
    from codesign.errors import ReportMissingError

    def of(project: Any) -> Any:
        if rtl.project is None:
            raise ReportMissingError(rtl.record.metrics["skipped"])
        return rtl.project

    return of
