"""Bit-exact fixed-point inference of an hls4ml graph, fast."""

from codesign.emulation.emulator import Accumulator, Emulator, emulate
from codesign.emulation.overflow import OverflowReport, TensorOverflow

__all__ = ["Accumulator", "Emulator", "OverflowReport", "TensorOverflow", "emulate"]
