"""The tree of exceptions of the whole package.

A message says what went wrong, the value that came, where, and what to do next. Everything that a user can
cause derives from `CodesignError`; any other exception is a defect of the program.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a wrong one most probably meant, if any is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return near[0] if near else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The end of a sentence on a wrong name: the nearest one, or `otherwise` and all of them."""
    known = list(known)
    meant = nearest(name, known)
    return f"did you mean {meant}?" if meant else f"{otherwise} {', '.join(known) or 'none'}"


class CodesignError(Exception):
    """Base of every error that a user can cause and mend."""


class SettingsError(CodesignError):
    """Settings that cannot be used; all faults of a file are reported together.

    Parameters
    ----------
    faults
        One sentence for each fault, each beginning with the path of the setting (``distillation.alpha: ...``).
    source
        The file or the call that the settings came from.
    """

    def __init__(self, faults: Sequence[str] | str, source: str | Path | None = None) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        self.source = source
        head = f"{source}: " if source is not None else ""
        count = len(self.faults)
        if count == 1:
            message = f"{head}{self.faults[0]}"
        else:
            message = "\n  - ".join([f"{head}{count} settings cannot be used", *self.faults])
        super().__init__(message)

    @property
    def located(self) -> tuple[str, ...]:
        """The faults, each beginning with the source: to be told beside those of others."""
        head = f"{self.source}: " if self.source is not None else ""
        return tuple(f"{head}{fault}" for fault in self.faults)


class DataError(CodesignError):
    """Data that is missing, malformed or does not fit the network."""


class ConversionError(CodesignError):
    """A network that cannot become hardware as asked."""


class TrainingError(CodesignError):
    """Training that went wrong, for example a loss that is no longer finite."""


class ScanError(CodesignError):
    """A bit-width search that found nothing within its limits; says the best that was found."""


class SearchError(CodesignError):
    """A search of designs that has nothing that was asked of it; says the nearest."""


class WorkerRefusedError(CodesignError):
    """A worker of a search that would compute other numbers, or sees other files, than the search was begun with."""


class OutputFolderError(CodesignError):
    """An output folder that cannot be written, is in use, or holds a finished run."""


class FolderInUseError(OutputFolderError):
    """A folder in which another process works."""


class ToolError(CodesignError):
    """An external tool that is missing or failed."""


class ToolNotFoundError(ToolError):
    """A tool that was not found; says which names were tried and which variable overrides them.

    Parameters
    ----------
    tool
        What the tool is called by people (``Vitis HLS``).
    tried
        The names or paths that were looked for.
    variable
        The environment variable that names it explicitly, if there is one.
    advice
        What to install or set.
    """

    def __init__(
        self, tool: str, tried: Sequence[str], *, variable: str | None = None, advice: str | None = None
    ) -> None:
        self.tool = tool
        self.tried = tuple(tried)
        self.variable = variable
        message = f"{tool} was not found (looked for {', '.join(self.tried)})"
        if variable:
            message += f"; set {variable} to its path"
        if advice:
            message += f"; {advice}"
        super().__init__(message)


class ToolFailedError(ToolError):
    """A tool that ran and failed: the command, the exit code, the last lines of its log, and the log's path.

    Parameters
    ----------
    command
        The argument list.
    exit_code
        The exit code; negative for a signal, ``None`` for a time-out.
    last_lines
        The last lines that the tool printed.
    log_path
        Where everything it printed is kept, if it was kept.
    reason
        The recognised cause in plain words, if there is one.
    """

    def __init__(
        self,
        command: Sequence[str],
        exit_code: int | None,
        last_lines: Sequence[str] = (),
        log_path: Path | None = None,
        reason: str | None = None,
    ) -> None:
        self.command = tuple(str(word) for word in command)
        self.exit_code = exit_code
        self.last_lines = tuple(last_lines)
        self.log_path = log_path
        self.reason = reason
        how = "ran out of time" if exit_code is None else f"ended with exit code {exit_code}"
        message = f"{shlex.join(self.command)} {how}"
        if reason:
            message += f": {reason}"
        if self.last_lines:
            message += "\n  " + "\n  ".join(self.last_lines)
        if log_path is not None:
            message += f"\nthe whole log: {log_path}"
        super().__init__(message)


class ReportError(CodesignError):
    """A report that cannot be used."""


class ReportMissingError(ReportError):
    """A report that is not where it should be."""


class ReportFormatError(ReportError):
    """A report whose text is damaged, empty or of an unknown form.

    Parameters
    ----------
    path
        The report.
    field
        The field that is missing or malformed.
    detail
        What was found instead.
    """

    def __init__(self, path: str | Path, field: str, detail: str) -> None:
        self.path = Path(path)
        self.field = field
        super().__init__(f"{path}: {field}: {detail}")


class StaleProjectError(CodesignError):
    """A project directory that is half written or was changed after its manifest."""


class VerificationError(CodesignError):
    """Two computations of the same numbers that disagree.

    Parameters
    ----------
    what
        The two sides, for example ``csim and the QKeras student``.
    mismatches
        The number of samples that differ.
    samples
        The number of samples compared.
    first_index
        The index of the first sample that differs.
    largest_lsb
        The largest difference, in units of the least significant bit of the result.
    advice
        What to do next.
    """

    def __init__(
        self,
        what: str,
        *,
        mismatches: int,
        samples: int,
        first_index: int,
        largest_lsb: float,
        advice: str | None = None,
    ) -> None:
        self.mismatches = mismatches
        self.samples = samples
        self.first_index = first_index
        self.largest_lsb = largest_lsb
        message = (
            f"{what} disagree on {mismatches} of {samples} samples: first at index {first_index}, "
            f"largest difference {largest_lsb:g} LSB"
        )
        if advice:
            message += f"; {advice}"
        super().__init__(message)


class QualityError(CodesignError):
    """A finished design whose quality is below what was asked for."""


class NotVerifiedError(CodesignError):
    """A computation or a count that was asked for and could not be run here, so that nothing is known."""


class PythonFileError(CodesignError):
    """A Python file of the user's that raised; the original exception and its traceback are the cause."""
