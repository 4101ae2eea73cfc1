"""The bit-width scan: number formats chosen by data, without an overflow, at the least cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from codesign.affine.ptq import AffineRow, affine_form, affine_table
from codesign.compression.formats import measure_ranges
from codesign.compression.scan_result import ScanResult as ScanResult
from codesign.compression.scan_result import Trial as Trial
from codesign.compression.scan_result import prove_accumulators
from codesign.compression.scan_search import Search
from codesign.compression.scan_source import AnyStudent, as_student
from codesign.compression.scan_trials import CheckedQuality, Journal, ScannedNetwork
from codesign.core.files import arrays_digest, json_digest
from codesign.core.precision_map import PrecisionMap
from codesign.core.progress import SILENT, Progress
from codesign.core.quality import Quality
from codesign.core.record import Record
from codesign.data import Dataset
from codesign.networks.description import Network
from codesign.networks.prepare import prepare_for_quantization
from codesign.settings import ScanSettings


def scan_bit_widths(
    student: AnyStudent | keras.Model,
    dataset: Dataset,
    settings: ScanSettings,
    *,
    quality: Quality | None = None,
    journal: str | Path | None = None,
    progress: Progress = SILENT,
) -> ScanResult:
    """Choose every tensor's number format.

    Integer bits come first: from the float network's extremes on a calibration set and the margin; accumulators are as
    wide as the worst case needs, so that no input can wrap them (`ScanResult.proofs`). Then fractional bits fall: for
    all tensors at once down to the last width whose quality is within the tolerance of the float network's, the knee;
    then tensor by tensor (input, weights and activations apart), each time the one that saves most cost for the quality
    that it loses, until none can go or saves anything. The tensors start from the knee and, a second time, from some
    bits above it; the cheaper end is the result. With `settings.method` ``hessian`` all tensors get their widths at once,
    by second derivatives, within budgets that are halved towards the cheapest map that keeps the quality.

    Parameters
    ----------
    student
        A trained float student, pruned or not, or a trained float Keras model; unchanged.
    dataset
        Calibration is drawn from its train part; quality is measured on its validation part.
    settings
        Quality, cost, tolerance, margin, limits.
    quality
        A user's own `(labels, logits) -> quality`, higher is better, instead of the one that the settings name; labels
        int64 `(n_samples,)`, logits float64 `(n_samples, n_outputs)`.
    journal
        A file that keeps every measurement as soon as it is made; a scan of the same network, data and settings that
        is given it again goes on from there.
    progress
        Told of every trial.

    Raises
    ------
    ConversionError
        If `settings.affine_widths` are given for a network that has no integer-only form.
    DataError
        If the calibration set is empty or not finite, or a Keras model does not fit the data.
    TrainingError
        If the Hessian is not finite.
    ScanError
        If not even `settings.most_bits` everywhere is within the tolerance, says the best that was found; if the
        quality raises or is not finite.
    """
    student = as_student(student, dataset)
    if settings.affine_widths:
        affine_form(student.network)
    network = prepare_for_quantization(student.network)
    calibration = dataset.calibration(min(settings.calibration_samples, len(dataset.x_train)))
    ranges = measure_ranges(network, calibration, settings.percentile)
    checked = CheckedQuality.of(settings, quality, dataset.task)
    scanned = ScannedNetwork(
        network, dataset.x_validation, dataset.y_validation, calibration, checked, cost=settings.cost
    )
    key = _digest(network.digest, dataset, settings, checked)
    kept = Journal(None if journal is None else Path(journal), key)
    search = Search(scanned, ranges, settings, kept, progress, dataset.task)
    precision, reached = search.run()
    proofs = prove_accumulators(scanned.emulator(precision))
    affine = _affine(student.network, calibration, dataset, settings, checked, progress)
    metrics = {
        "float_quality": scanned.float_quality,
        "quality": reached,
        **_metrics(search, precision, dataset),
        "trials": len(search.trials),
        "sparsity": student.network.sparsity,
        "parameters": network.n_parameters,
        "constant_features": _constant(calibration, dataset),
        "no_input_wraps": all(proof.holds for proof in proofs),
        "accumulators": {proof.layer: proof.sentence for proof in proofs},
        **({"affine": _beside_fixed_point(affine, search.trials)} if affine else {}),
    }
    record = Record.of(precision.digest, metrics)
    return ScanResult(precision, tuple(search.trials), scanned.float_quality, reached, record, proofs, affine)


def _affine(
    network: Network,
    calibration: np.ndarray,
    dataset: Dataset,
    settings: ScanSettings,
    quality: CheckedQuality,
    progress: Progress,
) -> tuple[AffineRow, ...]:
    """The quality with scales and zero points at each width that was asked for: what fixed point gives up for shifts."""
    if not settings.affine_widths:
        return ()
    x, labels = dataset.x_validation, dataset.y_validation
    progress.step("affine quantization", 0, 1)
    rows = affine_table(
        network,
        calibration,
        x,
        labels,
        settings.affine_widths,
        ("mse",),
        quality=quality,
        allow_constant=True,
    )
    progress.step("affine quantization", 1, 1)
    return rows


def _beside_fixed_point(affine: Sequence[AffineRow], trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A row for each width: the quality in fixed point, one width everywhere, where the curve has it, and affine."""
    curve = {trial.bits: trial.quality for trial in trials if trial.phase == "uniform"}
    return [
        {
            "bits": row.width,
            "fixed_point": curve.get(row.width),
            "affine": row.quality,
            "overflow": row.overflow,
        }
        for row in affine
    ]


def _metrics(search: Search, precision: PrecisionMap, dataset: Dataset) -> dict[str, Any]:
    scanned = search.network
    metrics: dict[str, Any] = {
        **dataset.task.figures(
            (dataset.y_validation, scanned.logits(precision)),
            (dataset.y_test, scanned.logits_of(precision, dataset.x_test)),
        ),
        "average_weight_bits": precision.average_bits("weight"),
        "bops": scanned.bops(precision),
        "overflows": scanned.overflows(precision),
        "seconds_per_trial": search.seconds / max(1, search.measured),
    }
    return metrics | ({"estimated_luts": scanned.luts(precision)} if scanned.cost_unit == "luts" else {})


def _digest(network: str, dataset: Dataset, settings: ScanSettings, quality: CheckedQuality) -> str:
    """What a measurement depends on; limits and tolerance only decide which measurements are made."""
    data = arrays_digest(
        {"x": dataset.x_validation, "y": dataset.y_validation, "calibration": dataset.x_train}
    )
    return json_digest([network, data, settings.calibration_samples, settings.cost, quality.key])


def _constant(calibration: np.ndarray, dataset: Dataset) -> list[str]:
    """Names of the features that the calibration set shows only one value of: other values may saturate."""
    flat = calibration.reshape(len(calibration), -1)
    constant = np.flatnonzero((flat == flat[:1]).all(axis=0))
    return [dataset.feature_names[index] for index in constant]
