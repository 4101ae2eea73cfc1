"""Data with several inputs: one array an input, side by side in a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codesign.core.ports import Port, apart
from codesign.data import Dataset, dataset_from_arrays, load_dataset, read_dataset, save_dataset
from codesign.data.load import has_arrays, load_design_data
from codesign.errors import DataError, SettingsError
from codesign.settings import make_design

N = 90
INPUTS = ("event", "particles")


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    return {
        "particles": rng.normal(5, 2, (N, 4, 3)),
        "event": rng.normal(-1, 0.1, (N, 2)) + y[:, None],
        "y": y,
    }


def saved(folder: Path, **changes: Any) -> Path:
    values = {name: array for name, array in {**arrays(), **changes}.items() if array is not None}
    np.savez(folder / "both.npz", **values)
    return folder / "both.npz"


def test_the_inputs_stand_side_by_side_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path)
    dataset = load_dataset(path, inputs=INPUTS, scaling="none")
    assert dataset.inputs == (Port("event", (2,)), Port("particles", (4, 3)))
    assert (dataset.input_shape, dataset.n_features) == ((14,), 14)
    assert dataset.sample_shape == {"event": (2,), "particles": (4, 3)}
    assert dataset.feature_names[1:3] == ("event[1]", "particles[0]")
    event, particles = apart(dataset.inputs, dataset.x_train)
    np.testing.assert_array_equal(event, arrays()["event"][dataset.split.train].astype(np.float32))
    np.testing.assert_array_equal(particles, arrays()["particles"][dataset.split.train].astype(np.float32))
    assert dataset.summary()["inputs"] == {"event": [2], "particles": [4, 3]}
    other = load_dataset(path, inputs=INPUTS[::-1], scaling="none")
    assert other.digest != dataset.digest


def test_memory_folders_and_python_files_give_the_same(tmp_path: Path) -> None:
    dataset = load_dataset(saved(tmp_path), inputs=INPUTS)
    given = arrays()
    assert dataset_from_arrays({name: given[name] for name in INPUTS}, given["y"]) == dataset
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, array in given.items():
        np.save(folder / f"{name}.npy", array)
    assert load_dataset(folder, inputs=INPUTS) == dataset
    source = str(tmp_path / "both.npz")
    code = f"import numpy as np\n\n\ndef make_data(seed):\n    return dict(np.load({source!r}))\n"
    (tmp_path / "data.py").write_text(code)
    assert load_dataset(tmp_path / "data.py", inputs=INPUTS) == dataset


def test_a_dataset_survives_its_file_and_its_subsets(tmp_path: Path) -> None:
    dataset = load_dataset(saved(tmp_path), inputs=INPUTS)
    assert read_dataset(save_dataset(dataset, tmp_path / "kept.npz")) == dataset
    assert read_dataset(tmp_path / "kept.npz").inputs == dataset.inputs
    assert dataset.subset(train=20).inputs == dataset.inputs
    assert dataset.calibration(10).shape == (10, 14)
    with pytest.raises(DataError, match="input_shape is of one input, the data have 2; leave it out"):
        dataset.reshaped((14,))


def test_own_parts_and_single_numbers(tmp_path: Path) -> None:
    given = arrays()
    given["event"] = given["event"][:, 0]
    parts = {f"{name}_{part}": array[rows] for name, array in given.items() for part, rows in
             (("train", slice(0, 60)), ("test", slice(60, None)))}  # fmt: skip
    np.savez(tmp_path / "parts.npz", **parts)
    dataset = load_dataset(tmp_path / "parts.npz", inputs=INPUTS, scaling="none")
    assert dataset.inputs == (Port("event", (1,)), Port("particles", (4, 3)))
    assert len(dataset.x_test) == 30
    parts["particles_test"] = parts["particles_test"][:, :2]
    np.savez(tmp_path / "parts.npz", **parts)
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "parts.npz", inputs=INPUTS)
    assert str(caught.value) == (
        f"{tmp_path}/parts.npz: the test part has the inputs event (1,), particles (2, 3), the train part event (1,), "
        "particles (4, 3); give all parts the same"
    )


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"event": None}, {}, "no array event for the inputs; there are particles; give one for each input"),
        ({"event": np.zeros((80, 2))}, {}, "the input particles has 90 samples and event has 80; give every input all samples"),
        ({"event": np.full(N, "a")}, {}, "the input event must be real numbers of shape (samples, ...), not <U1 of shape (90,)"),
        ({}, {"inputs": ("jets", "event2")}, "none of the inputs jets, event2 is among its keys (particles, event, y)"),
        ({}, {"input_shape": (7, 2)}, "input_shape is of one input, but inputs names 2; leave one of them out"),
        ({"event": np.full((N, 2), np.nan)}, {}, "the first (nan) at row 0, feature 'event[0]'"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_named(
    changes: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        load_dataset(path, **{"inputs": INPUTS, **options})
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_several_arrays_without_names_say_what_to_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x_a=np.zeros((9, 2)), x_b=np.zeros((9, 3)), y=np.arange(9) % 2)
    with pytest.raises(
        DataError, match=r"x_a, x_b look like several inputs; name them in data\.inputs, in the order"
    ):
        load_dataset(tmp_path / "two.npz")


def test_a_table_has_one_array(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b,y\n1,2,0\n3,4,1\n")
    with pytest.raises(DataError, match="the columns of a table are one array that the network takes apart"):
        load_dataset(tmp_path / "table.csv", inputs=("a", "b"))


def test_a_design_names_its_inputs(tmp_path: Path) -> None:
    saved(tmp_path)
    design = make_design({"name": "d", "data": {"source": "both.npz", "inputs": list(INPUTS)}})
    dataset: Dataset = load_design_data(design.data, tmp_path)
    assert [port.name for port in dataset.inputs] == list(INPUTS)
    assert has_arrays(design.data, tmp_path, ["particles", "other"])
    assert not has_arrays(design.data, tmp_path, ["keras_tensor"])


@pytest.mark.parametrize("names", [["event"], ["event", "event"]])
def test_inputs_are_at_least_two(names: list[str]) -> None:
    with pytest.raises(
        SettingsError, match=r"data\.inputs: must name at least two arrays, each once, not \['event'"
    ):
        make_design({"name": "d", "data": {"source": "x.npz", "inputs": names}})


def build(*names: str) -> Callable[..., Any]:
    import keras
    from keras import layers

    def builder(input_shape: Any, n_outputs: int) -> Any:
        given = {name: keras.Input(input_shape[name], name=name) for name in names}
        flat = [layers.Flatten()(tensor) for tensor in given.values()]
        joined = layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
        return keras.Model(list(given.values()), layers.Dense(n_outputs)(joined))

    return builder


def test_the_inputs_of_a_network_are_those_of_the_data_by_name(tmp_path: Path) -> None:
    from codesign.networks.design import build_network

    dataset = load_dataset(saved(tmp_path), inputs=INPUTS)
    made = build_network(build(*INPUTS), Path("networks.py"), dataset.sample_shape, dataset.task, {})
    assert [tensor.shape[1:] for tensor in made.inputs] == [(2,), (4, 3)]
    with pytest.raises(DataError) as caught:
        build_network(build(*INPUTS[::-1]), Path("networks.py"), dataset.sample_shape, dataset.task, {})
    assert str(caught.value) == (
        "networks.py: builder: its inputs are particles, event in this order, but the data's are event, particles; name the "
        "arrays in data.inputs as the model has them (those of a mapping are in the order of their sorted names)"
    )
    with pytest.raises(
        DataError, match=r"the input shape is \(2,\), but the data's samples have shape \(14,\)"
    ):
        build_network(build("event"), Path("networks.py"), dataset.sample_shape, dataset.task, {})
