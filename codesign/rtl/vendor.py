"""What Vivado needs of the Verilog: constraints out of context, and a script that packages an IP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codesign.core.files import write_text
from codesign.core.target import Interface
from codesign.rtl.packing import Port

PACKAGE = "vivado.tcl"


def write_vendor_files(
    folder: Path,
    top: str,
    part: str,
    clock_period_ns: float,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    interface: Interface,
) -> None:
    """Write ``src/<top>.xdc`` and `vivado.tcl`.

    Parameters
    ----------
    folder
        The RTL project.
    top, part, clock_period_ns, inputs, outputs, interface
        Of the Verilog.
    """
    names = {
        way: [f"{port.signal}[*]" for port in ports if port.width]
        for way, ports in (("input", inputs), ("output", outputs))
    }
    for name, way, _ in interface.controls():
        if name != "clk":
            names[way].insert(0, name)
    write_text(folder / "src" / f"{top}.xdc", _constraints(clock_period_ns, names["input"], names["output"]))
    write_text(folder / PACKAGE, _package(top, part, clock_period_ns, interface))


def _constraints(clock_period_ns: float, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """A clock with 10 % uncertainty, and 20 to 40 % of it spent outside."""
    lines = [
        "# Out of context: the clock, and what the logic around the block takes of it.",
        f"set clock_period {clock_period_ns}",
        "create_clock -name clk -period $clock_period [get_ports clk]",
        "set_clock_uncertainty -setup [expr {0.1 * $clock_period}] [get_clocks clk]",
    ]
    for kind, names in (("input", inputs), ("output", outputs)):
        ports = " ".join(names)
        for end, share in (("max", 0.4), ("min", 0.2)):
            lines.append(
                f"set_{kind}_delay -clock clk -{end} [expr {{{share} * $clock_period}}] [get_ports {{{ports}}}]"
            )
    return "\n".join(lines) + "\n"


def _package(top: str, part: str, clock_period_ns: float, interface: Interface) -> str:
    """The script that packages an IP, by the commands of UG1118."""
    bus = [
        "ipx::infer_bus_interface clk xilinx.com:signal:clock_rtl:1.0 $core",
        'ipx::add_bus_parameter FREQ_HZ [ipx::get_bus_interfaces clk -of_objects $core]',
        "set_property value [expr {round(1e9 / $clock_period)}] [ipx::get_bus_parameters FREQ_HZ -of_objects "
        "[ipx::get_bus_interfaces clk -of_objects $core]]",
    ]  # fmt: skip
    if reset := interface.reset_signal:
        polarity = "ACTIVE_LOW" if interface.reset == "low" else "ACTIVE_HIGH"
        bus += [
            f"ipx::infer_bus_interface {reset} xilinx.com:signal:reset_rtl:1.0 $core",
            f"set_property value {polarity} [ipx::add_bus_parameter POLARITY "
            f"[ipx::get_bus_interfaces {reset} -of_objects $core]]",
        ]
    return "\n".join(
        [
            f"# Packages {top} as an IP: vivado -mode batch -source vivado.tcl",
            "set here [file dirname [file normalize [info script]]]",
            f'set part "{part}"',
            f"set clock_period {clock_period_ns}",
            "create_project -in_memory -part $part",
            "read_verilog [glob $here/src/*.v]",
            f"set_property top {top} [current_fileset]",
            "ipx::package_project -root_dir $here/ip -vendor codesign -library networks -taxonomy /UserIP -import_files "
            "-force",
            "set core [ipx::current_core]",
            f"set_property name {top} $core",
            f"set_property display_name {top} $core",
            "set_property version 1.0 $core",
            "set_property supported_families {} $core",
            *bus,
            "ipx::create_xgui_files $core",
            "ipx::update_checksums $core",
            "ipx::check_integrity $core",
            "ipx::save_core $core",
            "",
        ]
    )
