from __future__ import annotations

from datetime import timedelta

from periscope.documents import Documents
from periscope_training.deletions import Deletions
from periscope_training.gauges import Picture, RunGauges
from periscope_training.leadership import Leadership
from periscope_training.leading import (
    IDLE_S,
    PICTURE_EVERY_S,
    SWEEP_EVERY_S,
    JobLoop,
    Photographer,
    PublishLoop,
)
from periscope_training.progress import ProgressRecords
from tests.unit.periscope_training.house import House
from tests.unit.periscope_training.service import PROGRESS
from tests.unit.periscope_training.test_leadership import Clock, Lease


class SeenGauges(RunGauges):
    """Remembers what was shown."""

    def __init__(self) -> None:
        super().__init__(lambda: True)
        self.shown: list[Picture] = []

    def show(self, picture: Picture) -> None:
        self.shown.append(picture)


class Replica:
    def __init__(self, house: House, lease: Lease) -> None:
        self.house = house
        self.gauges = SeenGauges()
        self.clock = Clock()
        self.leadership = Leadership(lease, 15.0, self.clock)
        progress = ProgressRecords(house.store)
        photographer = Photographer(Documents(house.store), progress, self.gauges, house.clock)
        self.loop = JobLoop(
            self.leadership,
            house.reconciler,
            photographer,
            Deletions(house.documents, house.store),
            0.5,
            self.clock,
        )

    def step(self) -> float:
        return self.loop.step()


def test_a_replica_that_does_not_lead_leaves_the_jobs_alone() -> None:
    lease, house = Lease(), House()
    lease.free = False
    replica, job_id = Replica(house, lease), house.add_job()

    assert replica.step() == 5.0
    assert house.state(job_id) == "QUEUED"
    assert replica.gauges.shown == []


def test_the_leader_looks_often_while_there_is_something_to_do() -> None:
    house = House()
    replica = Replica(house, Lease())
    assert replica.step() == IDLE_S

    job_id = house.add_job()
    assert replica.step() == 0.5
    assert house.state(job_id) == "STARTING"


def test_the_picture_is_taken_now_and_then() -> None:
    house = House()
    replica, job_id = Replica(house, Lease()), house.add_job()
    for _ in range(3):
        replica.step()
        replica.clock.at_s += PICTURE_EVERY_S / 2

    assert [len(picture.runs) for picture in replica.gauges.shown] == [1, 1]
    assert replica.gauges.shown[-1].jobs_by_state == {"RUNNING": 1}
    assert replica.gauges.shown[-1].runs[0].job_id == job_id


def test_a_run_that_ended_long_ago_is_in_the_picture_no_more() -> None:
    house = House()
    replica, job_id = Replica(house, Lease()), house.add_job()
    ProgressRecords(house.store).save(job_id, 30, {**PROGRESS, "attempt": 1})
    replica.step()
    house.complete_training(job_id)
    house.launcher.end(0)
    replica.step()
    house.clock.now += timedelta(minutes=16)
    replica.clock.at_s += PICTURE_EVERY_S
    replica.step()

    assert [len(picture.runs) for picture in replica.gauges.shown] == [1, 0]
    assert replica.gauges.shown[-1].jobs_by_state == {"SUCCEEDED": 1}


def test_the_leader_sweeps_now_and_then() -> None:
    house = House()
    replica, job_id = Replica(house, Lease()), house.add_job()
    replica.step()
    (run,) = house.world.runs.values()
    house.world.runs["01UNKNOWN", 1, 98] = run
    replica.step()
    assert len(house.launcher.runs()) == 2

    replica.clock.at_s += SWEEP_EVERY_S
    replica.step()
    assert house.launcher.runs() == [(job_id, 1)]


def test_publications_are_left_alone_until_leadership_is_sure() -> None:
    class Publisher:
        worked = 0

        def publish_all(self, still_leads) -> float | None:
            self.worked += 1
            return 0.25 if still_leads() else None

    publisher, leadership = Publisher(), Leadership(Lease(), 15.0, Clock())
    loop = PublishLoop(leadership, publisher)  # type: ignore[arg-type]
    assert (loop.step(), publisher.worked) == (IDLE_S, 0)

    leadership.hold()
    assert (loop.step(), publisher.worked) == (0.25, 1)


def test_the_picture_tells_how_long_the_oldest_job_waits_and_for_what() -> None:
    house = House(slots=1)
    replica = Replica(house, Lease())
    house.add_job("runs")
    replica.step()
    house.add_job("waits")
    house.clock.advance(90)
    replica.clock.at_s += PICTURE_EVERY_S
    replica.step()

    assert replica.gauges.shown[-1].oldest_wait_s == {"QUEUED": 90.0}
    assert replica.gauges.shown[-1].pending_by_cause == {}
