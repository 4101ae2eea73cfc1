"""The project's C++ test bench and its vectors: full precision in, full precision out, golden outputs compared."""

from __future__ import annotations

import math
import re
from importlib.resources import files
from pathlib import Path

import numpy as np

from codesign.core.files import write_text
from codesign.errors import ConversionError, DataError

_CALL = re.compile(
    r"// hls-fpga-machine-learning insert data\n(?P<data>.*?)"
    r"// hls-fpga-machine-learning insert top-level-function\n(?P<call>.*?)\n\s*\n"
    r".*?// hls-fpga-machine-learning insert tb-output\n(?P<output>.*?)\n\s*}",
    re.DOTALL,
)


def write_testbench(folder: str | Path, top: str, n_inputs: int) -> Path:
    """Replace hls4ml's test bench by one that compares, keeping the lines that declare and call the design.

    hls4ml's own prints six digits, reads into float32, and falls back to zeros where the vectors are missing.

    Raises
    ------
    ConversionError
        If hls4ml's test bench does not have the form of hls4ml 1.3.
    """
    path = Path(folder) / f"{top}_test.cpp"
    match = _CALL.search(path.read_text(encoding="utf-8"))
    if match is None:
        raise ConversionError(f"{path} is not a test bench of hls4ml 1.3; install hls4ml==1.3.*")
    data = match["data"].replace("copy_data<float,", "copy_data<double,")
    call = "\n".join(
        [data.rstrip(), match["call"].rstrip(), match["output"].replace("fout", "line").rstrip()]
    )
    template = files("codesign.hls").joinpath("templates/testbench.cpp").read_text(encoding="utf-8")
    for key, value in (("TOP", top), ("N_INPUTS", str(n_inputs)), ("CALL", call)):
        template = template.replace(f"@{key}@", value)
    return write_text(path, template)


def write_vectors(folder: str | Path, x: np.ndarray, golden: np.ndarray | None = None) -> None:
    """Write test vectors into ``tb_data``.

    Parameters
    ----------
    folder
        The folder that has, or gets, ``tb_data``.
    x
        Inputs of shape `(n_samples, *input_shape)`; written with 17 digits, which hold a double exactly.
    golden
        Expected outputs of shape `(n_samples, n_outputs)`, or ``None`` for no comparison.

    Raises
    ------
    DataError
        If a value is not finite, or the numbers of samples differ.
    """
    if golden is not None and len(golden) != len(x):
        raise DataError(f"{len(x)} input vectors but {len(golden)} golden outputs; give one for each")
    tb_data = Path(folder) / "tb_data"
    write_text(tb_data / "tb_input_features.dat", _lines(x))
    write_text(tb_data / "tb_output_predictions.dat", "" if golden is None else _lines(golden))


def read_vectors(folder: str | Path, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a project's test-bench inputs and golden outputs.

    Parameters
    ----------
    folder
        A project.
    n_outputs
        The number of outputs of a sample.

    Returns
    -------
    tuple of array
        float64 of shape `(n_samples, n_inputs)` and `(n_samples, n_outputs)`.

    Raises
    ------
    DataError
        If there are none, or not as many golden outputs as inputs.
    """
    tb_data = Path(folder) / "tb_data"
    inputs = (tb_data / "tb_input_features.dat").read_text(encoding="utf-8").splitlines()
    golden = read_outputs(tb_data / "tb_output_predictions.dat", n_outputs)
    if not inputs or len(inputs) != len(golden):
        raise DataError(
            f"{tb_data} holds {len(inputs)} input vectors and {len(golden)} golden outputs; convert again"
        )
    return np.array([line.split() for line in inputs], dtype=np.float64), golden


def _lines(values: np.ndarray) -> str:
    values = np.asarray(values, dtype=np.float64)
    values = values.reshape(len(values), math.prod(values.shape[1:]))
    if not np.isfinite(values).all():
        raise DataError("test vectors must be finite; remove the samples with NaN or infinities")
    return "".join(" ".join(map(repr, row)) + "\n" for row in values.tolist())


def read_outputs(path: str | Path, n_outputs: int) -> np.ndarray:
    """Read a results log: float64 of shape `(n_samples, n_outputs)`; `DataError` if it is damaged or cut off."""
    words = Path(path).read_text(encoding="utf-8", errors="replace").split()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path} holds more than numbers ({error}); simulate again") from error
    if values.size % n_outputs:
        raise DataError(
            f"{path} holds {values.size} numbers, which is no multiple of {n_outputs} outputs; it is cut off"
        )
    return values.reshape(-1, n_outputs)
