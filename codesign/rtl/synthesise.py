"""Logic synthesis of the Verilog with Yosys, for the counts of an UltraScale+ (or older) part."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codesign.core.files import RTL_COUNTS, json_digest, read_json, write_json, write_text
from codesign.core.parts import check_part
from codesign.core.process import run_process
from codesign.core.sealed import writable
from codesign.errors import ConversionError, ReportFormatError
from codesign.rtl.project import RtlProject
from codesign.rtl.tools import find_yosys

BUILD = Path(RTL_COUNTS).parent.name
"""The folder below a project for the synthesis; not part of the manifest."""

LOG = "yosys.log"
_SCRIPT, _STAT, _RESULT = "synthesis.ys", "stat.json", Path(RTL_COUNTS).name
_FAMILIES = (
    ("UltraScale+", "xcup"),
    ("Alveo", "xcup"),
    ("Kria", "xcup"),
    ("UltraScale", "xcu"),
    ("7", "xc7"),
)
_FOLDERS = re.compile(r"(?<![\w.\-+])/(?:[\w.+\-]+/)+")
_LUT_SIZES = range(1, 7)
_MEMORY_LUTS = ("SRL16E", "SRLC16E", "SRLC32E", "RAM32M", "RAM64M", "RAM32M16", "RAM64M8")


@dataclass(frozen=True)
class RtlUtilization:
    """What Yosys counted, before placement; a vendor's tool combines small LUTs and counts fewer.

    Parameters
    ----------
    lut_by_size
        LUTs that compute, by the number of their inputs, ``{"lut1": ...}``.
    lut_memory
        LUTs that are shift registers or memory.
    ff
        Flip-flops.
    carry4
        Carry chains of four bits, as Yosys builds them.
    muxf7, muxf8, muxf9
        Multiplexers that join LUTs.
    dsp
        DSP blocks.
    bram_18k
        Block RAM in units of 18 Kb.
    uram
        UltraRAM blocks.
    inverters
        Inverters that were not absorbed into LUTs; a vendor's tool does that.
    top, part, family
        What was synthesised, for which part, and Yosys' name of its family.
    yosys_version
        For example ``0.70``.
    seconds
        Wall time of the run.
    stage
        Where the numbers come from.
    """

    lut_by_size: Mapping[str, int]
    lut_memory: int
    ff: int
    carry4: int
    muxf7: int
    muxf8: int
    muxf9: int
    dsp: int
    bram_18k: int
    uram: int
    inverters: int
    top: str
    part: str
    family: str
    yosys_version: str
    seconds: float
    stage: str = field(default="yosys")

    def __post_init__(self) -> None:
        object.__setattr__(self, "lut_by_size", MappingProxyType(dict(self.lut_by_size)))

    @property
    def lut(self) -> int:
        """All LUTs."""
        return sum(self.lut_by_size.values()) + self.lut_memory

    @property
    def carry8(self) -> int:
        """Carry blocks of UltraScale: each holds two chains of four bits (UG574, CARRY8)."""
        return -(-self.carry4 // 2)

    def to_dict(self) -> dict[str, Any]:
        """Give JSON values, the totals among them."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "lut_by_size": dict(self.lut_by_size), "lut": self.lut, "carry8": self.carry8}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> RtlUtilization:
        """Read what `to_dict` gave."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


def synthesise(project: RtlProject, *, timeout_s: float | None = 3600.0) -> RtlUtilization:
    """Synthesise a project for the family of its part, unless that stands already from these very sources.

    Yosys runs in a process of its own; its log is `build_yosys/yosys.log` in the project.

    Parameters
    ----------
    project
        The project.
    timeout_s
        Wall time after which Yosys is ended.

    Raises
    ------
    ToolNotFoundError
        Yosys is missing.
    ToolFailedError
        It failed, crashed, or its time ran out.
    ConversionError
        Yosys does not know the part's family.
    ReportFormatError
        Its counts cannot be read.
    """
    family = yosys_family(project.part)
    yosys = find_yosys()
    build = project.folder / BUILD
    script = _script(project, family)
    key = json_digest([project.digest, yosys.version, script])
    if (kept := _kept(build / _RESULT, key)) is not None:
        return kept
    with writable(build, "Yosys runs there: copy the RTL to where there is room to write"):
        build.mkdir(exist_ok=True)
        (build / _STAT).unlink(missing_ok=True)
        write_text(build / _SCRIPT, script)
        try:
            done = run_process(
                [*yosys.command, _SCRIPT], cwd=build, timeout_s=timeout_s, log_path=build / LOG
            )
        finally:
            _forget_folders(build / LOG)
        result = RtlUtilization(
            **read_stat(build / _STAT),
            top=project.top,
            part=project.part,
            family=family,
            yosys_version=yosys.version,
            seconds=round(done.seconds, 1),
        )
        write_json(build / _RESULT, {"key": key, "project": project.digest, "utilization": result.to_dict()})
    return result


def yosys_family(part: str) -> str:
    """Yosys' name of a part's family.

    Raises
    ------
    SettingsError
        It is no Xilinx part.
    ConversionError
        Yosys has no such family (Versal).
    """
    name = check_part(part, setting="part").family
    for ending, family in _FAMILIES:
        if name.endswith((ending, ending + "000")):
            return family
    raise ConversionError(
        f"Yosys cannot synthesise for {part}: it knows no {name} parts; use Vivado, or another part"
    )


def read_stat(path: str | Path) -> dict[str, Any]:
    """Read the counts of `stat -json`.

    Returns
    -------
    dict
        The counting fields of `RtlUtilization`.

    Raises
    ------
    ReportFormatError
        The file is missing or damaged, or holds cells that were not mapped to the part's own.
    """
    path = Path(path)
    try:
        cells: dict[str, int] = read_json(path)["design"]["num_cells_by_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportFormatError(
            path, "num_cells_by_type", f"not in the file ({type(error).__name__}: {error})"
        ) from None
    unmapped = [name for name in cells if name.startswith("$") and name != "$scopeinfo"]
    if unmapped:
        raise ReportFormatError(
            path, "num_cells_by_type", f"cells that were not mapped: {', '.join(unmapped)}"
        )

    def count(*prefixes: str) -> int:
        return sum(number for name, number in cells.items() if name.startswith(prefixes))

    return {
        "lut_by_size": {f"lut{size}": cells.get(f"LUT{size}", 0) for size in _LUT_SIZES},
        "lut_memory": sum(cells.get(name, 0) for name in _MEMORY_LUTS),
        "ff": count("FD", "LD"),
        "carry4": cells.get("CARRY4", 0) + 2 * cells.get("CARRY8", 0),
        "muxf7": cells.get("MUXF7", 0),
        "muxf8": cells.get("MUXF8", 0),
        "muxf9": cells.get("MUXF9", 0),
        "dsp": count("DSP"),
        "bram_18k": count("RAMB18") + 2 * count("RAMB36"),
        "uram": count("URAM"),
        "inverters": cells.get("INV", 0),
    }


def _script(project: RtlProject, family: str) -> str:
    """Write Yosys' own flow for Xilinx parts, with `abc` instead of `abc9` for the LUTs.

    That halves the time, and finds 3 % fewer LUTs in the dense networks tried.
    """
    flow = f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf -top {project.top}"
    sources = [Path(os.path.relpath(path, project.folder / BUILD)).as_posix() for path in project.sources]
    return "\n".join(
        [
            *(f"read_verilog -defer {source}" for source in sources),
            f"{flow} -run begin:map_luts",
            "opt_expr -mux_undef -noclkinv",
            "abc -luts 2:2,3,6:5,10,20",
            "clean",
            "xilinx_srl -fixed -minlen 3",
            "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
            "xilinx_dffopt",
            "opt_lut_ins -tech xilinx",
            f"{flow} -run finalize:check",
            f"tee -o {_STAT} stat -json",
            "",
        ]
    )


def _forget_folders(log: Path) -> None:
    """Leave of the paths in a log the names of their files: the log goes where the project goes."""
    if log.is_file():
        text = log.read_text(encoding="utf-8", errors="replace")
        write_text(log, _FOLDERS.sub("", text))


def _kept(path: Path, key: str) -> RtlUtilization | None:
    """The result of an earlier run with the same key, if there is one."""
    try:
        found = read_json(path)
        return RtlUtilization.from_dict(found["utilization"]) if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
