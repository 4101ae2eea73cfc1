"""What a notebook and a console show of every value: a line, a small table, never arrays."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_chain import SmallChain

import codesign
import codesign.stages.verification
from codesign.compression.quantize import quantize_student
from codesign.compression.scan import scan_bit_widths
from codesign.core.record import Record
from codesign.core.shown import Brief, Shown, html_table
from codesign.core.text_table import TextTable
from codesign.hls.project import open_project
from codesign.stages.project import convert
from codesign.stages.rtl import RtlStudent
from codesign.training.distill import distill_student
from codesign.verification import ladder_rungs


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> SmallChain:
    return SmallChain(tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="module")
def values(chain: SmallChain) -> dict[str, Any]:
    table, _ = codesign.stages.verification.compare_all(
        chain.quantized, chain.converted, chain.dataset, rungs=ladder_rungs(["emulation"])
    )
    return {
        "dataset": chain.dataset,
        "teacher": chain.teacher,
        "student": chain.student,
        "pruned": chain.pruned,
        "network": chain.pruned.network,
        "layer": chain.pruned.network["fc2"],
        "history": chain.student.history,
        "record": chain.student.record,
        "scan": chain.scan,
        "precision": chain.scan.precision,
        "quantized": chain.quantized,
        "converted": chain.converted,
        "project": chain.converted.project,
        "no rtl": RtlStudent(None, Record.of("0", {"skipped": "no Yosys"})),
        "ladder": table,
    }


class Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_value_shows_itself_in_a_line_and_a_small_table(values: dict[str, Any]) -> None:
    for name, value in values.items():
        assert isinstance(value, Shown), name
        line = repr(value)
        assert line.startswith(f"<{type(value).__name__}: "), name
        assert "\n" not in line
        assert "array(" not in line
        assert len(line) < 500, (name, len(line))
        page = value._repr_html_()
        assert len(page) < 20_000, (name, len(page))
        parser = Balanced()
        parser.feed(page)
        assert parser.open == []
    assert "5, 8, 6, 3" in repr(values["student"])
    assert re.search(r"test accuracy 0\.\d{4}", repr(values["quantized"]))
    assert "emulation 0 of" in repr(values["ladder"])
    assert "skipped no Yosys" in repr(values["no rtl"])
    assert '<td style="text-align:left">fixed&lt;' in values["quantized"]._repr_html_()


def dataclasses_of_the_package() -> dict[str, type]:
    modules = [
        importlib.import_module(one.name)
        for one in pkgutil.walk_packages(codesign.__path__, "codesign.")
        if not one.name.endswith("__main__")
    ]
    return {
        f"{module.__name__}.{name}": each
        for module in modules
        for name, each in vars(module).items()
        if inspect.isclass(each)
        and is_dataclass(each)
        and each.__module__ == module.__name__
        and not name.startswith("_")
    }


LONG = (np.zeros((100, 100)), {f"layer_{n}": np.zeros(9) for n in range(50)}, "word " * 99, tuple(range(999)))


def test_no_dataclass_prints_arrays_models_or_pages() -> None:
    every = dataclasses_of_the_package()
    names = "|".join(each.__name__ for each in every.values())
    heavy = re.compile(r"ndarray|keras|\b(Model|Network|Graph)\b")
    several = re.compile(rf"(Mapping|tuple|list|dict|Sequence)\[.*\b(Any|{names})\b")
    checked = 0
    for name, each in every.items():
        kinds = [str(one.type) for one in fields(each) if one.repr]
        if not issubclass(each, Brief):
            assert not [kind for kind in kinds if heavy.search(kind) or several.search(kind)], name
            continue
        if issubclass(each, Shown):  # with facts of its own: see the test above
            continue
        value = object.__new__(each)
        for number, one in enumerate(fields(each)):
            object.__setattr__(value, one.name, LONG[number % len(LONG)])
        line = repr(value)
        assert line.startswith(f"<{each.__name__}: "), name
        assert len(line) < 320, (name, len(line))
        assert "array(" not in line
        assert "float64 (100, 100)" in line
        assert value._repr_html_().count("<tr>") == len(kinds), name
        checked += 1
    assert checked > 50


def test_a_table_is_escaped_and_cut() -> None:
    text = html_table(TextTable("<b>", ("a",), tuple((f"<{n}>",) for n in range(100))))
    assert "<b>" not in text
    assert "&lt;59&gt;" in text
    assert "&lt;60&gt;" not in text
    assert "and 40 rows more" in text


def test_frames_have_the_numbers_that_the_values_have(values: dict[str, Any]) -> None:
    history = values["history"].to_frame()
    assert list(history.index) == [1, 2, 3, 4]
    assert history.index.name == "epoch"
    assert tuple(history["validation_accuracy"]) == values["history"].validation_quality
    trials = values["scan"].to_frame()
    assert len(trials) == len(values["scan"].trials)
    assert trials["quality"].max() == max(trial.quality for trial in values["scan"].trials)
    formats = values["precision"].to_frame()
    assert len(formats) == 1 + len(list(values["precision"].items()))
    weights = formats[formats.tensor == "weight"]
    assert weights.width.mean() == values["precision"].average_bits("weight")
    ladder = values["ladder"].to_frame()
    assert list(ladder["mismatches"]) == [0]
    data = values["dataset"].to_frame("test")
    assert data.shape == (len(values["dataset"].y_test), 6)
    assert (data["y"].to_numpy() == values["dataset"].y_test).all()


def test_keras_models_are_taken_where_students_and_teachers_are(
    chain: SmallChain, values: dict[str, Any], tmp_path: Path
) -> None:
    settings, data = chain.settings, chain.dataset
    teacher, student = chain.teacher.model, chain.student.model()
    of_model = scan_bit_widths(student, data, settings.scan)
    assert of_model.precision == scan_bit_widths(chain.student, data, settings.scan).precision
    fast = settings.quantization.model_copy(update={"epochs": 1})
    taught = quantize_student(student, of_model.precision, teacher, data, fast, settings.distillation)
    same = quantize_student(
        chain.student, of_model.precision, chain.teacher, data, fast, settings.distillation
    )
    assert taught.record.digest == same.record.digest
    learning = settings.distillation.model_copy(update={"epochs": 1})
    assert (
        distill_student(student, teacher, data, learning).record.digest
        == distill_student(student, chain.teacher, data, learning).record.digest
    )
    made = convert(taught.model(), data, settings.hardware, tmp_path / "project")
    assert open_project(made.project.folder).digest == made.project.digest
