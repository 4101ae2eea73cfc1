"""A run as one page: whole, self-contained, with the story in order, warnings first; charts checked by hand."""

from __future__ import annotations

import html
import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from comparison_runs import YOSYS, write
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score
from test_comparison_page import Page

from codesign.comparison.figures import picture
from codesign.comparison.network_picture import Box, network_svg, short_type
from codesign.comparison.profile_charts import profile_charts
from codesign.comparison.run_charts import (
    class_scores,
    confusion_chart,
    residual_charts,
    roc_chart,
    roc_curve,
    stage_chart,
    training_charts,
)
from codesign.comparison.run_page import render_run, write_run_page
from codesign.core.text_table import headed
from codesign.errors import OutputFolderError, ReportFormatError, ReportMissingError, SettingsError

HISTORY = {
    "loss": [2.0, 1.0, 0.5],
    "validation_loss": [2.0, 1.5, 1.7],
    "validation_accuracy": [0.5, 0.8, 0.7],
    "best_epoch": 1,
}
TRIALS = [
    {
        "phase": "uniform",
        "layer": None,
        "tensor": None,
        "bits": 8,
        "quality": 0.95,
        "cost": 90.0,
        "accepted": True,
    },
    {
        "phase": "uniform",
        "layer": None,
        "tensor": None,
        "bits": 4,
        "quality": 0.80,
        "cost": 40.0,
        "accepted": False,
    },
    {
        "phase": "layers",
        "layer": "fc1",
        "tensor": "weight",
        "bits": 7,
        "quality": 0.94,
        "cost": 80.0,
        "accepted": True,
    },
]


@pytest.fixture
def run(make_run):
    right = np.ones(359, dtype=bool)
    right[:14] = False
    folder = make_run("digits run", rtl=YOSYS, accuracy=345 / 359, right=right)
    for stage in ("teacher", "student", "quantization"):
        write(folder / stage / "history.json", HISTORY)
    write(folder / "scan" / "scan.json", {"trials": TRIALS, "float_quality": 0.96})
    settings = {"name": "digits", "seed": 0, "data": {"source": "digits"}, "scan": {"tolerance": 0.01}}
    write(folder / "run.json", {"settings": {**settings, "hardware": {"part": "xcvu9p-flga2104-2L-e"}}})
    return folder


def test_the_page_tells_the_story_in_order_and_refers_to_nothing_outside(run):
    text = render_run(run)
    page = Page(text)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert not {"link", "iframe", "object", "embed", "base", "img"} & set(page.tags)
    assert not re.search(
        r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\((?!#)|fetch\(|XMLHttpRequest|import\(", text
    )
    headings = [re.sub(r"<.*?>", "", found) for found in re.findall(r"<h2[^>]*>(.*?)</h2>", text)]
    assert headings == [
        "In short",
        "What was asked",
        "Quality from stage to stage",
        "On the test samples",
        "Training",
        "The bit-width scan",
        "Bits by layer",
        "Use of the part",
        "The network in hardware",
        "Tables",
    ]
    assert {link.removeprefix("#") for link in page.links if "-" not in link} <= set(
        re.findall(r' id="([^"]+)"', text)
    )
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names))


def test_settings_stand_as_they_are_typed_and_costs_have_their_unit(run):
    kept = json.loads((run / "run.json").read_text())
    kept["settings"]["data"] |= {"fold": None, "renumber": False, "fractions": [0.6, 0.4]}
    write(run / "run.json", kept)
    values = re.findall(r"<dt>(fold|renumber|fractions|source)</dt><dd>(.*?)</dd>", render_run(run))
    assert dict(values) == {
        "source": "digits",
        "fold": "null",
        "renumber": "false",
        "fractions": "[0.6, 0.4]",
    }
    assert "BOPs</text>" not in render_run(run)
    kept["settings"]["scan"]["cost"] = "bops"
    write(run / "run.json", kept)
    assert "BOPs</text>" in render_run(run)


def edges_of(text):
    found = re.findall(r'<div class="edge">(.*?)</div>', text)
    return [[html.unescape(line) for line in re.findall("<span>(.*?)</span>", edge)] for edge in found]


def test_a_network_with_branches_says_on_its_edges_where_they_come_from(run):
    summary = json.loads((run / "summary.json").read_text())
    for name in ("fc2", "add"):
        summary["layers"][name] = {"result": "fixed<9,4>"}
    write(run / "summary.json", summary)
    nodes = [
        {"name": "features", "kind": "input", "inputs": [], "output_shape": [64]},
        {"name": "fc1", "kind": "dense", "inputs": ["features"], "output_shape": [8]},
        {"name": "fc2", "kind": "dense", "inputs": ["features"], "output_shape": [8]},
        {"name": "add", "kind": "merge_add", "inputs": ["fc1", "fc2"], "output_shape": [4, 2]},
    ]
    graph = np.frombuffer(json.dumps({"nodes": nodes}).encode(), dtype=np.uint8)
    np.savez(run / "project" / "hls" / "codesign_graph.npz", graph=graph)
    text = render_run(run)
    assert edges_of(text) == [
        ["ufixed<3,1>"],
        ["features: ufixed<3,1>"],
        ["fc1: fixed<17,12>", "fc2: fixed<9,4>"],
        ["fixed<9,4>"],
    ]
    assert "merge add, 4 x 2" in Page(text).words
    # a graph that cannot be read leaves the layers in their order
    (run / "project" / "hls" / "codesign_graph.npz").write_bytes(b"PK")
    assert len(edges_of(render_run(run))) == 4


def test_the_network_is_a_picture_too_whose_rows_have_room_for_every_word(run):
    boxes = [
        Box(f"layer_{n}", ("dense, 8", "weight fixed<5,3>"), "fixed<9,4>" if n else "") for n in range(6)
    ]
    boxes.append(Box("a & <very> long name of a layer", (), "one: fixed<9,4>\ntwo: ufixed<19,14>"))
    drawing = ElementTree.fromstring(network_svg(boxes))
    names = {name: drawing.findall(f".//{name}") for name in ("rect", "path", "text")}
    assert [len(found) for found in names.values()] == [7, 6, 7 + 12 + 5 + 2]
    _, _, width, height = map(float, drawing.attrib["viewBox"].split())
    corners = [[float(rect.attrib[key]) for key in ("x", "y", "width", "height")] for rect in names["rect"]]
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in corners)
    assert len({y for _, y, _, _ in corners}) == 2
    assert "a & <very> long name of a layer" in [text.text for text in names["text"]]
    assert [float(text.attrib["textLength"]) for text in names["text"] if "long" in str(text.text)] == [146]
    kept = re.search(r'<div class="kept" hidden>(<svg.*?</svg>)</div>', render_run(run))
    assert kept is not None
    assert "fc1" in [text.text for text in ElementTree.fromstring(kept[1]).iter()]


def test_the_front_of_learned_widths_is_on_the_page(run):
    assert "Learned widths" not in render_run(run)
    points = [
        {"luts": 900.0, "validation_quality": 0.91, "test_quality": None, "epoch": 7},
        {"luts": 4300.0, "validation_quality": 0.97, "test_quality": 0.96, "epoch": 3},
    ]
    front = {"measure": "accuracy", "reference": 0.98, "key": "k", "points": points}
    (run / "quantization").mkdir(exist_ok=True)
    write(run / "quantization" / "front.json", front)
    text = render_run(run)
    assert ' id="front">Learned widths' in text
    assert "4,300 LUTs: validation accuracy 0.9700" in text


def test_the_page_has_the_numbers_with_their_errors_and_the_types_on_the_edges(run):
    text = render_run(run)
    words = " ".join(Page(text).words)
    assert "Bit-exact on 359 test samples: emulation" in words
    # 345 of 359: (346/361) (15/361) / 361, root, times 1.96
    assert re.search(r"0\.9610\s+± 0\.0206", words)
    assert "4,000" in words
    assert "0.34 % of the VU9P · Yosys" in words
    assert edges_of(text) == [["ufixed<3,1>"], ["fixed<17,12>"]]
    assert text.count("<figure") == text.count('data-form="svg"') == text.count('data-form="png"') >= 9


def test_warnings_come_first_and_a_changed_project_is_not_called_bit_exact(run):
    (run / "project" / "hls" / "firmware" / "weights.h").write_text("other")
    text = render_run(run)
    assert text.index("stage project: 1 of 1 files is changed or gone") < text.index("In short")
    verdict = re.search(r'<p class="verdict bad">(.*?)</p>', text)
    assert verdict
    assert verdict[1] == "Not what was verified: see the warnings"
    assert "Bit-exact on" not in text


def test_a_page_needs_no_more_than_a_summary(make_run):
    folder = make_run("a", source=None)
    text = render_run(folder)
    assert Page(text).open == []
    assert "Training" not in re.findall(r"<h2[^>]*>(.*?)</h2>", text)


def test_foreign_words_cannot_break_the_page(make_run):
    folder = make_run("a", design="<script>alert(1)</script>", source='"><b>')
    text = render_run(folder)
    assert "<script>alert" not in text
    assert Page(text).open == []


def test_what_has_no_page_is_said_in_one_sentence(run, tmp_path):
    with pytest.raises(
        SettingsError, match=r"^--output: .*x\.pdf does not end in \.html; a run is written as a page$"
    ):
        write_run_page(run, tmp_path / "x.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match=r"cannot be written \(.*\); choose another file$"):
        write_run_page(run, tmp_path / "file" / "x.html")
    write(run / "scan" / "scan.json", {"trials": [{}]})
    with pytest.raises(ReportFormatError, match=r"run: damaged \(KeyError"):
        render_run(run)
    (run / "summary.json").unlink()
    with pytest.raises(ReportMissingError, match=r"is a run without an end"):
        render_run(run)


def test_the_command_writes_the_page_of_one_run(run, make_build, tmp_path, monkeypatch, capsys):
    import sys

    from codesign.cli import main

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["codesign", "report", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr().err

    shutil.copytree(run, tmp_path / "second")
    assert command(run, "-o", tmp_path / "run.html") == (0, f"{tmp_path}/run.html written\n")
    assert Page((tmp_path / "run.html").read_text()).open == []
    code, err = command(run, tmp_path / "second", "-o", tmp_path / "two.html")
    assert (code, err) == (
        1,
        "error: --output: a page is of one run; for several there is codesign compare --output\n",
    )
    build = make_build("b", "vivado_power.rpt")
    code, err = command(build, "-o", tmp_path / "two.html")
    assert code == 1
    assert err.startswith(f"error: --output: {build} is no run's folder, and only runs have a page")
    assert not (tmp_path / "two.html").exists()


@pytest.mark.parametrize(
    ("kind", "short"),
    [
        ("fixed<5,3,RND_CONV,SAT,0>", "fixed<5,3>"),
        ("ufixed<4,-2>", "ufixed<4,-2>"),
        ("float", "float"),
        ("", ""),
    ],
)
def test_types_on_edges_are_short(kind, short):
    assert short_type(kind) == short


def test_names_within_a_heading_keep_their_capitals():
    assert headed("test area under the ROC curve") == "Test area under the ROC curve"


@given(st.integers(0, 2**32 - 1))
def test_a_roc_curve_has_the_area_of_sklearn_with_equal_scores_too(seed):
    random = np.random.default_rng(seed)
    is_signal = np.append([True, False], random.random(50) < 0.4)
    score = np.round(random.normal(size=52) + is_signal, 1)
    signal, background, area = roc_curve(score, is_signal)
    assert area == pytest.approx(roc_auc_score(is_signal, score))
    assert (signal[0], background[0], signal[-1], background[-1]) == (0, 0, 1, 1)
    assert (np.diff(signal) >= 0).all()


def test_a_confusion_matrix_counts_rows_by_truth():
    outputs = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    targets = np.array([0, 1, 1, 2, 2, 0])
    svg = picture(confusion_chart(outputs, targets, ["a", "b", "c"]))
    found = re.findall(r"<title>(\w) taken for (\w): ([\d.]+)%</title>", svg)
    assert found == [
        ("a", "a", "50.00"), ("a", "c", "50.00"), ("b", "a", "50.00"), ("b", "b", "50.00"), ("c", "c", "100.00"),
    ]  # fmt: skip


def test_one_logit_is_two_classes_and_one_class_is_no_curve():
    logits = np.array([[1.0], [-1.0], [2.0]])
    assert (class_scores(logits) == [[-1, 1], [1, -1], [-2, 2]]).all()
    assert "s: area 1.0000" in picture(roc_chart(logits, np.array([1, 0, 1]), ["b", "s"]))
    assert roc_chart(logits, np.array([1, 1, 1]), ["b", "s"]) is None


def test_residuals_of_a_regression_have_their_mean_and_width():
    targets = np.linspace(0, 1, 200)[:, None]
    outputs = targets + np.where(np.arange(200) % 2, 0.3, 0.1)[:, None]
    against, rest = residual_charts(outputs, targets)
    assert "output 0: 0.2 ± 0.1" in picture(rest)
    axes = Figure().subplots()
    against.draw(axes)
    assert len(axes.lines[0].get_xdata()) == 200


def test_training_shows_the_quality_and_marks_the_epoch_that_was_kept():
    quality, loss = training_charts({"student": HISTORY})
    axes = Figure().subplots()
    quality.draw(axes)
    assert axes.get_ylabel() == "validation accuracy"
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 0.5], [2, 0.8], [3, 0.7]], [[2, 0.8]]]
    assert "mathdefault" not in picture(loss)


def test_the_error_bar_of_a_fraction_ends_at_one():
    axes = Figure().subplots()
    stage_chart(["a", "b"], [0.99, 0.5], [0.05, 0.05], "t", "u").draw(axes)
    ends = [segment[:, 1].tolist() for line in axes.collections for segment in line.get_segments()]
    assert ends == [pytest.approx([0.94, 1.0]), pytest.approx([0.45, 0.55])]


@pytest.mark.parametrize(
    ("arrays", "titles"),
    [
        (
            {"outputs": np.ones((5, 20)), "targets": np.zeros((5, 20))},
            ["Outputs against targets", "Residuals"],
        ),
        ({"outputs": np.ones((5, 1)), "targets": np.zeros(5)}, ["Outputs against targets", "Residuals"]),
        ({"outputs": np.full((5, 1), np.nan), "targets": np.zeros(5)}, []),
        ({"outputs": np.eye(3), "targets": np.arange(3)}, []),  # classes without names
        ({"outputs": np.eye(3), "targets": np.eye(3, dtype=int), "class_names": ["a", "b", "c"]}, []),
        ({"outputs": np.eye(3), "targets": np.arange(3), "class_names": ["a", "b"]}, []),
        ({"outputs": np.eye(40), "targets": np.arange(40), "class_names": [str(n) for n in range(40)]}, []),
        (
            {"outputs": np.eye(3), "targets": np.arange(3), "class_names": ["a", "b", "c"]},
            ["Confusion matrix", "Signal and background"],
        ),
    ],
)
def test_a_page_shows_of_the_test_samples_what_its_task_has(run, arrays, titles):
    np.savez(run / "verification" / "test.npz", **arrays)
    found = re.findall(r"<h3>(.*?)</h3>", render_run(run))
    samples = {"Outputs against targets", "Residuals", "Confusion matrix", "Signal and background"}
    assert [title for title in found if title in samples] == titles


def test_figures_of_single_values_show_themselves_in_notebooks():
    from types import SimpleNamespace

    from codesign.comparison.plots import plot_outputs, plot_training
    from codesign.errors import DataError

    rng = np.random.default_rng(0)
    logits, classes = rng.normal(size=(60, 3)), np.arange(60) % 3
    figure = plot_outputs(logits, classes, ["a", "b", "c"])
    assert figure._repr_png_()[:4] == b"\x89PNG"
    assert [axes.get_title(loc="left") for axes in figure.axes][:2] == [
        "Confusion matrix",
        "Signal and background",
    ]
    assert len(plot_outputs(logits[:, :1], logits[:, 0]).axes) >= 2
    for wrong in (classes[:5], classes + 5, np.stack([classes, classes], axis=1)):
        with pytest.raises(DataError):
            plot_outputs(logits, wrong)
    with pytest.raises(DataError, match="nothing of it was trained here"):
        plot_training({"teacher": SimpleNamespace(history=None)})


def test_values_are_drawn_against_their_formats(run):
    row = {
        "layer": "fc1", "tensor": "weight", "precision": "fixed<6,2>", "step": 1 / 16, "largest": 2.0, "zeros": 0.25,
        "quantiles": [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 1.5, 1.5], "digits": [1, 2, 1],
    }  # fmt: skip
    empty = {**row, "layer": "fc2", "zeros": 1.0, "quantiles": [], "digits": [4]}
    (run / "verification").mkdir(exist_ok=True)
    (run / "verification" / "profile.json").write_text(json.dumps([row, empty]))
    page = render_run(run)
    assert "Values against formats" in page
    assert "fc1 weight: half of the magnitudes around 0.5, largest 1.5, 25% zeros" in page
    assert "fc1: 2 weights of 1 digits" in page
    assert "fc2 weight: half" not in page
    assert "fc2: 4 weights of 0 digits" in page
    ranges, _ = profile_charts([row, empty])
    axes = Figure().subplots()
    ranges.draw(axes)
    grey = axes.patches[0]
    assert (grey.get_x(), grey.get_x() + grey.get_width()) == (-4.0, 1.0)
    assert profile_charts([]) == []
