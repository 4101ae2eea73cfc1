"""`search.yaml`: strict, all faults together, before a worker starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from search_cases import settings_of, write_search
from typer.testing import CliRunner

from codesign.cli import app
from codesign.errors import CodesignError, OutputFolderError, SettingsError
from codesign.search.run import make_plan, run_search
from codesign.search.settings import read_search


def faults(**values: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings_of(**values)
    return caught.value.faults


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"objectifs": {}}, "objectifs: unknown setting; did you mean objectives?"),
        ({"objectives": {}}, "objectives: needs at least one of quality, luts"),
        ({"objectives": {"lut": "minimize"}}, "objectives: lut is no objective; did you mean luts?"),
        ({"objectives": {"luts": "maximize"}}, "objectives: luts is to minimize, not to maximize"),
        ({"limits": {"latency": 3.0}}, "limits: latency is no objective; did you mean latency_ns?"),
        ({"budget": {}}, ": the budget needs trials, hours or both; only a grid ends by itself"),
        ({"seeds": [1, 1]}, "seeds: must be different, not 1, 1"),
        ({"space": {"a.b": {"type": "int", "low": 3}}}, "space.a.b: an int needs low and high"),
        (
            {"space": {"a.b": {"type": "int", "low": 3, "high": 2}}},
            "space.a.b: low must not be above high, 3 > 2",
        ),
        (
            {"space": {"a.b": {"type": "int", "low": 1, "high": 2.5}}},
            "space.a.b: an int needs whole numbers for low, high and step",
        ),
        (
            {"space": {"a.b": {"type": "float", "low": 0, "high": 1, "log": True}}},
            "space.a.b: log needs a low above 0 and no step",
        ),
        (
            {"space": {"a.b": {"type": "categorical", "choices": [1, 1]}}},
            "space.a.b: a choice stands twice",
        ),
        (
            {"space": {"a.b": {"type": "categorical", "choices": [1], "low": 2}}},
            "space.a.b: a categorical has choices and no low",
        ),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], fault: str) -> None:
    found = faults(**values)
    assert len(found) == 1
    assert found[0].startswith(fault)


def plan_faults(folder: Path, **values: Any) -> tuple[str, ...]:
    file = write_search(folder, **values)
    settings, _ = read_search(file)
    with pytest.raises(CodesignError) as caught:
        make_plan(settings, file, folder / "search")
    return getattr(caught.value, "faults", (str(caught.value),))


def test_what_the_design_does_not_take_is_said_all_together(tmp_path: Path) -> None:
    space = {
        "student.widht1": {"type": "int", "low": 2, "high": 4},
        "pruning.sparsity": {"type": "float", "low": 0.5, "high": 1.5},
        "pruning.sparsitty": {"type": "float", "low": 0.1, "high": 0.5},
        "seed": {"type": "int", "low": 0, "high": 5},
    }
    networks = tmp_path / "design" / "networks.py"
    assert plan_faults(tmp_path, space=space) == (
        "space: pruning.sparsitty: unknown setting; did you mean sparsity?",
        "space: pruning.sparsity: should be less than 1, not 1.5",
        "space.seed: is not to be varied; there are seeds and folds",
        f"student.widht1: build_student of {networks.resolve()} takes no such choice; did you mean width1?",
    )


def test_faults_of_search_design_and_cluster_are_told_together(tmp_path: Path) -> None:
    cluster = tmp_path / "slurm.yaml"
    cluster.write_text("system: slurm\njobs: 2\nquue: short\nmemory: 4 GB\n")
    file = write_search(tmp_path, space={"pruning.sparsity": [0.5, 1.5]})
    with pytest.raises(SettingsError) as told:
        run_search(file, cluster=cluster, scheduler="tcp://127.0.0.1:1")
    assert told.value.faults == (
        "space: pruning.sparsity: should be less than 1, not 1.5",
        "--scheduler and --cluster: give one of them",
        f"{cluster}: quue: unknown setting; did you mean queue?",
    )
    write_search(tmp_path, limits={"lutz": 1})
    with pytest.raises(SettingsError) as told:
        run_search(file, cluster=cluster)
    assert told.value.faults == (
        f"{file}: limits: lutz is no objective; did you mean luts?",
        f"{cluster}: quue: unknown setting; did you mean queue?",
    )
    assert not (tmp_path / "search" / "search.json").exists()


def test_a_space_a_design_and_a_scheduler_that_cannot_be_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codesign.search.executor._CONNECT_S", 0.1)
    file = write_search(
        tmp_path,
        space={"student.depth": [3], "scan.tolerance": [0.01]},
        settings={"pruning.sparsitty": 0.5, "student.heads": 2},
    )
    networks = (tmp_path / "design" / "networks.py").resolve()
    with pytest.raises(SettingsError) as told:
        run_search(file, scheduler="tcp://127.0.0.1:9")
    *others, unreachable = told.value.faults
    assert others == [
        "space: has one point only; give a setting more than one value",
        "settings: pruning.sparsitty: unknown setting; did you mean sparsity?",
        f"student.heads: build_student of {networks} takes no such choice; it takes width1, width2",
        f"student.depth: build_student of {networks} takes no such choice; did you mean width2?",
    ]
    assert unreachable.startswith(
        "--scheduler tcp://127.0.0.1:9: no Dask scheduler answered within 0.1 s (Connection refused); start one with"
    )
    with pytest.raises(
        SettingsError, match=r"^--scheduler farm: must be an address such as tcp://host:8786$"
    ):
        run_search(write_search(tmp_path), scheduler="farm")


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_constraints_that_nothing_meets_are_told_before_a_worker_starts(tmp_path: Path, sampler: str) -> None:
    told = plan_faults(tmp_path, sampler=sampler, constraints=["student.width1 > 99"])
    assert len(told) == 1
    assert told[0].startswith("constraints: no")
    assert told[0].endswith(" meets student.width1 > 99")


def test_what_the_design_does_not_take_of_what_is_derived_is_said(tmp_path: Path) -> None:
    derived = {"pruning.sparsity": "0.1 * student.width1", "quantization.epochs": "seed / 2"}
    assert plan_faults(tmp_path, derived=derived, sampler="grid", seeds=[4]) == (
        "derived: quantization.epochs: should be a valid integer, not 2.0",
        "derived: pruning.sparsity: should be less than 1, not 1.0",
        *(f"derived: pruning.sparsity: should be less than 1, not {0.1 * width}" for width in range(11, 17)),
    )
    derived["quantization.epochs"] = "seed // 2"
    for sampler in ("tpe", "qmc"):
        told = plan_faults(tmp_path, derived=derived, sampler=sampler, seeds=[4])
        assert told[0].startswith("derived: pruning.sparsity: should be less than 1, not 1.")


def test_every_point_of_a_grid_is_tried_as_a_whole(tmp_path: Path) -> None:
    space = {
        "scan.method": ["descent", "hessian"],
        "scan.budget": {"type": "categorical", "choices": [0.5, 1.5], "when": "scan.method == 'hessian'"},
        "scan.most_bits": [4, 8],
    }
    assert plan_faults(tmp_path, space=space, sampler="grid", settings={"scan.least_bits": 2}) == (
        "space: scan.budget: should be less than or equal to 1, not 1.5",
    )
    # alone neither of both is a fault, and both together are one
    bits = {"scan.most_bits": [4, 8], "scan.least_bits": [2, 6]}
    assert plan_faults(tmp_path, space=bits, sampler="grid") == (
        "space: scan: least_bits must not be above most_bits, 6 > 4",
    )
    bound = write_search(
        tmp_path, space=bits, sampler="grid", constraints=["scan.least_bits <= scan.most_bits"]
    )
    assert make_plan(read_search(bound)[0], bound, tmp_path / "search").space.kind == "grid"


def test_settings_of_the_command_line_stand_beside_those_of_the_file(tmp_path: Path) -> None:
    file = write_search(tmp_path, settings={"scan.tolerance": 0.5, "pruning.epochs": 3})
    with pytest.raises(SettingsError) as told:
        run_search(file, overrides={"scan.tolerance": 1.5, "student.width1": 3, "pruning.sparsitty": 0.5})
    assert set(told.value.faults) == {
        "settings: scan.tolerance: should be less than 1, not 1.5",
        "settings: pruning.sparsitty: unknown setting; did you mean sparsity?",
        "settings.student.width1: is varied by the space; leave one of them out",
    }
    words = ["search", "run", str(file), "--set", "scan.tolerance=1.5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert str(result.exception) == "settings: scan.tolerance: should be less than 1, not 1.5"


def test_every_choice_is_tried_however_many_there_are(tmp_path: Path) -> None:
    choices = [round(0.01 * step, 2) for step in range(30)]
    choices[15] = 1.5
    assert plan_faults(tmp_path, space={"pruning.sparsity": choices}) == (
        "space: pruning.sparsity: should be less than 1, not 1.5",
    )


def test_a_list_alone_stands_for_its_choices(tmp_path: Path) -> None:
    shape = [[4, 2], [8]]
    settings, _ = read_search(
        write_search(tmp_path, space={"pruning.method": ["hessian", "structured"], "student.shape": shape})
    )
    assert settings.space["pruning.method"].choices == ("hessian", "structured")
    assert settings.space["student.shape"].choices == ((4, 2), (8,))
    assert {one.type for one in settings.space.values()} == {"categorical"}


def test_a_folder_of_another_search_is_refused_and_of_the_same_taken(tmp_path: Path) -> None:
    file = write_search(tmp_path)
    folder = tmp_path / "search"
    folder.mkdir()

    def plan() -> None:
        settings, _ = read_search(file)
        make_plan(settings, file, folder)

    plan()
    write_search(tmp_path, budget={"trials": 99}, proof=False)
    plan()
    write_search(tmp_path, constraints=["student.width1 > 3"], limits={"luts": 300})
    with pytest.raises(OutputFolderError, match=r"holds a search with other constraints, limits: "):
        plan()
    write_search(tmp_path)
    (tmp_path / "design" / "networks.py").write_text(
        (tmp_path / "design" / "networks.py").read_text() + "\n#\n"
    )
    with pytest.raises(OutputFolderError, match=r"holds a search with other networks\.py: "):
        plan()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    file = write_search(tmp_path)
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "thesis.txt").write_text("mine")
    with pytest.raises(
        OutputFolderError,
        match=r"search is not empty and holds no search; choose another folder with --output$",
    ):
        run_search(file)
    assert [path.name for path in (tmp_path / "search").iterdir()] == ["thesis.txt"]
