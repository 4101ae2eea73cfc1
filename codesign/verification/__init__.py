"""Verification: the equality ladder over everything that computes the network's numbers, and the mismatch doctor."""

from codesign.verification.doctor import diagnose, diagnose_outputs
from codesign.verification.doctor_project import diagnose_project
from codesign.verification.doctor_record import CAUSES, Diagnosis
from codesign.verification.ladder import Rung, Verification, climb
from codesign.verification.project import verify_project
from codesign.verification.rungs import RUNGS, rtl_rungs

__all__ = [
    "CAUSES",
    "RUNGS",
    "Diagnosis",
    "Rung",
    "Verification",
    "climb",
    "diagnose",
    "diagnose_outputs",
    "diagnose_project",
    "rtl_rungs",
    "verify_project",
]
