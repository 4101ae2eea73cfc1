"""The table of an equality ladder, for terminals, notebooks and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codesign.core.text_table import TextTable


def ladder_table(verification: Mapping[str, Any], *, is_current: bool = True) -> TextTable:
    """The table of an equality ladder (`Verification.to_dict`); its title says what it proves."""
    climbed = [rung for rung in verification["rungs"] if rung["skipped"] is None]
    reference = verification["reference"]
    if not climbed:
        title = f"Nothing was compared with {reference}"
    elif any(rung["mismatches"] for rung in climbed):
        title = f"NOT bit-exact against {reference}"
    else:
        title = f"Bit-exact against {reference}"
    if not is_current:
        title += " when it was verified; not what is here now, see the notes"
    has_classes = not climbed or any(rung["argmax_flips"] is not None for rung in climbed)
    changes = ("class changes",) if has_classes else ()
    return TextTable(
        title,
        ("computed by", "samples", "mismatches", "largest difference (LSB)", *changes, "seconds"),
        tuple(_rung(rung, has_classes) for rung in verification["rungs"]),
    )


def _rung(rung: Mapping[str, Any], has_classes: bool) -> tuple[str, ...]:
    if rung["skipped"] is not None:
        return (rung["name"], f"skipped: {rung['skipped']}", *[""] * (3 + has_classes))
    # of several outputs, those that differ
    where = ", ".join(name for name, count in rung.get("outputs", {}).items() if count)
    flips = str(rung["argmax_flips"])
    if heads := rung.get("head_flips"):
        flips = ", ".join(f"{head} {count}" for head, count in heads.items())
    numbers = (
        rung["samples"],
        f"{rung['mismatches']} ({where})" if where else rung["mismatches"],
        f"{rung['largest_lsb']:g}",
        *[flips] * has_classes,
        f"{rung['seconds']:.1f}",
    )
    name = f"{rung['name']}, decisions" if rung.get("decisions") else rung["name"]
    return (name, *map(str, numbers))
