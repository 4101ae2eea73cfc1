"""The bit-width scan: number formats chosen by data, without an overflow, at the least cost."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codesign.compression.formats import INPUT, Ranges, Widths, measure_ranges, precision_of, uniform_widths
from codesign.compression.scan_trials import TrialRunner
from codesign.compression.students import AnyStudent
from codesign.core.files import read_json, write_json, write_text
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.record import Record
from codesign.data import Dataset
from codesign.errors import DataError, ScanError
from codesign.networks.description import Network
from codesign.networks.prepare import prepare_for_quantization
from codesign.settings import ScanSettings
from codesign.training.evaluate import QUALITIES, Quality, accuracy

Phase = Literal["uniform", "layers"]


@dataclass(frozen=True)
class Trial:
    """One candidate of the scan.

    Parameters
    ----------
    phase
        ``uniform``: the same width everywhere; ``layers``: one tensor narrower than in the best map so far.
    layer, tensor
        What was made narrower, ``None`` in the uniform phase.
    bits
        Its width; the width of every tensor in the uniform phase.
    quality
        On the validation part.
    overflows
        How many values wrapped or saturated on the calibration set.
    cost
        BOPs.
    accepted
        Whether the scan went on from it.
    """

    phase: Phase
    layer: str | None
    tensor: str | None
    bits: int
    quality: float
    overflows: int
    cost: float
    accepted: bool = False


@dataclass(frozen=True)
class ScanResult:
    """What the scan chose, and everything it tried.

    Parameters
    ----------
    precision
        The formats, keyed by the layers of the prepared network.
    trials
        Every candidate, in order.
    float_quality
        The quality without quantization, on the validation part.
    quality
        The quality of `precision` without further training.
    record
        The stage's evidence.
    """

    precision: PrecisionMap
    trials: tuple[Trial, ...]
    float_quality: float
    quality: float
    record: Record

    def save(self, folder: Path) -> None:
        """Write the map as JSON, the trials as CSV and both qualities into a folder."""
        self.precision.save(folder / "precision_map.json")
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Trial)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(trial) for trial in self.trials)
        write_text(folder / "trials.csv", text.getvalue())
        write_json(
            folder / "scan.json",
            {
                "float_quality": self.float_quality,
                "quality": self.quality,
                "trials": [asdict(trial) for trial in self.trials],
            },
        )

    @classmethod
    def load(cls, folder: Path, record: Record) -> ScanResult:
        """Read what `save` wrote."""
        kept: dict[str, Any] = read_json(folder / "scan.json")
        trials = tuple(Trial(**trial) for trial in kept["trials"])
        precision = PrecisionMap.load(folder / "precision_map.json")
        return cls(precision, trials, kept["float_quality"], kept["quality"], record)


def scan_bit_widths(
    student: AnyStudent,
    dataset: Dataset,
    settings: ScanSettings,
    *,
    quality: Quality | None = None,
    progress: Progress = SILENT,
) -> ScanResult:
    """Choose every tensor's number format.

    Integer bits come first: from the extremes on a calibration set, so that nothing overflows there; accumulators
    are as wide as the worst case needs. Then fractional bits fall: for all tensors at once down to the last width
    whose quality is within the tolerance of the float network's, then tensor by tensor (input, weights and
    activations apart), each time the one that saves most cost for the quality that it loses, until none can go.

    Parameters
    ----------
    student
        A trained float student, pruned or not; unchanged.
    dataset
        Calibration is drawn from its train part; quality is measured on its validation part.
    settings
        Quality, tolerance, margin, limits.
    quality
        A user's own `(labels, logits) -> quality`, higher is better, instead of the one that the settings name.
    progress
        Told of every trial.

    Raises
    ------
    DataError
        If the calibration set is empty or not finite.
    ScanError
        If not even `settings.most_bits` everywhere is within the tolerance; says the best that was found.
    """
    started = time.monotonic()
    network = prepare_for_quantization(student.network)
    calibration = dataset.calibration(min(settings.calibration_samples, len(dataset.x_train)))
    search = _Search(
        network, calibration, dataset, settings, quality or QUALITIES[settings.quality], progress
    )
    precision, reached = search.run()
    metrics = {
        "float_quality": search.float_quality,
        "quality": reached,
        "validation_accuracy": accuracy(dataset.y_validation, search.runner.logits(precision)),
        "test_accuracy": accuracy(dataset.y_test, search.runner.logits_of(precision, dataset.x_test)),
        "average_weight_bits": precision.average_bits("weight"),
        "bops": search.runner.cost(precision),
        "trials": len(search.trials),
        "seconds_per_trial": search.trial_seconds / max(1, len(search.trials)),
        "sparsity": student.network.sparsity,
        "parameters": network.n_parameters,
    }
    record = Record(
        "scan",
        settings.model_dump(mode="json"),
        0,
        {"student": student.record.digest, "dataset": dataset.digest},
        precision.digest,
        metrics,
        time.monotonic() - started,
    )
    return ScanResult(precision, tuple(search.trials), search.float_quality, reached, record)


class _Search:
    """The state of one scan."""

    def __init__(
        self,
        network: Network,
        calibration: np.ndarray,
        dataset: Dataset,
        settings: ScanSettings,
        quality: Quality,
        progress: Progress,
    ) -> None:
        self.network, self.settings, self.progress = network, settings, progress
        self.ranges: Ranges = measure_ranges(network, calibration)
        self.runner = TrialRunner(network, dataset.x_validation, dataset.y_validation, calibration, quality)
        self.float_quality = self.runner.float_quality
        self.least_quality = self.float_quality - settings.tolerance
        self.trials: list[Trial] = []
        self.trial_seconds = 0.0

    def run(self) -> tuple[PrecisionMap, float]:
        widths = self._uniform()
        return self._layers(widths)

    def _precision(self, widths: Widths) -> PrecisionMap:
        return precision_of(self.network, self.ranges, widths, self.settings.margin_bits)

    def _try(
        self, widths: Widths, phase: Phase, layer: str | None, tensor: str | None, bits: int
    ) -> Trial | None:
        """Measure one candidate; ``None`` if no format of these widths holds the ranges."""
        started = time.monotonic()
        try:
            precision = self._precision(widths)
        except DataError:
            return None
        measured = self.runner.measure(precision)
        self.trial_seconds += time.monotonic() - started
        return Trial(phase, layer, tensor, bits, measured.quality, measured.overflows, measured.cost)

    def _note(self, trial: Trial, accepted: bool) -> None:
        self.trials.append(Trial(**{**asdict(trial), "accepted": accepted}))

    def _uniform(self) -> Widths:
        """The whole curve from most to least bits; goes on from the narrowest width before the first that fails."""
        settings = self.settings
        chosen: Widths | None = None
        best: Trial | None = None
        failed = False
        for bits in range(settings.most_bits, settings.least_bits - 1, -1):
            widths = uniform_widths(self.network, bits, settings.input_bits)
            trial = self._try(widths, "uniform", None, None, bits)
            if trial is None:
                break
            failed = failed or trial.quality < self.least_quality
            self._note(trial, not failed)
            chosen = chosen if failed else widths
            best = trial if best is None or trial.quality > best.quality else best
            done = settings.most_bits - bits + 1
            self.progress.step("scan", done, 2 * done, f"{bits} bits everywhere: {trial.quality:.4f}")
        if chosen is None:
            assert best is not None
            raise ScanError(
                f"no uniform width up to scan.most_bits = {settings.most_bits} keeps the quality within "
                f"{settings.tolerance:g} of the float network's {self.float_quality:.4f}; the best is {best.quality:.4f} at "
                f"{best.bits} bits; raise scan.tolerance or scan.most_bits"
            )
        return chosen

    def _layers(self, widths: Widths) -> tuple[PrecisionMap, float]:
        """Greedy: narrow one tensor by one bit at a time."""
        self.runner.rebase(self._precision(widths))
        quality, cost = self._current(widths)
        knobs = self._knobs(widths)
        total = len(self.trials) + sum(bits - self.settings.least_bits for _, _, bits in knobs)
        open_knobs = [(layer, tensor) for layer, tensor, _ in knobs]
        while open_knobs:
            tried: list[tuple[float, Trial, Widths]] = []
            for layer, tensor in list(open_knobs):
                narrower, bits = _narrowed(widths, layer, tensor)
                allowed = bits >= self.settings.least_bits
                trial = self._try(narrower, "layers", layer, tensor, bits) if allowed else None
                if trial is None or trial.quality < self.least_quality:
                    # what fails now fails later too: the rest only gets narrower
                    open_knobs.remove((layer, tensor))
                    if trial is not None:
                        self._note(trial, False)
                    continue
                worth = (cost - trial.cost) / max(quality - trial.quality, 0.1 * self.runner.resolution)
                tried.append((worth, trial, narrower))
                done = len(self.trials) + len(tried)
                self.progress.step(
                    "scan", min(done, total), max(done, total), f"{layer} {tensor} {bits} bits"
                )
            if not tried:
                break
            chosen = max(range(len(tried)), key=lambda index: tried[index][0])
            for index, (_, trial, narrower) in enumerate(tried):
                self._note(trial, index == chosen)
                if index == chosen:
                    widths, quality, cost = narrower, trial.quality, trial.cost
                    self.runner.rebase(self._precision(widths))
        self.progress.step("scan", len(self.trials), len(self.trials), f"quality {quality:.4f}")
        return self._precision(widths), quality

    def _current(self, widths: Widths) -> tuple[float, float]:
        measured = self.runner.measure(self._precision(widths))
        return measured.quality, measured.cost

    def _knobs(self, widths: Widths) -> list[tuple[str, str, int]]:
        knobs = [(name, "weight", bits) for name, bits in widths.weights.items()]
        knobs += [(name, "result", bits) for name, bits in widths.results.items()]
        return knobs if self.settings.input_bits else [(INPUT, "result", widths.input), *knobs]


def _narrowed(widths: Widths, layer: str, tensor: str) -> tuple[Widths, int]:
    """The widths with one tensor a bit narrower, and its new width."""
    if layer == INPUT and tensor == "result" and INPUT not in widths.results:
        return Widths(widths.input - 1, widths.weights, widths.results), widths.input - 1
    if tensor == "weight":
        bits = widths.weights[layer] - 1
        return Widths(widths.input, {**widths.weights, layer: bits}, widths.results), bits
    bits = widths.results[layer] - 1
    return Widths(widths.input, widths.weights, {**widths.results, layer: bits}), bits
