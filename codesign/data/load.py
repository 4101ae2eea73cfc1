"""`load_dataset`: from the name of a source to a `Dataset`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codesign.core.ports import Port
from codesign.data.arrays import require_count, require_shape
from codesign.data.dataset import Dataset
from codesign.data.frames import read_csv_data, read_parquet_data
from codesign.data.generated import make_data
from codesign.data.npz import arrays_data, joined_inputs, named, read_folder_data, read_npy, read_npz_data
from codesign.data.openml import read_openml_data
from codesign.data.raw import OWN_PARTS, CheckedData, RawData, check, joined
from codesign.data.scaling import Scaling
from codesign.data.split import (
    DEFAULT_FRACTIONS,
    Fractions,
    Split,
    in_fold,
    require_fractions,
    strata_of,
    stratified_sample,
    stratified_split,
)
from codesign.data.targets import HeadChoice, TargetChoice, TaskName, doubts
from codesign.errors import DataError
from codesign.settings import DataSettings

DIGITS_DIVISOR = 16
"""Grey values of the digits run from 0 to 16: divided by 16 they lie on a grid of 4 fractional bits."""

_OVERLAP, _MORE_THAN_REPEATED = 0.02, 2.0
"""The fraction of a part that may be in another: so much, and so many times the fraction of train samples that are repeated."""

FILE_KINDS = (".npz", ".csv", ".parquet", ".py")


Source = str | Path | Mapping[str, str | Path]
"""A source's name or path, or the files of the user's own parts: ``{"train": ..., "validation": ..., "test": ...}``."""


def load_dataset(
    source: Source,
    *,
    seed: int = 0,
    scaling: str | float | Scaling = "auto",
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    max_samples: int | None = None,
    label_column: str | Sequence[str] | None = None,
    input_shape: Sequence[int] | None = None,
    cache_dir: str | Path | None = None,
    task: TaskName | Mapping[str, HeadChoice] = "auto",
    renumber: bool = False,
    target_scaling: Literal["standard", "none"] = "standard",
    target_loss: Literal["squared", "huber"] = "squared",
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None,
    fold: tuple[int, int] | None = None,
    inputs: Sequence[str] = (),
) -> Dataset:
    """Load, check, split and scale a dataset.

    Parameters
    ----------
    source
        `digits` (1797 images of 8 x 8 pixels that scikit-learn carries), `openml:<number or name>`, the path of a
        `.npz`, `.csv` or `.parquet` file or of a folder of `.npy` files, or one file for each of the user's own parts; or a
        `.py` file whose function `make_data(seed)` returns arrays by name.
    seed
        Of the split, of `max_samples` and of data that are made, 0 to 2**32 - 1.
    scaling
        `none`, `standard`, `minmax`, `shift`, a number to divide by, or a fitted `Scaling`. `auto` divides the digits
        by 16, which keeps them exactly on a fixed-point grid, and standardises everything else.
    fractions
        Shares of the train, validation and test parts.
    max_samples
        Use a stratified sample of at most this size.
    label_column
        The column, or array of a `.npz`, of the labels or targets; several for several targets.
    input_shape
        The shape of one sample, for instance `(8, 8, 1)` for the digits as images; by default the source's.
    cache_dir
        Where OpenML data are kept; see `codesign.data.openml.default_cache_dir`.
    task
        What is to be learnt: a kind of `codesign.core.task`, or several heads by name; ``auto`` finds it where the data
        leave no doubt.
    renumber
        Number labels such as 1 to n, or 0 and 0.5, anew, in rising order.
    target_scaling
        Of the targets of a regression, fitted on the train part: ``standard`` or ``none``.
    target_loss
        What a regression minimises: ``squared`` differences of the scaled targets, or ``huber``, linear beyond 1.
    class_weights
        How much the samples of each class count in the loss: ``balanced``, each class as much as another, or a factor by
        class name. They multiply the weights of the samples.
    fold
        ``(i, k)``: divide train and validation part together anew into `k` parts, of which number `i`, counted from 0,
        is the validation part. The test part stays as it is.
    inputs
        Of a network with several inputs: the names of their arrays, in the order of its inputs. Without names all
        features are one array, which such a network takes apart in that order.

    Returns
    -------
    Dataset
        The same for the same file, seed and options.

    Raises
    ------
    DataError
        For a source that is unknown, missing or malformed, labels that cannot be classes, a class too small
        for the split, or an impossible option; says where and what to do.
    """
    if isinstance(label_column, str):
        label_column = (label_column,)
    heads = () if isinstance(task, str) else tuple(task.items())
    choice = TargetChoice(
        task if isinstance(task, str) else "auto",
        tuple(label_column or ()),
        heads,
        renumber,
        target_scaling,
        target_loss,
    )
    raw = _raw_data(source, choice, cache_dir, seed, tuple(inputs))
    if isinstance(scaling, str) and scaling == "auto":
        scaling = DIGITS_DIVISOR if str(source) == "digits" else "standard"
    return _build(raw, choice, seed, scaling, fractions, max_samples, input_shape, class_weights, fold)


def load_design_data(settings: DataSettings, folder: Path) -> Dataset:
    """The dataset that a design's settings name; relative files are looked for in its folder, then where the user is."""
    heads = settings.task
    if not isinstance(heads, str):
        task: Any = {
            name: HeadChoice(head.task, head.columns or (name,), head.weight, head.loss)
            for name, head in heads.items()
        }
    else:
        task = heads
    source: Source
    if isinstance(settings.source, str):
        source = _placed(settings.source, folder)
    else:
        source = {part: _placed(path, folder) for part, path in settings.source.items()}
    return load_dataset(
        source,
        seed=settings.split_seed,
        scaling=settings.scaling,
        fractions=settings.fractions,
        max_samples=settings.max_samples,
        label_column=settings.label_column,
        input_shape=settings.input_shape,
        task=task,
        renumber=settings.renumber,
        target_scaling=settings.target_scaling,
        target_loss=settings.target_loss,
        class_weights=settings.class_weights,
        fold=settings.fold,
        inputs=settings.inputs or (),
    )


def has_arrays(settings: DataSettings, folder: Path, names: Sequence[str]) -> bool:
    """Whether one of the named arrays is in the source of a design's settings, an `.npz` or a folder of `.npy` files."""
    if not isinstance(settings.source, str):
        return any(named(key)[1] in names for key in settings.source)
    path = Path(_placed(settings.source, folder))
    if path.is_dir():
        keys = [file.stem for file in path.glob("*.npy")]
    elif path.suffix.lower() == ".npz" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
    else:
        return False
    return any(key in names or named(key)[1] in names for key in keys)


def _placed(source: str, folder: Path) -> str | Path:
    if source == "digits" or source.startswith("openml:"):
        return source
    path = Path(source).expanduser()
    return path if not (folder / path).exists() and path.exists() else folder / path


def dataset_from_arrays(
    x: Any,
    y: Any,
    *,
    name: str = "arrays",
    seed: int = 0,
    scaling: str | float | Scaling = "standard",
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    max_samples: int | None = None,
    input_shape: Sequence[int] | None = None,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    task: TaskName = "auto",
    renumber: bool = False,
    target_scaling: Literal["standard", "none"] = "standard",
    target_loss: Literal["squared", "huber"] = "squared",
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None,
    sample_weight: Any = None,
) -> Dataset:
    """Check, split and scale arrays in memory.

    Parameters
    ----------
    x
        Raw features, shape `(n_samples, *features)`, any real dtype; of several inputs a mapping of their names to such
        arrays, in the order of the network's inputs.
    y
        Labels: whole numbers 0 to n - 1, text, bytes, or one-hot rows; several labels of 0 and 1; or quantities,
        shape `(n_samples,)` or `(n_samples, n_targets)`. ``None`` for a task that needs none.
    name
        What the data is called.
    seed, scaling, fractions, max_samples, input_shape
        As in `load_dataset`.
    feature_names, class_names
        Defaults: `x0`, `x1`, ... and the labels themselves.
    task, renumber, target_scaling, target_loss, class_weights
        As in `load_dataset`.
    sample_weight
        How much each sample counts in the loss, above 0, shape `(n_samples,)`.

    Raises
    ------
    DataError
        As in `load_dataset`.
    """
    inputs = x if isinstance(x, Mapping) else {"X": x}
    for what, given in {**inputs, "y": y, "sample_weight": sample_weight}.items():
        if np.ma.is_masked(given):
            raise DataError(
                f"{name}: {what}: {np.ma.count_masked(given)} of {np.size(given)} values are masked; remove or fill them"
            )
    columns = {} if y is None else {"y": np.asarray(y)}
    ports: tuple[Port, ...] = ()
    if isinstance(x, Mapping):
        x, ports = joined_inputs(x, tuple(x), name)
    raw = RawData(np.asarray(x), columns, name, name, feature_names, class_names, sample_weight, inputs=ports)
    choice = TargetChoice(task, renumber=renumber, scaling=target_scaling, loss=target_loss)
    return _build(raw, choice, seed, scaling, fractions, max_samples, input_shape, class_weights)


def _build(
    raw: RawData,
    choice: TargetChoice,
    seed: int,
    scaling: str | float | Scaling,
    fractions: Sequence[float],
    max_samples: int | None,
    input_shape: Sequence[int] | None,
    class_weights: str | Mapping[str, float] | None,
    fold: tuple[int, int] | None = None,
) -> Dataset:
    data = check(raw, choice)
    shape = data.x.shape[1:]
    if input_shape is not None:
        if raw.inputs:
            raise DataError(
                f"{raw.where}: input_shape is of one input, but inputs names {len(raw.inputs)}; leave one of them out"
            )
        shape = require_shape(input_shape, len(data.feature_names), raw.where)
    split = _split(data, seed, require_fractions(fractions), max_samples)
    if fold is not None:
        split = in_fold(split, strata_of(data.task, data.targets), *fold, where=raw.where)
    fitted = Scaling.fit(scaling, data.x[split.train])
    task = data.task.fitted(data.targets[split.train], choice.scaling)
    parts: dict[str, Any] = {}
    for part in ("train", "validation", "test"):
        rows = getattr(split, part)
        flat = fitted.apply(data.x[rows]).reshape(len(rows), -1)
        parts[f"x_{part}"] = flat.reshape(-1, *shape)
        parts[f"y_{part}"] = task.prepared(task.with_features(data.targets[rows], flat))
    weights = _weights(data, split, class_weights)
    dataset = Dataset(
        name=raw.name,
        feature_names=data.feature_names,
        task=task,
        scaling=fitted,
        split=split,
        notes=(*raw.notes, *doubts(choice, data.task, data.targets)),
        inputs=raw.inputs,
        **parts,
        **weights,
    )
    if len(dataset.constant_features) == dataset.n_features:
        raise DataError(
            f"{raw.where}: every feature is the same for all train samples after scaling {fitted.kind!r}, so that there "
            "is nothing to learn from; check the data and the scaling"
        )
    if raw.parts:
        _require_apart(dataset, raw)
    return dataset


def _require_apart(dataset: Dataset, raw: RawData) -> None:
    """Refuse parts of a user's own that overlap by more than equal samples of one part explain."""
    overlap = dataset.overlap
    allowed = _OVERLAP + _MORE_THAN_REPEATED * dataset.repeated_in_train
    for part, other, count in (
        ("validation", "train", overlap.validation_in_train),
        ("test", "train", overlap.test_in_train),
        ("test", "validation", overlap.test_in_validation),
    ):
        total = len(dataset.part(part)[1])
        if {part, other} <= set(raw.parts) and count > total * allowed:
            raise DataError(
                f"{raw.where}: {count} of {total} {part} samples are in the {other} part too, so that no quality measured "
                f"there would be true; give parts that do not overlap"
            )


def _split(data: CheckedData, seed: int, fractions: Fractions, max_samples: int | None) -> Split:
    """The user's own parts, or parts drawn with every group in proportion."""
    groups = strata_of(data.task, data.targets)
    n_groups = int(groups.max(initial=0)) + 1
    # of several tasks, or beside features, the groups are not what the names are of
    named = data.task.whole_targets and 1 < n_groups <= len(data.task.names)
    names = data.task.names if named else [str(n) for n in range(n_groups)]
    where = data.raw.where
    if data.raw.parts:
        return _own_split(data, groups, names, seed, fractions, max_samples)
    rows = np.arange(len(groups))
    if max_samples is not None:
        rows = stratified_sample(groups, require_count(max_samples, "max_samples"), seed)
    drawn = stratified_split(groups[rows], names, seed=seed, fractions=fractions, where=where)
    return Split(
        rows[drawn.train],
        rows[drawn.validation],
        rows[drawn.test],
        seed=drawn.seed,
        fractions=drawn.fractions,
    )


def _own_split(
    data: CheckedData,
    groups: np.ndarray,
    names: Sequence[str],
    seed: int,
    fractions: Fractions,
    max_samples: int | None,
) -> Split:
    """The parts that the user made; a validation part that is missing is drawn from the train part."""
    where, sizes = data.raw.where, data.raw.parts
    rows, start = {}, 0
    for part, size in sizes.items():
        rows[part] = np.arange(start, start + size)
        start += size
    if max_samples is not None:
        count = require_count(max_samples, "max_samples")
        for part, own in rows.items():
            few = max(1, round(count * len(own) / start))
            rows[part] = own[stratified_sample(groups[own], few, seed)]
    if "validation" not in rows:
        own = rows["train"]
        share = fractions[1] / (fractions[0] + fractions[1])
        # a third part that the split insists on is given back to the train part
        drawn = stratified_split(
            groups[own], names, seed=seed, fractions=((1 - share) / 2, share, (1 - share) / 2), where=where
        )
        rows["train"] = own[np.sort(np.concatenate([drawn.train, drawn.test]))]
        rows["validation"] = own[drawn.validation]
    total = sum(map(len, rows.values()))
    shares = [len(rows[part]) / total for part in ("train", "validation", "test")]
    # a source that is sorted by class makes poor batches and worse first samples
    random = np.random.RandomState(seed)
    train, validation, test = (random.permutation(rows[part]) for part in ("train", "validation", "test"))
    return Split(train, validation, test, seed=seed, fractions=(shares[0], shares[1], shares[2]))


def _weights(
    data: CheckedData, split: Split, class_weights: str | Mapping[str, float] | None
) -> dict[str, np.ndarray]:
    """The weights of the train and validation part, mean 1 over the train part; nothing if all are alike."""
    weights = data.weights
    if class_weights is not None:
        where, labels = data.raw.where, data.targets
        if not data.task.has_classes:
            raise DataError(
                f"{where}: class_weights need classes, but the task is {data.task.kind!r}; leave them out"
            )
        if isinstance(class_weights, str):
            counts = np.bincount(labels[split.train], minlength=len(data.task.names))
            factors = 1 / np.maximum(counts, 1)
        else:
            unknown = [name for name in class_weights if str(name) not in data.task.names]
            if unknown:
                raise DataError(
                    f"{where}: class_weights name the class {unknown[0]!r}; the classes are {', '.join(data.task.names)}"
                )
            given = {str(name): factor for name, factor in class_weights.items()}
            factors = np.array([given.get(name, 1.0) for name in data.task.names])
            if not (np.isfinite(factors) & (factors > 0)).all():
                raise DataError(
                    f"{where}: class_weights must be finite and above 0, not {dict(class_weights)}"
                )
        weights = factors[labels] * (1.0 if weights is None else weights)
    if weights is None:
        return {}
    mean = weights[split.train].mean()
    return {f"weights_{part}": weights[getattr(split, part)] / mean for part in ("train", "validation")}


def _raw_data(
    source: Source,
    choice: TargetChoice,
    cache_dir: str | Path | None,
    seed: int,
    inputs: tuple[str, ...],
) -> RawData:
    wanted = choice.wanted
    if isinstance(source, Mapping):
        return _read_parts(source, choice, seed, inputs)
    text = str(source)
    if inputs and not (Path(source).is_dir() or Path(source).suffix.lower() in (".npz", ".py")):
        raise DataError(
            f"{text}: inputs names the arrays of a .npz, of a folder of .npy files or of a .py file; the columns of a table "
            "are one array that the network takes apart in the order of its inputs: leave it out"
        )
    kind, _, identifier = text.partition(":")
    if kind == "openml":
        if len(wanted) > 1:
            raise DataError(
                f"{text}: one label_column of an OpenML dataset, not {len(wanted)}; give a file instead"
            )
        return read_openml_data(identifier, label_column=wanted[0] if wanted else None, cache_dir=cache_dir)
    path = Path(source).expanduser()
    if text == "digits":
        if wanted:
            raise DataError(f"{text}: label_column {wanted[0]!r} is not for the digits; leave it out")
        return _digits()
    if path.is_dir():
        return read_folder_data(path, wanted, inputs)
    suffix = path.suffix.lower()
    if suffix not in FILE_KINDS:
        raise DataError(
            f"{text}: unknown source; use digits, openml:<number or name>, or a file ending in "
            f"{', '.join(FILE_KINDS)}"
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path (a relative one starts at {Path.cwd()})")
    if suffix == ".npz":
        return read_npz_data(path, wanted, inputs)
    if suffix == ".py":
        return make_data(path, wanted, seed, inputs)
    return (read_csv_data if suffix == ".csv" else read_parquet_data)(path, wanted)


def _read_parts(
    source: Mapping[str, str | Path], choice: TargetChoice, seed: int, inputs: tuple[str, ...]
) -> RawData:
    """One file for each part, or one array (`.npy`) for each of ``x_train``, ``y_train``, ..."""
    where = ", ".join(str(path) for path in source.values())
    if source and all(Path(path).suffix.lower() == ".npy" for path in source.values()):
        arrays = {name: read_npy(Path(path).expanduser()) for name, path in source.items()}
        return arrays_data(arrays, Path(next(iter(source.values()))).stem, where, choice.wanted, inputs)
    unknown = [part for part in source if part not in OWN_PARTS]
    if unknown or not source:
        raise DataError(
            f"{where or 'source'}: {unknown[0] if unknown else 'nothing'!r} is no part; give files for train, "
            "validation and test, or .npy files for x_train, y_train, ..."
        )
    pieces = {part: _raw_data(path, choice, None, seed, inputs) for part, path in source.items()}
    return joined(pieces, Path(source["train"]).stem if "train" in source else "parts", where)


def _digits() -> RawData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return RawData(
        digits.data,
        {"y": digits.target},
        "digits",
        "digits",
        digits.feature_names,
        [str(number) for number in digits.target_names],
    )
