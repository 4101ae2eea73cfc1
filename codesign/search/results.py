"""What a search found, as tables: its trials, its front, where it stands, and the design that is best for a budget."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from codesign.core.files import write_text
from codesign.core.locks import Owner
from codesign.core.sealed import whole_folder
from codesign.core.shown import Brief
from codesign.core.text_table import TextTable, counted
from codesign.core.yaml_text import read_yaml
from codesign.errors import NotVerifiedError, OutputFolderError, SearchError, SettingsError
from codesign.search.front import result_front
from codesign.search.ledger import Ledger, ProofLine, TrialLine, read_about, read_progress
from codesign.search.objectives import OBJECTIVES
from codesign.search.settings import SearchSettings
from codesign.search.space import Space
from codesign.settings import make_settings, set_value

PROVED, ESTIMATE = "proved", "estimate"


@dataclass(frozen=True)
class Found(Brief):
    """A search's folder, read.

    Parameters
    ----------
    folder
        The search's.
    about
        What it is of.
    settings
        Its settings.
    ledger
        What is known.
    front
        The points that no other dominates, those refuted left out.
    """

    folder: Path
    about: Mapping[str, Any]
    settings: SearchSettings
    ledger: Ledger
    front: tuple[TrialLine, ...]

    @property
    def design(self) -> str:
        """The name of the design's folder."""
        return Path(self.about["design"]).name

    def proof(self, line: TrialLine) -> ProofLine | None:
        """The proof of a trial, if it is proved."""
        proof = self.ledger.proofs.get(line.number)
        return proof if proof is not None and proof.state == "proved" else None


def read_found(folder: str | Path) -> Found:
    """Read a search's folder, whether it still runs or not.

    Raises
    ------
    StaleProjectError
        If it is no search, or damaged.
    """
    folder = Path(folder)
    if not (folder / "search.json").is_file() and (folder / "search" / "search.json").is_file():
        folder = folder / "search"
    about = read_about(folder)
    settings = make_settings(SearchSettings, about["settings"], folder / "search.json")
    ledger = Ledger(folder)
    return Found(folder, about, settings, ledger, tuple(result_front(ledger, settings.objectives)))


def status_tables(found: Found) -> tuple[list[TextTable], list[str]]:
    """Where a search stands: counts, what runs where and since when, failures, the front, and notes."""
    said = read_progress(found.folder)
    lines = found.ledger.trials.values()
    counts = {state: sum(line.state == state for line in lines) for state in ("complete", "pruned", "failed")}
    is_running = bool(said) and not said.get("ended") and _is_alive(said)
    rows = [(state, str(count)) for state, count in counts.items()]
    further = sum(line.of is not None for line in lines)
    rows += [("further points among them", str(further))] if further else []
    rows.append(("running", str(len(said.get("running", ()))) if is_running else "0"))
    budget = found.settings.budget
    rows.append(("budget", _budget_text(budget)))
    rows.append(("spent", _duration(said.get("spent_s", 0.0))))
    if is_running and said.get("left_s") is not None:
        rows.append(("left, about", _duration(said["left_s"])))
    tables = [TextTable(f"Search in {found.folder}", ("trials", ""), tuple(rows))]
    if is_running and said["running"]:
        running = tuple((row["unit"], row["worker"], _duration(row["for_s"])) for row in said["running"])
        tables.append(TextTable("Running", ("run", "worker", "for"), running))
    failed = [line for line in lines if line.state == "failed"]
    if failed:
        rows_failed = tuple((str(line.number), line.reason.split("\n")[0]) for line in failed)
        tables.append(TextTable("Failed", ("trial", "why"), rows_failed))
    tables.append(front_table(found))
    return tables, status_notes(found, said, is_running)


def status_notes(found: Found, said: Mapping[str, Any], is_running: bool) -> list[str]:
    """What there is to say beside the tables."""
    notes = []
    if is_running and said.get("dashboard"):
        notes.append(f"Dask's dashboard: {said['dashboard']}")
    if not is_running and said and not said.get("ended"):
        notes.append("the search was cut off; the same command goes on")
    nearest = nearest_to_limits(found)
    if nearest:
        notes.append(nearest)
    notes += [
        f"trial {number} was on the front and is refuted: {proof.reason.splitlines()[0]}"
        for number, proof in found.ledger.proofs.items()
        if proof.state == "refuted"
    ]
    unproved = [line for line in found.front if found.proof(line) is None]
    if unproved and found.settings.proof:
        notes.append(
            f"on the front {counted(len(unproved), 'point')} so far by estimates alone; they are proved when the budget is used"
        )
    return notes


def nearest_to_limits(found: Found) -> str | None:
    """A sentence for limits that no trial meets, with the nearest one."""
    complete = [line for line in found.ledger.trials.values() if line.state == "complete"]
    if not complete or any(line.is_within_limits for line in complete):
        return None
    nearest = min(complete, key=lambda line: max(line.violations.values()))
    missed = ", ".join(
        f"{name} {OBJECTIVES[name].form.format(nearest.values[name])} for a limit of {found.settings.limits[name]:g}"
        for name, by in nearest.violations.items()
        if by > 0
    )
    return f"no trial meets the limits; the nearest is trial {nearest.number}: {missed}"


def front_table(found: Found) -> TextTable:
    """The front, each point proved or marked as an estimate."""
    names = objective_columns(found)
    header = (
        "trial",
        *found.settings.space,
        *(OBJECTIVES[name].title for name in names),
        "",
        "LUT",
        "latency (cycles)",
    )
    rows = []
    for line in found.front:
        proof = found.proof(line)
        hardware = (
            ["", ""]
            if proof is None
            else [
                f"{proof.values[name]:,.0f}" if name in proof.values else ""
                for name in ("lut", "latency_cycles")
            ]
        )
        rows.append(
            (
                str(line.number) if line.of is None else f"{line.number}, of {line.of}",
                *(value_text(line.params.get(name, "")) for name in found.settings.space),
                *(number_text(line, name) for name in names),
                ESTIMATE if proof is None else PROVED,
                *hardware,
            )
        )
    return TextTable("Front", header, tuple(rows))


def value_text(value: Any) -> str:
    """A choice as words."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def number_text(line: TrialLine, name: str) -> str:
    """A value with its deviation over seeds and folds, where there are several."""
    if name not in line.values:
        return ""
    form = OBJECTIVES[name].form
    spread = f" ± {form.format(line.spread[name])}" if line.spread.get(name) else ""
    return form.format(line.values[name]) + spread


def trials_csv(found: Found) -> str:
    """Every trial as a line of CSV."""
    names = objective_columns(found)
    proved = ("lut", "ff", "latency_cycles", "latency_ns", "validation_quality")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spreads = [f"{name}_spread" for name in names]
    writer.writerow(
        ["trial", "of", "state", *found.settings.space, *names, *spreads, "front", "proof"]
        + [f"proved_{name}" for name in proved]
        + ["seconds", "reason"]
    )
    for line, proof, on_front in trial_rows(found):
        values = {} if proof is None else proof.values
        writer.writerow(
            [line.number, "" if line.of is None else line.of, line.state]
            + [line.params.get(name, "") for name in found.settings.space]
            + [line.values.get(name, "") for name in names]
            + [line.spread.get(name, "") for name in names]
            + [int(on_front), ESTIMATE if proof is None else proof.state]
            + [values.get(name, "") for name in proved]
            + [line.seconds, line.reason]
        )
    return text.getvalue()


def choose_best(
    found: Found, *, budget_luts: float | None = None, quality: float | None = None
) -> tuple[TrialLine, ProofLine | None]:
    """The point of the front with the best quality for a number of LUTs, or with the fewest LUTs for a quality.

    LUTs are those counted of the open RTL where a point is proved, else the estimate.

    Raises
    ------
    SettingsError
        If not exactly one of both is given, or the search did not look at it.
    SearchError
        If no point reaches it; says the nearest.
    """
    if (budget_luts is None) == (quality is None):
        raise SettingsError("give --budget-luts or --quality, one of them")
    missing = [
        name
        for name in ("quality", "luts")
        if name not in [*found.settings.objectives, *found.settings.limits]
    ]
    if missing:
        raise SettingsError(f"objectives: the search did not look at {missing[0]}, which decides here")
    if not found.front:
        why = (
            nearest_to_limits(found) or "there is no result yet; codesign search status says where it stands"
        )
        raise SearchError(f"{found.folder}: {why}")
    points = [(line, found.proof(line)) for line in found.front]
    if found.settings.proof:
        points = [point for point in points if point[1] is not None]
        if not points:
            raise NotVerifiedError(
                f"{found.folder}: no point of the front is proved yet; let the search run to its end"
            )

    def luts(point: tuple[TrialLine, ProofLine | None]) -> float:
        line, proof = point
        return line.values["luts"] if proof is None else proof.values.get("lut", line.values["luts"])

    def reached(point: tuple[TrialLine, ProofLine | None]) -> float:
        return point[0].values["quality"]

    if budget_luts is not None:
        able = [point for point in points if luts(point) <= budget_luts]
        if not able:
            least = min(points, key=luts)
            raise SearchError(
                f"--budget-luts {budget_luts:g}: the smallest point of the front, trial {least[0].number}, takes "
                f"{luts(least):,.0f} LUTs at quality {reached(least):.4f}"
            )
        return max(able, key=lambda point: (reached(point), -luts(point)))
    able = [point for point in points if quality is not None and reached(point) >= quality]
    if not able:
        most = max(points, key=reached)
        raise SearchError(
            f"--quality {quality:g}: the best point of the front, trial {most[0].number}, reaches {reached(most):.4f} with "
            f"{luts(most):,.0f} LUTs"
        )
    return min(able, key=lambda point: (luts(point), -reached(point)))


def write_best(found: Found, line: TrialLine, folder: str | Path) -> Path:
    """Write a trial as a design's folder that `codesign run` repeats to the same numbers.

    Parameters
    ----------
    found
        The search.
    line
        The trial.
    folder
        The design's folder; must not be there.

    Raises
    ------
    OutputFolderError
        If the folder is there already.
    """
    folder = Path(folder)
    if folder.exists():
        raise OutputFolderError(f"{folder} is there already; give another with --output")
    design = Path(found.about["design"])
    values = read_yaml((design / "design.yaml").read_text(encoding="utf-8"), design / "design.yaml")
    # those of the trial's first run, which is the one that is proved
    own = Space(found.settings).overrides(line.params, found.about["seeds"][0])
    overrides = {**found.about["overrides"], **own}
    for dotted, value in overrides.items():
        set_value(values, dotted, value)
    _place_files(values, design, folder)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", folder.name):
        values["name"] = folder.name
    proof = found.proof(line)
    head = [
        f"# Trial {line.number} of a search of {design.name}: "
        + ", ".join(f"{name} {OBJECTIVES[name].form.format(value)}" for name, value in line.values.items())
    ]
    if proof is not None:
        head.append("# proved: " + ", ".join(f"{name} {value:,.6g}" for name, value in proof.values.items()))
    with whole_folder(folder) as made:
        shutil.copyfile(design / "networks.py", made / "networks.py")
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        write_text(made / "design.yaml", "\n".join(head) + "\n" + text)
    return folder


def _place_files(values: dict[str, Any], design: Path, folder: Path) -> None:
    """Paths that were seen from the old folder, seen from the new one."""

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: moved(path) for name, path in value.items()}
        if isinstance(value, list):
            return [moved(path) for path in value]
        path = Path(str(value)).expanduser()
        if not path.is_absolute() and (design / path).exists():
            return os.path.relpath(design / path, folder)
        return value

    data, teacher = values.get("data", {}), values.get("teacher", {})
    if "source" in data:
        data["source"] = moved(data["source"])
    for name in ("file", "files"):
        if isinstance(teacher, dict) and teacher.get(name):
            teacher[name] = moved(teacher[name])


def trial_rows(found: Found) -> Iterator[tuple[TrialLine, ProofLine | None, bool]]:
    """Every trial with its proof and whether it is on the front, by number."""
    front = {line.number for line in found.front}
    for number, line in sorted(found.ledger.trials.items()):
        yield line, found.ledger.proofs.get(number), number in front


def objective_columns(found: Found) -> Sequence[str]:
    """The numbers that every complete trial has."""
    return [*dict.fromkeys([*found.settings.objectives, *found.settings.limits])]


def _is_alive(said: Mapping[str, Any]) -> bool:
    """Whether the search's process is there; one on another machine is believed."""
    try:
        return Owner(**said["owner"]).fate() != "gone"
    except (KeyError, TypeError):
        return False


def _budget_text(budget: Any) -> str:
    parts = [
        counted(budget.trials, "trial") if budget.trials else "",
        f"{budget.hours:g} h" if budget.hours else "",
    ]
    return " or ".join(part for part in parts if part) or "the whole grid"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min"
        if hours
        else f"{minutes} min {rest:02} s"
        if minutes
        else f"{seconds:.0f} s"
    )
