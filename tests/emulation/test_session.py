"""A session gives what a run gives, and computes only what changed."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs_emulation import perceptron

from codesign.core.fixed_point import FixedPoint
from codesign.emulation import Emulator, Session, session
from codesign.errors import DataError

CHANGES = {
    "input": {"x": {"result": FixedPoint(6, 4)}},
    "first weights": {"fc0": {"weight": FixedPoint(4, 1)}},
    "activation": {"relu1": {"result": FixedPoint(4, 1, False, "RND", "SAT")}},
    "last weights": {"fc3": {"weight": FixedPoint(4, 1), "bias": FixedPoint(5, 1)}},
    "several": {"fc1": {"weight": FixedPoint(7, 1)}, "relu2": {"result": FixedPoint(5, 1, False)}},
}


@pytest.fixture(scope="module")
def emulator():
    return Emulator.of(perceptron((16, 20, 12, 12, 5)))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(0, 2, (700, 16))


@pytest.fixture
def computed(monkeypatch):
    """Record the layers that are computed."""
    names = []
    execute = session.execute

    def record(steps, *rest, **named):
        steps = list(steps)
        names.extend(step.node.name for step in steps)
        return execute(steps, *rest, **named)

    monkeypatch.setattr(session, "execute", record)
    return names


@pytest.mark.parametrize("memory_bytes", [0, 20_000, 1 << 30])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_candidate_equals_a_run_of_its_own(emulator, x, memory_bytes, threads):
    work = Session(x, memory_bytes=memory_bytes, threads=threads)
    np.testing.assert_array_equal(work.run(emulator, keep=True), emulator.run(x))
    for types in CHANGES.values():
        candidate = emulator.with_types(types)
        np.testing.assert_array_equal(work.run(candidate), candidate.run(x))
        assert not np.array_equal(candidate.run(x), emulator.run(x))
    np.testing.assert_array_equal(work.run(emulator), emulator.run(x))
    assert work.kept_bytes <= memory_bytes


def test_layers_before_the_change_are_not_computed(emulator, x, computed):
    work = Session(x, threads=1)
    work.run(emulator, keep=True)
    names = [step.node.name for step in emulator.steps]
    assert computed == names
    for types in CHANGES.values():
        computed.clear()
        work.run(emulator.with_types(types))
        first = min(names.index(name) for name in types)
        assert computed == names[first:]
    computed.clear()
    work.run(emulator)
    assert computed == []


def test_a_kept_candidate_replaces_the_one_before(emulator, x, computed):
    work = Session(x, threads=1)
    work.run(emulator, keep=True)
    better = emulator.with_types(CHANGES["activation"])
    work.run(better, keep=True)
    computed.clear()
    work.run(better.with_types({"fc3": {"weight": FixedPoint(3, 1)}}))
    assert computed == ["fc3"]
    computed.clear()
    work.run(emulator)
    assert computed == ["relu1", "fc2", "relu2", "fc3"]


def test_equal_candidates_made_apart_share_what_is_kept(emulator, x, computed):
    work = Session(x, threads=1)
    work.run(emulator.with_types(CHANGES["first weights"]), keep=True)
    computed.clear()
    work.run(Emulator.of(emulator.with_types(CHANGES["first weights"]).graph))
    assert computed == []


def test_quantized_inputs_are_kept_in_few_bytes(emulator, x):
    work = Session(x)
    work.run(emulator)
    assert work.kept_bytes == x.size


def test_inputs_of_another_shape_are_refused(emulator):
    with pytest.raises(
        DataError, match=r"^input x must be \('n_samples', 16\) with 3 samples, not \(3, 15\)$"
    ):
        Session(np.zeros((3, 15))).run(emulator)
