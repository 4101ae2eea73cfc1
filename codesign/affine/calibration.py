"""Choose the range of an affine quantizer from samples: maximum, percentile, entropy and mean squared error.

Wu et al. 2020 (NVIDIA, arXiv:2004.09602, section 3.3). Each calibrator finds a magnitude `T`; the range is that of the
samples cut at `-T` and `T`.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.affine.quantizer import AffineQuantizer, check_bits
from codesign.core.text_table import counted
from codesign.errors import DataError, SettingsError

Calibrator = Literal["max", "percentile", "entropy", "mse"]
CALIBRATORS: tuple[Calibrator, ...] = get_args(Calibrator)

_BINS = 2048
_SAMPLES_A_BIN = 16
_NEARLY_EMPTY = 1e-3  # samples
_STEPS = 100


def calibrate(
    samples: ArrayLike,
    bits: int,
    method: Calibrator = "max",
    *,
    symmetric: bool = False,
    signed: bool = True,
    axis: int | None = None,
    percentile: float = 99.99,
) -> AffineQuantizer:
    """Make the quantizer of a tensor from samples of it.

    Parameters
    ----------
    samples
        Values of the tensor, any shape; all of a constant, or an activation on a calibration set.
    bits
        2 to 16.
    method
        ``max`` takes the whole range; ``percentile`` cuts the largest magnitudes; ``entropy`` makes the distribution
        after quantization most like the one before (Kullback-Leibler divergence over 2048 bins, or as many as have
        16 samples each; the whole range if those are fewer than codes); ``mse`` makes the mean squared error
        smallest, over 100 thresholds.
    symmetric, signed
        See `AffineQuantizer.from_range`.
    axis
        Calibrate every channel of this axis by itself.
    percentile
        The percentage of magnitudes that ``percentile`` keeps.

    Raises
    ------
    SettingsError
        For other bits, an unknown method or a percentile outside 0 to 100.
    DataError
        For no samples, NaN or infinities.
    """
    check_bits(bits)
    if method not in CALIBRATORS:
        raise SettingsError(f"the calibrator must be one of {', '.join(CALIBRATORS)}, not {method!r}")
    if not 0 < percentile <= 100:
        raise SettingsError(f"the percentile must be above 0 and at most 100, not {percentile!r}")
    values = _checked(samples)
    rows = values[None] if axis is None else np.moveaxis(values, axis, 0)
    rows = rows.reshape(len(rows), -1)
    low, high = rows.min(axis=1), rows.max(axis=1)
    if method == "max":
        threshold = np.maximum(high, -low)
    elif method == "percentile":
        threshold = np.percentile(np.abs(rows), percentile, axis=1)
        # of a tensor of mostly zeros, keep all the others
        threshold = np.where(threshold > 0, threshold, np.maximum(high, -low))
    elif method == "entropy":
        threshold = np.array([_least_divergence(row, bits, symmetric, signed) for row in rows])
    else:
        threshold = _least_squared_error(rows, bits, symmetric, signed)
    low, high = np.clip((low, high), -threshold, threshold)
    return AffineQuantizer.from_range(low, high, bits, symmetric=symmetric, signed=signed, axis=axis)


def check_calibration_set(x: ArrayLike, allow_constant: bool = False) -> None:
    """Refuse a calibration set that cannot show the ranges of a network's tensors.

    Parameters
    ----------
    x
        Inputs of shape `(n_samples, *input_shape)`.
    allow_constant
        Let features pass that never change, for example the border pixels of images.

    Raises
    ------
    DataError
        For no samples, values that are not finite, or constant features; says which.
    """
    values = _checked(x)
    if values.ndim < 2:
        raise DataError(f"a calibration set has shape (n_samples, n_features, ...), not {values.shape}")
    constant = np.flatnonzero((values == values[:1]).all(axis=0))
    if constant.size and not allow_constant:
        shown = ", ".join(map(str, constant[:5])) + (", ..." if constant.size > 5 else "")
        raise DataError(
            f"the calibration set has {constant.size} of {values[0].size} features that never change (index {shown}), "
            "so their range is unknown; give more samples, drop the features, or pass allow_constant=True"
        )


def _checked(samples: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0:
        raise DataError(f"the calibration set is empty (shape {values.shape}); give at least one sample")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"the calibration set has {counted(bad.size, 'value')} not finite, first {values.flat[bad[0]]} in sample "
            f"{bad[0] // max(1, values[0].size)}; clean the data"
        )
    return values


def _least_divergence(values: NDArray[np.float64], bits: int, symmetric: bool, signed: bool) -> float:
    """Find the threshold of the smallest KL divergence; zeros do not count, every quantizer holds them exactly."""
    magnitudes = np.abs(values)
    largest = float(magnitudes.max())
    if largest == 0.0:
        return 0.0
    one_sided = not signed or (not symmetric and values.min() >= 0)
    levels = 2 ** (bits if one_sided else bits - 1)
    # in sparser bins any spread over the filled ones looks perfect, and the whole range would always win
    bins = min(_BINS, max(int(np.count_nonzero(magnitudes)) // _SAMPLES_A_BIN, 1))
    counts, edges = np.histogram(magnitudes[magnitudes > 0], bins=bins, range=(0.0, largest))
    density = counts.astype(np.float64)
    beyond = density.sum() - np.cumsum(density)
    best, threshold = np.inf, largest
    for size in range(max(levels, 2), bins + 1):
        part = density[:size]
        if not part.any():
            continue
        reference = part.copy()
        reference[-1] += beyond[size - 1]
        level = np.arange(size) * levels // size  # which quantized value each bin falls to
        filled = part > 0
        mass, members = np.bincount(level, part, levels), np.bincount(level, filled, levels)
        spread = np.where(filled, mass[level] / np.maximum(members[level], 1), 0.0)
        divergence = _divergence(reference, spread)
        if divergence <= best:
            best, threshold = divergence, float(edges[size])
    return threshold


def _divergence(reference: NDArray[np.float64], model: NDArray[np.float64]) -> float:
    """Compute the KL divergence of two histograms; a bin that the model leaves empty counts as nearly empty."""
    present = reference > 0
    p = reference[present] / reference.sum()
    q = np.maximum(model[present], _NEARLY_EMPTY) / model.sum()
    return float(np.sum(p * np.log(p / q)))


def _least_squared_error(
    rows: NDArray[np.float64], bits: int, symmetric: bool, signed: bool
) -> NDArray[np.float64]:
    """Find each row's threshold of the smallest mean squared error, among 100 parts of its largest magnitude."""
    points, weights = rows, np.ones_like(rows)
    if rows.shape[1] > 2 * _BINS:  # a histogram is as good, and bounds the time
        histograms = [np.histogram(row, bins=2 * _BINS) for row in rows]
        weights = np.array([counts for counts, _ in histograms], np.float64)
        points = np.array([(edges[:-1] + edges[1:]) / 2 for _, edges in histograms])
    low, high = rows.min(axis=1), rows.max(axis=1)
    largest = np.maximum(high, -low)
    best, threshold = np.full(len(rows), np.inf), largest
    for step in range(_STEPS, 0, -1):
        candidate = largest * step / _STEPS
        least, most = np.clip((low, high), -candidate, candidate)
        quantizer = AffineQuantizer.from_range(least, most, bits, symmetric=symmetric, signed=signed, axis=0)
        error = np.sum(weights * (quantizer.fake_quantize(points) - points) ** 2, axis=1)
        threshold = np.where(error < best, candidate, threshold)
        best = np.minimum(error, best)
    return threshold
