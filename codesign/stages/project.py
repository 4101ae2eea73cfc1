"""The HLS project of a quantized student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.core.shown import Shown
from codesign.data import Dataset
from codesign.errors import SettingsError
from codesign.hls.project import CLASS_OUTPUTS, TASK, HlsProject, open_project, write_project
from codesign.settings import HardwareSettings
from codesign.stages.context import Context, Stage

if TYPE_CHECKING:
    import keras

    from codesign.compression.quantize import QuantizedStudent
    from codesign.core.precision_map import PrecisionMap
    from codesign.hls.convert import HardwareChoices
    from codesign.networks.description import Network


@dataclass(frozen=True)
class ConvertedStudent(Shown):
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

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return self.project.facts()


class Project(Stage):
    """`convert`."""

    name = "project"
    title = "HLS project"
    parents = ("quantization",)
    sections = ("hardware",)

    def check(self, context: Context) -> None:
        """The layers of the settings are the student's, and hls4ml takes the student with nominal formats."""
        network, hardware = context.untrained_network, context.settings.hardware
        names = [layer.name for layer in network.weight_layers]
        faults = [
            f"hardware.layers.{name}: the student has no such layer; its layers with weights are {', '.join(names)}"
            for name in hardware.layers
            if name not in names
        ]
        if faults:
            raise SettingsError(faults)
        check_convertible(network, hardware, context.folder / self.name)

    def make(self, context: Context, folder: Path) -> Any:
        """Convert the quantized student and write the project into the stage's folder."""
        return convert(
            context.value("quantization"),
            context.dataset,
            context.settings.hardware,
            folder / "hls",
            progress=context.progress,
        )

    def load(self, context: Context, folder: Path, record: Record) -> Any:
        """The project, checked against its manifest."""
        return ConvertedStudent(open_project(folder / "hls"), record)


def convert(
    student: QuantizedStudent | keras.Model,
    dataset: Dataset,
    settings: HardwareSettings,
    folder: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> ConvertedStudent:
    """Convert a quantized student into an HLS project with hls4ml.

    hls4ml is asked twice: for the types that it infers, and, with the accumulators that interval analysis of the very weights
    proves, for the project itself (tables, for one, are sized by types that follow from them).

    The hardware ends at the logits: a softmax changes no decision and costs tables. The test bench gets the first
    `settings.testbench_samples` of the test part, on the input grid, and the student's own outputs as golden ones.

    Parameters
    ----------
    student
        A quantized student, or a trained QKeras model; unchanged.
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
    from codesign.compression.quantize import as_quantized
    from codesign.emulation.emulator import Emulator, float32_notes
    from codesign.hls.convert import unrolling_notes

    progress.step("project", 0, 2, "hls4ml")
    student = as_quantized(student, dataset)
    network, precision = student.hardware()
    graph, precision = converted_graph(network, precision, settings, folder)
    x = precision.quantize_inputs(network.inputs, dataset.x_test[: settings.testbench_samples])
    progress.step("project", 1, 2, "writing")
    task = dataset.task
    places = task.class_places(task.n_outputs)
    # of outputs that do not all decide on one class, which a project by itself would not show
    about = {TASK: task.kind, CLASS_OUTPUTS: {head: [o.start, o.stop] for head, o in places.items()}}
    project = write_project(
        graph,
        folder,
        settings.target,
        vectors=x,
        golden=student.outputs(x),
        settings=settings.model_dump(mode="json") | ({} if task.has_classes else about),
        overwrite=overwrite,
    )
    progress.step("project", 2, 2)
    types = {node.name: {name: str(given) for name, given in node.types.items()} for node in project.graph()}
    notes = [*unrolling_notes(graph, settings.target), *float32_notes(Emulator.of(project.graph()))]
    metrics = {"layers": types, "notes": notes}
    return ConvertedStudent(project, Record.of(project.digest, metrics))


def converted_graph(
    network: Network, precision: PrecisionMap, settings: HardwareSettings, folder: str | Path
) -> tuple[Any, PrecisionMap]:
    """hls4ml's graph of a network with formats, accumulators as narrow as is proven, and all its formats.

    Parameters
    ----------
    network, precision
        Of the hardware (`QuantizedStudent.hardware`).
    settings
        Target and architecture.
    folder
        Where hls4ml would write; nothing is written.
    """
    from codesign.emulation.emulator import Emulator, with_proven_accumulators
    from codesign.hls.convert import convert_graph
    from codesign.hls.graph import read_graph
    from codesign.networks.build import build_float

    model, chosen = build_float(network), hardware_choices(settings)
    graph = convert_graph(model, precision, settings.target, chosen, folder, settings.top)
    precision = with_proven_accumulators(precision, Emulator.of(read_graph(graph)))
    # Asked again, though only accumulators differ: what they are proven from (the types of sums, of what is between layers) is
    # known only when hls4ml has inferred it, and hls4ml builds on it at once (types of what follows, sizes of tables, the text
    # of the templates). Types put into the finished graph would leave these as they were; asked again, all of it is hls4ml's
    # own and has passed the checks of `convert_graph`.
    return convert_graph(model, precision, settings.target, chosen, folder, settings.top), precision


def check_convertible(network: Network, settings: HardwareSettings, folder: str | Path) -> None:
    """Convert a network with nominal formats and throw the result away, so that what hls4ml refuses is known early.

    Raises
    ------
    ConversionError
        As `convert` would.
    """
    from codesign.compression.formats import nominal_precision
    from codesign.hls.convert import convert_graph
    from codesign.networks.build import build_float
    from codesign.networks.prepare import hardware_form, prepare_for_quantization

    prepared = prepare_for_quantization(network)
    network, precision = hardware_form(prepared, nominal_precision(prepared))
    convert_graph(build_float(network), precision, settings.target, hardware_choices(settings), folder)


def hardware_choices(settings: HardwareSettings) -> HardwareChoices:
    """Strategies and reuse factors of the settings, as the HLS room takes them."""
    from codesign.hls.convert import HardwareChoices, LayerHardware

    layers = {
        name: LayerHardware(layer.reuse_factor, layer.strategy) for name, layer in settings.layers.items()
    }
    return HardwareChoices(settings.strategy, settings.reuse_factor, layers)
