"""Which names are Xilinx (AMD) parts, and what the well-known ones hold.

hls4ml writes any string into the project and the vendor tool refuses it minutes later, or a licence is asked
for the wrong device. The grammar of part names is small and public (the ordering information of DS180, DS890,
DS891 and DS950), so a name is checked before any work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from codesign.core.target import VU9P, Device
from codesign.errors import SettingsError, nearest

DEFAULT_PART = "xcvu9p-flga2104-2L-e"


@dataclass(frozen=True)
class Part:
    """A part name taken apart.

    Parameters
    ----------
    name
        The name as it was given.
    family
        The device family, for example ``Virtex UltraScale+``.
    device
        The die, in lower case, for example ``xcvu9p``.
    package
        Package and number of balls, in lower case, for example ``flga2104``.
    speed
        The speed grade without its dash, for example ``2L``.
    """

    name: str
    family: str
    device: str
    package: str
    speed: str


@dataclass(frozen=True)
class _Family:
    name: str
    device: str
    tail: str

    def match(self, name: str) -> re.Match[str] | None:
        pattern = rf"(?P<device>{self.device})(?P<rest>{self.tail})"
        return re.fullmatch(pattern, name, re.IGNORECASE)


_PACKAGE = r"(?P<package>[a-z]{3,4}\d{3,4})"
# 7 series: xc7z020clg400-1, newer tools also write xc7z020-clg400-1; low-power industrial dies have an i or l
_TAIL_7 = rf"[il]?-?{_PACKAGE}-(?P<speed>[123](l|li|le|lv|m|q|e|g)?)"
# UltraScale and UltraScale+: package, speed grade, temperature grade, perhaps engineering silicon
_TAIL_US = rf"-{_PACKAGE}-(?P<speed>[123](l|lv|lvi|li|h|hv|e)?)-[ceimq](-es\d)?"
# Versal: the speed grade also names voltage and static screen
_TAIL_VERSAL = rf"-{_PACKAGE}-(?P<speed>[123][hlm][a-z]{{0,2}})-[ceimq]-[a-z]{{1,2}}(-es\d)?"

_FAMILIES = (
    _Family("Spartan-7", r"x[ca]7s\d{1,3}", _TAIL_7),
    _Family("Artix-7", r"x[cqa]7a\d{2,3}t", _TAIL_7),
    _Family("Kintex-7", r"x[cqa]7k\d{2,3}t", _TAIL_7),
    _Family("Virtex-7", r"x[cq]7v(x|h)?\d{3,4}t", _TAIL_7),
    _Family("Zynq-7000", r"x[cqa]7z\d{3}s?", _TAIL_7),
    _Family("Kintex UltraScale", r"x(c|q|qr)ku\d{3}", _TAIL_US),
    _Family("Virtex UltraScale", r"x[cq]vu\d{3}", _TAIL_US),
    _Family("Spartan UltraScale+", r"x[ca]su\d{1,3}p", _TAIL_US),
    _Family("Artix UltraScale+", r"x[ca]au\d{1,2}p", _TAIL_US),
    _Family("Kintex UltraScale+", r"x[cq]ku\d{1,2}p(_civ)?", _TAIL_US),
    _Family("Virtex UltraScale+", r"x[cq]vu\d{1,2}p(_civ)?", _TAIL_US),
    _Family("Zynq UltraScale+", r"x[cqa]zu\d{1,2}t?(cg|eg|ev|dr)", _TAIL_US),
    _Family("Kria", r"xck\d{2}", _TAIL_US),
    _Family("Alveo", r"xcu(\d{2,3}[cn]?|x35)", _TAIL_US),
    _Family("Versal", r"x[cqa](v[cemphn]\d{4}|v\d{2}|2v[emp]\d{4})", _TAIL_VERSAL),
)

_FORMS = {
    _TAIL_7: "7 series: device, package, -speed, as in xc7z020clg400-1",
    _TAIL_US: "UltraScale and later: device-package-speed-temperature, as in xcvu9p-flga2104-2L-e",
    _TAIL_VERSAL: "Versal: device-package-speed-temperature-screen, as in xcvc1902-vsva2197-2MP-e-S",
}

KNOWN_PARTS = (
    DEFAULT_PART,
    "xcvu9p-flgb2104-2-i",
    "xcvu13p-flga2577-2-e",
    "xcvu13p-fhgb2104-2-i",
    "xcvu35p-fsvh2104-1-e",
    "xcvu37p-fsvh2892-2L-e",
    "xcku115-flvb2104-2-i",
    "xcku115-flva1517-2-e",
    "xcku040-ffva1156-2-e",
    "xcku15p-ffva1760-2-e",
    "xcku5p-ffvb676-2-e",
    "xcu50-fsvh2104-2-e",
    "xcu55c-fsvh2892-2L-e",
    "xcu200-fsgd2104-2-e",
    "xcu250-figd2104-2L-e",
    "xcu280-fsvh2892-2L-e",
    "xczu3eg-sbva484-1-e",
    "xczu7ev-ffvc1156-2-e",
    "xczu9eg-ffvb1156-2-e",
    "xczu28dr-ffvg1517-2-e",
    "xczu48dr-ffvg1517-2-e",
    "xck26-sfvc784-2LV-c",
    "xc7a35tcpg236-1",
    "xc7a100tcsg324-1",
    "xc7k325tffg900-2",
    "xc7vx690tffg1927-2",
    "xc7z020clg400-1",
    "xc7z045ffg900-2",
    "xcvc1902-vsva2197-2MP-e-S",
)
"""Complete names of parts on common boards: what a suggestion is taken from, not a limit."""

_DEVICES = {
    "xcvu9p": VU9P,
    "xcvu13p": Device("VU13P", lut=1_728_000, ff=3_456_000, dsp=12_288, bram_18k=5_376, uram=1_280),
    "xcvu35p": Device("VU35P", lut=871_680, ff=1_743_360, dsp=5_952, bram_18k=2_688, uram=640),
    "xcku115": Device("KU115", lut=663_360, ff=1_326_720, dsp=5_520, bram_18k=4_320, uram=0),
    "xcu50": Device("U50", lut=871_680, ff=1_743_360, dsp=5_952, bram_18k=2_688, uram=640),
    "xcu55c": Device("U55C", lut=1_303_680, ff=2_607_360, dsp=9_024, bram_18k=4_032, uram=960),
    "xcu250": Device("U250", lut=1_728_000, ff=3_456_000, dsp=12_288, bram_18k=5_376, uram=1_280),
    "xczu7ev": Device("ZU7EV", lut=230_400, ff=460_800, dsp=1_728, bram_18k=624, uram=96),
    "xczu9eg": Device("ZU9EG", lut=274_080, ff=548_160, dsp=2_520, bram_18k=1_824, uram=0),
    "xc7z020": Device("Z7020", lut=53_200, ff=106_400, dsp=220, bram_18k=280, uram=0),
    "xc7k160t": Device("K7160T", lut=101_400, ff=202_800, dsp=600, bram_18k=650, uram=0),
    "xc7vx690t": Device("VX690T", lut=433_200, ff=866_400, dsp=3_600, bram_18k=2_940, uram=0),
    "xcvc1902": Device("VC1902", lut=899_840, ff=1_799_680, dsp=1_968, bram_18k=1_934, uram=463),
}


def check_part(name: str, *, setting: str = "target.part") -> Part:
    """Take a part name apart, or say what is wrong with it.

    Parameters
    ----------
    name
        A complete part name; upper and lower case are the same to the vendor tools.
    setting
        The path of the setting that it came from, for the message.

    Returns
    -------
    Part
        Family, device, package and speed grade.

    Raises
    ------
    SettingsError
        The name is no Xilinx part, or not a complete one; the message has the form and a suggestion.
    """
    for family in _FAMILIES:
        if match := family.match(name):
            return Part(
                name,
                family.name,
                match["device"].lower(),
                match["package"].lower(),
                match["speed"].upper(),
            )
    raise SettingsError(f"{setting}: {_complaint(name)}")


def find_device(part: str) -> Device | None:
    """What a part holds, by its device; ``None`` when the figures are not known here."""
    for family in _FAMILIES:
        if match := family.match(part):
            return _DEVICES.get(match["device"].lower())
    return None


def suggest_part(name: str) -> str | None:
    """The known part that a wrong name most probably meant, if any is near."""
    wanted = name.lower().strip()
    for part in KNOWN_PARTS:
        device = part.lower().split("-")[0]
        # a bare device, with or without the leading xc: VU9P, xcvu9p, xcvu9p-something-else
        if wanted.split("-")[0] in (device, device.removeprefix("xc")):
            return part
    lowered = {part.lower(): part for part in KNOWN_PARTS}
    near = nearest(wanted, lowered)
    return None if near is None else lowered[near]


def _complaint(name: str) -> str:
    suggestion = suggest_part(name)
    hint = f"; did you mean {suggestion!r}?" if suggestion else f"; the default is {DEFAULT_PART!r}"
    for family in _FAMILIES:
        if re.match(rf"{family.device}(?![a-z\d])", name, re.IGNORECASE):
            form = _FORMS[family.tail]
            return f"{name!r} names a {family.name} device, but not a complete part ({form}){hint}"
    return f"{name!r} is not a Xilinx part name{hint}"
