"""Specialists: the groups, the corrected dustbin, and the combination that minimises the sum of divergences."""

import math

import numpy as np
import pytest
from learning_tasks import clouds, convolutional, dense, images
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from codesign.errors import DataError, SettingsError
from codesign.networks.logits import predict_logits
from codesign.settings import TeacherSettings
from codesign.training.clusters import confusable_clusters, named_clusters
from codesign.training.specialists import Specialist, combine_specialists, specialist_job, train_specialists
from codesign.training.teacher import teacher_of

RNG = np.random.default_rng(3)
NAMES = ("cat", "dog", "car", "bus", "sun")


class TestClusters:
    def test_classes_that_are_confused_come_together(self):
        labels = RNG.integers(0, 6, 600)
        logits = 8.0 * np.eye(6)[labels] + RNG.normal(0, 0.3, (600, 6))
        for one, other in ((0, 4), (1, 3)):
            for here, there in ((one, other), (other, one)):
                logits[labels == here, there] += 8.0 + RNG.normal(0, 1, (labels == here).sum())
        assert confusable_clusters(logits, 4, seed=0) == ((0, 4), (1, 3))

    @pytest.mark.parametrize("number", [1, 5])
    def test_refuses_numbers_that_leave_nothing(self, number):
        with pytest.raises(
            SettingsError, match=rf"^teacher\.clusters: must be 2 to 4 groups of the 5 classes, not {number}$"
        ):
            confusable_clusters(np.zeros((10, 5)), number)

    def test_groups_by_name_and_index(self):
        assert named_clusters([["dog", "cat"], [3, 0, "car"]], NAMES) == ((0, 1), (0, 2, 3))

    def test_every_fault_of_the_groups_is_named(self):
        with pytest.raises(SettingsError) as caught:
            named_clusters([["cat"], ["cat", "cow"], [1, "dog"], list(NAMES), [2, 7]], NAMES)
        assert caught.value.faults == (
            "teacher.clusters.0: a specialist needs at least two classes to tell apart, not 1; add the classes it is "
            "confused with, or remove the group",
            "teacher.clusters.1: there is no class 'cow'; the classes are cat, dog, car, bus, sun",
            "teacher.clusters.2: the class 'dog' is named twice",
            "teacher.clusters.3: holds all classes and leaves none for the dustbin; remove some",
            "teacher.clusters.4: there is no class 7; the classes are cat, dog, car, bus, sun",
        )

    def test_no_groups(self):
        with pytest.raises(
            SettingsError,
            match=r"^teacher\.clusters: holds no group; give groups of classes or how many to find$",
        ):
            named_clusters([], NAMES)


def divergences(z, generalist, specialists, clusters):
    """The sum that the combination minimises, for one sample, as a function of the logits of `q`."""
    log_q = log_softmax(z)
    p = softmax(generalist)
    total = (p * (np.log(p) - log_q)).sum()
    for logits, cluster in zip(specialists, clusters, strict=True):
        others = np.setdiff1d(np.arange(len(z)), cluster)
        p = softmax(logits)
        collapsed = np.append(log_q[list(cluster)], np.log(np.exp(log_q[others]).sum()))
        total += (p * (np.log(p) - collapsed)).sum()
    return total


class TestCombination:
    CLUSTERS = ((0, 1), (1, 2, 4))

    def test_it_is_the_minimum(self):
        generalist = RNG.normal(0, 1, (6, 5))
        generalist[:, 1] += 5.0  # both specialists are active
        specialists = [RNG.normal(0, 1, (6, 3)), RNG.normal(0, 1, (6, 4))]
        found = combine_specialists(generalist, specialists, self.CLUSTERS)
        np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, rtol=1e-5)
        for row in range(6):
            one = (generalist[row], [logits[row] for logits in specialists], self.CLUSTERS)
            best = minimize(divergences, np.zeros(5), one, method="BFGS", options={"gtol": 1e-9})
            np.testing.assert_allclose(np.exp(found[row]), softmax(best.x), atol=2e-5)

    def test_without_an_active_specialist_the_generalist_stays(self):
        generalist = RNG.normal(0, 1, (4, 5))
        generalist[:, 3] += 9.0
        found = combine_specialists(
            generalist, [RNG.normal(size=(4, 3)), RNG.normal(size=(4, 4))], self.CLUSTERS
        )
        np.testing.assert_allclose(np.exp(found), softmax(generalist, axis=1), rtol=1e-4)

    def test_a_specialist_that_agrees_changes_nothing(self):
        generalist = RNG.normal(0, 1, (4, 5))
        generalist[:, 0] += 9.0
        p = softmax(generalist, axis=1)
        agreeing = np.log(np.column_stack([p[:, :2], p[:, 2:].sum(axis=1)]))
        found = combine_specialists(generalist, [agreeing], ((0, 1),))
        np.testing.assert_allclose(np.exp(found), p, rtol=1e-4)

    def test_a_sure_specialist_decides_within_its_group(self):
        generalist = np.array([[2.0, 1.9, -3.0, -3.0, -3.0]])
        sure = np.array([[-9.0, 9.0, -9.0]])
        assert combine_specialists(generalist, [sure], ((0, 1),)).argmax() == 1

    def test_extreme_logits_stay_finite(self):
        generalist = np.array([[500.0, -500.0, 0.0]])
        found = combine_specialists(generalist, [np.array([[-500.0, 500.0, -500.0]])], ((0, 1),))
        assert np.isfinite(found).all()


@pytest.fixture(scope="module")
def data():
    return clouds(n_classes=4, n=400, n_features=4)


@pytest.fixture(scope="module")
def teacher(data):
    settings = TeacherSettings(
        kind="specialists", epochs=4, learning_rate=0.01, clusters=((0, 1), (1, 2)), workers=1
    )
    return train_specialists(dense(data, 8), data, settings, seed=1)


class TestSpecialistTeacher:
    def test_a_specialist_begins_as_the_generalist(self, data, teacher):
        job, _ = specialist_job(teacher.generalist, (0, 2), data, TeacherSettings(), 0)
        before = predict_logits(teacher.generalist, data.x_test)
        begun = predict_logits(job.model, data.x_test)
        np.testing.assert_allclose(begun[:, :2], before[:, [0, 2]], atol=1e-5)
        np.testing.assert_allclose(begun[:, 2], before[:, [1, 3]].mean(axis=1), atol=1e-5)
        assert job.settings.epochs == TeacherSettings().epochs // 2

    def test_half_of_its_samples_are_its_own(self, data, teacher):
        job, shift = specialist_job(teacher.generalist, (0, 2), data, TeacherSettings(), 0)
        x, targets = job.train
        labels = targets[:, 0]
        own = int(np.isin(data.y_train, (0, 2)).sum())
        assert len(x) == len(labels) == 2 * own
        assert [(labels == label).sum() for label in range(3)] == [own / 2, own / 2, own]
        n_other = len(data.y_train) - own
        assert shift == pytest.approx(math.log(n_other / own))

    def test_fewer_other_classes_are_all_taken(self, data, teacher):
        job, shift = specialist_job(teacher.generalist, (0, 1, 2), data, TeacherSettings(), 0)
        assert len(job.train[0]) == len(data.x_train)
        assert shift == 0.0

    def test_the_shift_undoes_the_over_sampling(self):
        """Where the mixture's posteriors are exact, the shifted logits are the posteriors of the whole data."""
        density = np.array([[0.7, 0.1, 0.3], [0.1, 0.6, 0.2], [0.05, 0.05, 0.1], [0.05, 0.05, 0.1]])
        prior, mixture = np.array([0.1, 0.1, 0.8]), np.array([0.25, 0.25, 0.5])
        true, trained = density * prior, density * mixture
        logits = np.log(trained)
        logits[:, -1] += math.log((0.8 / 0.5) / (0.2 / 0.5))
        np.testing.assert_allclose(softmax(logits, axis=1), true / true.sum(axis=1, keepdims=True))

    def test_its_logits_are_the_combination(self, data, teacher):
        logits = [one.predict_logits(data.x_test) for one in teacher.specialists]
        raw = predict_logits(teacher.specialists[0].model, data.x_test)
        np.testing.assert_allclose(
            logits[0] - raw, [[0, 0, teacher.specialists[0].dustbin_shift]] * len(raw), atol=1e-6
        )
        general = predict_logits(teacher.generalist, data.x_test)
        combined = combine_specialists(general, logits, ((0, 1), (1, 2)))
        np.testing.assert_allclose(teacher.test_logits, combined, atol=1e-4)
        np.testing.assert_allclose(teacher.predict_logits(data.x_test), teacher.test_logits, atol=1e-4)

    def test_its_record_says_who_is_where(self, teacher):
        metrics = teacher.record.metrics
        assert metrics["clusters"] == [["0", "1"], ["1", "2"]]
        assert metrics["without_specialist"] == ["3"]
        assert len(metrics["dustbin_shifts"]) == 2
        assert teacher.model is None
        assert teacher.tempered(5.0) is teacher

    def test_a_given_generalist_is_not_trained_again(self, data, teacher):
        given = teacher_of(teacher.generalist, data)
        settings = TeacherSettings(
            kind="specialists", epochs=4, learning_rate=0.01, clusters=((0, 1), (1, 2)), workers=1
        )
        again = train_specialists(dense(data, 8), data, settings, generalist=given, seed=1)
        assert again.generalist is teacher.generalist
        np.testing.assert_array_equal(again.train_logits, teacher.train_logits)

    def test_refuses_a_generalist_without_a_network(self, data, teacher):
        with pytest.raises(
            DataError, match=r"^the generalist has no network of its own; give a teacher of one network$"
        ):
            train_specialists(dense(data, 8), data, TeacherSettings(), generalist=teacher)

    def test_refuses_two_classes(self):
        data = clouds(n_classes=2, n=60)
        with pytest.raises(
            DataError,
            match=r"^the teacher 'net' has 2 outputs; specialists need at least three classes with an output each, "
            r"use a single teacher or an ensemble$",
        ):
            train_specialists(dense(data, 3), data, TeacherSettings(kind="specialists"))

    def test_refuses_groups_of_one_class_before_any_training(self, data):
        settings = TeacherSettings(kind="specialists", clusters=(("0",),), epochs=10**6)
        with pytest.raises(
            SettingsError,
            match=r"^teacher\.clusters\.0: a specialist needs at least two classes to tell apart, not 1; add the "
            r"classes it is confused with, or remove the group$",
        ):
            train_specialists(dense(data, 3), data, settings)

    def test_refuses_more_groups_than_the_classes_make_before_any_training(self, data):
        n = data.n_classes
        settings = TeacherSettings(kind="specialists", clusters=n, epochs=10**6)
        with pytest.raises(
            SettingsError,
            match=rf"^teacher\.clusters: must be 2 to {n - 1} groups of the {n} classes, not {n}$",
        ):
            train_specialists(dense(data, 3), data, settings)

    def test_refuses_a_generalist_that_does_not_end_in_a_dense_layer(self):
        import keras

        data = images(n=60)
        model = keras.Sequential(
            [
                keras.Input(data.input_shape),
                keras.layers.Conv2D(3, 6, name="conv"),
                keras.layers.Flatten(name="flat"),
            ],
            name="odd",
        )
        with pytest.raises(
            DataError,
            match=r"^the teacher 'odd' ends in Flatten 'flat'; specialists need a generalist whose logits come from a "
            r"Dense layer$",
        ):
            specialist_job(model, (0, 1), data, TeacherSettings(), 0)

    def test_a_convolutional_generalist_is_fine(self):
        data = images(n=60)
        generalist = convolutional(data, 2)
        job, _ = specialist_job(generalist, (1, 2), data, TeacherSettings(), 0)
        assert Specialist((1, 2), job.model, 0.5).predict_logits(data.x_test).shape == (12, 3)
