from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from scan_tasks import task

from codesign.compression.scan import scan_bit_widths
from codesign.compression.scan_trials import Journal, ScannedNetwork
from codesign.errors import OutputFolderError
from codesign.settings import ScanSettings
from codesign.stages.scan import SCAN_JOURNAL, Scan

SETTINGS = ScanSettings(tolerance=0.03, calibration_samples=100, most_bits=7)


def reached(quality):
    return {"quality": quality, "overflows": 0, "cost": 10.5}


@pytest.fixture
def measured(monkeypatch):
    """How many candidates were really run; the scan is interrupted at `stop_at`."""
    count = SimpleNamespace(number=0, stop_at=None)
    measure = ScannedNetwork.measure

    def counted(self, precision):
        if count.number == count.stop_at:
            raise KeyboardInterrupt
        count.number += 1
        return measure(self, precision)

    monkeypatch.setattr(ScannedNetwork, "measure", counted)
    return count


def test_an_interrupted_scan_goes_on_and_ends_as_one_that_was_not(measured, tmp_path):
    student, dataset = task()
    whole = scan_bit_widths(student, dataset, SETTINGS)
    needed, measured.number, measured.stop_at = measured.number, 0, 9
    with pytest.raises(KeyboardInterrupt):
        scan_bit_widths(student, dataset, SETTINGS, journal=tmp_path / "trials.jsonl")
    measured.stop_at = None
    again = scan_bit_widths(student, dataset, SETTINGS, journal=tmp_path / "trials.jsonl")
    assert measured.number == needed
    assert (again.trials, again.precision, again.proofs) == (whole.trials, whole.precision, whole.proofs)
    scan_bit_widths(student, dataset, SETTINGS, journal=tmp_path / "trials.jsonl")
    assert measured.number == needed


def test_another_tolerance_uses_what_was_measured_other_data_do_not(measured, tmp_path):
    student, dataset = task()
    path = tmp_path / "trials.jsonl"
    scan_bit_widths(student, dataset, SETTINGS, journal=path)
    first = measured.number
    scan_bit_widths(student, dataset, SETTINGS.model_copy(update={"tolerance": 0.04}), journal=path)
    assert measured.number - first < first
    before = measured.number
    scan_bit_widths(student, dataset.subset(validation=60), SETTINGS, journal=path)
    assert measured.number - before > 10


def test_the_stage_keeps_trials_over_an_interruption_and_tidies_up(measured, tmp_path):
    student, dataset = task()
    context = SimpleNamespace(
        folder=tmp_path,
        dataset=dataset,
        settings=SimpleNamespace(scan=SETTINGS),
        progress=SimpleNamespace(step=lambda *args: None),
        value={"pruning": student}.get,
    )
    measured.stop_at = 9
    with pytest.raises(KeyboardInterrupt):
        Scan().make(context, tmp_path / "gone")
    assert len((tmp_path / SCAN_JOURNAL).read_text().splitlines()) == 1 + 9
    measured.stop_at = None
    found = Scan().make(context, tmp_path / "gone")
    assert found.trials == scan_bit_widths(student, dataset, SETTINGS).trials
    before = measured.number
    Scan().make(
        context, tmp_path / "gone"
    )  # killed before its folder was in place: nothing is measured again
    assert measured.number == before
    Scan().settled(context)
    assert not (tmp_path / SCAN_JOURNAL).exists()


@pytest.mark.parametrize(
    "damage",
    [
        '{"key": "c", "va',
        "null\n",
        '{"key": "c"}\n',
        "\x00\x00",
        '{"key": "c", "value": {"quality": 1}}\n',
        '{"key": "c", "value": {"quality": null, "overflows": 0, "cost": 1}}\n',
    ],
)
def test_what_stands_before_a_damaged_line_counts(tmp_path, damage):
    path = tmp_path / "trials.jsonl"
    journal = Journal(path, "digest")
    journal.add("a", reached(0.1))
    journal.add("b", reached(0.2))
    with path.open("a") as file:
        file.write(damage)
    again = Journal(path, "digest")
    again.add("d", reached(0.3))
    assert dict(Journal(path, "digest").known) == {
        "a": reached(0.1),
        "b": reached(0.2),
        "d": reached(0.3),
    }


def test_a_line_that_was_edited_is_measured_again(tmp_path):
    path = tmp_path / "trials.jsonl"
    journal = Journal(path, "digest")
    journal.add("a", reached(0.1))
    journal.add("b", reached(0.125))
    path.write_text(path.read_text().replace("0.125", "0.999"))
    assert dict(Journal(path, "digest").known) == {"a": reached(0.1)}
    assert "0.999" not in path.read_text()


def test_a_journal_of_something_else_is_begun_anew(tmp_path):
    path = tmp_path / "trials.jsonl"
    Journal(path, "one").add("a", reached(0.1))
    assert Journal(path, "two").get("a") is None
    assert json.loads(path.read_text()) == {"scan": "two"}
    path.write_text("")
    assert Journal(path, "two").known == {}


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = Journal(None, "digest")
    journal.add("a", reached(0.5))
    assert journal.get("a") == reached(0.5)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match=r"^the journal .*file/trials.jsonl cannot be written \("):
        Journal(tmp_path / "file" / "trials.jsonl", "digest")
