"""Readers of the tools' reports: frozen records with units and stages, and an error instead of a guess.

Nothing here imports TensorFlow, Keras or hls4ml: reports copied from a build server are read in a second.
"""

from codesign.reports.build import BuildReport, read_build, read_report
from codesign.reports.cosim import CosimReport, CosimResult, TransactionReport, read_cosim, read_transactions
from codesign.reports.csim import CsimReport, read_csim_log
from codesign.reports.csynth import CsynthReport, LoopEstimate, ModuleEstimate, read_csynth
from codesign.reports.export import ExportReport, read_export
from codesign.reports.power import PowerReport, read_power
from codesign.reports.records import STAGES, Finding, Report, ReportKind, Resources, Stage, same_part
from codesign.reports.timing import ClockTiming, TimingReport, read_timing
from codesign.reports.tool_log import StepTime, ToolLogReport, read_tool_log
from codesign.reports.utilization import UtilizationReport, read_utilization

__all__ = [
    "STAGES",
    "BuildReport",
    "ClockTiming",
    "CosimReport",
    "CosimResult",
    "CsimReport",
    "CsynthReport",
    "ExportReport",
    "Finding",
    "LoopEstimate",
    "ModuleEstimate",
    "PowerReport",
    "Report",
    "ReportKind",
    "Resources",
    "Stage",
    "StepTime",
    "TimingReport",
    "ToolLogReport",
    "TransactionReport",
    "UtilizationReport",
    "read_build",
    "read_cosim",
    "read_csim_log",
    "read_csynth",
    "read_export",
    "read_power",
    "read_report",
    "read_timing",
    "read_tool_log",
    "read_transactions",
    "read_utilization",
    "same_part",
]
