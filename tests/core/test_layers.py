"""The table of kinds: complete, and the docs' page is made of it."""

from __future__ import annotations

from pathlib import Path

from codesign.core.layers import BY_KIND, HLS4ML_NODES, LAYERS, markdown_table, supported

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
    assert {name for row in LAYERS for name in row.hls4ml} - set(HLS4ML_NODES) == set()


def test_every_kind_of_node_is_computed() -> None:
    from codesign.emulation.layers import PLANNERS
    from codesign.hls.graph import DECISION

    assert {*HLS4ML_NODES.values(), DECISION} == set(PLANNERS)
