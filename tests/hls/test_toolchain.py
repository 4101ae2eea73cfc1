"""Finding tools: explicit path, own variable, PATH, the vendor's settings; versions; what is said when "
"missing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.errors import ToolError, ToolFailedError, ToolNotFoundError
from codesign.hls.toolchain import (
    GXX,
    MAKE,
    VENDOR_TOOLS,
    VITIS_HLS,
    VITIS_RUN,
    VIVADO,
    VIVADO_HLS,
    Tool,
    find_hls,
    find_toolchain,
    parse_version,
)

ADVICE = "source the vendor's settings64.sh, or build elsewhere from a written plan"


def program(path: Path, text: str = "#!/bin/sh\necho tool v2023.1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_order_is_explicit_variable_path_settings(no_vendor_tools: Path, tmp_path: Path) -> None:
    installed = program(tmp_path / "settings" / "bin" / "vivado")
    environment = {"PATH": str(no_vendor_tools), "XILINX_VIVADO": str(tmp_path / "settings")}
    assert VIVADO.find(environment=environment).path == installed
    on_path = program(no_vendor_tools / "vivado")
    assert VIVADO.find(environment=environment).path == on_path
    named = program(tmp_path / "named" / "vivado")
    environment["CODESIGN_VIVADO"] = str(named)
    assert VIVADO.find(environment=environment).path == named
    explicit = program(tmp_path / "explicit" / "vivado")
    assert VIVADO.find(explicit, environment).path == explicit


@pytest.mark.parametrize("given", ["2023.2/bin/vivado", "2023.2/bin", "2023.2"])
def test_a_path_may_be_the_program_its_folder_or_the_installation(given: str, tmp_path: Path) -> None:
    path = program(tmp_path / "2023.2" / "bin" / "vivado")
    assert VIVADO.find(tmp_path / given, {}).path == path


def test_the_environment_of_the_process_is_the_default(
    no_vendor_tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(no_vendor_tools / "vivado")
    assert VIVADO.find().path == path
    monkeypatch.setenv("PATH", "")
    assert VIVADO.search() is None


def test_a_missing_tool_says_what_was_tried(no_vendor_tools: Path) -> None:
    message = (
        "Vivado was not found (looked for vivado on PATH, $XILINX_VIVADO); set CODESIGN_VIVADO to its path; "
        + ADVICE
    )
    with pytest.raises(ToolNotFoundError, match=f"^{re.escape(message)}$"):
        VIVADO.find()
    environment = {"PATH": "", "XILINX_VIVADO": "/nowhere"}
    with pytest.raises(ToolNotFoundError, match=r"looked for vivado on PATH, \$XILINX_VIVADO=/nowhere\)"):
        VIVADO.find(environment=environment)


def test_a_wrong_path_is_not_replaced_by_another_installation(no_vendor_tools: Path) -> None:
    program(no_vendor_tools / "vivado")
    environment = {"PATH": str(no_vendor_tools), "CODESIGN_VIVADO": "/nowhere/vivado"}
    message = f"Vivado was not found (looked for /nowhere/vivado); set CODESIGN_VIVADO to its path; {ADVICE}"
    for look in (VIVADO.find, VIVADO.search):
        with pytest.raises(ToolNotFoundError, match=f"^{re.escape(message)}$"):
            look(environment=environment)
        with pytest.raises(ToolNotFoundError, match=f"^{re.escape(message)}$"):
            look("/nowhere/vivado", {})


def test_a_file_that_cannot_run_is_no_tool(no_vendor_tools: Path) -> None:
    (no_vendor_tools / "vivado").write_text("text")
    assert VIVADO.search() is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("****** vitis-run v2023.2 (64-bit)\n  **** SW Build 4023990", "2023.2"),
        ("Vitis HLS - High-Level Synthesis from C, C++ and OpenCL v2024.1 (64-bit)", "2024.1"),
        ("Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC v2018.2 (64-bit)", "2018.2"),
        ("  Vivado(TM) HLS - High-Level Synthesis from C, C++ and SystemC\n  Version 2016.4\n", "2016.4"),
        ("vivado v2022.1.2 (64-bit)\nTool Version Limit: 2022.04", "2022.1.2"),
        ("g++ (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022", "12.2.0"),
        ("GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu", "4.3"),
        ("command not found", None),
        ("", None),
    ],
)
def test_versions_are_read_as_the_tools_print_them(text: str, version: str | None) -> None:
    assert parse_version(text) == version


def test_the_real_compiler_and_make_are_found_with_versions() -> None:
    for tool in (GXX, MAKE):
        found = tool.search()
        if found is None:
            pytest.skip(f"{tool.label} is not installed")
        assert re.fullmatch(r"\d+\.\d+[.\d]*", found.read_version())


def test_a_program_without_a_version_or_without_an_end_is_refused(
    install_fake_tools: Callable[..., object], fake_tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = VIVADO.find()
    fake_tools.behave(version="silent")
    with pytest.raises(
        ToolError, match=r"/vivado -version printed no version but ''; is it really Vivado\?$"
    ):
        found.read_version()
    monkeypatch.setattr("codesign.core.process.TERMINATE_GRACE_S", 0.2)
    fake_tools.behave(version="hang")
    with pytest.raises(ToolFailedError, match=r"-version ran out of time: no end after 0\.5 s"):
        found.read_version(timeout_s=0.5)


@pytest.mark.parametrize(
    ("installed", "version", "expected"),
    [
        (("vitis-run", "vitis_hls"), "2024.2", "vitis-run"),
        (("vitis-run", "vitis_hls"), "2025.1", "vitis-run"),
        (("vitis-run", "vitis_hls"), "2023.2", "vitis_hls"),
        (("vitis_hls",), "2021.2", "vitis_hls"),
        (("vitis-run",), "2024.1", "vitis-run"),
    ],
)
def test_the_vitis_back_end_takes_the_program_of_its_time(
    install_fake_tools, installed: tuple[str, ...], version: str, expected: str
) -> None:
    install_fake_tools(*installed).version(version)
    found, read = find_hls("Vitis")
    assert (found.tool.program, read) == (expected, version)


def test_the_vivado_back_end_takes_vivado_hls_only(install_fake_tools) -> None:
    tools = install_fake_tools("vitis_hls")
    with pytest.raises(ToolNotFoundError, match=r"^Vivado HLS was not found"):
        find_hls("Vivado")
    (tools.folder / "vivado_hls").symlink_to(tools.folder / "vitis_hls")
    assert find_hls("Vivado")[0].tool is VIVADO_HLS


def test_a_missing_vitis_names_all_that_was_tried(no_vendor_tools: Path) -> None:
    message = (
        "Vitis HLS was not found (looked for vitis-run on PATH, vitis_hls on PATH, $XILINX_VITIS, "
        "$XILINX_HLS); "
        f"set CODESIGN_VITIS to its path; {ADVICE}"
    )
    with pytest.raises(ToolNotFoundError, match=f"^{re.escape(message)}$"):
        find_hls("Vitis")


def test_a_toolchain_has_what_was_asked_for(install_fake_tools) -> None:
    install_fake_tools("vitis_hls", "vivado").version("2022.2")
    both = find_toolchain("Vitis", hls=True, vivado=True)
    assert both.hls is not None
    assert both.vivado is not None
    assert both.versions == {"vitis_hls": "2022.2", "vivado": "2022.2"}
    only_vivado = find_toolchain("Vivado", hls=False, vivado=True)
    assert only_vivado.hls is None
    with pytest.raises(ToolNotFoundError, match=r"^Vivado HLS was not found"):
        find_toolchain("Vivado", hls=True, vivado=True)


def test_every_vendor_tool_can_be_overridden_by_its_own_variable() -> None:
    variables = [tool.variable for tool in VENDOR_TOOLS]
    assert len(set(variables)) == len(variables)
    assert all(name.startswith("CODESIGN_") for name in variables)
    assert {VITIS_RUN, VITIS_HLS, VIVADO_HLS, VIVADO} == set(VENDOR_TOOLS)


@pytest.mark.vendor
@pytest.mark.parametrize("tool", VENDOR_TOOLS, ids=lambda tool: tool.program)
def test_a_real_tool_prints_a_version_that_is_understood(tool: Tool) -> None:
    found = tool.search()
    if found is None:
        pytest.skip(f"{tool.label} is not installed here")
    assert re.fullmatch(r"20\d\d\.\d+(\.\d+)*", found.read_version())
    assert os.access(found.path, os.X_OK)
