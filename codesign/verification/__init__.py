"""Verification: the equality ladder over everything that computes the network's numbers, and the mismatch doctor."""

from codesign.verification.diagnosis import Diagnosis, diagnose, diagnose_outputs, diagnose_project
from codesign.verification.hypotheses import CAUSES
from codesign.verification.ladder import Compute, Rung, Verification, compare
from codesign.verification.project import read_vector_file, verify_project
from codesign.verification.rungs import RUNG_NAMES, RUNGS, ladder_rungs, rtl_rungs

__all__ = [
    "CAUSES",
    "RUNGS",
    "RUNG_NAMES",
    "Compute",
    "Diagnosis",
    "Rung",
    "Verification",
    "compare",
    "diagnose",
    "diagnose_outputs",
    "diagnose_project",
    "ladder_rungs",
    "read_vector_file",
    "rtl_rungs",
    "verify_project",
]
