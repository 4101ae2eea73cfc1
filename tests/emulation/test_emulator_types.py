"""Formats given at run time do what a new conversion with those formats does."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from csim_harness import convert, layer_config
from random_networks import TABLE_TYPES, dense_network, image_network

from codesign.core.fixed_point import FixedPoint
from codesign.emulation import Emulator
from codesign.hls.graph import read_graph


def with_other_formats(config, build):
    """Replace every explicit format of a configuration; return it and the new formats by layer and type."""
    config, formats = copy.deepcopy(config), {}
    for name, layer in config["LayerName"].items():
        for key, text in layer["Precision"].items():
            if text == "auto" or key in TABLE_TYPES:
                continue
            new = build.format()
            layer["Precision"][key] = str(new)
            formats.setdefault(name, {})[key] = new
    return config, formats


@pytest.mark.parametrize(
    ("network", "seed"), [(dense_network, 5), (dense_network, 6), (image_network, 7), (image_network, 8)]
)
def test_new_formats_equal_a_new_conversion(network, seed, tmp_path):
    build, model, config = network(seed)
    options = {"io_type": build.io_type, "backend": build.backend}
    other, formats = with_other_formats(config, build)
    before = Emulator.of(read_graph(convert(model, tmp_path / "a", config, **options)))
    after = Emulator.of(read_graph(convert(model, tmp_path / "b", other, **options)))
    known = {
        name: {key: value for key, value in types.items() if key in before.graph[name].types}
        for name, types in formats.items()
        if name in {node.name for node in before.graph}
    }
    changed = before.with_types(known)
    for got, wanted in zip(changed.graph, after.graph, strict=True):
        assert dict(got.types) == dict(wanted.types), got.name
        for key in wanted.weights:
            np.testing.assert_array_equal(got.weights[key], wanted.weights[key])
    x = build.samples(200)
    for name, expected in after.run(x, trace=True).items():
        np.testing.assert_array_equal(changed.run(x, trace=True)[name], expected)


def every_inferred_kind(precision):
    """A network with each kind of layer whose types hls4ml infers, and its configuration with one given type."""
    import keras

    layers = keras.layers
    inputs = keras.Input((8, 9, 2), name="inp")
    average = layers.AveragePooling2D((2, 3), name="average")(inputs)
    outputs = [
        average,
        layers.MaxPooling2D((2, 3), name="largest")(inputs),
        layers.AveragePooling1D(2, name="average1")(layers.Reshape((9, 16), name="moved")(inputs)),
        layers.PReLU(name="prelu")(inputs),
        layers.LeakyReLU(negative_slope=0.3, name="leaky")(inputs),
        layers.BatchNormalization(name="norm")(inputs),
        layers.Conv2D(2, 2, name="conv")(inputs),
        layers.DepthwiseConv2D((3, 2), name="depthwise")(inputs),
        layers.ZeroPadding2D(1, name="pad")(inputs),
    ]
    for kind in ("Add", "Subtract", "Multiply", "Maximum", "Concatenate"):
        other = layers.Activation("relu", name=f"relu_{kind.lower()}")(inputs)
        outputs.append(getattr(layers, kind)(name=kind.lower())([inputs, other]))
    model = keras.Model(inputs, outputs)
    config = layer_config(model)
    config["LayerName"]["inp"]["Precision"]["result"] = precision
    return model, config


def test_types_follow_that_of_the_input_as_in_a_new_conversion(tmp_path):
    before, after = (
        Emulator.of(read_graph(convert(*model_of(precision, tmp_path))))
        for precision in ("fixed<9,3>", "ufixed<7,5,RND,SAT>")
    )
    changed = before.with_types({"inp": {"result": FixedPoint.parse("ufixed<7,5,RND,SAT>")}})
    followed = set()
    for got, wanted, first in zip(changed.graph, after.graph, before.graph, strict=True):
        assert dict(got.types) == dict(wanted.types), got.name
        followed |= {first.kind} if dict(first.types) != dict(got.types) else set()
    kinds = {"pooling_1d", "pooling_2d", "prelu", "batch_normalization", "conv_2d", "depthwise_conv_2d"}
    assert followed >= {*kinds, "zero_padding_2d", "merge", "concatenate"}


def model_of(precision, folder):
    model, config = every_inferred_kind(precision)
    return model, folder / precision, config


def test_layers_before_the_change_are_not_planned_again(tmp_path):
    _build, model, config = dense_network(9, io_type="io_parallel")
    emulator = Emulator.of(read_graph(convert(model, tmp_path, config, io_type="io_parallel")))
    names = [step.node.name for step in emulator.steps]
    last = [step.node.name for step in emulator.steps if step.node.kind == "dense"][-1]
    changed = emulator.with_types({last: {"weight": FixedPoint(3, 1)}})
    same = [a is b for a, b in zip(emulator.steps, changed.steps, strict=True)]
    assert same[: names.index(last)] == [True] * names.index(last)
    assert not same[names.index(last)]


def test_unknown_layers_and_types_are_named(tmp_path):
    _build, model, config = dense_network(9, io_type="io_parallel")
    emulator = Emulator.of(read_graph(convert(model, tmp_path, config, io_type="io_parallel")))
    with pytest.raises(KeyError, match="no layer 'nowhere'; the layers are inp, "):
        emulator.with_types({"nowhere": {"weight": FixedPoint(3, 1)}})
    with pytest.raises(KeyError, match="inp has no type weight; it has result"):
        emulator.with_types({"inp": {"weight": FixedPoint(3, 1)}})
