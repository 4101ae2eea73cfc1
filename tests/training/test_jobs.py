"""Trainings as jobs: the same result here and in another process, one failure ends all."""

import dataclasses

import keras
import numpy as np
import pytest
from learning_tasks import clouds, dense

from codesign.errors import TrainingError
from codesign.settings import TrainingSettings
from codesign.training import jobs as jobs_module
from codesign.training.job import FitJob, job_model, run_job
from codesign.training.job_files import read_job, read_result, write_job, write_result
from codesign.training.jobs import CROWDING, START_S, run_jobs, workers_that_pay
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


def test_a_job_goes_through_files(data, tmp_path):
    loss = CombinedLoss(0.3, 2.0, 3, terms=[Term("angle", 2.0)])
    first, second = job(data, 3, loss=loss), job(data, 4)
    first = dataclasses.replace(first, weights=[array + 1 for array in first.model.get_weights()])
    written: dict[int, str] = {}
    for number, one in enumerate((first, second)):
        (tmp_path / str(number)).mkdir()
        write_job(one, tmp_path / str(number), tmp_path, written)
    # the inputs are the same arrays and are written once, the targets are not
    assert len(list(tmp_path.glob("*.npy"))) == 2 + 4
    again = read_job(tmp_path / "0")
    assert again.loss.get_config() == loss.get_config()
    assert again.settings == first.settings
    assert (again.seed, again.what) == (3, "job 3")
    for one, other in zip((*first.train, *first.validation), (*again.train, *again.validation), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(job_model(first).get_weights(), job_model(again).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    without = read_job(tmp_path / "1")
    assert without.weights is None
    for one, other in zip(job_model(second).get_weights(), job_model(without).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_result_goes_through_files(data, tmp_path):
    one = job(data)
    result = run_job(one)
    write_result(result, tmp_path)
    again = read_result(one, tmp_path)
    assert again.history == result.history
    np.testing.assert_array_equal(
        again.model.predict(data.x_test, verbose=0), result.model.predict(data.x_test, verbose=0)
    )


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
    with pytest.raises(TrainingError, match=r"^job 1: the loss is nan in epoch 1 at learning rate 0\.01; "):
        run_jobs([job(data, 0), job(data, 1, train=poisoned)], workers=2)
