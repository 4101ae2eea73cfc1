"""The test bench and its vectors: every double survives, what is damaged is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from codesign.errors import ConversionError, DataError
from codesign.hls.testbench import read_outputs, read_vectors, write_testbench, write_vectors

DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


@given(hn.arrays(np.float64, hn.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=DOUBLES))
def test_every_double_survives_the_vector_files(
    tmp_path_factory: pytest.TempPathFactory, x: np.ndarray
) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    write_vectors(folder, x, x)
    inputs, golden = read_vectors(folder, x.shape[1])
    np.testing.assert_array_equal(inputs, x)
    np.testing.assert_array_equal(golden, x)
    np.testing.assert_array_equal(np.signbit(golden), np.signbit(x))


def test_images_are_written_flat_in_c_order(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_vectors(tmp_path, x)
    lines = (tmp_path / "tb_data" / "tb_input_features.dat").read_text().splitlines()
    assert [[float(word) for word in line.split()] for line in lines] == x.reshape(2, -1).tolist()
    assert (tmp_path / "tb_data" / "tb_output_predictions.dat").read_text() == ""


def test_no_samples_are_two_empty_files(tmp_path: Path) -> None:
    write_vectors(tmp_path, np.zeros((0, 3)), np.zeros((0, 2)))
    assert {path.read_text() for path in (tmp_path / "tb_data").iterdir()} == {""}
    with pytest.raises(
        DataError, match=r"tb_data holds 0 input vectors and 0 golden outputs; convert again$"
    ):
        read_vectors(tmp_path, 2)


def test_numbers_of_samples_must_agree(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^3 input vectors but 2 golden outputs; give one for each$"):
        write_vectors(tmp_path, np.zeros((3, 2)), np.zeros((2, 1)))
    assert not (tmp_path / "tb_data").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_must_be_finite(tmp_path: Path, bad: float) -> None:
    with pytest.raises(
        DataError, match=r"^test vectors must be finite; remove the samples with NaN or infinities$"
    ):
        write_vectors(tmp_path, np.array([[0.0, bad]]))


def test_outputs_are_read_by_samples(tmp_path: Path) -> None:
    path = tmp_path / "csim_results.log"
    path.write_text("0.5 -0.25 \n1 2\n")
    assert read_outputs(path, 2).tolist() == [[0.5, -0.25], [1.0, 2.0]]
    path.write_text("")
    assert read_outputs(path, 2).shape == (0, 2)


def test_damaged_outputs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "csim_results.log"
    path.write_text("0.5 -0.25 1\n")
    with pytest.raises(DataError) as caught:
        read_outputs(path, 2)
    assert str(caught.value) == f"{path} holds 3 numbers, which is no multiple of 2 outputs; it is cut off"
    path.write_text("0.5 error\n")
    with pytest.raises(DataError) as caught:
        read_outputs(path, 2)
    assert str(caught.value) == (
        f"{path} holds more than numbers (could not convert string to float: 'error'); simulate again"
    )


def test_a_test_bench_of_another_hls4ml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "top_test.cpp"
    path.write_text("int main() {}\n")
    with pytest.raises(ConversionError) as caught:
        write_testbench(tmp_path, "top", 3)
    assert str(caught.value) == f"{path} is not a test bench of hls4ml 1.3; install hls4ml==1.3.*"
    assert path.read_text() == "int main() {}\n"
