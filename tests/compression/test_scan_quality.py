from __future__ import annotations

import numpy as np
import pytest
from scan_tasks import task

from codesign.compression.scan import scan_bit_widths
from codesign.compression.scan_trials import CheckedQuality
from codesign.core.quality import accuracy
from codesign.core.task import Classification
from codesign.errors import ScanError
from codesign.settings import ScanSettings

LABELS, LOGITS = np.array([0, 1, 2, 1]), np.eye(4)[:, :3]


def checked(function):
    return CheckedQuality("mine", function)


def test_a_quality_of_ones_own_is_what_the_scan_keeps():
    student, dataset = task()

    def of_class_two(labels, logits):
        return accuracy(labels[labels == 2], logits[labels == 2])

    scan = scan_bit_widths(student, dataset, ScanSettings(tolerance=0.05, most_bits=6), quality=of_class_two)
    assert scan.quality >= scan.float_quality - 0.05
    assert scan.quality != scan.record.metrics["validation_accuracy"]


def test_an_exception_of_the_function_is_told_with_what_it_was_given():
    def broken(labels, logits):
        raise KeyError("jets")

    with pytest.raises(ScanError) as error:
        checked(broken)(LABELS, LOGITS)
    assert str(error.value) == (
        "the quality 'mine' raised KeyError on 4 samples with logits of shape (4, 3): 'jets'; it takes (labels, logits) "
        "and returns a number"
    )
    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(
        ScanError, match=r"^the quality 'mine' is (nan|inf) on 4 samples; it must be finite: check"
    ):
        checked(lambda labels, logits: value)(LABELS, LOGITS)


@pytest.mark.parametrize("value", [None, "good", np.array([1.0, 2.0])])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ScanError, match=r"^the quality 'mine' must return a number, not "):
        checked(lambda labels, logits: value)(LABELS, LOGITS)


def test_the_keys_of_two_functions_of_one_name_differ():
    def one():
        def quality(labels, logits):
            return 0.5

        return quality

    def two():
        def quality(labels, logits):
            return 0.25

        return quality

    assert checked(one()).key == checked(one()).key != checked(two()).key
    assert CheckedQuality.of(ScanSettings(quality="auc"), None, Classification(("a", "b"))).key == "auc"


def test_arrays_of_one_number_and_numpy_numbers_will_do():
    assert checked(lambda labels, logits: np.float32(0.5))(LABELS, LOGITS) == 0.5
