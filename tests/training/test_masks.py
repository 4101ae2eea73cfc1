"""Weights held at zero through every optimizer step, in float and in QKeras layers of every kind."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from small_networks import MODELS, inputs, prepared, random_precision

from codesign.compression.pruning.masked import hold_zeros
from codesign.networks.build import build_float, build_quantized, read_weights


def random_masks(network: Any, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {layer.name: random.random(layer.weights["kernel"].shape) < 0.6 for layer in network.weight_layers}


def train(model: keras.Model, network: Any, optimizer: Any, epochs: int = 1) -> None:
    random = np.random.default_rng(1)
    x = inputs(network, 96)
    y = random.integers(0, 3, 96)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(x, y, epochs=epochs, batch_size=16, verbose=0)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_masked_weights_are_exactly_zero_after_training_and_the_others_learn(
    name: str, quantized: bool
) -> None:
    network = prepared(name)
    precision = random_precision(network, 1)
    model = build_quantized(network, precision) if quantized else build_float(network)
    masks = random_masks(network)
    hold_zeros(model, masks)
    before = read_weights(network, model)
    train(model, network, keras.optimizers.Adam(0.05))
    after = read_weights(network, model)
    for layer in after.weight_layers:
        kernel = layer.weights["kernel"]
        np.testing.assert_array_equal(kernel[~masks[layer.name]], 0.0)
        assert (kernel != before[layer.name].weights["kernel"])[masks[layer.name]].any()


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
        lambda: keras.optimizers.RMSprop(0.05),
    ],
)
def test_no_optimizer_moves_a_masked_weight(optimizer: Any) -> None:
    network = prepared("dense")
    model = build_float(network)
    masks = random_masks(network)
    hold_zeros(model, masks)
    train(model, network, optimizer())
    for name, mask in masks.items():
        np.testing.assert_array_equal(np.asarray(model.get_layer(name).kernel)[~mask], 0.0)


def test_weights_are_zero_before_the_first_step_too() -> None:
    network = prepared("dense")
    model = build_float(network)
    masks = random_masks(network)
    variables = hold_zeros(model, masks)
    assert set(variables) == set(masks)
    for layer in read_weights(network, model).weight_layers:
        expected = network[layer.name].weights["kernel"] * masks[layer.name]
        np.testing.assert_array_equal(layer.weights["kernel"], expected)


def test_masks_may_grow_while_training_goes_on() -> None:
    network = prepared("dense")
    model = build_float(network)
    variables = hold_zeros(model, {"fc1": np.ones((6, 8))})

    class Grow(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            mask = np.ones((6, 8), np.float32)
            mask[: epoch + 1] = 0
            variables["fc1"].assign(mask)

    model.compile("adam", "mse", jit_compile=False)
    model.fit(inputs(network, 64), np.zeros((64, 3)), epochs=3, verbose=0, callbacks=[Grow()])
    kernel = np.asarray(model.get_layer("fc1").kernel)
    np.testing.assert_array_equal(kernel[:3], 0.0)
    assert (kernel[3:] != 0).all()


def test_a_saved_model_needs_nothing_of_ours(tmp_path: Any) -> None:
    network = prepared("dense")
    model = build_float(network)
    hold_zeros(model, random_masks(network))
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert read.get_layer("fc1").kernel.constraint is None
    assert len(read.weights) == len(build_float(network).weights)
