"""The table of kinds: complete, and the docs' page is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from codesign.core.layers import BY_KIND, LAYERS, kinds, markdown_table, supported

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


def test_the_page_has_the_table() -> None:
    assert markdown_table() in PAGE.read_text(encoding="utf-8")


def test_kinds_are_named_once_and_constants_are_declared() -> None:
    assert len(BY_KIND) == len(LAYERS)
    for row in LAYERS:
        assert ("kernel" in row.weights) == (row.role == "product" or row.recurrent)
        assert not (row.parameter and row.role != "point")


def test_what_is_supported_names_every_class_once() -> None:
    names = supported().split(", ")
    assert len(names) == len(set(names))
    assert {"Dense", "QDense", "BatchNormalization", "GlobalAveragePooling1D"} <= set(names)


def test_every_class_that_a_row_becomes_is_read_in_hls4mls_graph() -> None:
    from codesign.hls.nodes import BY_CLASS

    assert {name for row in LAYERS for name in row.hls4ml} - set(BY_CLASS) == set()


def test_every_kind_of_node_is_computed() -> None:
    from codesign.emulation.layers import PLANNERS
    from codesign.hls.nodes import NODES

    assert {row.kind for row in NODES} == set(PLANNERS)


def test_kinds_are_found_by_their_role() -> None:
    assert set(kinds("input")) == {"input"}
    assert {"dense", "conv1d", "conv2d", "relu"} <= set(kinds("product", "point"))
    assert "relu" not in kinds("product")
    assert "dense" not in kinds("point")


@pytest.mark.parametrize(
    ("target", "shape"), [((2, 6), (2, 6)), ((-1, 6), (2, 6)), ((3, -1, 2), (3, 2, 2)), ((-1,), (12,))]
)
def test_a_reshape_finds_the_length_that_is_left_open(target, shape) -> None:
    assert BY_KIND["reshape"].shape({"target_shape": target}, {}, [(4, 3)]) == shape
