from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from periscope import keys
from periscope.clock import to_rfc3339
from periscope_training.progress import ProgressRecords
from periscope_training.reconcile import Reconciler
from periscope_training.vital_signs import VitalSigns
from tests.fakes import MemoryStore
from tests.unit.periscope_training.house import START, House

LIMIT_S = 600.0


class Room:
    """A store with one job, and a clock."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = START
        self.progress = ProgressRecords(self.store)
        self.signs = VitalSigns(self.store, self.progress, LIMIT_S, lambda: self.now)

    def report(self, step: int, at: datetime) -> None:
        self.progress.save("01JOB", step, {"step": step, "attempt": 1, "received_at": to_rfc3339(at)})

    def is_silent_after(self, seconds: float) -> bool:
        self.now = START + timedelta(seconds=seconds)
        return self.signs.is_silent("01JOB", START)


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_run_that_has_just_begun_is_not_silent(room: Room) -> None:
    assert not room.is_silent_after(LIMIT_S - 1)
    assert room.is_silent_after(LIMIT_S + 1)


def test_a_report_is_a_sign_of_life(room: Room) -> None:
    room.report(5, START + timedelta(seconds=500))

    assert not room.is_silent_after(1000)
    assert room.is_silent_after(1101)


def test_a_commit_is_one_too_for_when_reports_do_not_come_through(room: Room) -> None:
    room.store.put(keys.checkpoint_document("01JOB"), b"{}")
    info = room.store.head(keys.checkpoint_document("01JOB"))
    assert info is not None
    since = info.modified_at - timedelta(seconds=2 * LIMIT_S)
    room.now = info.modified_at + timedelta(seconds=1)

    assert not room.signs.is_silent("01JOB", since)


def test_the_store_is_asked_now_and_then_only(room: Room) -> None:
    room.is_silent_after(LIMIT_S + 1)
    room.report(5, START + timedelta(seconds=LIMIT_S))

    assert room.is_silent_after(LIMIT_S + 5)
    assert not room.is_silent_after(LIMIT_S + 40)


def watched_house() -> House:
    house = House()
    signs = VitalSigns(house.store, ProgressRecords(house.store), LIMIT_S, house.clock)
    house.reconciler = Reconciler(
        house.documents, house.store, house.launcher, house.reconciler._settings, house.clock, signs
    )
    return house


def test_a_silent_run_is_stopped_counted_and_tried_again() -> None:
    house = watched_house()
    job_id = house.add_job()
    house.loop()
    # The checkpoint document was written when the job was made, by the real clock.
    house.store.delete(keys.checkpoint_document(job_id))
    house.clock.advance(LIMIT_S + 1)
    house.reconciler.reconcile_all()
    house.loop()
    first = house.job(job_id)["attempts"][0]
    assert (first["exit_code"], first["counted"]) == (143, True)
    assert "no sign of life" in first["reason"]

    house.clock.advance(10)
    house.loop()
    assert (house.state(job_id), len(house.job(job_id)["attempts"])) == ("RUNNING", 2)


def test_a_run_that_reports_is_left_alone() -> None:
    house = watched_house()
    job_id = house.add_job()
    house.loop()
    house.store.delete(keys.checkpoint_document(job_id))
    house.clock.advance(LIMIT_S + 1)
    report = {"step": 3, "attempt": 1, "received_at": to_rfc3339(house.clock())}
    ProgressRecords(house.store).save(job_id, 3, report)
    house.loop()

    assert (house.state(job_id), len(house.job(job_id)["attempts"])) == ("RUNNING", 1)
