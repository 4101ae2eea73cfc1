"""Designs side by side: summaries of runs, tables, fronts, plots and pages; no TensorFlow, Keras or hls4ml."""

from codesign.comparison.compare import Change, Column, Comparison, compare, make_comparison
from codesign.comparison.entry import Entry, Number
from codesign.comparison.figures import pareto_front
from codesign.comparison.sources import read_summary
from codesign.comparison.sources import read_summary as report

__all__ = [
    "Change",
    "Column",
    "Comparison",
    "Entry",
    "Number",
    "compare",
    "make_comparison",
    "pareto_front",
    "read_summary",
    "report",
]
