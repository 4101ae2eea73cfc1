"""An RTL project on disk: pipelined Verilog, data sheet, test bench, the logic for the interpreter, and a manifest."""

from __future__ import annotations

import importlib.metadata
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.core.files import json_digest, write_text
from codesign.core.fixed_point import FixedPoint
from codesign.core.parts import DEFAULT_PART, check_part
from codesign.core.progress import SILENT, Progress
from codesign.core.sealed import RTL_PROJECT, field
from codesign.core.shown import Shown
from codesign.core.target import DEFAULT_TOP, Interface, check_top
from codesign.core.text_table import counted
from codesign.errors import SettingsError
from codesign.hls.graph import Graph
from codesign.rtl.apart import pipelined
from codesign.rtl.bench import write_bench
from codesign.rtl.datasheet import write_datasheet
from codesign.rtl.estimate import LIMIT_MINUTES, estimate_rtl
from codesign.rtl.interface import CORE, core_module, signal_names, top_module
from codesign.rtl.packing import Field, Port
from codesign.rtl.trace import Pipeline
from codesign.rtl.vendor import write_vendor_files

if TYPE_CHECKING:
    from alkaid.types import CombLogic

MANIFEST = RTL_PROJECT.manifest
SOURCES = "src"
_LOGIC = "model/logic.json"

CUTOFF = 0.9
"""The part of a clock period that the logic between two registers may take."""


@dataclass(frozen=True)
class RtlProject(Shown):
    """A directory of Verilog, its manifest read and checked.

    Parameters
    ----------
    folder
        The project's directory; the Verilog is below `src`.
    top
        The top module: `clk`, a signal for each tensor as `inputs` and `outputs` say, and what `interface` adds.
    part
        The FPGA that it is for.
    clock_period_ns
        The clock that it is pipelined for.
    latency_cycles
        Registers on the way from input to output: the result of a vector that stands at the input in one
        cycle stands at the output this many cycles later.
    ii
        The initiation interval: always 1, a new vector each clock.
    stage_delay_ns
        alkaid's estimate of the longest delay between two registers; above the clock period, the clock
        will hardly be met.
    estimated_lut
        alkaid's estimate of the LUTs.
    register_bits
        Flip-flops before any optimisation.
    inputs, outputs
        The tensors at the ports, in order.
    interface
        Its control signals.
    graph_digest
        The digest of the network that it was made from, which ends at the logits.
    digest
        SHA-256 over all files and figures.
    """

    folder: Path
    top: str
    part: str
    clock_period_ns: float
    latency_cycles: int
    ii: int
    stage_delay_ns: float
    estimated_lut: float
    register_bits: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    interface: Interface
    graph_digest: str
    digest: str

    def facts(self) -> Mapping[str, str]:
        """For `repr` and notebooks."""
        return {
            "folder": str(self.folder),
            "top": self.top,
            "part": self.part,
            "clock": f"{self.clock_period_ns:g} ns",
            "latency": counted(self.latency_cycles, "cycle"),
            "II": str(self.ii),
            "estimated LUT": f"{self.estimated_lut:,.0f}",
        }

    @property
    def latency_ns(self) -> float:
        """The latency at the target clock."""
        return self.latency_cycles * self.clock_period_ns

    def is_of(self, graph_digest: str, part: str, clock_period_ns: float) -> bool:
        """Whether it was made from this network, for this part and clock."""
        made = (self.graph_digest, self.part, self.clock_period_ns)
        return made == (graph_digest, part, clock_period_ns)

    def figures(self) -> dict[str, Any]:
        """Latency, interval, clock and alkaid's estimate of the LUTs, by the names of the metrics."""
        return {
            "latency_cycles": self.latency_cycles,
            "latency_ns": self.latency_ns,
            "interval_cycles": self.ii,
            "clock_period_ns": self.clock_period_ns,
            "estimated_lut": self.estimated_lut,
        }

    @property
    def sources(self) -> tuple[Path, ...]:
        """The Verilog files, the top module last."""
        folder = self.folder / SOURCES
        top = folder / f"{self.top}.v"
        return (*sorted(path for path in folder.glob("*.v") if path != top), top)

    def logic(self) -> CombLogic:
        """The design without its registers, for alkaid's interpreter."""
        from alkaid.types import CombLogic

        return CombLogic.load(self.folder / _LOGIC)


def write_rtl(
    graph: Graph,
    folder: str | Path,
    *,
    clock_period_ns: float = 5.0,
    part: str = DEFAULT_PART,
    top: str = DEFAULT_TOP,
    interface: Interface | None = None,
    vectors: np.ndarray | Sequence[np.ndarray] | None = None,
    latency_cutoff_ns: float | None = None,
    ternary_adders: bool = False,
    overwrite: bool = False,
    limit_minutes: float | None = LIMIT_MINUTES,
    progress: Progress = SILENT,
) -> RtlProject:
    """Write a network as pipelined Verilog, every layer unrolled, a new input each clock.

    Everything is written beside `folder` and moved into place at the end, so that old and new files never mix.

    Parameters
    ----------
    graph
        The converted network; its types decide every bit.
    folder
        The project's directory.
    clock_period_ns
        The target clock.
    part
        A Xilinx part name.
    top
        The name of the top module, with which every module's and file's name begins, so that two networks fit one
        firmware.
    interface
        Bits of the ports, valid and ready signals, reset, logits or decisions; by default the clock and logits alone.
    vectors
        Inputs of the test bench, as for `codesign.rtl.simulate`; by default some are drawn.
    latency_cutoff_ns
        How long the logic between two registers may take by alkaid's estimate; by default 90 % of the clock
        period, the rest is the uncertainty that the constraints file asks for.
    ternary_adders
        Fuse chains of additions into additions of three numbers. Vivado packs such an adder into as many LUTs as
        one of two numbers, Yosys does not.
    overwrite
        Replace an existing project.
    limit_minutes
        How long writing and counting may take by `codesign.rtl.estimate.estimate_rtl`; ``None`` for any time.
    progress
        Told each layer as its tracing begins.

    Returns
    -------
    RtlProject
        The project, read back.

    Raises
    ------
    ConversionError
        Layers or types that cannot become RTL; more work than the limit allows.
    SettingsError
        A clock period or cut-off that is not positive; a part that is no Xilinx part; a top that is no name.
    OutputFolderError
        `folder` holds something else, or a project that is not to be overwritten.
    """
    folder = Path(folder)
    cutoff = CUTOFF * clock_period_ns if latency_cutoff_ns is None else latency_cutoff_ns
    for name, value in (("clock_period_ns", clock_period_ns), ("latency_cutoff_ns", cutoff)):
        if not value > 0:
            raise SettingsError(f"{name} must be greater than 0, not {value!r}")
    check_part(part, setting="part")
    check_top(top)
    interface = interface or Interface()
    RTL_PROJECT.check_free(folder, overwrite=overwrite)
    estimate_rtl(graph).refuse_above(limit_minutes)
    digest = graph.digest
    graph = bordered(graph, interface)
    stages = pipelined(graph, cutoff, ternary_adders=ternary_adders, progress=progress)

    def fill(temporary: Path) -> dict[str, Any]:
        names = signal_names(graph.inputs, graph.outputs)
        packed = interface.ports == "packed"
        inputs, outputs = (
            _ports(graph, side, names, fields, packed)
            for side, fields in (("input", stages.input_fields), ("output", stages.output_fields))
        )
        latency = stages.latency_cycles
        _write_verilog(stages, temporary, top, clock_period_ns, part, interface)
        write_text(temporary / SOURCES / f"{top}.v", top_module(top, inputs, outputs, interface, latency))
        write_vendor_files(temporary, top, part, clock_period_ns, inputs, outputs, interface)
        write_bench(temporary, graph, top, inputs, outputs, interface, latency, clock_period_ns, vectors)
        figures = {
            "top": top,
            "part": part,
            "clock_period_ns": clock_period_ns,
            "latency_cycles": latency,
            "ii": 1,
            "stage_delay_ns": stages.stage_delay_ns,
            "estimated_lut": float(stages.logic.cost),
            "register_bits": stages.register_bits,
            "interface": asdict(interface),
            "inputs": [_described(port) for port in inputs],
            "outputs": [_described(port) for port in outputs],
            "graph_digest": digest,
            "versions": {"alkaid": importlib.metadata.version("alkaid")},
        }
        write_datasheet(temporary, figures, inputs, outputs, interface)
        return {"figures": figures}

    RTL_PROJECT.write(folder, fill, overwrite=overwrite)
    return open_rtl(folder)


def bordered(graph: Graph, interface: Interface) -> Graph:
    """The network up to what an interface gives out: its logits, or the classes that they decide on."""
    return graph.deciding() if interface.outputs == "decisions" else graph


def latency_ns_of(graph: Graph, clock_period_ns: float, interface: Interface) -> float:
    """The latency that `write_rtl` would have with its default cut-off, without writing anything."""
    stages = pipelined(bordered(graph, interface), CUTOFF * clock_period_ns, ternary_adders=False)
    return stages.latency_cycles * clock_period_ns


def open_rtl(folder: str | Path) -> RtlProject:
    """Read a project's manifest and check every file against it.

    Raises
    ------
    StaleProjectError
        The folder is no RTL project, is half written, its manifest is damaged, or a file is missing or was changed.
    """
    manifest = RTL_PROJECT.open(folder)

    def project(values: Mapping[str, Any]) -> RtlProject:
        figures = field(values, "figures", dict)
        interface = Interface.of(
            *(
                field(field(figures, "interface", dict), name, str)
                for name in ("ports", "control", "reset", "outputs")
            )
        )
        return RtlProject(
            folder=Path(folder),
            **{name: field(figures, name, kind) for name, kind in _FIGURES.items()},
            inputs=tuple(_port(port, interface) for port in field(figures, "inputs", list)),
            outputs=tuple(_port(port, interface) for port in field(figures, "outputs", list)),
            interface=interface,
            digest=json_digest([figures, dict(manifest.files)]),
        )

    return manifest.of(project)


_FIGURES: Mapping[str, type[Any]] = {
    **dict.fromkeys(("top", "part", "graph_digest"), str),
    **dict.fromkeys(("clock_period_ns", "stage_delay_ns", "estimated_lut"), float),
    **dict.fromkeys(("latency_cycles", "ii", "register_bits"), int),
}


def _write_verilog(
    stages: Pipeline, folder: Path, top: str, clock_period_ns: float, part: str, interface: Interface
) -> None:
    """Let alkaid write its project, and keep what belongs to the design, under names that begin with the top's."""
    from alkaid.codegen.rtl import RTLModel

    written, core = folder / ".alkaid", f"{top}_{CORE}"
    model = RTLModel(
        stages.fsm, written, prj_name=core, part_name=part, clock_period=clock_period_ns, ternary_fuse=False
    )
    model.write()
    sources = sorted((written / "src").rglob("*.v"))
    modules = {
        found
        for path in sources
        for found in re.findall(r"^module (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    names = {name: name if name.startswith(core) else f"{top}_{name}" for name in modules}
    for path in sources:
        if path.stem == f"{core}_wrapper":
            continue
        text = _renamed(path.read_text(encoding="utf-8"), names)
        if path.stem == core:
            text = core_module(text, interface)
        stem = names.get(path.stem, f"{top}_{path.stem.removeprefix(f'{core}_')}")
        write_text(folder / SOURCES / f"{stem}.v", text)
    shutil.rmtree(written)
    (folder / _LOGIC).parent.mkdir()
    stages.logic.save(folder / _LOGIC)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """Give modules names that do not collide with those of another design."""
    text = re.sub(r"\b(?:INTERNAL_|_inst_)(logic\d+)", r"u_\1", text)
    return re.sub(r"\b[A-Za-z]\w*\b", lambda word: names.get(word[0], word[0]), text)


def _ports(
    graph: Graph, side: str, names: Mapping[tuple[str, str], str], fields: Sequence[Field], packed: bool
) -> tuple[Port, ...]:
    ports, start = [], 0
    for name in graph.inputs if side == "input" else graph.outputs:
        node = graph[name]
        shape = tuple(int(n) for n in node.output_shape)
        end = start + math.prod(shape)
        ports.append(Port(name, shape, node.result, tuple(fields[start:end]), names[side, name], packed))
        start = end
    return tuple(ports)


def _described(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": list(port.shape),
        "precision": str(port.precision),
        "fields": [list(asdict(field).values()) for field in port.fields],
        "signal": port.signal,
    }


def _port(value: Mapping[str, Any], interface: Interface) -> Port:
    shape, fields = tuple(field(value, "shape", list)), [tuple(bits) for bits in field(value, "fields", list)]
    if not all(type(length) is int for length in shape) or any(
        tuple(map(type, bits)) != (int, int, bool) for bits in fields
    ):
        raise ValueError(f"the port {value.get('name')!r} has other bits than whole numbers")
    precision = FixedPoint.parse(field(value, "precision", str))
    packed = interface.ports == "packed"
    signal = field(value, "signal", str)
    return Port(
        field(value, "name", str), shape, precision, tuple(Field(*bits) for bits in fields), signal, packed
    )
