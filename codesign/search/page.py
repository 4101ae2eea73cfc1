"""The result of a search as one page, as pictures for slides and as a table: proved points, and estimates marked as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from codesign.comparison.figures import (
    CARD,
    COLOURS,
    GOOD,
    SOFT,
    Chart,
    Label,
    chart_figure,
    hint,
    pareto_front,
    save,
    short_ticks,
)
from codesign.comparison.page import render
from codesign.core.files import write_text, write_with
from codesign.core.shown import Brief
from codesign.core.text_table import counted
from codesign.errors import OutputFolderError, SettingsError
from codesign.search.importance import Importance, importances
from codesign.search.ledger import ProofLine, TrialLine
from codesign.search.objectives import OBJECTIVES, Objective
from codesign.search.results import (
    Found,
    nearest_to_limits,
    number_text,
    objective_columns,
    trial_rows,
    trials_csv,
    value_text,
)

PAGE, TABLE = "result.html", "result.csv"

_Charts = tuple[list[Chart], list[Chart], list[Chart]]
"""Fronts, choices, and what matters: an importance grows a forest, so they are made once for page and pictures."""
_PICTURES = (".png", ".svg", ".pdf")

_MOST_HINTS = 400
"""Points with words under the pointer; more would make a page of megabytes."""

_MOST_LINES = 300
"""Lines of parallel coordinates; the front is always among them."""

_MOST_ROWS = 1000
"""Rows of the page's table; the rest is in the CSV."""


@dataclass(frozen=True)
class ResultCell:
    """One cell of the page's table: its words, what sorting goes by, where it leads."""

    text: str
    value: float | None = None
    link: str = ""
    state: str = ""
    hint: str = ""


@dataclass(frozen=True)
class ResultTable(Brief):
    """A table of the page."""

    title: str
    remark: str
    header: tuple[str, ...]
    rows: tuple[tuple[ResultCell, ...], ...]


def write_results(found: Found) -> Path:
    """Write page, table and pictures into the search's folder; the path of the page."""
    charts = _charts(found)
    for title, chart in _named_charts(charts):
        for suffix in (".png", ".svg"):
            _write_picture([chart], found.folder / "plots" / f"{title}{suffix}")
    write_text(found.folder / TABLE, trials_csv(found))
    return write_text(found.folder / PAGE, _rendered(found, charts))


def write_result(found: Found, path: str | Path) -> Path:
    """Write the result as a page, a table or one picture of all charts, by the path's ending.

    Raises
    ------
    SettingsError
        For another ending.
    OutputFolderError
        If the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix in (".html", ".htm"):
            return write_text(path, render_result(found))
        if suffix == ".csv":
            return write_text(path, trials_csv(found))
        if suffix in _PICTURES:
            charts = [chart for _, chart in _named_charts(_charts(found))]
            if not charts:
                raise SettingsError(f"--output {path}: there is nothing to draw yet")
            return _write_picture(charts, path)
    except OSError as error:
        raise OutputFolderError(
            f"{path} cannot be written ({error.strerror}); choose another file"
        ) from error
    raise SettingsError(f"--output: {path} must end in .html, .csv, .png, .svg or .pdf")


def render_result(found: Found, made: datetime | None = None) -> str:
    """The page, as text; it needs no other file, and links to the runs below the search's folder."""
    return _rendered(found, _charts(found), made)


def _rendered(found: Found, charts: _Charts, made: datetime | None = None) -> str:
    fronts, others, weights = charts
    lines = found.ledger.trials.values()
    states = [
        f"{sum(line.state == state for line in lines)} {state}" for state in ("complete", "pruned", "failed")
    ]
    settings = found.settings
    asked = [
        ("space", "; ".join(f"{name}: {_dimension_text(entry)}" for name, entry in settings.space.items())),
        ("constraints", "; ".join(settings.constraints) or "none"),
        ("objectives", ", ".join(f"{direction} {name}" for name, direction in settings.objectives.items())),
        ("limits", ", ".join(f"{name} {limit:g}" for name, limit in settings.limits.items()) or "none"),
        ("sampler", f"{settings.sampler.kind}, seed {settings.sampler.seed}"),
        ("seeds and folds", f"{found.about['seeds']} and {settings.folds}"),
        ("search", str(found.about["file"])),
    ]
    return render(
        "search.html.j2",
        made,
        name=found.design,
        facts=[counted(len(found.ledger.trials), "trial"), *states, settings.sampler.kind],
        notes=_notes(found),
        sections=[
            ("Quality against cost", fronts),
            ("Choices", others),
            ("What matters", weights),
        ],
        tables=_tables(found),
        asked=asked,
    )


def _notes(found: Found) -> list[str]:
    notes = []
    nearest = nearest_to_limits(found)
    if nearest:
        notes.append(nearest)
    unproved = [line.number for line in found.front if found.proof(line) is None]
    if unproved:
        notes.append(f"not proved, estimates alone, on the front: trial {', '.join(map(str, unproved[:10]))}")
    for number, proof in found.ledger.proofs.items():
        if proof.state == "refuted":
            notes.append(f"trial {number} is refuted and no result: {proof.reason.splitlines()[0]}")
    missing = {
        f"{what}: {why}" for proof in found.ledger.proofs.values() for what, why in proof.notes.items()
    }
    notes += [f"not run here, so not part of the proofs: {note}" for note in sorted(missing)]
    return notes


def _charts(found: Found) -> _Charts:
    complete = [line for line in found.ledger.trials.values() if line.state == "complete"]
    if not complete:
        return [], [], []
    columns = objective_columns(found)
    fronts = []
    if "quality" in columns:
        for name in columns:
            if name != "quality":
                fronts.append(_front_chart(found, complete, OBJECTIVES[name]))
    weights = [_importance_chart(one) for one in importances(found) if one.shares]
    return fronts, [_parallel_chart(found, complete)], weights


def _named_charts(charts: _Charts) -> Iterator[tuple[str, Chart]]:
    fronts, others, weights = charts
    for index, chart in enumerate(fronts):
        yield f"front-{index}", chart
    for chart in others:
        yield "parallel", chart
    for index, chart in enumerate(weights):
        yield f"importance-{index}", chart


def _write_picture(charts: Sequence[Chart], path: Path) -> Path:
    return write_with(path, lambda temporary: save(chart_figure(charts), temporary))


def _front_chart(found: Found, complete: Sequence[TrialLine], cost: Objective) -> Chart:
    """Quality against one cost: trials in grey, points of the front filled if proved, open if estimates."""
    quality = OBJECTIVES["quality"]
    on_front = {line.number for line in found.front}
    able = [line for line in complete if line.is_within_limits]
    stairs = _stairs([(line.values[cost.name], line.values["quality"]) for line in able])

    def draw(axes: Any) -> list[Label]:
        others = [line for line in complete if line.number not in on_front]
        xs = [line.values[cost.name] for line in others]
        ys = [line.values["quality"] for line in others]
        if len(others) > _MOST_HINTS:
            axes.scatter(xs, ys, s=10, color=SOFT, alpha=0.35, linewidths=0, rasterized=True)
        else:
            for line, x, y in zip(others, xs, ys, strict=True):
                (dot,) = axes.plot(x, y, "o", markersize=4, color=SOFT, alpha=0.45, linestyle="")
                dot.set_gid(hint(_words(found, line)))
        if stairs:
            axes.plot(
                *zip(*stairs, strict=True), drawstyle="steps-post", color=SOFT, linestyle="--", linewidth=1.2
            )
        labels = []
        for line in found.front:
            proof = found.proof(line)
            x, y = line.values[cost.name], line.values["quality"]
            axes.errorbar(
                x,
                y,
                xerr=line.spread.get(cost.name),
                yerr=line.spread.get("quality"),
                color=SOFT,
                linewidth=0.9,
            )
            (dot,) = axes.plot(
                x,
                y,
                marker="o",
                markersize=8,
                color=GOOD if proof is not None else COLOURS[1],
                markerfacecolor=GOOD if proof is not None else CARD,
                markeredgewidth=1.8,
                linestyle="",
            )
            dot.set_gid(hint(_words(found, line)))
            if proof is not None and cost.name == "luts" and "lut" in proof.values:
                (mark,) = axes.plot(
                    proof.values["lut"],
                    y,
                    marker="|",
                    markersize=10,
                    color=GOOD,
                    linestyle="",
                    markeredgewidth=1.6,
                )
                mark.set_gid(hint(f"trial {line.number}: {proof.values['lut']:,.0f} LUT counted by Yosys"))
            labels.append(Label(x, y, str(line.number)))
        costs = [line.values[cost.name] for line in complete]
        is_log = min(costs) > 0 and max(costs) / min(costs) >= 20
        axes.set_xscale("log" if is_log else "linear")
        axes.set_xlabel(cost.title)
        axes.set_ylabel(quality.title)
        short_ticks(axes.xaxis, is_log=is_log)
        short_ticks(axes.yaxis)
        return labels

    caption = (
        "Filled: on the front and proved by open RTL, C simulation and the ladder. Open: an estimate. "
        "Grey: other trials. Bars: deviation over seeds and folds."
    )
    if cost.name == "luts":
        caption += " Upright strokes: LUTs that Yosys counts of the same design."
    return Chart(f"Validation quality against {cost.title}", caption, draw)


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [points[index] for index in pareto_front(points)]


def _words(found: Found, line: TrialLine) -> str:
    values = ", ".join(f"{name} {number_text(line, name)}" for name in objective_columns(found))
    params = ", ".join(f"{name} {value_text(value)}" for name, value in line.params.items())
    return f"trial {line.number}: {values}; {params}"


def _parallel_chart(found: Found, complete: Sequence[TrialLine]) -> Chart:
    """One line a trial through its choices and values; the front in colour."""
    names = [*found.settings.space, *objective_columns(found)]
    front = {line.number for line in found.front}
    plain = [line for line in complete if line.number not in front]
    shown = [*plain[:: max(1, len(plain) // _MOST_LINES)], *found.front]

    def draw(axes: Any) -> list[Label]:
        scales = {name: _scale(found, complete, name) for name in names}
        for line in shown:
            places = [scales[name](line) for name in names]
            known = [(index, place) for index, place in enumerate(places) if place is not None]
            on_front = line.number in front
            (path,) = axes.plot(
                *zip(*known, strict=True),
                color=COLOURS[0] if on_front else SOFT,
                linewidth=1.5 if on_front else 0.6,
                alpha=0.9 if on_front else 0.3,
                zorder=3 if on_front else 2,
            )
            if on_front:
                path.set_gid(hint(_words(found, line)))
        axes.set_xticks(range(len(names)), [_axis_name(found, complete, name) for name in names], fontsize=8)
        axes.set_ylim(-0.06, 1.06)
        axes.set_yticks([0, 1], ["least", "most"])
        axes.grid(visible=True, axis="x")
        return []

    width = max(5.8, 1.2 * len(names))
    return Chart(
        "Parallel coordinates",
        "A line a trial; in colour the front. Each axis from its least to its largest value; categories side by side.",
        draw,
        min(width, 15.0),
        3.6,
        is_wide=width > 7.5,
    )


def _scale(found: Found, complete: Sequence[TrialLine], name: str) -> Any:
    """A function that places a trial on an axis, 0 to 1; ``None`` where it has no such value."""
    entry = found.settings.space.get(name)
    if entry is not None and entry.type == "categorical":
        choices = [repr(list(c) if isinstance(c, tuple) else c) for c in entry.choices]
        span = max(1, len(choices) - 1)
        return lambda line: choices.index(repr(line.params[name])) / span if name in line.params else None

    def value(line: TrialLine) -> float | None:
        found_value = line.params.get(name) if entry is not None else line.values.get(name)
        return None if found_value is None else float(found_value)

    values = [number for line in complete if (number := value(line)) is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)

    def place(line: TrialLine) -> float | None:
        number = value(line)
        return None if number is None else (number - low) / ((high - low) or 1.0)

    return place


def _axis_name(found: Found, complete: Sequence[TrialLine], name: str) -> str:
    short = name.rpartition(".")[2]
    entry = found.settings.space.get(name)
    if entry is not None and entry.type == "categorical":
        return f"{short}\n{', '.join(map(str, entry.choices))}"
    source = [line.params if entry is not None else line.values for line in complete]
    values = [float(one[name]) for one in source if name in one]
    return f"{short}\n{min(values):.4g} to {max(values):.4g}" if values else short


def _importance_chart(importance: Importance) -> Chart:
    objective = OBJECTIVES[importance.objective]
    names = list(importance.shares)[::-1]

    def draw(axes: Any) -> list[Label]:
        for row, name in enumerate(names):
            share = importance.shares[name]
            (bar,) = axes.barh(row, share, 0.7, color=COLOURS[0])
            bar.set_gid(hint(f"{name}: {share:.1%}"))
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("share of what the choices explain")
        axes.grid(visible=False, axis="y")
        return []

    caption = (
        f"How much of the variation of this value each choice explains, by a forest on {importance.n_trials} trials that "
        f"predicts trials it has not seen with R2 = {importance.r2:.2f}."
    )
    if importance.r2 < 0.3:
        caption += " That is little: do not read much into the order."
    return Chart(f"Importance for {objective.title}", caption, draw, height=1.1 + 0.3 * len(names))


def _tables(found: Found) -> list[ResultTable]:
    columns = objective_columns(found)
    header = (
        "trial",
        "",
        *(name.removeprefix("student.") for name in found.settings.space),
        *(OBJECTIVES[name].title for name in columns),
        "LUT (Yosys)",
        "latency (cycles)",
        "s",
    )
    rows = list(trial_rows(found))
    front = [row for row in rows if row[2]]
    shown = sorted(rows, key=lambda row: (not row[2], row[0].state != "complete", row[0].number))[:_MOST_ROWS]
    remark = "Each number leads to the page of the trial's run. A heading sorts."
    if len(rows) > len(shown):
        remark += f" {len(rows) - len(shown)} further trials are in {TABLE}."
    return [
        ResultTable(
            "The front",
            "Proved points have been through the whole chain.",
            header,
            tuple(_rows(found, front)),
        ),
        ResultTable("All trials", remark, header, tuple(_rows(found, shown))),
    ]


def _rows(
    found: Found, rows: Sequence[tuple[TrialLine, ProofLine | None, bool]]
) -> Iterator[tuple[ResultCell, ...]]:
    columns = objective_columns(found)
    for line, proof, _ in rows:
        state = line.state if line.state != "complete" else proof.state if proof is not None else "estimate"
        why = line.reason or (proof.reason if proof is not None else "")
        if not why and line.of is not None:
            why = f"another point of the training of trial {line.of}"
        hardware: Mapping[str, float] = {} if proof is None else proof.values
        yield (
            ResultCell(str(line.number), line.number, _link(found, line, proof)),
            ResultCell(state, state=state, hint=why),
            *(_choice_cell(line.params.get(name)) for name in found.settings.space),
            *(ResultCell(number_text(line, name), line.values.get(name)) for name in columns),
            *(
                ResultCell(f"{hardware[name]:,.0f}" if name in hardware else "", hardware.get(name))
                for name in ("lut", "latency_cycles")
            ),
            ResultCell(f"{line.seconds:.0f}", line.seconds),
        )


def _choice_cell(value: Any) -> ResultCell:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return ResultCell("" if value is None else value_text(value), float(value) if is_number else None)


def _link(found: Found, line: TrialLine, proof: ProofLine | None) -> str:
    """The page of a trial's run, else its folder, seen from the page."""
    folder = proof.folder if proof is not None else f"runs/{line.number:05}"
    page = f"{folder}/run.html"
    if (found.folder / page).is_file():
        return page
    return f"{folder}/" if (found.folder / folder).is_dir() else ""


def _dimension_text(entry: Any) -> str:
    if entry.type == "categorical":
        text = ", ".join(map(str, entry.choices))
    else:
        step = f" by {entry.step:g}" if entry.step else " (log)" if entry.log else ""
        text = f"{entry.low:g} to {entry.high:g}{step}"
    return text + (f" when {entry.when}" if entry.when else "")
