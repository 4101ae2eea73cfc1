"""The hardware that a design is for: part, clock and io type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IoType = Literal["io_parallel", "io_stream"]
Backend = Literal["Vitis", "Vivado"]
Strategy = Literal["latency", "resource", "unrolled", "distributed_arithmetic"]


@dataclass(frozen=True)
class Device:
    """What a part holds.

    Parameters
    ----------
    name
        The part's family name, for example ``VU9P``.
    lut, ff, dsp, bram_18k, uram
        Totals as the vendor counts them; `bram_18k` in 18 Kb blocks.
    """

    name: str
    lut: int
    ff: int
    dsp: int
    bram_18k: int
    uram: int


VU9P = Device("VU9P", lut=1_182_240, ff=2_364_480, dsp=6_840, bram_18k=4_320, uram=960)
"""Virtex UltraScale+ VU9P (AMD DS890, UltraScale+ FPGA product tables)."""


@dataclass(frozen=True)
class Target:
    """Part, clock and interface of a design.

    Parameters
    ----------
    part
        A Xilinx part name.
    clock_period_ns
        The clock period in ns, > 0.
    backend
        The hls4ml back end.
    io_type
        `io_parallel` or `io_stream`.
    """

    part: str = "xcvu9p-flga2104-2L-e"
    clock_period_ns: float = 5.0
    backend: Backend = "Vitis"
    io_type: IoType = "io_parallel"
