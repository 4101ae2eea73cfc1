"""Convert Keras models with hls4ml, run its C++ compiled by g++, and compare every layer with the emulator."""

from __future__ import annotations

import contextlib
import ctypes
import io
import subprocess
from pathlib import Path

import numpy as np
from exact_reference import assert_within_bounds

from codesign.emulation import Emulator
from codesign.hls.graph import read_graph


def convert(model, folder, config, *, io_type="io_parallel", backend="Vitis"):
    """Convert a Keras model; every layer is traced."""
    import hls4ml

    for layer in config["LayerName"].values():
        layer["Trace"] = True
    with contextlib.redirect_stdout(io.StringIO()):
        return hls4ml.converters.convert_from_keras_model(
            model,
            hls_config=config,
            output_dir=str(folder),
            io_type=io_type,
            backend=backend,
            allow_da_fallback=False,
        )


def layer_config(model, backend="Vitis", default="fixed<16,6>"):
    """Return hls4ml's configuration by layer name, with every type still `auto`."""
    from hls4ml.utils import config_from_keras_model

    with contextlib.redirect_stdout(io.StringIO()):
        return config_from_keras_model(model, granularity="name", backend=backend, default_precision=default)


def csim(hls_model, x):
    """Compile a converted model (one translation unit, not optimised) and run it on float64 inputs.

    Returns the outputs and a dictionary of every traced layer's result.
    """
    folder = Path(hls_model.config.get_output_dir())
    hls_model.config.trace_output = True
    with contextlib.redirect_stdout(io.StringIO()):
        hls_model.write()
    (folder / "one.cpp").write_text('#include "firmware/myproject.cpp"\n#include "myproject_bridge.cpp"\n')
    library = folder / "one.so"
    command = ["g++", "-w", "-O0", "-std=c++14", "-fPIC", "-shared", "-fno-gnu-unique", "-Ifirmware/ap_types"]
    weights = f'-DWEIGHTS_DIR="{folder / "firmware" / "weights"}"'
    done = subprocess.run(
        [*command, weights, "one.cpp", "-o", library.name], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]

    def load():
        hls_model._top_function_lib = ctypes.cdll.LoadLibrary(str(library))

    hls_model.compile = load
    with contextlib.redirect_stdout(io.StringIO()):
        outputs, trace = hls_model.trace(x)
    return outputs, trace


def assert_equal_to_csim(hls_model, x):
    """Compare all layers of the emulator with the C++, to the last bit; return the emulator."""
    emulator = Emulator.of(read_graph(hls_model))
    emulated = emulator.run(x, trace=True)
    assert_within_bounds(emulator, emulated)
    outputs, trace = csim(hls_model, x)
    wrong = []
    for name, expected in trace.items():
        got = emulated[name].reshape(np.shape(expected))
        if not np.array_equal(got, expected):
            at = np.argwhere(got != expected)[0]
            node = emulator.graph[name]
            wrong.append(
                f"{name} ({node.kind} {node.attributes.get('activation', '')} {node.types} from "
                f"{[n.result for n in emulator.graph.input_nodes(node)]}): {np.mean(got != expected):.3f} differ, "
                f"first {at}: {got[tuple(at)]} for {expected[tuple(at)]}"
            )
    assert not wrong, "\n".join(wrong)
    results = emulator.run(x)
    for got, expected in zip(
        results if isinstance(results, list) else [results],
        outputs if isinstance(outputs, list) else [outputs],
        strict=True,
    ):
        np.testing.assert_array_equal(got.reshape(np.shape(expected)), expected)
    return emulator
