"""Turn a Keras model whose weights are on their grids into an hls4ml graph with every type set by name."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.core.layers import LayerKind, row_of
from codesign.core.precision_map import LayerPrecision, PrecisionMap
from codesign.core.shown import Brief
from codesign.core.target import DEFAULT_TOP, Strategy, Target
from codesign.errors import ConversionError, SettingsError
from codesign.hls.keras_layers import register_layers
from codesign.hls.nodes import BY_CLASS
from codesign.hls.reuse import STRATEGY_OF, check_reuse_factor, legal_reuse_factors, shape_of

if TYPE_CHECKING:
    import keras
    from hls4ml.model import ModelGraph

_log = logging.getLogger(__name__)

_NO_TYPE = "fixed<2,1>"
"""The default type: absurd, so that one that slips through is seen."""

DISTRIBUTED: Strategy = "distributed_arithmetic"
_NAMES = {ours: theirs for theirs, ours in STRATEGY_OF.items()}
MOST_UNROLLED = 4096
"""Elements that Vivado HLS and Vitis HLS unroll or partition; the vendors' default, and hls4ml's."""


@dataclass(frozen=True)
class LayerHardware:
    """How one layer is built; ``None`` takes the model's choice."""

    reuse_factor: int | None = None
    strategy: Strategy | None = None


@dataclass(frozen=True)
class HardwareChoices(Brief):
    """Strategy and reuse factor of a project.

    Parameters
    ----------
    strategy
        hls4ml's strategy for every layer that is not named.
    reuse_factor
        How often one multiplier is used; the II follows from it.
    layers
        Exceptions by layer name.
    """

    strategy: Strategy = "latency"
    reuse_factor: int = 1
    layers: Mapping[str, LayerHardware] = field(default_factory=dict)


def hls_config(model: keras.Model, precision: PrecisionMap, choices: HardwareChoices) -> dict[str, Any]:
    """hls4ml's configuration: types from the map, accumulators and unnamed results exact (``auto``).

    Raises
    ------
    ConversionError
        If the map or the choices name a layer that the model does not have.
    """
    names = [layer.name for layer in model.layers]
    for what, given in (("precision map", precision.layers), ("hardware settings", choices.layers)):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ConversionError(
                f"the {what} names {', '.join(unknown)}, but the model has {', '.join(names)}"
            )
    layers = {}
    for layer in model.layers:
        chosen = choices.layers.get(layer.name, LayerHardware())
        strategy = chosen.strategy or _strategy_of(layer, choices.strategy)
        types = _types(layer, precision)
        if strategy == DISTRIBUTED and "accum" in types:
            types["accum"] = "auto"  # its adders are as wide as they must be, whatever the map says
        layers[layer.name] = {
            "Precision": types,
            "ReuseFactor": chosen.reuse_factor or choices.reuse_factor,
            "Strategy": _NAMES[strategy],
        }
        row, result = _row(layer), precision.layers.get(layer.name, LayerPrecision()).result
        if row is not None and row.table:
            layers[layer.name]["table_t"] = types["result"]
        elif row is not None and row.inside is not None and result is not None:
            inside = dict(row.inside(result, int(layer.output.shape[-1])))
            types["accum"] = str(inside.pop("accum"))
            layers[layer.name] |= {f"{name}_t": str(given) for name, given in inside.items()}
        elif row is not None and row.recurrent:
            layers[layer.name]["table_t"] = types["accum"]  # that of its gates
    return {
        # no type is left to the default: it is absurd, so that a type that slips through is seen
        "Model": {
            "Precision": {"default": _NO_TYPE},
            "ReuseFactor": choices.reuse_factor,
            "Strategy": _NAMES[_strategy_of(None, choices.strategy)],
        },
        "LayerName": layers,
    }


def _strategy_of(layer: Any, strategy: Strategy) -> Strategy:
    """The project's strategy for a layer: where hls4ml knows no distributed arithmetic there is nothing to distribute."""
    row = _row(layer)
    if strategy == DISTRIBUTED and (row is None or not row.matrix):
        return "latency"
    return strategy


def _row(layer: Any) -> LayerKind | None:
    """The row of a layer; ``None`` for one that no network of this package has."""
    function = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return row_of(type(layer).__name__, function)


def _types(layer: Any, precision: PrecisionMap) -> dict[str, str]:
    row = _row(layer)
    if row is not None and row.role == "input":
        return {"result": str(precision.of_input(layer.name))}
    formats = precision.layers.get(layer.name, LayerPrecision())
    # a result without a format is the whole accumulator
    result = formats.result or formats.accum
    types = {"accum": str(formats.accum or "auto"), "result": str(result or "auto")}
    if row is not None and row.holds_results:
        types[row.multiplies] = types["result"]
    if formats.weight is not None:
        types["weight" if row is None else row.multiplies] = str(formats.weight)
        # hls4ml gives every layer a bias; the zero of a layer without one fits the weights' format
        types["bias"] = str(formats.bias or formats.weight)
        if row is not None and row.recurrent:
            types |= {f"recurrent_{name}": types[name] for name in ("weight", "bias")}
    return types


def convert_graph(
    model: keras.Model,
    precision: PrecisionMap,
    target: Target,
    choices: HardwareChoices,
    folder: str | Path,
    top: str = DEFAULT_TOP,
) -> ModelGraph:
    """hls4ml's graph of a model, with all types inferred; nothing is written to `folder` yet.

    Parameters
    ----------
    model
        A float Keras model that ends at the logits; weights already on the grids of the map.
    precision
        Formats in hardware form (see `codesign.networks.prepare.hardware_form`).
    target, choices
        Part, clock, io type; strategy and reuse.
    folder
        Where `ModelGraph.write` would write.
    top
        The name of the top function.

    Raises
    ------
    ConversionError
        With hls4ml's own reason, if hls4ml refuses.
    SettingsError
        For reuse factors that hls4ml would silently change, all together.
    """
    config = hls_config(model, precision, choices)
    distributed = [name for name, layer in config["LayerName"].items() if layer["Strategy"] == DISTRIBUTED]
    if distributed and importlib.util.find_spec("da4ml") is None:
        raise ConversionError(
            f"the strategy {DISTRIBUTED!r} of {', '.join(distributed)} needs the package da4ml; "
            "pip install 'codesign[da]', or choose another strategy"
        )
    _refuse_what_changes(model, target)
    graph = _converted(model, config, target, folder, top)
    _check_names(graph, precision)
    _check_types(graph, precision)
    _check_reuse(graph, config, target)
    for note in unrolling_notes(graph, target):
        _log.warning("%s", note)
    if distributed:
        # hls4ml takes the weights out of these layers; the same network with them, for whoever reads the graph
        for name in distributed:
            config["LayerName"][name]["Strategy"] = "latency"
        graph.codesign_with_weights = _converted(model, config, target, folder, top)
    return graph


def _refuse_what_changes(model: keras.Model, target: Target) -> None:
    """Refuse what hls4ml converts into another computation without a word, or fails on without a reason."""
    for layer in model.layers:
        row = _row(layer)
        if row is not None and row.streamed and target.io_type == "io_stream":
            raise ConversionError(
                f"with io_stream hls4ml's C++ {row.streamed}, which is not the student's: {layer.name}; use io_parallel, or "
                "another activation"
            )
        if type(getattr(layer, "forward_layer", None)).__name__ == "GRU":
            raise ConversionError(
                f"layer {layer.name!r} is a Bidirectional of GRU, whose second bias hls4ml's reader loses; use "
                "Bidirectional of LSTM"
            )
        if getattr(layer, "merge_mode", "concat") != "concat":
            raise ConversionError(
                f"layer {layer.name!r} merges its directions by {layer.merge_mode!r}, and hls4ml would silently set them side by "
                "side; use merge_mode='concat'"
            )
        if getattr(layer, "interpolation", "nearest") != "nearest":
            raise ConversionError(
                f"layer {layer.name!r} interpolates ({layer.interpolation}), and hls4ml would silently repeat the nearest "
                "pixel; use interpolation='nearest'"
            )


def unrolling_notes(graph: ModelGraph, target: Target) -> tuple[str, ...]:
    """One sentence for each layer that the vendor's synthesis will hardly unroll, with the choice that fits.

    *latency* keeps all products of a layer in registers of their own, *resource* and *unrolled* those of one turn; Vivado
    HLS and Vitis HLS stop at 4096 elements ("Stop unrolling loop", hls4ml's own scripts set the same maximum).
    """
    notes = []
    for layer in graph.get_layers():
        shape, strategy = shape_of(layer), STRATEGY_OF.get(str(layer.get_attr("strategy")).lower())
        if shape is None or strategy in (None, DISTRIBUTED):
            continue
        reuse = 1 if strategy == "latency" else int(layer.get_attr("reuse_factor", 1))
        if shape.weights / reuse <= MOST_UNROLLED:
            continue
        turn = "" if strategy == "latency" else f" / {reuse}"
        legal = legal_reuse_factors(shape, "resource", target.io_type)
        fits = next((factor for factor in legal if shape.weights / factor <= MOST_UNROLLED), None)
        choice = (
            f"set hardware.layers.{layer.name} to strategy resource and reuse_factor {fits} or more, or prune its units"
            if fits is not None
            else f"no legal reuse factor under {target.io_type} brings it below; make the layer smaller"
        )
        notes.append(
            f"{layer.name}: {shape.weights:,}{turn} products at once with strategy {strategy}, and the vendor's synthesis "
            f"stops unrolling at {MOST_UNROLLED:,}; {choice}"
        )
    return tuple(notes)


def _converted(
    model: keras.Model, config: Mapping[str, Any], target: Target, folder: str | Path, top: str
) -> ModelGraph:
    import hls4ml

    register_layers()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            return hls4ml.converters.convert_from_keras_model(
                model,
                hls_config=config,
                backend=target.backend,
                io_type=target.io_type,
                part=target.part,
                clock_period=target.clock_period_ns,
                output_dir=str(folder),
                project_name=top,
                allow_da_fallback=False,
                allow_v2_fallback=False,
            )
    except Exception as error:
        raise ConversionError(
            f"hls4ml cannot convert {model.name!r}: {type(error).__name__}: {error}"
        ) from error
    finally:
        for line in printed.getvalue().splitlines():
            _log.debug("hls4ml: %s", line)


def _check_names(graph: ModelGraph, precision: PrecisionMap) -> None:
    """Refuse a graph in which a layer with formats has another name: its types would be hls4ml's defaults."""
    built = {layer.name for layer in graph.get_layers()}
    for name, formats in precision.layers.items():
        renamed = [
            other
            for other in built
            if other.startswith(f"{name}_") and other.removeprefix(f"{name}_").isdigit()
        ]
        if name not in built and renamed and formats.result is not None:
            raise ConversionError(
                f"hls4ml builds the layer {name!r} under the name {renamed[0]!r}, without its formats; give it another name"
            )


def _check_types(graph: ModelGraph, precision: PrecisionMap) -> None:
    """Refuse a graph with a result whose type nobody chose and hls4ml did not infer; sums have their accumulator's."""
    for layer in graph.get_layers():
        if layer.class_name == "Input":
            continue
        result = str(layer.get_output_variable().type.precision)
        chosen = precision.layers.get(layer.name, LayerPrecision()).result
        if result.startswith(_NO_TYPE[:-1] + ",TRN,WRAP") and chosen is None and shape_of(layer) is None:
            raise ConversionError(
                f"hls4ml infers no type for the result of {layer.name!r} ({layer.class_name}); give it a format"
            )


def _check_reuse(graph: ModelGraph, config: Mapping[str, Any], target: Target) -> None:
    """Refuse reuse factors that hls4ml changed silently, or whose kernel fails in C++."""
    faults: list[str] = []
    for layer in graph.get_layers():
        asked = config["LayerName"].get(layer.name)
        shape = shape_of(layer)
        setting = f"hardware.layers.{layer.name}.reuse_factor"
        row = BY_CLASS.get(layer.class_name)
        if asked is not None and row is not None and row.recurrent:
            faults += _recurrent_reuse(layer, asked, setting)
        if asked is None or shape is None:
            continue
        try:
            check_reuse_factor(
                shape, asked["ReuseFactor"], STRATEGY_OF[asked["Strategy"]], target.io_type, setting=setting
            )
        except SettingsError as error:
            faults += error.faults
            continue
        used = layer.get_attr("reuse_factor")
        if used is not None and int(used) != asked["ReuseFactor"]:
            faults.append(f"{setting}: hls4ml would build {used}, not {asked['ReuseFactor']}; set {used}")
        built = layer.get_attr("strategy")
        if built != asked["Strategy"]:
            faults.append(
                f"hardware.layers.{layer.name}.strategy: hls4ml would silently build {built!r}, not "
                f"{STRATEGY_OF[asked['Strategy']]!r}; choose another"
            )
    if faults:
        raise SettingsError(faults)


def _recurrent_reuse(layer: Any, asked: Mapping[str, Any], setting: str) -> Iterator[str]:
    """Refuse a reuse factor that does not fit both products of a recurrent layer: each would get another one."""
    if STRATEGY_OF[asked["Strategy"]] != "resource":
        return
    n_in, units = int(layer.get_attr("n_in")), int(layer.get_attr("n_out"))
    shared = math.gcd(n_in, units)
    if shared % asked["ReuseFactor"]:
        legal = ", ".join(str(factor) for factor in range(1, shared + 1) if shared % factor == 0)
        yield (
            f"{setting}: {asked['ReuseFactor']} does not divide the {n_in} values of a step and the {units} of the state of "
            f"{layer.name!r}, whose two products share it with strategy 'resource'; choose one of {legal}, or the strategy "
            "latency"
        )
