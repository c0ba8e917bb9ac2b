"""What an ingest tells of itself while it works."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from periscope.documents import Documents
from periscope.lease import Lease
from periscope_dataset.holding import HeldLease
from periscope_dataset.journal import Journal
from periscope_dataset.reporting import Reporter, Stopped
from periscope_dataset.rules import INGESTS
from tests.fakes import MemoryStore
from tests.kitti_archives import as_zip, sound_files
from tests.unit.periscope_dataset.conftest import House


class Told:
    """A reporter with a clock of its own, and what it wrote down."""

    def __init__(self, store: MemoryStore) -> None:
        held = HeldLease.take(Lease(Documents(store), "one", "me", 60), 60)
        assert held is not None
        self.now, self.written, self.stopping = 0.0, [], threading.Event()
        self.journal = Journal(store, "one")
        self.report = Reporter(self.written.append, self.stopping, held, self.journal, lambda: self.now)
        self.written: list[dict[str, Any]]

    def at(self, now: float, progress: float, stage: str = "check") -> None:
        self.now = now
        self.report(progress, stage)


@pytest.fixture
def told(memory_store: MemoryStore) -> Told:
    return Told(memory_store)


def test_the_time_to_go_is_what_the_pace_of_this_attempt_promises(told: Told) -> None:
    told.at(0, 0.2)
    told.at(10, 0.4)
    told.at(20, 0.6, "store")

    assert told.written == [
        {"progress": 0.4, "stage": "check", "eta_s": 30.0}, {"progress": 0.6, "stage": "store", "eta_s": 20.0}
    ]  # fmt: skip


def test_nothing_is_promised_before_something_is_done(told: Told) -> None:
    told.at(0, 0.0)
    told.at(5, 0.01)

    assert told.written == [{"progress": 0.01, "stage": "check", "eta_s": None}]


def test_it_is_written_down_once_a_second_at_most(told: Told) -> None:
    for tick in range(50):
        told.at(tick / 10, tick / 100)

    assert 4 <= len(told.written) <= 5


def test_that_it_gets_on_is_written_down_at_once(told: Told) -> None:
    told.journal.note("checked/000000", {})
    told.at(0.1, 0.3)
    told.at(0.2, 0.3)

    assert [found["attempts"] for found in told.written] == [1]


def test_a_service_that_ends_stops_it(told: Told) -> None:
    told.stopping.set()

    with pytest.raises(Stopped):
        told.at(0, 0)


def test_an_ingest_that_an_older_service_queued_is_taken(house: House) -> None:
    dataset_id = house.dataset()
    ingest_id = house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))
    documents = Documents(house.store)

    def as_before(body: dict[str, Any]) -> dict[str, Any]:
        options = {
            name: body["options"][name]
            for name in ("classes", "pad", "resize", "val_min_box_size", "val_ratio", "group_by")
        }
        return {name: value for name, value in body.items() if name not in ("notes", "stage", "eta_s")} | {
            "options": options
        }

    documents.update(INGESTS, ingest_id, as_before)
    house.worker.step()

    assert house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", 200)["state"] == "SUCCEEDED"
