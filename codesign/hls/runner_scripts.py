"""The Tcl that a build runs: hls4ml's own build script with one step switched on, and Vivado out of context.

Every step has a folder `codesign_build/<step>` in the project with all that it runs; the files that hls4ml
wrote are left as they are, so that the project still fits its manifest. Each script begins by going to the
project's folder, so it does not matter where the tool was started, and turns a Tcl error into an ERROR line
and exit code 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from codesign.core.target import Backend

HLS_OPTIONS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")
"""The switches of hls4ml's build script, in its order."""

# Vitis HLS refuses these; hls4ml catches the first, but Vitis 2026.1 counts every refused command as a failed run,
# and 2025.2 no longer knows -version. Neither changes the design: the first never took effect under Vitis, the
# second only numbers the exported IP.
_VITIS_EDITS = (
    (
        "catch {config_array_partition -maximum_size $maximum_size}",
        "# config_array_partition: Vivado HLS only",
    ),
    ("export_design -format ip_catalog -version $version", "export_design -format ip_catalog"),
)


def guarded(step: str, body: str) -> str:
    """Wrap Tcl commands: run in the project's folder, report a Tcl error as the vendor's tools do, and exit.

    Parameters
    ----------
    step
        The step's name, for the message.
    body
        Commands, one a line.
    """
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"""\
# written by codesign: the step {step}
cd [file normalize [file join [file dirname [info script]] .. ..]]
if {{[catch {{
{indented}
}} message]}} {{
    puts "ERROR: \\[codesign\\] {step}: $message"
    exit 1
}}
exit 0
"""


def hls_files(
    step: str, backend: Backend, switches: Mapping[str, bool], build_script: str, project_script: str
) -> dict[str, str]:
    """Write the files of one HLS step.

    Parameters
    ----------
    step
        The step's name, which names its folder.
    backend
        The project's back end; the Vitis one reads its switches from a file, the Vivado one from the
        arguments.
    switches
        Which of `HLS_OPTIONS` are on.
    build_script, project_script
        The text of the project's `build_prj.tcl` and `project.tcl`.

    Returns
    -------
    dict
        Text by path, relative to the project.
    """
    folder = f"codesign_build/{step}"
    values = {name: int(switches.get(name, False)) for name in HLS_OPTIONS}
    files = {f"{folder}/project.tcl": project_script}
    if backend == "Vitis":
        for old, new in _VITIS_EDITS:
            build_script = build_script.replace(old, new)
        lines = [f"    {name:<10} {value}" for name, value in values.items()]
        files[f"{folder}/build_opt.tcl"] = "\n".join(["array set opt {", *lines, "}", ""])
        arguments = "set ::argv {}"
    else:
        text = " ".join(f"{name}={value}" for name, value in values.items())
        arguments = f'set ::argv [list "{text}"]'
    files[f"{folder}/build_prj.tcl"] = build_script
    files[f"{folder}/run.tcl"] = guarded(step, f"{arguments}\nsource {folder}/build_prj.tcl")
    return files


def synthesis_files(top: str, part: str, clock_period_ns: float, verilog: str) -> dict[str, str]:
    """Write the files of Vivado synthesis, out of context, with the clock constraint.

    hls4ml's own script has neither: without a clock there is no timing, and in context every bit of the
    interface gets an I/O buffer, of which a part has some hundreds.
    """
    clock = f"create_clock -name ap_clk -period {clock_period_ns:.3f} [get_ports ap_clk]\n"
    return _out_of_context(top, part, f"add_files {verilog}", clock)


def rtl_synthesis_files(top: str, part: str, constraints: str) -> dict[str, str]:
    """Write the files of Vivado synthesis of open RTL, out of context, with its own constraints."""
    return _out_of_context(top, part, "read_verilog [glob src/*.v]", constraints)


def packaging_files(script: str) -> dict[str, str]:
    """Write the file that packages open RTL as an IP by its own script, which looks for its folder where it lies."""
    body = re.sub(r"^set here .*$", "set here [pwd]", script, flags=re.MULTILINE)
    return {"codesign_build/export/run.tcl": guarded("export", body)}


def _out_of_context(top: str, part: str, sources: str, constraints: str) -> dict[str, str]:
    folder = "codesign_build/vsynth"
    body = f"""\
create_project -in_memory -part {part}
{sources}
read_xdc -mode out_of_context {folder}/clock.xdc
synth_design -mode out_of_context -top {top} -part {part}
opt_design -retarget -propconst -sweep -bram_power_opt -shift_register_opt
{_reports("vivado_synth_opted")}
write_checkpoint -force {folder}/post_synth.dcp"""
    return {f"{folder}/run.tcl": guarded("vsynth", body), f"{folder}/clock.xdc": constraints}


def implementation_files() -> dict[str, str]:
    """Write the files of placing and routing what synthesis left."""
    body = f"""\
open_checkpoint codesign_build/vsynth/post_synth.dcp
place_design
phys_opt_design
route_design
{_reports("vivado_impl_routed")}
write_checkpoint -force codesign_build/impl/post_route.dcp"""
    return {"codesign_build/impl/run.tcl": guarded("impl", body)}


def _reports(stem: str) -> str:
    return f"""\
report_utilization -file {stem}.rpt
report_utilization -hierarchical -file {stem}_hierarchical.rpt
report_timing_summary -file {stem}_timing.rpt
report_power -file {stem}_power.rpt"""
