"""The page: whole, self-contained, and with every number that the tables have."""

from __future__ import annotations

import re
from datetime import datetime
from html.parser import HTMLParser

import pytest
from comparison_runs import YOSYS
from hypothesis import given
from hypothesis import strategies as st

from codesign.comparison import compare
from codesign.comparison.charts import bits_charts, pareto_charts, type_bits, use_charts
from codesign.comparison.page import render_page
from codesign.comparison.svg import Box, Scale, nice_step, number_text, padded, place_labels

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
    assert page.links == []
    assert page.open == []
    assert not {"link", "iframe", "object", "embed", "base", "img"} & set(page.tags)
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\(|fetch\(|XMLHttpRequest|import\(", text)


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


def test_there_is_a_front_a_stage_and_its_points_are_filled(comparison):
    charts = {chart.title: chart.picture for chart in pareto_charts(comparison)}
    assert list(charts) == [
        "Test accuracy against LUT: Yosys, digits",
        "Test accuracy against latency (ns): Yosys, digits",
    ]
    for picture in charts.values():
        points = dict(re.findall(r'<circle class="([^"]+)".*?<title>(\w+):', picture))
        # big is the best, small the cheapest, and worse is beaten by small
        assert points == {"c0": "big", "c1": "small", "hollow s2": "worse"}
        assert picture.count('class="spread"') == 1


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


def test_one_point_is_no_chart(make_run):
    assert list(pareto_charts(compare([make_run("a", rtl=YOSYS)]))) == []


def test_bits_of_a_layer_are_the_height_of_its_bar(make_run):
    runs = [make_run("a", weight_bits=4), make_run("b", weight_bits=8)]
    weights, results = bits_charts(compare(runs))
    assert weights.title == "Bits of weights by layer"
    bars = re.findall(
        r'height="([\d.]+)" rx="2"><title>(\w), fc1: fixed<(\d+)', weights.picture.replace("&lt;", "<")
    )
    heights = {name: float(height) for height, name, _ in bars}
    assert heights["b"] == pytest.approx(2 * heights["a"], abs=0.2)
    assert "features" in results.picture
    assert "features" not in weights.picture


def test_shares_are_drawn_where_the_part_is_known(comparison):
    charts = {chart.title: chart.picture for chart in use_charts(comparison)}
    assert list(charts) == [
        "Share of the VU9P: C synthesis",
        "Share of the VU9P: Yosys",
        "Share of the VU9P: Vivado, routed",
    ]
    assert "4,210 · 0.36 %" in charts["Share of the VU9P: Vivado, routed"]
    assert "URAM" not in charts["Share of the VU9P: Vivado, routed"]  # nobody uses any


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("fixed<7,4,RND_CONV,SAT,0>", 7), ("ufixed<3,4>", 3), ("uint<1>", 1), ("float", None), ("", None)],
)
def test_the_width_of_a_type(kind, bits):
    assert type_bits(kind) == bits


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_round_few_and_inside(one, other):
    low, high = sorted((one, other))
    for scale in (padded([low, high], 0.0, 100.0), padded([low, high], 0.0, 100.0, log_from=20)):
        ticks = scale.ticks()
        assert len(ticks) <= 8
        assert all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)
        assert 0 <= scale(low) <= scale(high) <= 100


@given(st.floats(1e-9, 1e12))
def test_a_nice_step_is_not_below_what_is_asked_for_nor_far_above(rough):
    assert rough * (1 - 1e-6) <= nice_step(rough) <= 2.6 * rough


def test_a_logarithmic_scale_makes_equal_factors_equal_distances():
    scale = Scale(1.0, 100.0, 0.0, 50.0, is_log=True)
    assert (scale(1), scale(10), scale(100)) == (0.0, 25.0, 50.0)


@pytest.mark.parametrize(
    ("value", "text"), [(1500, "1.5k"), (2e6, "2M"), (0.975, "0.975"), (0, "0"), (30.0, "30")]
)
def test_numbers_at_ticks_are_short(value, text):
    assert number_text(value) == text


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 300)), min_size=1, max_size=8))
def test_labels_never_overlap_and_stay_in_the_frame(points):
    texts = place_labels(points, ["design"] * len(points), Box(0, 0, 500, 300))
    boxes = []
    for text in texts:
        x, y, anchor = re.search(r'x="([-\d.]+)" y="([-\d.]+)" text-anchor="(\w+)"', text).groups()
        left = float(x) - {"start": 0.0, "middle": 19.2, "end": 38.4}[anchor]
        boxes.append(Box(left, float(y) - 11, left + 38.4, float(y) + 3))
    slack = Box(0.2, 0.2, -0.2, -0.2)
    shrunk = [
        Box(b.left + slack.left, b.top + slack.top, b.right + slack.right, b.bottom + slack.bottom)
        for b in boxes
    ]
    assert not any(one.meets(other) for i, one in enumerate(shrunk) for other in shrunk[:i])
    assert all(b.left >= -0.1 and b.right <= 500.1 and b.top >= -0.1 and b.bottom <= 300.1 for b in boxes)
