"""`codesign front`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.long_work import resumable
from codesign.cli.results import end_run


def front(
    run: Annotated[Path, typer.Argument(help="The folder of a run with learned widths.")],
    pick: Annotated[
        float | None, typer.Option(min=1.0, help="Build the best point of at most so many LUTs.")
    ] = None,
    latency_ns: Annotated[
        float | None, typer.Option(min=0.1, help="With --pick: of at most so many ns from input to output.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="With --pick: the new run's folder; else RUN-PICK.")
    ] = None,
) -> None:
    """Show the front of quality against LUTs that a run learned, or build another point of it without training."""
    from codesign.compression.learned.front import Front
    from codesign.stages import open_run
    from codesign.terminal import progress, say, show_tables

    found = Front.load(run / "quantization")
    built = _built(run)
    if pick is None:
        show_tables(
            [_table(run, found, built)],
            [f"codesign front {shlex.quote(str(run))} --pick LUTS builds another point"],
        )
        return
    # before anything is copied
    point = found.choose(budget_luts=pick)
    if output is None and latency_ns is None and point.luts == built:
        say(
            f"The best point of at most {pick:,.0f} LUTs is the one that {run} is built of, with {built:,.0f}; there is "
            "nothing to build."
        )
        return
    folder = output if output is not None else run.with_name(f"{run.name}-{pick:g}")
    context = open_run(run)
    from codesign.flow import run_design, take_stages

    take_stages(run, folder, until="quantization")

    with resumable("the finished stages are kept"), progress() as shown:
        result = run_design(
            context.design,
            output=folder,
            overrides=_picked(context.settings, pick, latency_ns),
            overwrite=True,
            progress=shown,
        )
    end_run(result)


def _built(run: Path) -> float | None:
    """The LUTs of the point of the front that a run is built of, before any polish; `None` where nobody knows."""
    from codesign.run_folder import RunFolder

    evidence = RunFolder(run).evidence("quantization")
    if evidence is None:
        return None
    metrics = evidence.record.metrics
    luts: float | None = metrics.get("polish", {}).get("luts_before", metrics.get("estimated_luts"))
    return luts


def _table(run: Path, found: Any, built: float | None) -> Any:
    from codesign.core.text_table import TextTable

    rows = tuple(
        (
            f"{point.luts:,.0f}",
            f"{point.quality:.4f}",
            f"{point.test_quality:.4f}",
            "built" if point.luts == built else "",
        )
        for point in found.points
    )
    columns = ("LUTs (alkaid)", f"validation {found.measure}", f"test {found.measure}", "")
    return TextTable(f"The front of {run}; float student {found.reference:.4f} on validation", columns, rows)


def _picked(settings: Any, luts: float, latency_ns: float | None) -> dict[str, Any]:
    """The settings of the run, with another point."""
    sections = settings.model_dump(mode="json")
    sections["quantization"]["learned"] |= {
        "budget_luts": luts,
        "quality_loss": None,
        "latency_ns": latency_ns,
    }
    return sections
