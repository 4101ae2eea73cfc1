"""The stages that make hardware of a student: project, open RTL, vendor synthesis, verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from codesign.core.files import read_json, write_arrays, write_json
from codesign.core.record import Record
from codesign.stages.context import Context


class Project:
    """`convert`."""

    name = "project"
    parents = ("quantization",)
    sections = ("hardware",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Convert the quantized student and write the project into the stage's folder."""
        from codesign.hardware import convert

        return convert(
            context.value("quantization"),
            context.dataset,
            context.settings.hardware,
            folder / "hls",
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Nothing is left to do: the project is its folder."""

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Open the project, checked against its manifest."""
        from codesign.hardware import ConvertedStudent
        from codesign.hls.project import open_project

        return ConvertedStudent(open_project(folder / "hls"), record)


class Rtl:
    """`build_rtl`."""

    name = "rtl"
    parents = ("project",)
    sections = ("hardware",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Write the open RTL and count what it takes."""
        from codesign.hardware import build_rtl

        hardware = context.settings.hardware
        return build_rtl(context.reopened("project"), hardware, folder / "verilog", progress=context.progress)

    def save(self, value: Any, folder: Path) -> None:
        """Nothing is left to do: the Verilog is its folder."""

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Open the Verilog, checked against its manifest."""
        from codesign.hardware import RtlStudent
        from codesign.rtl.project import open_rtl

        verilog = folder / "verilog"
        return RtlStudent(open_rtl(verilog) if verilog.is_dir() else None, record)


class Synthesis:
    """`synthesise`: the vendor's C synthesis, where its tools are."""

    name = "synthesis"
    parents = ("project", "verification")
    sections = ("hardware",)
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Run the vendor's C synthesis on the project, or note what is missing."""
        from codesign.hardware import synthesise

        return synthesise(context.reopened("project"), context.settings.hardware, progress=context.progress)

    def save(self, value: Any, folder: Path) -> None:
        """Nothing is left to do: the reports are in the project, the figures in the record."""

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back."""
        from codesign.hardware import SynthesisedStudent

        return SynthesisedStudent(record)


class Verification:
    """`verify`."""

    name = "verification"
    parents = ("project", "rtl", "quantization")
    sections = ()
    uses_networks = False

    def make(self, context: Context, folder: Path) -> Any:
        """Climb the equality ladder on the whole test set; a rung that differs ends the run."""
        from codesign.hardware import verify

        return verify(
            context.value("quantization"),
            context.reopened("project"),
            context.dataset,
            context.reopened("rtl"),
            progress=context.progress,
        )

    def save(self, value: Any, folder: Path) -> None:
        """Keep the table, and what came out for every test sample."""
        write_json(folder / "verification.json", value.verification.to_dict())
        write_arrays(folder / "test.npz", value.test)

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """Read it back; older runs have no single samples."""
        from codesign.hardware import VerifiedStudent
        from codesign.verification import Verification as Table

        path = folder / "test.npz"
        test = dict(np.load(path)) if path.is_file() else {}
        return VerifiedStudent(Table.from_dict(read_json(folder / "verification.json")), record, test)
