"""Verification: the equality ladder over everything that computes the network's numbers."""

from codesign.verification.ladder import Rung, Verification, climb
from codesign.verification.project import verify_project
from codesign.verification.rungs import RUNGS, rtl_rungs

__all__ = ["RUNGS", "Rung", "Verification", "climb", "rtl_rungs", "verify_project"]
