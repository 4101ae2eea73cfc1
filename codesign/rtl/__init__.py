"""The open door to hardware: Verilog by alkaid, simulation by Verilator, cell counts by Yosys.

project = write_rtl(graph, "out/rtl", clock_period_ns=5.0)
outputs = simulate(project, x)
counts = synthesise(project)
"""

from codesign.rtl.estimate import RtlEstimate, estimate_rtl
from codesign.rtl.project import RtlProject, open_rtl, write_rtl
from codesign.rtl.simulate import Simulation, build_simulation, interpret, simulate
from codesign.rtl.synthesise import RtlUtilization, synthesise
from codesign.rtl.tools import Verilator, Yosys, find_verilator, find_yosys
from codesign.rtl.trace import trace_graph

__all__ = [
    "RtlEstimate",
    "RtlProject",
    "RtlUtilization",
    "Simulation",
    "Verilator",
    "Yosys",
    "build_simulation",
    "estimate_rtl",
    "find_verilator",
    "find_yosys",
    "interpret",
    "open_rtl",
    "simulate",
    "synthesise",
    "trace_graph",
    "write_rtl",
]
