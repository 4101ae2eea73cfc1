"""Runs that differ in the seed only become one entry with mean and spread."""

from __future__ import annotations

import json

import pytest
from comparison_runs import YOSYS, write
from matplotlib.figure import Figure

from codesign.comparison import compare
from codesign.comparison.certainty import group_seeds
from codesign.comparison.figures import bits_charts, type_bits
from codesign.comparison.sources import read_entries


def seeds(make_run, prefix="seed", accuracies=(0.95, 0.96, 0.98), **values):
    return [
        make_run(f"{prefix}{seed}", seed=seed, accuracy=acc, **values) for seed, acc in enumerate(accuracies)
    ]


def test_mean_and_sample_deviation_of_three_seeds(make_run):
    (entry,) = compare(seeds(make_run)).entries
    number = entry.number("test_accuracy", "quantized")
    # mean of 95, 96, 98 is 289/3; squares of the deviations sum to 42/9, halved, root
    assert number.value == pytest.approx(2.89 / 3)
    assert number.spread == pytest.approx((42 / 9 / 2) ** 0.5 / 100)
    assert number.samples == 3
    assert (entry.kind, entry.name, entry.seeds) == ("seeds", "digits", (0, 1, 2))
    assert "seed" not in entry.settings
    assert entry.layers["fc1"]["weight"].startswith("fixed<4,")


def test_every_number_is_a_mean(make_run):
    runs = [make_run(f"seed{n}", seed=n, rtl={**YOSYS, "lut": lut}) for n, lut in enumerate((4000, 4100))]
    (entry,) = compare(runs).entries
    assert entry.number("lut", "yosys").value == 4050
    assert entry.number("lut", "yosys").percent == pytest.approx(100 * 4050 / 1_182_240)


def test_a_number_that_one_seed_lacks_is_said(make_run):
    runs = [make_run("seed0", seed=0, rtl=YOSYS), make_run("seed1", seed=1)]
    (entry,) = compare(runs).entries
    assert entry.number("lut", "yosys").samples == 1
    assert entry.number("lut", "yosys").spread is None
    assert "lut (yosys) is of 1 of the 2 seeds" in entry.notes


def test_other_settings_data_or_networks_stay_apart(make_run):
    base = make_run("seed0", seed=0)
    others = [
        make_run("seed1", seed=1, sparsity=0.75),
        make_run("seed2", seed=2, digest="other"),
        make_run("seed3", seed=3, part="xcku115-flvb2104-2-i"),
        make_run("seed4", seed=4, source=None),
        make_run("seed5", seed=5),
    ]
    path = others[-1] / "student" / "stage.json"
    stage = json.loads(path.read_text())
    write(path, {**stage, "depends": {**stage["depends"], "networks.py": "other"}})
    assert all(entry.kind == "run" for entry in group_seeds(read_entries([base, *others])))


def test_the_same_seed_twice_is_no_second_sample(make_run):
    runs = [make_run("x", seed=0), make_run("y", seed=0), make_run("z", seed=1)]
    entries = group_seeds(read_entries([f"same={run}" for run in runs]))
    assert [(entry.kind, entry.seeds) for entry in entries] == [("seeds", (0, 1)), ("run", (0,))]


def test_groups_are_named_by_what_their_folders_share(make_run):
    runs = seeds(make_run, "pruned-seed", sparsity=0.7) + seeds(make_run, "full/seed", sparsity=0.0)
    runs += seeds(make_run, "more/Seed_0", sparsity=0.2)
    assert [entry.name for entry in compare(runs).entries] == ["pruned", "digits", "digits (2)"]
    named = [f"mine={run}" for run in runs[:3]]
    assert [entry.name for entry in compare(named).entries] == ["mine"]


@pytest.mark.parametrize(
    "names",
    [
        ("first", "second"),
        ("a0", "a1"),
        ("big-seed0", "small-seed1"),
        ("seed0", "seed7"),
        ("r-seed1", "r-seed0"),
    ],
)
def test_names_that_do_not_say_that_they_are_seeds_stay_apart(make_run, names):
    """The seeds are 0 and 1; a name must differ in its own seed only."""
    runs = [make_run(name, seed=seed) for seed, name in enumerate(names)]
    assert [entry.kind for entry in compare(runs).entries] == ["run", "run"]


def test_a_note_of_every_seed_is_said_once(make_run):
    runs = seeds(make_run)
    for run in runs:
        summary = (run / "summary.json").read_text().replace('"notes": []', '"notes": ["no vendor tool"]')
        (run / "summary.json").write_text(summary)
    assert compare(runs).entries[0].notes == ("no vendor tool",)
    comparison = compare([*runs, make_run("other", sparsity=0.7)])
    assert comparison.notes == ("digits: no vendor tool",)
    assert compare(runs, each_seed=True).notes == ("all: no vendor tool",)
    summary = (runs[1] / "summary.json").read_text()
    (runs[1] / "summary.json").write_text(
        summary.replace('["no vendor tool"]', '["no vendor tool", "near chance"]')
    )
    assert compare(runs).entries[0].notes == ("no vendor tool", "seed1: near chance")


def test_each_seed_can_stand_for_itself(make_run):
    entries = compare(seeds(make_run), each_seed=True).entries
    assert [entry.name for entry in entries] == ["seed0", "seed1", "seed2"]
    assert all(entry.number("test_accuracy", "quantized").spread is None for entry in entries)


def test_a_member_of_a_group_names_the_group_as_reference(make_run):
    group, other = seeds(make_run, sparsity=0.6), make_run("z")
    assert compare([other, *group], reference=str(group[1])).reference == "digits"


def test_types_that_differ_between_seeds_are_all_kept_and_drawn_as_a_range(make_run):
    runs = [make_run("seed0", seed=0), make_run("seed1", seed=1), make_run("seed2", seed=2)]
    summary = (runs[1] / "summary.json").read_text().replace("fixed<4,2", "fixed<7,2")
    (runs[1] / "summary.json").write_text(summary)
    comparison = compare(runs)
    kind = comparison.entries[0].layers["fc1"]["weight"]
    assert kind == "fixed<4,2,RND_CONV,SAT,0>; fixed<7,2,RND_CONV,SAT,0>"
    assert type_bits(kind) == (4, 7)
    weights = next(bits_charts(comparison))
    assert weights.caption == "Total bits, sign included. Paler: what only some seeds have."
    axes = Figure().subplots()
    weights.draw(axes)
    assert [(bar.get_y(), bar.get_height()) for bar in axes.patches] == [(0, 4), (4, 3)]
    assert [text.get_text() for text in axes.texts] == ["4-7"]
