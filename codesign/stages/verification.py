"""The equality ladder of a run, from the QKeras student to the simulated hardware."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.core.files import read_json, write_arrays, write_json
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import Shown, metric_facts
from codesign.core.text_table import TextTable
from codesign.data import Dataset
from codesign.errors import DataError, OutputFolderError, ToolNotFoundError
from codesign.hls.csim import check_compiler
from codesign.rtl.tools import find_verilator
from codesign.stages.context import Context, Stage
from codesign.stages.project import ConvertedStudent
from codesign.stages.rtl import RtlStudent
from codesign.verification import RUNGS, Compute, compare, rtl_rungs
from codesign.verification import Verification as Table

if TYPE_CHECKING:
    import keras

    from codesign.compression.quantize import QuantizedStudent
    from codesign.emulation.profile import TensorProfile


@dataclass(frozen=True)
class VerifiedStudent(Shown):
    """What the equality ladder found.

    Parameters
    ----------
    verification
        The table.
    record
        The stage's evidence.
    test
        The test part sample by sample: `outputs` `(n_samples, n_outputs)`, `targets` `(n_samples, ...)`,
        `class_names` and `task` (JSON), as `test.npz` keeps them for comparisons and pages.
    """

    verification: Table
    record: Record
    test: Mapping[str, np.ndarray] = field(default_factory=dict)
    profile: tuple[TensorProfile, ...] = ()

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return {**self.verification.facts(), **metric_facts(self.record.metrics)}

    def tables(self) -> Iterator[TextTable]:
        """The ladder."""
        return self.verification.tables()


PROFILE = "profile.json"
"""Where the magnitudes of all tensors are kept for the page of a run."""


class Verification(Stage):
    """`verify`."""

    name = "verification"
    title = "verification"
    parents = ("project", "rtl", "quantization")

    def check(self, context: Context) -> None:
        """The C++ compiler compiles; a Verilator that is there and too old or broken is refused, a missing one is not."""
        check_compiler()
        if context.settings.hardware.open_rtl:
            folder = str(context.folder.resolve())
            refused = [char for char in folder if char in '"$' or not char.isprintable()]
            if refused:
                raise OutputFolderError(
                    f"{folder}: Verilator takes no path with {refused[0]!r} in it; choose another folder with --output"
                )
            with contextlib.suppress(ToolNotFoundError):
                find_verilator()

    def make(self, context: Context, folder: Path) -> Any:
        """Climb the equality ladder on the whole test set; a rung that differs ends the run."""
        return verify(
            context.reopened("quantization"),
            context.reopened("project"),
            context.dataset,
            context.reopened("rtl"),
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the table, and what came out for every test sample."""
        write_json(folder / "verification.json", value.verification.to_dict())
        write_arrays(folder / "test.npz", value.test)
        write_json(folder / PROFILE, [row.to_dict() for row in value.profile])

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The table, and the single samples, which older runs do not have."""
        path = folder / "test.npz"
        test = dict(np.load(path)) if path.is_file() else {}
        from codesign.emulation.profile import TensorProfile

        table = Table.from_dict(read_json(folder / "verification.json"))
        path = folder / PROFILE
        rows: list[dict[str, Any]] = read_json(path) if path.is_file() else []
        values = tuple(
            TensorProfile(**{**row, "quantiles": tuple(row["quantiles"]), "digits": tuple(row["digits"])})
            for row in rows
        )
        return VerifiedStudent(table, record, test, values)

    def not_done(self, context: Context) -> dict[str, str]:
        """The rungs that could not be climbed."""
        rungs = context.records[self.name].metrics["rungs"]
        return {rung["name"]: rung["skipped"] for rung in rungs if rung["skipped"] is not None}

    def was_asked(self, context: Context) -> bool:
        """The rungs of the open RTL are asked for with it."""
        return context.stages["rtl"].was_asked(context)


def verify(
    student: QuantizedStudent | keras.Model,
    converted: ConvertedStudent,
    dataset: Dataset,
    rtl: RtlStudent | None = None,
    *,
    progress: Progress = SILENT,
) -> VerifiedStudent:
    """Climb the equality ladder from the QKeras student on the whole test part.

    Parameters
    ----------
    student, converted, dataset
        The student (or the QKeras model that it was read of), its project, and the data whose test part is computed.
    rtl
        Its open RTL, which adds two rungs: alkaid's interpreter and the Verilated Verilog.

    Raises
    ------
    VerificationError
        If a rung differs in one bit of one sample.
    """
    from codesign.compression.quantize import as_quantized
    from codesign.emulation import Emulator, count_overflows
    from codesign.emulation.emulator import float32_notes
    from codesign.emulation.profile import profile_values

    student = as_quantized(student, dataset)
    table, reference = compare_all(student, converted, dataset, rtl, progress=progress)
    emulator = Emulator.of(converted.project.graph())
    table.require_agreement(next(iter(float32_notes(emulator)), None))
    x = student.on_grid(dataset.x_test)
    overflows = count_overflows(emulator, x)
    metrics = {
        **dataset.task.test_figures(dataset.y_test, reference),
        **table.to_dict(),
        "overflows": overflows.to_rows(),
    }
    test = {
        "outputs": reference,
        "targets": dataset.y_test,
        "class_names": np.array(dataset.class_names),
        "task": np.array(json.dumps(dataset.task.to_json())),
    }
    record = Record.of(converted.project.digest, metrics)
    return VerifiedStudent(table, record, test, profile_values(emulator, x))


def compare_all(
    student: QuantizedStudent,
    converted: ConvertedStudent,
    dataset: Dataset,
    rtl: RtlStudent | None = None,
    *,
    rungs: Mapping[str, Compute] | None = None,
    x: np.ndarray | None = None,
    progress: Progress = SILENT,
) -> tuple[Table, np.ndarray]:
    """The ladder's table, whatever it says, and the logits that everything is compared with.

    They are those of the user's own model where there is one (`QuantizedStudent.given`): then the first rung is the student
    that was read of it.

    Parameters
    ----------
    student, converted, dataset, rtl
        As for `verify`.
    rungs
        What to compare; by default emulation, csim and those of `rtl`.
    x
        Inputs `(n_samples, *input_shape)` on the input grid; by default the whole test part.
    """
    from codesign.networks.logits import predict_logits

    x = student.on_grid(dataset.x_test) if x is None else x
    if x.shape[1:] != converted.project.input_shape:
        raise DataError(
            f"inputs have shape {x.shape[1:]}, but the project takes {converted.project.input_shape}"
        )
    reference = student.outputs(x)
    if rungs is None:
        rungs = dict(RUNGS) if rtl is None or rtl.project is None else {**RUNGS, **rtl_rungs(rtl.project)}
    if student.given is not None:
        as_read: Compute = lambda project, x: predict_logits(student.model(), x).astype(np.float64)  # noqa: E731
        rungs = {"the student, as read" if student.is_wide else "QKeras, as read": as_read, **rungs}
    table = compare(
        converted.project,
        x,
        reference,
        reference_name=student.given_name,
        rungs=rungs,
        classes=dataset.task.class_places(reference.shape[1]),
        progress=progress,
    )
    return table, reference
