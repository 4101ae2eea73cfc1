"""Figures of README and docs: each is in the record, one that anyone typed beside it is found, commands print what is read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import figures
import numpy as np
import pytest
from figures import (
    FIGURES,
    differences,
    faults,
    foreign_numbers,
    read_record,
    typed_numbers,
    values_of,
    with_figures,
)

from codesign.data import load_dataset

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = [REPOSITORY.parent / "shared" / name for name in ("data", "frontier")]


def test_every_figure_of_the_pages_is_in_the_record() -> None:
    assert faults() == []


def test_the_record_names_its_commands_and_versions() -> None:
    record = read_record()
    assert set(record) == set(FIGURES)
    for name, entry in record.items():
        assert entry["command"] == FIGURES[name].command
        assert {"tensorflow", "keras", "hls4ml", "alkaid"} <= set(entry["versions"])  # type: ignore[call-overload]
        assert (REPOSITORY / FIGURES[name].command.split()[1]).is_file()
    used = {figures.RECORD: json.loads(figures.RECORD.read_text())}
    assert used[figures.RECORD] == record


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    for path in (REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md"), figures.RECORD):
        (tmp_path / path.relative_to(REPOSITORY)).write_bytes(path.read_bytes())
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "RECORD", tmp_path / "docs" / "figures.json")
    return tmp_path


@pytest.mark.parametrize(
    ("page", "old", "new", "fault"),
    [
        (
            "README.md",
            "| seed 0 | 0.9805 |",
            "| seed 0 | 0.9905 |",
            "README.md has other figures than docs/figures.json",
        ),
        ("README.md", "## More", "It takes 1,234 LUTs.\n\n## More", "'1,234 LUTs' in"),
        ("docs/faq.md", "# ", "# It is 3.5 times faster.\n\n# ", "'3.5 times faster' in"),
        (
            "docs/precision.md",
            "| 99.23 % |",
            "| 99.93 % |",
            "docs/precision.md: 99.93 is not in precision-study.md",
        ),
        (
            "docs/rtl.md",
            "`python scripts/bench_rtl.py`",
            "a script",
            "docs/rtl.md does not name the command of rtl",
        ),
        ("docs/rtl.md", "<!-- figures of rtl -->", "", "docs/rtl.md has no place for the figures of rtl"),
        ("docs/data.md", "60 % / 20 % / 20 % by default", "as one likes", "docs/data.md no longer says"),
    ],
)
def test_a_number_that_nobody_printed_is_found(
    copied: Path, page: str, old: str, new: str, fault: str
) -> None:
    path = copied / page
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert any(fault in found for found in faults()), faults()


def test_writing_the_pages_mends_them(copied: Path) -> None:
    page = copied / "README.md"
    whole = page.read_text()
    page.write_text(whole.replace("| seed 0 | 0.9805 |", "| seed 0 | 0.9905 |"))
    figures.write_pages()
    assert page.read_text() == whole


def test_code_links_and_versions_are_no_results() -> None:
    text = (
        "Python 3.12, `0.25 s`, [x](a-0.123), arXiv:2405.00645\n\n    codesign 12 LUTs\n```sh\n12 LUTs\n```\n"
    )
    assert typed_numbers("p", text, []) == []
    assert len(typed_numbers("p", "12 LUTs, 5 % and 0.123", [])) == 3
    assert typed_numbers("p", "at most\n5 % of it", ["at most 5 % of it"]) == []


def test_numbers_of_a_study_may_be_rounded() -> None:
    assert (
        foreign_numbers("p", "s", "16-64-32 networks lose -1.5 points and 1,235 LUTs", "1.46 and 1,235") == []
    )
    assert foreign_numbers("p", "s", "1.44 points", "1.46") == ["p: 1.44 is not in s"]


def test_what_differs_beyond_the_stated_spread_is_told() -> None:
    kept = values_of(read_record()["digits"])
    assert differences("digits", kept, dict(reversed(kept.items()))) == []
    near = {
        **kept,
        "seed 0 LUTs": kept["seed 0 LUTs"] * 1.09,
        "seed 0 hardware": kept["seed 0 hardware"] - 0.016,
    }
    assert differences("digits", kept, near) == []
    far = {**kept, "seed 0 LUTs": kept["seed 0 LUTs"] * 1.11, "seed 1 mismatches": 1.0}
    assert [sentence.split(" is ")[0] for sentence in differences("digits", kept, far)] == [
        "digits: seed 0 LUTs", "digits: seed 1 mismatches",
    ]  # fmt: skip
    assert differences("digits", kept, {"seed 0 LUTs": 1.0}) == [
        f"digits: has the figures seed 0 LUTs, not {', '.join(kept)}"
    ]


def printed(capsys: pytest.CaptureFixture[str], name: str) -> dict[str, float]:
    """What the record would take of the output so far; the record's names, in its order."""
    values = FIGURES[name].read(capsys.readouterr().out)
    assert list(values) == list(values_of(read_record()[name]))
    assert with_figures(f"<!-- figures of {name} -->\n<!-- end of figures -->", {name: {"figures": values}})
    return values


def test_the_digits_script_prints_what_is_read(monkeypatch, capsys) -> None:
    import quality_over_seeds

    def run_design(*_: object, overrides: dict[str, int], **__: object) -> SimpleNamespace:
        stages = [
            {"stage": "teacher", "test_accuracy": 0.98},
            {"stage": "quantization", "test_accuracy": 0.97},
        ]
        rungs = [{"mismatches": 0}, {"mismatches": overrides["seed"]}]
        summary = {
            "stages": stages,
            "verification": {"rungs": rungs},
            "rtl": {"lut": 4500 + overrides["seed"]},
        }
        return SimpleNamespace(summary=summary)

    monkeypatch.setattr(quality_over_seeds, "run_design", run_design)
    monkeypatch.setattr("sys.argv", FIGURES["digits"].command.split()[1:])
    assert quality_over_seeds.main() == 0
    values = printed(capsys, "digits")
    assert (values["seed 1 LUTs"], values["seed 1 mismatches"], values["seed 0 teacher"]) == (4501, 1, 0.98)


def test_the_kernels_script_prints_what_is_read(monkeypatch, capsys, tmp_path: Path) -> None:
    import quality_over_kernels

    asked = []

    def run(words: list[str], *, env: dict[str, str], **_: object) -> SimpleNamespace:
        folder = Path(words[-1])
        asked.append((env["TF_ENABLE_ONEDNN_OPTS"], env.get("ONEDNN_MAX_CPU_ISA")))
        for stage, metrics in (("teacher", {}), ("quantization", {"bops": 4000.0})):
            (folder / stage).mkdir(parents=True)
            record = {"record": {"metrics": {"test_accuracy": 0.9, **metrics}}}
            (folder / stage / "stage.json").write_text(json.dumps(record))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(quality_over_kernels.subprocess, "run", run)
    monkeypatch.setattr("sys.argv", [*FIGURES["kernels"].command.split()[1:], "--output", str(tmp_path)])
    assert quality_over_kernels.main() == 0
    assert asked == [("0", None), ("1", None), ("1", "AVX2")]
    assert printed(capsys, "kernels")["avx2 BOPs"] == 4000


def test_the_rtl_script_prints_what_is_read(monkeypatch, capsys) -> None:
    import bench_rtl

    row: dict[str, Any] = {name: 30269.0 if name == "estimated_lut" else 7 for name in figures._RTL}
    row |= {"verilator_build_seconds": 1.0, "yosys_seconds": 1.0, "lut_by_size": {"LUT2": 3}}
    monkeypatch.setattr(bench_rtl, "make", lambda *_: (None, None))
    monkeypatch.setattr(bench_rtl, "measure", lambda *_: {**row, "mismatches": 0})
    assert bench_rtl.main([]) == 0
    assert printed(capsys, "rtl")["pruned estimated_lut"] == 30269


def test_the_frontier_script_prints_what_is_read(monkeypatch, capsys, tmp_path: Path) -> None:
    import bench_frontier

    sets = ("magic_gamma", "dry_bean", "pendigits")

    def points(factor: float) -> Iterator[dict[str, Any]]:
        for n in (1, 2, 3):
            yield {
                "luts": factor * 100 * 2**n,
                "validation": 0.8 + 0.01 * n,
                "test": 0.8 + 0.01 * n,
                "network": "8",
                "steps": 1,
            }

    peer = [{"data": data, "seed": 0, **point} for data in sets for point in points(1.0)]
    (tmp_path / "hgq2_points.json").write_text(json.dumps(peer))
    (tmp_path / "levels.json").write_text(json.dumps({data: [0.815, 0.825] for data in sets}))
    monkeypatch.setattr(bench_frontier, "points_of", lambda *_: list(points(0.5)))
    words = [word.replace("DATA", str(tmp_path)) for word in FIGURES["frontier"].command.split()[1:]]
    monkeypatch.setattr("sys.argv", words)
    assert bench_frontier.main() == 0
    values = printed(capsys, "frontier")
    assert values["dry_bean mean"] == values["dry_bean most"] == 0.5


def test_the_frontier_script_prints_the_ablation(monkeypatch, capsys, tmp_path: Path) -> None:
    import bench_frontier

    class Fake:
        def __init__(self, *_: Any) -> None:
            pass

        def front(self, *_: Any, **changed: Any) -> tuple[list[dict[str, Any]], None]:
            luts = 300 if changed else 100
            return [
                {"luts": luts * n, "validation": 0.9 + n / 100, "test": 0.9 + n / 100} for n in (1, 2)
            ], None

        def with_adders(self, *_: Any) -> list[dict[str, Any]]:
            return [{"luts": 150, "validation": 0.91, "test": 0.91}]

    (tmp_path / "pendigits.npz").touch()
    (tmp_path / "levels.json").write_text(json.dumps({"pendigits": [0.91, 0.92]}))
    monkeypatch.setattr(bench_frontier, "Task", Fake)
    words = [word.replace("DATA", str(tmp_path)) for word in FIGURES["ablation"].command.split()[1:]]
    monkeypatch.setattr("sys.argv", words)
    assert bench_frontier.main() == 0
    values = printed(capsys, "ablation")
    assert values["weights: one width: LUTs"] == 3
    assert values["rounding by adders: most"] == 1.5
    assert values["rounding by adders: missed"] >= 1
    assert values["standardised features: missed"] == 0


def test_the_frontier_script_trains_the_peer_by_its_own_python(monkeypatch, capsys, tmp_path: Path) -> None:
    import bench_frontier

    data = load_dataset("digits")
    logits = np.zeros((len(data.x_train), 10), np.float32)
    made = SimpleNamespace(dataset=data, teacher=SimpleNamespace(train_logits=logits))
    asked: list[dict[str, str]] = []

    def run(command: list[str], **_: Any) -> None:
        asked.append(dict(zip(command[2::2], command[3::2], strict=True)))
        with np.load(asked[-1]["--arrays"]) as arrays:
            np.testing.assert_array_equal(arrays["x_test"], data.x_test)
            assert arrays["teacher"].shape == (len(arrays["y_train"]), 10)
        point = {"luts": 200.0, "validation": 0.9, "test": 0.9, "network": "hgq:8", "steps": 7}
        Path(asked[-1]["--output"]).write_text(json.dumps([point]))

    ours = {"luts": 100.0, "validation": 0.9, "test": 0.9, "network": "8", "steps": 7}
    monkeypatch.setattr(bench_frontier, "Task", lambda *_: made)
    monkeypatch.setattr(bench_frontier, "points_of", lambda *_: [ours])
    monkeypatch.setattr(bench_frontier.subprocess, "run", run)
    (tmp_path / "levels.json").write_text(json.dumps({"digits": [0.9]}))
    words = f"x --data digits.npz --levels {tmp_path}/levels.json --steps 7 --seeds 3 --peer-python {__file__} --peer-hidden 8"
    monkeypatch.setattr("sys.argv", [*words.split(), "--peer-set", "alpha=0.2"])
    assert bench_frontier.main() == 0
    assert figures._read_frontier(capsys.readouterr().out)["digits mean"] == 0.5
    (one,) = asked
    assert (one["--alpha"], one["--hidden"], one["--steps"], one["--seed"]) == ("0.2", "8", "7", "3")


def test_the_polish_script_prints_what_is_read(capsys, small_chain) -> None:
    import bench_polish

    for name in ("not polished", "0.005", "0.01"):
        print(bench_polish.row(name, small_chain.quantized, 1.0))
    values = printed(capsys, "polish")
    assert values["0.01: test"] == pytest.approx(
        small_chain.quantized.record.metrics["test_accuracy"], abs=1e-4
    )


def test_the_search_script_prints_what_is_read(monkeypatch, capsys) -> None:
    import bench_search

    row = {"trials": 10_000, **dict.fromkeys((name.replace(" ", "_") for name in figures._SEARCH), 1234.5)}
    monkeypatch.setattr(bench_search, "_alone", lambda trials, name: {"sampler": name, **row})
    monkeypatch.setattr("sys.argv", shlex.split(FIGURES["search"].command)[1:])
    bench_search.main()
    assert printed(capsys, "search")["nsga2: ledger mb"] == 1234.5


def test_what_says_how_busy_workers_are_prints_what_is_read(monkeypatch, capsys) -> None:
    import bench_search

    row = {name.replace(" ", "_"): 0.5 for name in figures._BUSY}
    monkeypatch.setattr(bench_search, "_busy", lambda count, options: {"workers": count, **row})
    monkeypatch.setattr("sys.argv", shlex.split(FIGURES["busy"].command)[1:])
    bench_search.main()
    assert printed(capsys, "busy")["64: efficiency"] == 0.5


def test_what_says_whether_a_search_pays_prints_what_is_read(capsys) -> None:
    import bench_search_pays

    hand = {"hand_luts": 4000.0, "hand_quality": 0.75, "hand_test": 0.5}
    found = {"luts": 2000.0, "share": 0.5, "quality": 0.7625, "test": 0.525}
    rows = [
        {"data": data, "sampler": sampler, "trials": 18, **hand, **found}
        for data in ("digits", "dry_bean")
        for sampler in ("tpe", "random")
    ]
    print(bench_search_pays._table(rows))
    assert printed(capsys, "pays")["dry_bean, random: test found"] == 0.525
    print(bench_search_pays._table([{**rows[0], "luts": None}]))
    values = FIGURES["pays"].read(capsys.readouterr().out)
    assert list(values) == [
        f"digits, tpe: {name}"
        for name in ("trained trials", "LUTs by hand", "validation by hand", "test by hand")
    ]
    assert "| digits, tpe | 18 | 4,000 | none | none | 0.7500 | none | 0.5000 | none |" in figures._pays(
        values
    )


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)  # searches of thousands of trials, fronts of fifteen trainings
@pytest.mark.parametrize("name", sorted(FIGURES))
def test_the_commands_print_the_record_again(name: str) -> None:
    missing = [
        file for file in FIGURES[name].needs if not any((folder / file).is_file() for folder in SHARED)
    ]
    if missing:
        pytest.skip(
            f"no {missing[0]} in {' or '.join(str(folder.relative_to(REPOSITORY.parent)) for folder in SHARED)}"
        )
    if FIGURES[name].peers and not figures.PEERS.is_file():
        pytest.skip("no .peers: make peers builds it")
    assert figures.run(name, SHARED)[1] == []
