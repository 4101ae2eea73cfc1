"""Temperature and alpha are the best of all that was tried, and all of it is kept."""

import pytest
from learning_tasks import clouds, dense

from codesign.settings import DistillationSettings
from codesign.settings_learning import SearchSettings
from codesign.training.distill import choose_distillation, distill_student, with_learnt_temperature
from codesign.training.teacher import Teacher


@pytest.fixture(scope="module")
def data():
    return clouds(n=120)


@pytest.fixture(scope="module")
def teacher(data):
    from codesign.core.record import Record

    record = Record("teacher", {}, 0, {}, "0", {}, 0.0)
    one_hot = [
        5.0 * (labels[:, None] == range(3)) for labels in (data.y_train, data.y_validation, data.y_test)
    ]
    return Teacher(None, *one_hot, None, record)


def test_given_numbers_are_not_searched(data, teacher):
    settings = DistillationSettings(temperature=2.0, alpha=0.0)
    assert choose_distillation(dense(data, 3), teacher, data, settings) == (settings, ())


def test_the_student_learns_with_the_best_pair_and_keeps_the_table(data, teacher):
    search = SearchSettings(temperatures=(1.0, 5.0), alphas=(0.9,), epochs=1, workers=1)
    settings = DistillationSettings(temperature=None, alpha=0.2, epochs=1, search=search)
    student = distill_student(dense(data, 3), teacher, data, settings, seed=2)
    table = student.record.metrics["search"]
    # alpha was given: its candidates are not tried
    assert [(row["temperature"], row["alpha"]) for row in table] == [(1.0, 0.2), (5.0, 0.2)]
    best = max(table, key=lambda row: (row["validation_quality"], -row["validation_loss"]))
    chosen = {"temperature": best["temperature"], "alpha": 0.2}
    assert student.record.metrics["distillation"] == chosen
    resolved = with_learnt_temperature(settings, student.record)
    assert (resolved.temperature, resolved.alpha) == (best["temperature"], 0.2)
    assert with_learnt_temperature(DistillationSettings(temperature=7.0), student.record).temperature == 7.0
