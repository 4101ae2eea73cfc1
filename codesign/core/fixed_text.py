"""The spellings of fixed-point formats: those of the `ap_fixed` headers and those of hls4ml."""

from __future__ import annotations

import re
from typing import Any

from codesign.errors import SettingsError

ACCEPTED_FORMS = (
    "ap_fixed<W,I>, ap_ufixed<W,I>, ap_int<W>, ap_uint<W>, the same without 'ap_', "
    "and ap_fixed<W,I,Q,O,N> with modes such as AP_RND_CONV or RND_CONV"
)

_FORM = re.compile(r"(?:ap_)?(u?)(fixed|int)<([^<>]*)>")


def parse_fixed_point(text: Any) -> dict[str, Any]:
    """Read one spelling.

    Parameters
    ----------
    text
        For example ``ap_fixed<16,6>``, ``ap_ufixed<8, 0, AP_RND_CONV, AP_SAT>``, ``fixed<16,6,RND,SAT,0>``,
        ``ap_uint<3>`` or ``int<8>``. Blanks and the case of the modes do not matter.

    Returns
    -------
    dict
        The arguments of `FixedPoint` that the text sets.

    Raises
    ------
    SettingsError
        For any other text, with the accepted forms.
    """
    if not isinstance(text, str):
        raise _unreadable(text, f"it is {type(text).__name__}, not text")
    match = _FORM.fullmatch("".join(text.split()))
    if match is None:
        raise _unreadable(text)
    unsigned, kind, inside = match.groups()
    fields = inside.split(",")
    if kind == "int":
        if len(fields) != 1:
            raise _unreadable(text, "an integer type has one argument, its width")
        width = _whole_number(text, fields[0], "width")
        return {"width": width, "integer_bits": width, "signed": not unsigned}
    if not 2 <= len(fields) <= 5:
        raise _unreadable(text, f"a fixed-point type has 2 to 5 arguments, not {len(fields)}")
    found: dict[str, Any] = {
        "width": _whole_number(text, fields[0], "width"),
        "integer_bits": _whole_number(text, fields[1], "integer bits"),
        "signed": not unsigned,
    }
    for name, field in zip(("rounding", "overflow"), fields[2:4], strict=False):
        found[name] = field.upper().removeprefix("AP_")
    if len(fields) == 5:
        found["saturation_bits"] = _whole_number(text, fields[4], "number of saturation bits")
    return found


def _whole_number(text: str, field: str, what: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", field):
        raise _unreadable(text, f"its {what} must be a whole number, not {field!r}")
    return int(field)


def _unreadable(text: Any, why: str | None = None) -> SettingsError:
    reason = f": {why}" if why else ""
    return SettingsError(f"{text!r} is not a fixed-point format{reason}; accepted are {ACCEPTED_FORMS}")
