"""The reuse-factor adviser against hls4ml's own rules."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.core.target import IoType, Strategy
from codesign.errors import SettingsError
from codesign.hls.reuse import (
    MatrixShape,
    advise_reuse,
    check_reuse_factor,
    closest_reuse_factor,
    legal_reuse_factors,
    shape_of,
)

DENSE = MatrixShape("fc1", "dense", 16, 64)
CONV = MatrixShape("conv1", "conv", 27, 8, in_positions=64, out_positions=36, parallel_positions=4)


@pytest.fixture(scope="module")
def hls4ml_backend() -> Any:
    backend = pytest.importorskip("hls4ml.backends", reason="hls4ml is not installed")
    return backend.get_backend("Vitis")


def test_resource_factors_equal_hls4mls_own_over_many_shapes(hls4ml_backend: Any) -> None:
    for n_in in [*range(1, 33), 49, 64, 81, 100, 127, 128, 144]:
        for n_out in [*range(1, 20), 32, 64, 100]:
            layer = MatrixShape("d", "dense", n_in, n_out)
            expected = hls4ml_backend.get_valid_reuse_factors(n_in, n_out)
            assert list(legal_reuse_factors(layer, "resource", "io_parallel")) == expected
            conv = MatrixShape("c", "conv", n_in, n_out)
            assert list(legal_reuse_factors(conv, "resource", "io_stream")) == expected


@given(n_in=st.integers(1, 200), n_out=st.integers(1, 60), factor=st.integers(1, 12_000))
def test_the_replacement_named_is_the_one_hls4ml_takes(
    hls4ml_backend: Any, n_in: int, n_out: int, factor: int
) -> None:
    legal = legal_reuse_factors(MatrixShape("d", "dense", n_in, n_out), "resource", "io_parallel")
    assert closest_reuse_factor(legal, factor) == hls4ml_backend.get_closest_reuse_factor(list(legal), factor)


class _Layer:
    """As much of an hls4ml layer as its `init_*` passes touch."""

    def __init__(self, class_name: str, strategy: str, io_type: str, reuse: int, **attributes: Any) -> None:
        self.class_name, self.name = class_name, "layer"
        self.attributes = {"reuse_factor": reuse, "target_cycles": None, **attributes}
        output = SimpleNamespace(shape=[attributes.get("out_height", 1), attributes.get("out_width", 1)])
        if class_name == "Conv1D":
            output.shape = [attributes["out_width"]]
        self.get_output_variable = lambda: output
        self.index = 1
        self.weights = {"weight": SimpleNamespace(data=SimpleNamespace(shape=(1, 1, 1)))}
        self.model = SimpleNamespace(
            config=SimpleNamespace(
                is_resource_strategy=lambda layer: strategy == "resource",
                get_strategy=lambda layer: strategy,
                get_compression=lambda layer: False,
                get_config_value=lambda key: io_type,
                get_layer_config_value=lambda layer, key, default=None: default,
                get_conv_implementation=lambda layer: "LineBuffer",
            )
        )

    def get_attr(self, key: str, default: Any = None) -> Any:
        return self.attributes.get(key, default)

    def set_attr(self, key: str, value: Any) -> None:
        self.attributes[key] = value


def _built(backend: Any, layer: _Layer) -> tuple[str, int]:
    passes = {"Dense": backend.init_dense, "Conv1D": backend.init_conv1d, "Conv2D": backend.init_conv2d}
    passes[layer.class_name](layer)
    return layer.get_attr("strategy"), layer.get_attr("reuse_factor")


@pytest.mark.parametrize("strategy", ["latency", "resource", "unrolled"])
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("class_name", ["Dense", "Conv1D", "Conv2D"])
def test_a_factor_is_accepted_exactly_when_hls4ml_builds_it_as_asked(
    hls4ml_backend: Any, strategy: Strategy, io_type: IoType, class_name: str
) -> None:
    hls4ml_name = "resource_unrolled" if strategy == "unrolled" else strategy
    attributes = {"n_in": 6, "n_out": 4}
    if class_name != "Dense":
        attributes = {"n_chan": 2, "filt_width": 3, "n_filt": 4, "in_width": 9, "out_width": 7}
    if class_name == "Conv2D":
        attributes |= {"filt_height": 1, "in_height": 5, "out_height": 5}
    checked = set()
    for factor in range(1, 25):
        hls_layer = _Layer(class_name, hls4ml_name, io_type, factor, **attributes)
        shape = shape_of(hls_layer)
        assert shape is not None
        built_as_asked = _built(hls4ml_backend, hls_layer) == (hls4ml_name, factor)
        # beyond hls4ml's own list: the parallel convolution's kernel asserts factor <= n_in
        if strategy == "resource" and class_name != "Dense" and io_type == "io_parallel":
            built_as_asked = built_as_asked and factor <= 6
        try:
            check_reuse_factor(shape, factor, strategy, io_type)
        except SettingsError:
            assert not built_as_asked, factor
        else:
            assert built_as_asked, factor
        checked.add(built_as_asked)
    if strategy != "latency":
        assert False in checked


@pytest.mark.parametrize(
    ("layer", "factor", "strategy", "io_type", "message"),
    [
        (
            DENSE,
            7,
            "resource",
            "io_parallel",
            "layers.fc1.reuse_factor: 7 is not legal for the 16 x 64 weights of 'fc1' with strategy "
            "'resource' "
            "under 'io_parallel', hls4ml would silently build 8; choose 4 or 8",
        ),
        (
            DENSE,
            2000,
            "latency",
            "io_parallel",
            "layers.fc1.reuse_factor: 2000 is not legal for the 16 x 64 weights of 'fc1' with strategy "
            "'latency' "
            "under 'io_parallel'; choose 1024",
        ),
        (
            DENSE,
            1,
            "unrolled",
            "io_stream",
            "layers.fc1.reuse_factor: 1 is not legal for the 16 x 64 weights of 'fc1' with strategy "
            "'unrolled' "
            "under 'io_stream', hls4ml would silently build 'resource'; choose 2",
        ),
        (
            CONV,
            54,
            "resource",
            "io_parallel",
            "layers.conv1.reuse_factor: 54 is not legal for the 27 x 8 weights of 'conv1' with strategy "
            "'resource' "
            "under 'io_parallel', the C++ kernel would stop with a failed assertion; choose 27",
        ),
        (
            CONV,
            3,
            "unrolled",
            "io_parallel",
            "layers.conv1.reuse_factor: hls4ml has no 'unrolled' kernel for the 27 x 8 weights of 'conv1' "
            "under "
            "'io_parallel' and would silently build another; choose the strategy 'resource' or 'latency'",
        ),
        (
            DENSE,
            2,
            "distributed_arithmetic",
            "io_parallel",
            "layers.fc1.reuse_factor: 2 is not legal for the 16 x 64 weights of 'fc1' with strategy "
            "'distributed_arithmetic' under 'io_parallel'; choose 1",
        ),
        (
            DENSE,
            0,
            "resource",
            "io_parallel",
            "layers.fc1.reuse_factor: 0 is not legal for the 16 x 64 weights of 'fc1' with strategy "
            "'resource' "
            "under 'io_parallel'; choose 1",
        ),
    ],
)
def test_refusals_name_the_fate_and_the_nearest_factors(
    layer: MatrixShape, factor: int, strategy: Strategy, io_type: IoType, message: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        check_reuse_factor(layer, factor, strategy, io_type)


def test_the_path_of_the_setting_can_be_given() -> None:
    with pytest.raises(SettingsError, match=r"^hardware\.reuse_factor: 5 is not legal"):
        check_reuse_factor(DENSE, 5, "resource", "io_parallel", setting="hardware.reuse_factor")


@given(
    n_in=st.integers(1, 80),
    n_out=st.integers(1, 40),
    strategy=st.sampled_from(["latency", "resource", "unrolled", "distributed_arithmetic"]),
    io_type=st.sampled_from(["io_parallel", "io_stream"]),
)
def test_advice_trades_multipliers_for_cycles(
    n_in: int, n_out: int, strategy: Strategy, io_type: IoType
) -> None:
    layer = MatrixShape("d", "dense", n_in, n_out)
    options = advise_reuse(layer, strategy, io_type)
    legal = legal_reuse_factors(layer, strategy, io_type)
    assert {option.factor for option in options} <= set(legal)
    for option in options:
        assert option == check_reuse_factor(layer, option.factor, strategy, io_type)
        assert option.interval_cycles == option.factor
        if strategy != "distributed_arithmetic":
            # enough multipliers for all products, and none to spare
            assert option.multipliers == math.ceil(n_in * n_out / option.factor)
    pairs = [(option.interval_cycles, option.multipliers) for option in options]
    assert pairs == sorted(pairs)
    assert [m for _, m in pairs] == sorted((m for _, m in pairs), reverse=True)


def test_positions_multiply_the_interval_and_parallel_ones_the_multipliers() -> None:
    option = check_reuse_factor(CONV, 9, "resource", "io_parallel")
    assert (option.multipliers, option.interval_cycles) == (4 * 27 * 8 // 9, 9 * 36 // 4)
    option = check_reuse_factor(CONV, 9, "resource", "io_stream")
    assert (option.multipliers, option.interval_cycles) == (27 * 8 // 9, 9 * 64)


def test_zero_weights_need_no_multiplier_under_latency_only() -> None:
    half_zero = MatrixShape("fc1", "dense", 16, 64, zero_weights=512)
    assert check_reuse_factor(half_zero, 1, "latency", "io_parallel").multipliers == 512
    assert check_reuse_factor(half_zero, 4, "latency", "io_parallel").multipliers == 128
    assert check_reuse_factor(half_zero, 4, "resource", "io_parallel").multipliers == 256
    assert check_reuse_factor(half_zero, 1, "distributed_arithmetic", "io_parallel").multipliers == 0


def test_layers_without_such_a_factor_have_no_shape() -> None:
    for name in ("Activation", "Pooling1D", "DepthwiseConv2D", "SeparableConv1D", "EinsumDense"):
        assert shape_of(SimpleNamespace(class_name=name, name="x")) is None
    pointwise = _Layer(
        "PointwiseConv1D",
        "latency",
        "io_parallel",
        1,
        n_chan=3,
        filt_width=1,
        n_filt=5,
        in_width=9,
        out_width=9,
    )
    assert shape_of(pointwise) == MatrixShape("layer", "conv", 3, 5, in_positions=9, out_positions=9)


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"^layers\.x: .* has a size that cannot be$"):
        MatrixShape("x", "dense", 0, 4)
    message = (
        "layers.x.parallelization_factor: 4 does not divide the 6 output positions, hls4ml would silently "
        "change it; "
        "choose one of 1, 2, 3 or 6"
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        MatrixShape("x", "conv", 3, 4, out_positions=6, parallel_positions=4)
