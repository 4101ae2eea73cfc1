"""Part names: what is a Xilinx part, what is not, and what the known ones hold."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.core.parts import DEFAULT_PART, KNOWN_PARTS, check_part, find_device
from codesign.core.target import VU9P, Target
from codesign.errors import SettingsError

REPORTS = Path(os.environ.get("CODESIGN_REPORT_CORPUS", "no-corpus"))


def test_the_default_is_the_default_target() -> None:
    assert Target().part == DEFAULT_PART
    part = check_part(DEFAULT_PART)
    assert (part.family, part.device, part.package, part.speed) == (
        "Virtex UltraScale+",
        "xcvu9p",
        "flga2104",
        "2L",
    )


@pytest.mark.parametrize("name", KNOWN_PARTS)
def test_known_parts_are_parts_in_either_case(name: str) -> None:
    part = check_part(name)
    assert check_part(name.upper()).device == part.device
    assert name.lower().startswith(part.device)
    assert f"{part.package}-{part.speed}" in name


@pytest.mark.parametrize(
    ("name", "family", "device"),
    [
        ("xc7a35ticsg324-1L", "Artix-7", "xc7a35t"),
        ("xc7z007sclg400-1", "Zynq-7000", "xc7z007s"),
        ("xc7z020-clg400-1", "Zynq-7000", "xc7z020"),
        ("xc7k160t-fbv484-2", "Kintex-7", "xc7k160t"),
        ("xcku115-flva1517-2-e", "Kintex UltraScale", "xcku115"),
        ("xczu9eg-ffvb1156-2-i-es2", "Zynq UltraScale+", "xczu9eg"),
        ("xcvu13p_CIV-fsga2577-2-e", "Virtex UltraScale+", "xcvu13p_civ"),
        ("xcv80-lsva4737-2MHP-e-S", "Versal", "xcv80"),
        ("xcve2302-sfva784-1LP-e-S", "Versal", "xcve2302"),
    ],
)
def test_odd_but_real_names(name: str, family: str, device: str) -> None:
    part = check_part(name)
    assert (part.family, part.device) == (family, device)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "vu9p",
            "target.part: 'vu9p' is not a Xilinx part name; did you mean 'xcvu9p-flga2104-2L-e'?",
        ),
        (
            "xczu7ev-2ffvc1156",
            "target.part: 'xczu7ev-2ffvc1156' names a Zynq UltraScale+ device, but not a complete part "
            "(UltraScale and later: device-package-speed-temperature, as in xcvu9p-flga2104-2L-e); "
            "did you mean 'xczu7ev-ffvc1156-2-e'?",
        ),
        (
            "xcvu9p-flga2104-2L",
            "target.part: 'xcvu9p-flga2104-2L' names a Virtex UltraScale+ device, but not a complete part "
            "(UltraScale and later: device-package-speed-temperature, as in xcvu9p-flga2104-2L-e); "
            "did you mean 'xcvu9p-flga2104-2L-e'?",
        ),
        (
            "5CSEBA6U23I7",
            "target.part: '5CSEBA6U23I7' is not a Xilinx part name; the default is 'xcvu9p-flga2104-2L-e'",
        ),
        ("", "target.part: '' is not a Xilinx part name; the default is 'xcvu9p-flga2104-2L-e'"),
        (
            "xcvu9p-flga2104-2L-f",
            "target.part: 'xcvu9p-flga2104-2L-f' names a Virtex UltraScale+ device, but not a complete part "
            "(UltraScale and later: device-package-speed-temperature, as in xcvu9p-flga2104-2L-e); "
            "did you mean 'xcvu9p-flga2104-2L-e'?",
        ),
    ],
)
def test_wrong_names_are_refused_with_the_form_and_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        check_part(name)


@given(name=st.sampled_from(KNOWN_PARTS), junk=st.text("abc123-_ ", min_size=1, max_size=4), data=st.data())
def test_a_name_with_something_stuck_to_it_is_no_part(name: str, junk: str, data: st.DataObject) -> None:
    wrong = data.draw(st.sampled_from([f"{junk.strip() or ' '}{name}", f"{name} {junk}", f"{name}-{junk}-"]))
    with pytest.raises(SettingsError):
        check_part(wrong)


def test_known_devices_and_unknown_ones() -> None:
    assert find_device(DEFAULT_PART) == VU9P
    assert find_device("XCVU9P-FLGB2104-2-I") == VU9P
    assert find_device("xcvu5p-flva2104-2-e") is None
    assert find_device("no part") is None


def test_every_device_in_the_table_belongs_to_a_known_part() -> None:
    devices = {find_device(part) for part in KNOWN_PARTS} - {None}
    assert {device.name for device in devices if device} >= {
        "VU9P",
        "VU13P",
        "KU115",
        "U250",
        "ZU9EG",
        "Z7020",
    }


@pytest.mark.skipif(
    not (REPORTS / "INDEX.json").exists(), reason="CODESIGN_REPORT_CORPUS names no corpus of reports"
)
def test_totals_equal_what_the_vendor_prints() -> None:
    compared = set()
    for entry in json.loads((REPORTS / "INDEX.json").read_text()):
        printed = (entry.get("truth") or {}).get("available")
        device = find_device(entry.get("part") or "")
        if not printed or device is None:
            continue
        dsp = printed.get("DSP", printed.get("DSP48E"))
        assert [device.lut, device.ff, device.dsp, device.bram_18k] == [
            int(n) for n in (printed["LUT"], printed["FF"], dsp, printed["BRAM_18K"])
        ]
        assert device.uram == int(printed.get("URAM", device.uram))
        compared.add(device.name)
    assert compared >= {"VU9P", "VU13P", "KU115", "U250", "VX690T"}
