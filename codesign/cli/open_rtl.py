"""`codesign rtl`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.projects import project_of


def rtl(
    folder: Annotated[Path, typer.Argument(help="An HLS project, or a run's folder.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The folder of the Verilog; else build_rtl in the project."),
    ] = None,
    clock_period: Annotated[
        float | None, typer.Option(help="In ns; else the project's.", min=0.5, max=1000.0)
    ] = None,
    part: Annotated[str | None, typer.Option(help="A Xilinx part; else the project's.")] = None,
    top: Annotated[
        str | None,
        typer.Option(help="The top module, with which all modules' names begin; else the project's."),
    ] = None,
    ports: Annotated[
        str, typer.Option(help="fixed: a value has the bits of its type; packed: those that the logic has.")
    ] = "fixed",
    control: Annotated[
        str, typer.Option(help="none, valid (valid bits) or ready (valid and ready, as AXI4-Stream).")
    ] = "none",
    reset: Annotated[str, typer.Option(help="A synchronous reset: none, high or low active.")] = "none",
    outputs: Annotated[
        str,
        typer.Option(help="logits, or decisions: the class that they decide on, the first of equal ones."),
    ] = "logits",
    count: Annotated[
        bool, typer.Option("--count/--no-count", help="Count cells with Yosys; without it, exit code 3.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace Verilog that is there.")] = False,
    limit: Annotated[
        float | None, typer.Option(help="Minutes that it may take, by an estimate; else 10.", min=0.0)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever the estimate says.")] = False,
) -> None:
    """Write a project's network as pipelined Verilog, without vendor tools, and say what it takes.

    Every layer is unrolled and takes a new sample each clock. `codesign verify --rungs rtl` simulates what lies in the
    project's own folder.
    """
    from codesign.comparison.summary import rtl_table
    from codesign.core.target import Interface
    from codesign.errors import NotVerifiedError, StaleProjectError, ToolError
    from codesign.rtl import RtlProject, open_rtl, synthesise
    from codesign.rtl.estimate import LIMIT_MINUTES
    from codesign.terminal import progress, say, show_tables
    from codesign.verification.rungs import OWN_RTL, write_project_rtl

    interface = Interface.of(ports, control, reset, outputs)
    project = project_of(folder)
    place = project.folder / OWN_RTL if output is None else output
    period = project.target.clock_period_ns if clock_period is None else clock_period
    chosen_part = project.target.part if part is None else part
    chosen_top = project.top if top is None else top
    written: RtlProject | None = None
    if not overwrite:  # what an interrupted command had written stands
        with contextlib.suppress(StaleProjectError):
            written = open_rtl(place)
    if (
        written is None
        or not written.is_of(project.graph().digest, chosen_part, period)
        or (written.top, written.interface) != (chosen_top, interface)
    ):
        with progress() as shown:
            written = write_project_rtl(
                project,
                place,
                clock_period_ns=period,
                part=chosen_part,
                top=chosen_top,
                interface=interface,
                overwrite=overwrite,
                limit_minutes=None if force else LIMIT_MINUTES if limit is None else limit,
                progress=shown,
            )
    metrics = written.figures()
    not_counted: ToolError | None = None
    if count:
        try:
            metrics |= synthesise(written).to_dict()
        except ToolError as reason:
            not_counted = reason
    reuse = max(int(node.attributes.get("reuse_factor") or 1) for node in project.graph())
    show_tables([rtl_table(metrics, written.part, reuse)], [])
    say(f"The Verilog is in {written.folder}; README.md there is its data sheet")
    if not_counted is not None:
        raise NotVerifiedError(f"not run, though asked for:\n  - Yosys: {not_counted}")
