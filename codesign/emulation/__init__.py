"""Bit-exact fixed-point inference of an hls4ml graph, fast."""

from codesign.emulation.counting import OverflowReport, TensorOverflow, count_overflows
from codesign.emulation.emulator import Accumulator, Emulator, emulate
from codesign.emulation.session import Session

__all__ = [
    "Accumulator",
    "Emulator",
    "OverflowReport",
    "Session",
    "TensorOverflow",
    "count_overflows",
    "emulate",
]
