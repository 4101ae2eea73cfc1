"""The page: whole, self-contained, and with every number that the tables have."""

from __future__ import annotations

import html
import re
from datetime import datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from comparison_runs import YOSYS
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from codesign.comparison import compare
from codesign.comparison.figures import (
    COLOURS,
    MARKERS,
    Box,
    Mark,
    bits_charts,
    comparison_figure,
    number_text,
    pareto_charts,
    picture,
    places,
    save,
    type_bits,
    use_charts,
)
from codesign.comparison.forms import write_comparison
from codesign.comparison.page import render_page
from codesign.errors import SettingsError

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Collects what a page refers to, its text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.words, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.links += [
            value
            for name, value in attrs
            if name in ("src", "href", "xlink:href", "action", "data", "poster")
        ]

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


@pytest.fixture
def comparison(make_run, make_build):
    big = [make_run(f"big-seed{n}", seed=n, accuracy=0.96 + n / 100, rtl=YOSYS) for n in range(2)]
    small = make_run("small", accuracy=0.95, sparsity=0.75, rtl={**YOSYS, "lut": 3000, "latency_ns": 25.0})
    worse = make_run("worse", accuracy=0.94, sparsity=0.8, rtl={**YOSYS, "lut": 3500, "latency_ns": 25.0})
    build = make_build("build", "vitis_hls_2023_csynth.xml", "vivado_utilization.rpt", "vivado_timing.rpt")
    return compare([*big, small, worse, build])


def test_the_page_refers_to_nothing_outside_itself(comparison):
    text = render_page(comparison)
    page = Page(text)
    assert all(link.startswith("#") for link in page.links)
    assert page.open == []
    assert not {"link", "iframe", "object", "embed", "base", "img"} & set(page.tags)
    assert not re.search(
        r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\((?!#)|fetch\(|XMLHttpRequest|import\(", text
    )


def test_the_page_holds_every_design_number_and_note(comparison):
    words = Page(render_page(comparison)).words
    for entry in comparison.entries:
        assert entry.name in words
        for number in entry.numbers:
            column = next(
                c for c in comparison.columns() if (c.metric, c.step) == (number.metric, number.step)
            )
            assert any(word.startswith(column.about.text(number.value)) for word in words), number
    assert all(note in words for note in comparison.notes)
    assert "-1,000 (-25.0 %) better" in words


def test_names_cannot_break_the_page(make_run):
    runs = [f"<script>alert(1)</script>&={make_run('a', rtl=YOSYS)}", make_run("b", rtl=YOSYS, sparsity=0.7)]
    text = render_page(compare(runs))
    assert "<script>alert" not in text
    assert Page(text).open == []


def test_the_page_says_when_it_was_made_and_that_a_build_is_not_trustworthy(make_build):
    folder = make_build("b", "vitis_hls_2023_csynth.xml", "vivado_utilization.rpt")
    (folder / "vivado_utilization.rpt").write_text("")
    text = render_page(compare([folder]), datetime(2024, 2, 5, 15, 20))
    assert "on 2024-02-05 15:20." in text
    assert "not trustworthy" in Page(text).words


def hints(svg):
    return [html.unescape(words) for words in re.findall(r"<title>(.*?)</title>", svg)]


def test_there_is_a_front_a_stage_and_its_points_are_filled(comparison):
    charts = {chart.title: picture(chart) for chart in pareto_charts(comparison)}
    assert list(charts) == [
        "Test accuracy against LUT: Yosys, digits",
        "Test accuracy against latency (ns): Yosys, digits",
    ]
    for svg in charts.values():
        shapes = re.findall(r"<title>(\w+): .*?fill: var\(--(\w+)\); stroke: var\(--(\w+)\)", svg, re.DOTALL)
        # big is the best, small the cheapest, and worse is beaten by small
        assert shapes == [("big", "c0", "c0"), ("small", "c1", "c1"), ("worse", "card", "c2")]


def test_twelve_designs_have_twelve_distinguishable_marks(make_run):
    assert len({Mark(index).marker for index in range(12)}) == 12
    assert len({Mark(index).colour for index in range(12)}) == len(COLOURS) == 12
    looks = {(Mark(index).marker, Mark(index).colour) for index in range(100)}
    assert len(looks) == 100
    runs = [make_run(f"d{n}", sparsity=n / 20, rtl={**YOSYS, "lut": 3000 + n}) for n in range(12)]
    text = render_page(compare(runs))
    marks = re.findall(r'<b><svg class="mark".*?</svg>', text)
    assert len(set(marks)) == 12


def test_a_mark_in_the_text_stands_as_the_one_in_the_plot():
    up = Mark(MARKERS.index("^")).svg
    points = [
        tuple(map(float, pair)) for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)", up[up.index(' d="') :])
    ]
    highest = min(y for _, y in points)  # in SVG the smallest
    assert len({x for x, y in points if y == highest}) == 1
    assert len({x for x, y in points if y > highest}) == 2


def test_what_is_drawn_takes_its_colours_from_the_page(comparison):
    for chart in (*pareto_charts(comparison), *use_charts(comparison), *bits_charts(comparison)):
        left = set(re.findall(r": (#[0-9a-f]{3,6})\b", picture(chart)))
        assert not left, f"{chart.title}: {left} stay the same in the dark"
    text = render_page(comparison)
    for index in range(12):
        assert text.count(f"--c{index}: #") == 2  # light and dark


def test_names_within_pictures_are_not_shared_between_pictures(comparison):
    text = render_page(comparison)
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(names)


@pytest.mark.parametrize(("ending", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_comparison_is_a_picture_for_slides(comparison, tmp_path, ending, begin):
    figure = comparison_figure(comparison)
    assert len(figure.axes) >= 7
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["big", "small", "worse", "build"]
    path = write_comparison(comparison, tmp_path / f"plot.{ending}")
    assert path.read_bytes().startswith(begin)
    again = save(comparison_figure(comparison), tmp_path / f"again.{ending}")
    assert path.read_bytes() == again.read_bytes()


def test_a_name_with_dollars_is_no_formula(make_run, tmp_path):
    runs = [f"$\\frac{{{n}$ _x={make_run(str(n), sparsity=n / 9, rtl=YOSYS)}" for n in range(2)]
    assert "$\\frac{0$ _x" in picture(next(pareto_charts(compare(runs))))
    write_comparison(compare(runs), tmp_path / "c.png")


def test_the_best_is_said_to_be_uncertain_where_it_is(make_run):
    right = np.ones(359, dtype=bool)
    runs = []
    for name, wrong in (("good", 5), ("near", 8), ("far", 60)):
        mine = right.copy()
        mine[:wrong] = False
        runs.append(make_run(name, accuracy=mine.mean(), right=mine, sparsity=wrong / 100))
    words = " ".join(Page(render_page(compare(runs))).words)
    assert "good; 1 of 2 others within error" in words


def test_nothing_to_draw_is_said(make_build, tmp_path):
    comparison = compare([make_build("b", "vivado_power.rpt")])
    with pytest.raises(SettingsError, match=r"^the comparison has nothing to draw: a plot needs two designs"):
        write_comparison(comparison, tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_stages_and_datasets_get_charts_of_their_own(make_run):
    runs = [
        make_run(n, source=s, digest=s, rtl=YOSYS, estimates={"lut": 5})
        for n, s in zip("abcd", "xxyy", strict=True)
    ]
    titles = [chart.title for chart in pareto_charts(compare(runs, each_seed=True))]
    assert titles == [
        f"Test accuracy against {cost}, {data}"
        for data in "xy"
        for cost in ("LUT: estimate", "LUT: Yosys", "latency (ns): Yosys")
    ]


def test_designs_without_hardware_are_drawn_against_what_is_counted_of_their_networks(make_run, tmp_path):
    runs = [make_run("a", sparsity=0.5), make_run("b", sparsity=0.7)]
    comparison = compare(runs)
    titles = [chart.title for chart in pareto_charts(comparison)]
    assert titles == [
        "Test accuracy against BOPs: quantized student, digits",
        "Test accuracy against mean weight bits: quantized student, digits",
    ]
    assert write_comparison(comparison, tmp_path / "c.png").stat().st_size > 1000


def test_one_point_is_no_chart(make_run):
    assert list(pareto_charts(compare([make_run("a", rtl=YOSYS)]))) == []


def test_bits_of_a_layer_are_the_height_of_its_bar(make_run):
    runs = [make_run("a", weight_bits=4), make_run("b", weight_bits=8)]
    weights, results = bits_charts(compare(runs))
    assert weights.title == "Bits of weights by layer"
    axes = Figure().subplots()
    weights.draw(axes)
    assert [bar.get_height() for bar in axes.patches] == [4, 8]
    assert all(tick == int(tick) for tick in axes.get_yticks())  # there are no half bits
    assert hints(picture(weights)) == [
        "a, fc1: fixed<4,2,RND_CONV,SAT,0>",
        "b, fc1: fixed<8,2,RND_CONV,SAT,0>",
    ]
    assert "features" in picture(results)
    assert "features" not in picture(weights)


def test_shares_are_drawn_where_the_part_is_known(comparison):
    charts = {chart.title: picture(chart) for chart in use_charts(comparison)}
    assert list(charts) == [
        "Share of the VU9P: C synthesis",
        "Share of the VU9P: Yosys",
        "Share of the VU9P: Vivado, routed",
    ]
    assert "4,210 · 0.36 %" in charts["Share of the VU9P: Vivado, routed"]
    assert "URAM" not in charts["Share of the VU9P: Vivado, routed"]  # nobody uses any


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("fixed<7,4,RND_CONV,SAT,0>", (7, 7)),
        ("ufixed<3,4>", (3, 3)),
        ("uint<1>", (1, 1)),
        ("float", None),
        ("", None),
    ],
)
def test_the_width_of_a_type(kind, bits):
    assert type_bits(kind) == bits


@pytest.mark.parametrize(
    ("value", "text"), [(1500, "1.5k"), (2e6, "2M"), (0.975, "0.975"), (0, "0"), (30.0, "30")]
)
def test_numbers_at_ticks_are_short(value, text):
    assert number_text(value) == text


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 300)), min_size=1, max_size=8))
def test_labels_never_overlap_and_stay_in_the_frame(points):
    boxes = []
    for index, (dx, dy, anchor) in places(points, ["design"] * len(points), Box(0, 0, 500, 300), size=10.0):
        x, y = points[index][0] + dx, points[index][1] + dy
        left = x - {"start": 0.0, "middle": 18.0, "end": 36.0}[anchor]
        boxes.append(Box(left, y - 2, left + 36.0, y + 8))
    assert not any(one.meets(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(b.left >= 0 and b.right <= 500 and b.bottom >= 0 and b.top <= 300 for b in boxes)
    if len(points) == 1 and 60 < points[0][0] < 440 and 30 < points[0][1] < 270:
        assert boxes, "a lone point has room for its name"
