"""Networks as values: frozen, digested, kept in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_networks import MODELS, conv2d_model, dense_model, prepared, random_precision, randomized

from codesign.errors import DataError
from codesign.networks.description import LayerSpec, Network
from codesign.networks.read_keras import read_keras


@pytest.fixture
def network() -> Network:
    return read_keras(randomized(dense_model(), 2, zeros=0.5))


@pytest.mark.parametrize("name", MODELS)
def test_a_network_survives_its_file(name: str, tmp_path: Path) -> None:
    network = prepared(name)
    read = Network.load(network.save(tmp_path / "network.npz"))
    assert read.digest == network.digest
    assert read.name == network.name
    for mine, other in zip(network.layers, read.layers, strict=True):
        assert (mine.name, mine.kind, mine.inputs, dict(mine.config)) == (
            other.name,
            other.kind,
            other.inputs,
            dict(other.config),
        )
        assert {key: a.tobytes() for key, a in mine.weights.items()} == {
            key: a.tobytes() for key, a in other.weights.items()
        }


def test_nothing_of_a_network_can_be_changed(network: Network) -> None:
    layer = network["fc1"]
    with pytest.raises(ValueError, match="read-only"):
        layer.weights["kernel"][0, 0] = 1
    with pytest.raises(TypeError, match="item assignment"):
        layer.weights["kernel"] = np.zeros(3)  # type: ignore[index]
    with pytest.raises(TypeError, match="item assignment"):
        layer.config["strides"] = 2  # type: ignore[index]


def test_a_network_does_not_follow_arrays_that_change_later() -> None:
    kernel = np.ones((2, 3))
    layer = LayerSpec("fc", "dense", ("features",), weights={"kernel": kernel})
    kernel[:] = 7
    assert layer.weights["kernel"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert layer.weights["kernel"].dtype == np.float32


def test_the_digest_sees_every_weight_and_the_structure(network: Network) -> None:
    kernel = np.array(network["fc2"].weights["kernel"])
    kernel[0, 0] = np.nextafter(kernel[0, 0], np.float32(2))
    others = [
        network.with_kernels({"fc2": kernel}),
        Network(network.layers, "other"),
        Network(network.layers[:-1], network.name),
    ]
    assert len({network.digest, *(other.digest for other in others)}) == 4
    assert network.with_kernels({"fc2": network["fc2"].weights["kernel"]}).digest == network.digest


def test_layers_are_found_by_name_and_by_what_they_read(network: Network) -> None:
    assert network["relu1"].inputs == ("norm1",)
    assert [layer.name for layer in network.consumers("fc1")] == ["norm1"]
    assert [layer.name for layer in network.weight_layers] == ["fc1", "fc2", "fc3"]
    assert [layer.name for layer in network.activations] == ["relu1", "fc2_relu"]
    with pytest.raises(
        KeyError, match="no layer 'fc4'; the network has features, fc1, norm1, relu1, fc2, fc2_relu, fc3"
    ):
        network["fc4"]


def test_sparsity_is_the_fraction_of_zeros_of_all_kernels(network: Network) -> None:
    kernels = {
        "fc1": np.zeros((6, 8)),
        "fc2": np.ones((8, 5)),
        "fc3": np.where(np.arange(15).reshape(5, 3) < 5, 0, 1),
    }
    assert network.with_kernels(kernels).sparsity == (48 + 0 + 5) / (48 + 40 + 15)


def test_the_table_has_a_row_a_layer_and_with_a_map_its_formats() -> None:
    network = prepared("residual", zeros=0.4)
    precision = random_precision(network, 2)
    (table,) = network.tables()
    assert table == network.table()
    assert table.header == ("layer", "kind", "output", "parameters", "zeros")
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == [layer.name for layer in network.layers]
    assert rows["features"] == ("features", "input", "6", "", "")
    zeros = (network["first"].weights["kernel"] == 0).mean()
    assert rows["first"] == ("first", "dense", "5", "35", f"{zeros:.0%}")
    full = network.table(precision)
    assert full.header == (*table.header, "weight", "bias", "result")
    for row, short in zip(full.rows, table.rows, strict=True):
        assert row[:5] == short
        own = precision.layers.get(row[0])
        formats = (None, None, None) if own is None else (own.weight, own.bias, own.result)
        if row[0] == "features":
            formats = (None, None, precision.input)
        assert row[5:] == tuple("" if one is None else str(one) for one in formats)
    assert network.sizes == "6, 5, 5, 3"
    convolution = read_keras(conv2d_model())
    assert convolution.sizes == "36, 7 x 7 x 3, 7 x 7 x 3, 2 x 2 x 4, 3"
    assert convolution.table().rows[1][1:3] == ("reshape", "6 x 6 x 1")


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "logits.npz"
    np.savez(path, train=np.zeros(2), test=np.zeros(3))
    expected = f"{path} holds no network (its entries: train, test); give a file saved by Network.save"
    with pytest.raises(DataError) as caught:
        Network.load(path)
    assert str(caught.value) == expected
