"""codesign: from a trained Keras network to the smallest FPGA design that keeps its quality, proved bit for bit.

The chain, one public function an arrow:

    load_dataset -> train_teacher -> distill_student -> prune_student -> scan_bit_widths -> quantize_student
    -> convert -> verify -> report

`run_design` does all of it, resumable.

Names are imported when they are first used, so that ``import codesign`` loads no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "new_design": "codesign.starting",
    "designs": "codesign.starting",
    "load_dataset": "codesign.data",
    "Dataset": "codesign.data",
    "read_design": "codesign.settings",
    "make_design": "codesign.settings",
    "train_teacher": "codesign.training.teacher",
    "load_teacher": "codesign.training.teacher",
    "train_ensemble": "codesign.training.ensemble",
    "load_ensemble": "codesign.training.ensemble",
    "train_specialists": "codesign.training.specialists",
    "load_logits": "codesign.training.logits_teacher",
    "choose_distillation": "codesign.training.distill",
    "distill_student": "codesign.training.distill",
    "prune_student": "codesign.compression.prune",
    "scan_bit_widths": "codesign.compression.scan",
    "quantize_student": "codesign.compression.quantize",
    "polish_student": "codesign.compression.polish",
    "convert": "codesign.stages.project",
    "verify": "codesign.stages.verification",
    "report": "codesign.comparison",
    "run_design": "codesign.flow",
    "open_run": "codesign.stages",
    "plot_training": "codesign.comparison.plots",
    "plot_scan": "codesign.comparison.plots",
    "plot_outputs": "codesign.comparison.plots",
    "PrecisionMap": "codesign.core.precision_map",
    "FixedPoint": "codesign.core.fixed_point",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("codesign")
    if name not in _HOMES:
        raise AttributeError(f"codesign has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
