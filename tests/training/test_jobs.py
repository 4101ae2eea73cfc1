"""Trainings as jobs: the same result here and in another process, one failure ends all."""

import dataclasses
import multiprocessing
import pickle

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.errors import TrainingError
from codesign.settings import TrainingSettings
from codesign.training import jobs as jobs_module
from codesign.training.jobs import (
    CROWDING,
    START_S,
    FitJob,
    arrived,
    job_model,
    run_job,
    run_jobs,
    train_apart,
    travelling,
    workers_that_pay,
)
from codesign.training.losses import DistillationLoss, pack_targets
from codesign.training.losses_combined import CombinedLoss, Term


@pytest.fixture(scope="module")
def data():
    return clouds(n=120)


def job(data, seed=0, **changes):
    train = (data.x_train, pack_targets(data.y_train))
    validation = (data.x_validation, pack_targets(data.y_validation))
    settings = TrainingSettings(epochs=1, learning_rate=0.01)
    made = FitJob(dense(data, 4), DistillationLoss(), train, validation, settings, seed, f"job {seed}")
    return dataclasses.replace(made, **changes)


class Steps:
    def __init__(self):
        self.seen = []

    def step(self, what, done, total, note="", values=None):
        self.seen.append((what, done, total))


def test_processes_are_started_only_when_they_pay():
    long = 10 * START_S
    assert workers_that_pay(long, 4, 2) == 2
    assert workers_that_pay(long, 4, 8) == 4
    assert workers_that_pay(long, 1, 8) == 1
    assert workers_that_pay(long, 4, 1) == 1
    assert workers_that_pay(START_S / 100, 4, 2) == 1
    # two jobs on two cores: START + CROWDING t against 2 t
    even = START_S / (2 - CROWDING)
    assert workers_that_pay(even * 1.01, 2, 2) == 2
    assert workers_that_pay(even * 0.99, 2, 2) == 1


def test_a_job_travels_as_plain_values(data, tmp_path):
    loss = CombinedLoss(0.3, 2.0, 3, terms=[Term("angle", 2.0)])
    first, second = job(data, 3, loss=loss), job(data, 4)
    first = dataclasses.replace(first, weights=[array + 1 for array in first.model.get_weights()])
    written: dict[int, str] = {}
    packed = [pickle.loads(pickle.dumps(travelling(one, tmp_path, written))) for one in (first, second)]
    # the inputs are the same arrays and are written once, the targets are not
    assert len(list(tmp_path.glob("*.npy"))) == 2 + 4
    again = arrived(packed[0])
    assert again.loss.get_config() == loss.get_config()
    assert again.settings == first.settings
    assert (again.seed, again.what) == (3, "job 3")
    for one, other in zip((*first.train, *first.validation), (*again.train, *again.validation), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(job_model(first).get_weights(), job_model(again).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    without = arrived(packed[1])
    assert without.weights is None
    for one, other in zip(job_model(second).get_weights(), job_model(without).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_another_process_sends_back_is_the_training(data, tmp_path):
    one = job(data)
    weights, history = train_apart(travelling(one, tmp_path, {}))
    here = run_job(one)
    assert history == here.history
    for ours, theirs in zip(here.model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [path.read_bytes() for path in tmp_path.glob("*.epochs")] == [b"."]


def test_a_worker_of_a_search_starts_no_processes_of_its_own(data, monkeypatch):
    monkeypatch.setattr(jobs_module, "_side_by_side", lambda jobs, *_: ["apart"] * len(jobs))
    monkeypatch.setattr(jobs_module, "run_job", lambda job, _: "here")
    monkeypatch.setattr(multiprocessing.process._current_process, "_config", {"daemon": True})
    assert run_jobs([job(data, seed) for seed in (0, 1)], workers=2) == ["here", "here"]


def test_a_model_with_layers_of_its_own_trains_here(data, monkeypatch):
    class Own(keras.layers.Dense):
        pass

    monkeypatch.setattr(jobs_module, "_side_by_side", lambda jobs, *_: ["apart"] * len(jobs))
    monkeypatch.setattr(jobs_module, "run_job", lambda job, _: "here")
    own = keras.Sequential([keras.Input(data.input_shape), Own(3)])
    assert run_jobs([job(data, seed, model=own) for seed in (0, 1)], workers=2) == ["here", "here"]
    assert run_jobs([job(data, seed) for seed in (0, 1)], workers=2) == ["apart", "apart"]


@pytest.mark.slow
def test_processes_train_the_same_networks(data):
    jobs = [job(data, seed) for seed in range(3)]
    here = run_jobs(jobs, workers=1)
    steps = Steps()
    apart = run_jobs(jobs, workers=2, progress=steps)
    for one, other in zip(here, apart, strict=True):
        assert one.history == other.history
        for ours, theirs in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert steps.seen == [("3 trainings", done, 3) for done in (1, 2, 3)]


@pytest.mark.slow
def test_a_training_that_goes_wrong_in_a_process_ends_all(data):
    poisoned = (np.full_like(data.x_train, np.nan), pack_targets(data.y_train))
    with pytest.raises(TrainingError, match=r"^job 1: the loss is nan in epoch 1 at learning rate 0\.0001; "):
        run_jobs([job(data, 0), job(data, 1, train=poisoned)], workers=2)
