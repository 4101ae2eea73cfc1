"""A finished run as one HTML page: from what was asked to what the hardware does, without any other file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from codesign.comparison.certainty import binomial_error, number_error
from codesign.comparison.compare import Column, make_comparison
from codesign.comparison.entry import NETWORK, STEPS, Entry
from codesign.comparison.figures import Chart, bits_charts, use_charts
from codesign.comparison.forms import percent_text
from codesign.comparison.network_picture import network_boxes, network_svg
from codesign.comparison.page import render
from codesign.comparison.profile_charts import front_chart, profile_charts
from codesign.comparison.run_charts import (
    bin_charts,
    confusion_chart,
    labels_roc_chart,
    read_histories,
    residual_charts,
    roc_chart,
    scan_charts,
    score_chart,
    stage_chart,
    training_charts,
)
from codesign.comparison.sources import RUN, read_arrays, read_entry, read_summary, task_of
from codesign.comparison.summary import summarise
from codesign.core.files import read_json, write_text
from codesign.core.metrics import METRICS
from codesign.core.places import require_place
from codesign.core.shown import Brief
from codesign.core.task import Task
from codesign.core.text_table import counted, headed
from codesign.errors import OutputFolderError, ReportFormatError, SettingsError

_CARDS = (
    "test_accuracy",
    "test_r2",
    "test_quality",
    "test_rmse",
    "test_resolution",
    "test_auc",
    "test_efficiency",
    "average_weight_bits",
    "sparsity",
    "bops",
    "lut",
    "dsp",
    "latency_ns",
    "interval_cycles",
)
PAGE = "run.html"
"""Where the flow writes the page of a run that has ended."""

_MOST_CONFUSED = 30
"""More classes have no matrix."""


@dataclass(frozen=True)
class Card:
    """A number that the page begins with."""

    title: str
    value: str
    more: str
    about: str


@dataclass(frozen=True)
class ChartGroup(Brief):
    """Charts under a heading, with the anchor that the page's own links go to."""

    title: str
    anchor: str
    charts: tuple[Chart, ...]


def write_run_page(folder: str | Path, path: str | Path) -> Path:
    """Write the page of a finished run.

    Parameters
    ----------
    folder
        The run's folder.
    path
        A file ending with ``.html`` or ``.htm``.

    Raises
    ------
    SettingsError
        The path has another ending.
    ReportMissingError
        The run has not ended, or the folder is no run.
    ReportFormatError
        What the run left is damaged.
    OutputFolderError
        The file cannot be written.
    """
    path = Path(path)
    check_page(path)
    text = render_run(folder)
    try:
        return write_text(path, text)
    except OSError as error:
        raise OutputFolderError(
            f"{path} cannot be written ({error.strerror}); choose another file"
        ) from error


def check_page(path: Path) -> None:
    """Refuse a file that is no page, before any work."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"--output: {path} does not end in .html; a run is written as a page")
    require_place(path)


def render_run(folder: str | Path, made: datetime | None = None) -> str:
    """The page of a finished run, as text; see `write_run_page`."""
    folder = Path(folder)
    summary = read_summary(folder)
    entry = read_entry(folder, name=summary.get("design"))
    description = summarise(folder)
    try:
        boxes = tuple(network_boxes(folder, summary))
        sections = tuple(section for section in _sections(folder, summary, entry) if section.charts)
        return render(
            "run.html.j2",
            made,
            entry=entry,
            summary=summary,
            description=description,
            verdict=_verdict(summary, description.is_trustworthy),
            cards=tuple(_cards(entry)),
            asked=tuple(_asked(folder, summary)),
            boxes=boxes,
            network=network_svg(boxes),
            sections=sections,
            warnings=description.notes,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ReportFormatError(folder, "run", f"damaged ({error!r}); finish the run again") from error


def _verdict(summary: Mapping[str, Any], is_trustworthy: bool) -> tuple[str, str]:
    """What the page says first, and whether it is `good` or `bad`."""
    rungs = [rung for rung in summary["verification"]["rungs"] if rung["skipped"] is None]
    if not is_trustworthy:
        return "Not what was verified: see the warnings", "bad"
    if not rungs:
        return "Nothing was compared with the hardware", "bad"
    if any(rung["mismatches"] for rung in rungs):
        return "The hardware does not compute the network's numbers", "bad"
    samples = max(rung["samples"] for rung in rungs)
    names = ", ".join(rung["name"] for rung in rungs)
    return f"Bit-exact on {counted(samples, 'test sample', ',')}: {names}", "good"


def _cards(entry: Entry) -> Iterator[Card]:
    """The figures that matter, those of hardware at the stage that tells most."""
    for metric in _CARDS:
        found = [number for number in entry.numbers if number.metric == metric and number.step != "teacher"]
        if not found:
            continue
        number = max(found, key=lambda n: list(STEPS).index(n.step))
        error = number_error(number)
        more = "" if error is None else f" ± {METRICS[metric].text(error)}"
        about = STEPS[number.step].title
        if number.percent is not None:
            about = f"{percent_text(number.percent)} of the {entry.device} · {about}"
        if error is not None and number.count is not None:
            about = f"{counted(number.count, 'sample', ',')}, 95 % · {about}"
        yield Card(METRICS[metric].heading, METRICS[metric].text(number.value), more, about)


def _asked(folder: Path, summary: Mapping[str, Any]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The settings by section."""
    path = folder / RUN
    settings = read_json(path)["settings"] if path.is_file() else {"hardware": summary["target"]}
    plain = [(name, _as_typed(value)) for name, value in settings.items() if not isinstance(value, Mapping)]
    if plain:
        yield "design", tuple(plain)
    for name, values in settings.items():
        if isinstance(values, Mapping):
            yield name, tuple((key, _as_typed(value)) for key, value in values.items())


def _as_typed(value: Any) -> str:
    """A setting as a `design.yaml` or `--set` may have it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sections(folder: Path, summary: Mapping[str, Any], entry: Entry) -> Iterator[ChartGroup]:
    comparison = make_comparison([entry])
    yield ChartGroup("Quality from stage to stage", "quality", tuple(_stages(summary, entry)))
    yield ChartGroup("On the test samples", "samples", tuple(_samples(folder)))
    histories = read_histories(folder)
    yield ChartGroup("Training", "training", training_charts(histories) if histories else ())
    yield ChartGroup("The bit-width scan", "scan", tuple(_scan(folder)))
    front = folder / "quantization" / "front.json"
    yield ChartGroup("Learned widths", "front", (front_chart(read_json(front)),) if front.is_file() else ())
    yield ChartGroup("Bits by layer", "bits", tuple(bits_charts(comparison)))
    profile = folder / "verification" / "profile.json"
    rows = read_json(profile) if profile.is_file() else []
    yield ChartGroup("Values in their formats", "values", tuple(profile_charts(rows)))
    yield ChartGroup("Use of the part", "resources", tuple(use_charts(comparison)))


def _stages(summary: Mapping[str, Any], entry: Entry) -> Iterator[Chart]:
    """Every quality that the stages have, with the errors that follow from the number of samples."""
    for name, metric in METRICS.items():
        rows = [row for row in summary["stages"] if row.get(name) is not None]
        if metric.group != "quality" or len(rows) < 2:
            continue
        number = entry.number(name, NETWORK)
        count = None if number is None or number_error(number) is None else number.count
        values = [row[name] for row in rows]
        errors = [None if count is None else binomial_error((value, count)) for value in values]
        title = f"{headed(metric.title)} by stage"
        yield stage_chart(
            [row["stage"] for row in rows], values, errors, title, Column(name, NETWORK).about.heading
        )


def _samples(folder: Path) -> Iterator[Chart]:
    """What the kept outputs show: classes confused, signal against background, residuals."""
    test = read_arrays(folder / "verification" / "test.npz")
    if "outputs" not in test or "targets" not in test:
        return
    task = task_of(test)
    if task is not None and np.isfinite(test["outputs"]).all():
        yield from _task_charts(task, test["outputs"], test["targets"])


def _task_charts(task: Task, outputs: np.ndarray, targets: np.ndarray) -> Iterator[Chart]:
    """Those of one task, or of each head of several."""
    for head, one, own, given in task.each(targets, outputs):
        for picture in one.pictures:
            for chart in _PICTURES[picture](one, given, own):
                title = f"{head}: {chart.title[0].lower()}{chart.title[1:]}" if head else chart.title
                yield replace(chart, title=title)


def _confusion(task: Task, outputs: np.ndarray, targets: np.ndarray) -> Iterator[Chart]:
    if targets.max(initial=0) < len(task.names) <= _MOST_CONFUSED:
        yield confusion_chart(outputs, targets, task.names)


def _roc(task: Task, outputs: np.ndarray, targets: np.ndarray) -> Iterator[Chart]:
    if targets.max(initial=0) < len(task.names):
        yield from _known(roc_chart(outputs, targets, task.names))


def _separation(task: Task, outputs: np.ndarray, targets: np.ndarray) -> Iterator[Chart]:
    found = task.separation(targets, outputs)
    if found is not None:
        labels, scores, names = found
        yield from _known(labels_roc_chart(scores, labels, names))


def _distribution(task: Task, outputs: np.ndarray, targets: np.ndarray) -> Iterator[Chart]:
    found = task.separation(targets, outputs)
    if found is not None:
        labels, scores, _ = found
        yield score_chart(scores[:, 0], labels[:, 0], ("normal", "anomalous"), task.score_name)


def _residuals(task: Task, outputs: np.ndarray, targets: np.ndarray) -> Iterator[Chart]:
    offset, divisor = task.output_scaling
    truth, found = (values * divisor + offset for values in (targets.reshape(outputs.shape), outputs))
    yield from residual_charts(found, truth, task.names)


def _bins(task: Task, outputs: np.ndarray, targets: np.ndarray) -> Iterator[Chart]:
    yield from bin_charts(task.details(targets.reshape(outputs.shape), outputs)["targets"])


_PICTURES: Mapping[str, Callable[[Task, np.ndarray, np.ndarray], Iterator[Chart]]] = {
    "confusion": _confusion,
    "roc": _roc,
    "separation": _separation,
    "distribution": _distribution,
    "residuals": _residuals,
    "bins": _bins,
}
"""What a task may ask for in `Task.pictures`."""


def _known(chart: Chart | None) -> Iterator[Chart]:
    if chart is not None:
        yield chart


def _scan(folder: Path) -> Iterator[Chart]:
    path = folder / "scan" / "scan.json"
    if not path.is_file() or not (folder / RUN).is_file():
        return
    scan = read_json(path)
    asked = read_json(folder / RUN)["settings"]["scan"]
    cost = {"bops": "BOPs", "luts": "LUTs, estimated by alkaid"}.get(asked.get("cost"), "cost")
    yield from scan_charts(
        scan["trials"], scan["float_quality"], asked["tolerance"], scan.get("affine", ()), cost
    )
