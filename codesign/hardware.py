"""`convert` and `verify`: where the student's world and the hardware's meet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codesign.compression.quantize import QuantizedStudent
from codesign.core.files import json_digest
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.data import Dataset
from codesign.emulation import Emulator, count_overflows
from codesign.emulation.emulator import proven_accumulators
from codesign.errors import ConversionError, DataError, ToolNotFoundError
from codesign.hls.convert import HardwareChoices, LayerHardware, convert_graph, unrolling_notes
from codesign.hls.graph import read_graph
from codesign.hls.plan import plan_build
from codesign.hls.project import HlsProject, write_project
from codesign.hls.runner import run_plan
from codesign.networks.build import build_float
from codesign.networks.description import Network
from codesign.networks.logits import predict_logits
from codesign.reports import read_csynth
from codesign.rtl.project import RtlProject, write_rtl
from codesign.rtl.synthesise import synthesise as count_cells
from codesign.settings import HardwareSettings
from codesign.training.evaluate import accuracy
from codesign.verification import RUNGS, Compute, Verification, compare, rtl_rungs


@dataclass(frozen=True)
class ConvertedStudent:
    """A student as an HLS project.

    Parameters
    ----------
    project
        The project on disk.
    record
        The stage's evidence; its metrics hold every layer's types.
    """

    project: HlsProject
    record: Record


@dataclass(frozen=True)
class RtlStudent:
    """A student as open RTL.

    Parameters
    ----------
    project
        The Verilog on disk; ``None`` if the network has no RTL here.
    record
        The stage's evidence; its metrics hold the figures, or `skipped` with the reason.
    """

    project: RtlProject | None
    record: Record


@dataclass(frozen=True)
class SynthesisedStudent:
    """What the vendor's C synthesis said.

    Parameters
    ----------
    record
        The stage's evidence; its metrics hold the `csynth` report, or `skipped` with the reason.
    """

    record: Record


@dataclass(frozen=True)
class VerifiedStudent:
    """What the equality ladder found.

    Parameters
    ----------
    verification
        The table.
    record
        The stage's evidence.
    test
        The test part sample by sample: `outputs` `(n_samples, n_outputs)`, `targets` `(n_samples, ...)` and
        `class_names`, as `test.npz` keeps them for comparisons and pages.
    """

    verification: Verification
    record: Record
    test: Mapping[str, np.ndarray] = field(default_factory=dict)


def convert(
    student: QuantizedStudent,
    dataset: Dataset,
    settings: HardwareSettings,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> ConvertedStudent:
    """Convert a quantized student into an HLS project with hls4ml.

    The hardware ends at the logits: a softmax changes no decision and costs tables. The test bench gets the first
    `settings.testbench_samples` of the test part, on the input grid, and the student's own outputs as golden ones.

    Parameters
    ----------
    student
        Unchanged.
    dataset
        Whose test part feeds the test bench.
    settings
        Part, clock, back end, io type, strategy and reuse factors.
    folder
        The project's directory.
    overwrite
        Replace a project that is there.

    Raises
    ------
    ConversionError
        If hls4ml refuses or would change a reuse factor.
    OutputFolderError
        If `folder` is taken.
    """
    started = time.monotonic()
    progress.step("project", 0, 2, "hls4ml")
    network, precision = student.hardware()
    model = build_float(network)
    graph = convert_graph(model, precision, settings.target, choices(settings), folder)
    precision = with_proven_accumulators(precision, Emulator.of(read_graph(graph)))
    graph = convert_graph(model, precision, settings.target, choices(settings), folder)
    x = precision.input.quantize(dataset.x_test[: settings.testbench_samples])
    progress.step("project", 1, 2, "writing")
    project = write_project(
        graph,
        folder,
        settings.target,
        vectors=x,
        golden=predict_logits(student.model(), x),
        settings=settings.model_dump(mode="json"),
        overwrite=overwrite,
    )
    progress.step("project", 2, 2)
    types = {node.name: {name: str(kind) for name, kind in node.types.items()} for node in project.graph()}
    record = Record(
        "project",
        settings.model_dump(mode="json"),
        None,
        {"quantization": student.record.digest, "dataset": dataset.digest},
        project.digest,
        {"layers": types, "notes": list(unrolling_notes(graph, settings.target))},
        time.monotonic() - started,
    )
    return ConvertedStudent(project, record)


def build_rtl(
    converted: ConvertedStudent,
    settings: HardwareSettings,
    folder: str | Path,
    *,
    progress: Progress = SILENT,
) -> RtlStudent:
    """Write a converted student as pipelined Verilog and count what it takes, without vendor tools.

    Every layer is unrolled and takes a new sample each clock, whatever strategy and reuse factor the HLS project has.
    A network that cannot be traced, or a missing Yosys, is no failure: the record says what was left out and why.

    Parameters
    ----------
    converted
        The HLS project, whose graph decides every bit.
    settings
        Part and clock.
    folder
        The directory of the Verilog.
    """
    started = time.monotonic()
    project: RtlProject | None = None
    metrics: dict[str, Any] = {"skipped": "hardware.open_rtl is false"}
    if settings.open_rtl:
        project, metrics = _written_and_counted(converted, settings, folder, progress)
    digest = project.digest if project is not None else converted.project.digest
    parents = {"project": converted.project.digest}
    hardware = settings.model_dump(mode="json")
    record = Record("rtl", hardware, None, parents, digest, metrics, time.monotonic() - started)
    return RtlStudent(project, record)


def _written_and_counted(
    converted: ConvertedStudent, settings: HardwareSettings, folder: str | Path, progress: Progress
) -> tuple[RtlProject | None, dict[str, Any]]:
    project: RtlProject | None = None
    metrics: dict[str, Any] = {}
    try:
        graph = converted.project.graph()
        project = write_rtl(
            graph,
            folder,
            clock_period_ns=settings.clock_period_ns,
            part=settings.part,
            limit_minutes=settings.rtl_limit_minutes,
            progress=progress,
        )
        metrics = project.figures()
        progress.step("rtl", len(graph), len(graph) + 1, "Yosys")
        metrics |= count_cells(project).to_dict()
    except (ConversionError, ToolNotFoundError) as reason:
        metrics["skipped"] = str(reason)
    progress.step("rtl", 1, 1)
    return project, metrics


def synthesise(
    converted: ConvertedStudent, settings: HardwareSettings, *, progress: Progress = SILENT
) -> SynthesisedStudent:
    """Run the vendor's C synthesis on a project and read its report; without the tool, say what is missing.

    Raises
    ------
    ToolFailedError
        If the tool is there and fails, with the recognised reason.
    ReportError
        If it ends well and leaves no report that can be trusted.
    """
    started = time.monotonic()
    plan = plan_build(converted.project.folder, ("csynth",))
    metrics: dict[str, object]
    try:
        result = run_plan(plan, progress=progress)
        metrics = {
            "csynth": read_csynth(result.report("csynth_xml")).to_dict(),
            "versions": dict(result.versions),
        }
    except ToolNotFoundError as missing:
        metrics = {"skipped": f"{missing}; codesign build --plan writes what to run on a machine that has it"}
    project = {"project": converted.project.digest}
    hardware = settings.model_dump(mode="json")
    seconds = time.monotonic() - started
    record = Record("synthesis", hardware, None, project, json_digest(metrics), metrics, seconds)
    return SynthesisedStudent(record)


def verify(
    student: QuantizedStudent,
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
        The student, its project, and the data whose test part is computed.
    rtl
        Its open RTL, which adds two rungs: alkaid's interpreter and the Verilated Verilog.

    Raises
    ------
    VerificationError
        If a rung differs in one bit of one sample.
    """
    started = time.monotonic()
    table, reference = compare_all(student, converted, dataset, rtl, progress=progress)
    table.require_agreement()
    x = student.precision.input.quantize(dataset.x_test)
    overflows = count_overflows(Emulator.of(converted.project.graph()), x)
    metrics = {
        "test_accuracy": accuracy(dataset.y_test, reference),
        **table.to_dict(),
        "overflows": overflows.to_rows(),
    }
    record = Record(
        "verification",
        {},
        None,
        {
            "project": converted.project.digest,
            "quantization": student.record.digest,
            "dataset": dataset.digest,
        },
        converted.project.digest,
        metrics,
        time.monotonic() - started,
    )
    test = {"outputs": reference, "targets": dataset.y_test, "class_names": np.array(dataset.class_names)}
    return VerifiedStudent(table, record, test)


def compare_all(
    student: QuantizedStudent,
    converted: ConvertedStudent,
    dataset: Dataset,
    rtl: RtlStudent | None = None,
    *,
    rungs: Mapping[str, Compute] | None = None,
    x: np.ndarray | None = None,
    progress: Progress = SILENT,
) -> tuple[Verification, np.ndarray]:
    """The ladder's table, whatever it says, and the QKeras student's logits.

    Parameters
    ----------
    student, converted, dataset, rtl
        As for `verify`.
    rungs
        What to compare; by default emulation, csim and those of `rtl`.
    x
        Inputs `(n_samples, *input_shape)` on the input grid; by default the whole test part.
    """
    x = student.precision.input.quantize(dataset.x_test) if x is None else x
    if x.shape[1:] != converted.project.input_shape:
        raise DataError(
            f"inputs have shape {x.shape[1:]}, but the project takes {converted.project.input_shape}"
        )
    reference = predict_logits(student.model(), x)
    if rungs is None:
        rungs = dict(RUNGS) if rtl is None or rtl.project is None else {**RUNGS, **rtl_rungs(rtl.project)}
    return compare(converted.project, x, reference, rungs=rungs, progress=progress), reference


def with_proven_accumulators(precision: PrecisionMap, emulator: Emulator) -> PrecisionMap:
    """The map with the narrowest accumulators that no input on the input grid can overflow."""
    layers = dict(precision.layers)
    for name, accumulator in proven_accumulators(emulator).items():
        layers[name] = layers[name].replaced("accum", accumulator)
    return replace(precision, layers=layers)


def check_convertible(network: Network, settings: HardwareSettings, folder: str | Path) -> None:
    """Convert a network with nominal formats and throw the result away, so that what hls4ml refuses is known early.

    Raises
    ------
    ConversionError
        As `convert` would.
    """
    from codesign.compression.formats import nominal_precision
    from codesign.networks.prepare import hardware_form, prepare_for_quantization

    prepared = prepare_for_quantization(network)
    network, precision = hardware_form(prepared, nominal_precision(prepared))
    convert_graph(build_float(network), precision, settings.target, choices(settings), folder)


def choices(settings: HardwareSettings) -> HardwareChoices:
    """The hardware choices of the settings, as the HLS room takes them."""
    layers = {
        name: LayerHardware(layer.reuse_factor, layer.strategy) for name, layer in settings.layers.items()
    }
    return HardwareChoices(settings.strategy, settings.reuse_factor, layers)
