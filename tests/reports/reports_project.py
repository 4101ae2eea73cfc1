"""Builds of a made-up design, put together from the fixtures as the tools would leave them."""

import json
import os
from datetime import datetime
from hashlib import sha256
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
SOLUTION = "jet_tagger_prj/solution1"
BUILT = datetime(2024, 2, 5, 16, 30).timestamp()  # after the dates printed in the reports
PLACES = {
    "csim": (f"{SOLUTION}/csim/report/jet_tagger_csim.log", "hls_csim.log"),
    "xml": (f"{SOLUTION}/syn/report/jet_tagger_csynth.xml", "vitis_hls_2023_csynth.xml"),
    "rpt": (f"{SOLUTION}/syn/report/jet_tagger_csynth.rpt", "vitis_hls_2023_csynth.rpt"),
    "whole": (f"{SOLUTION}/syn/report/csynth.xml", "vitis_hls_2023_whole_csynth.xml"),
    "summary": (f"{SOLUTION}/syn/report/csynth.rpt", "vitis_hls_2023_summary.rpt"),
    "cosim": (f"{SOLUTION}/sim/report/jet_tagger_cosim.rpt", "vitis_hls_cosim.rpt"),
    "transactions": (f"{SOLUTION}/sim/verilog/jet_tagger.performance.result.transaction.xml",
                     "cosim.performance.result.transaction.xml"),
    "export": (f"{SOLUTION}/impl/report/verilog/jet_tagger_export.rpt", "vitis_hls_export.rpt"),
    "utilization": ("vivado_impl.rpt", "vivado_utilization.rpt"),
    "hierarchy": ("vivado_impl_hierarchical.rpt", "vivado_utilization_hierarchical.rpt"),
    "timing": ("vivado_impl_timing.rpt", "vivado_timing.rpt"),
    "power": ("vivado_impl_power.rpt", "vivado_power.rpt"),
}  # fmt: skip


def put(path, text, when=BUILT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


def place(project, *names, edit=lambda text: text, when=BUILT):
    """Put reports where the tools write them."""
    for name in names or PLACES:
        where, fixture = PLACES[name]
        put(project / where, edit((FIXTURES / fixture).read_text()), when)
    return project


def mark(project, status="finished", started=BUILT - 3600, steps=()):
    put(
        project / "codesign_build.json",
        json.dumps({"started": started, "status": status, "steps": list(steps)}),
    )


def listed(project, *names):
    """Entries of a step's reports, with their digests."""
    paths = [PLACES[name][0] for name in names]
    return [{"path": path, "sha256": sha256((project / path).read_bytes()).hexdigest()} for path in paths]


def findings(build):
    return [(finding.reason, finding.path.name) for finding in build.findings]
