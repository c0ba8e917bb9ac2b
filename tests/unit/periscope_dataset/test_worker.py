"""The background work: exactly one version an ingest, whoever dies when, and nothing held up for ever."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Documents
from periscope.lease import Lease
from periscope.store import StoreUnavailable
from periscope_dataset import holding, storing, worker
from periscope_dataset.holding import HeldLease, LeaseLost, WorkFolder, WorkFolderTaken
from periscope_dataset.rules import INGESTS, is_of_no_more_use
from periscope_dataset.worker import IngestWorker
from tests.fakes import MemoryStore
from tests.kitti_archives import as_zip, sound_files
from tests.unit.periscope_dataset.conftest import House


class Died(Exception):
    """Stands for the end of the process."""


def queued(house: House) -> tuple[str, str]:
    dataset_id = house.dataset()
    return dataset_id, house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))


def state_of(house: House, ingest_id: str) -> dict[str, Any]:
    return Documents(house.store).get(INGESTS, ingest_id).body


def die(*_: object, **__: object) -> None:
    raise Died


def other_worker(house: House, folder: Path, holder: str = "other") -> IngestWorker:
    return IngestWorker(house.store, Documents(house.store), folder / holder, holder, 30)


def test_a_worker_that_dies_after_publishing_does_not_publish_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id, ingest_id = queued(house)
    with monkeypatch.context() as patch:
        patch.setattr(house.worker, "_end", die)
        with pytest.raises(Died):
            house.worker.step()

    house.worker.step()

    assert house.call("GET", f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", 200)["version"] == 1
    assert len(house.store.keys(keys.versions_prefix("datasets", dataset_id))) == 1


@pytest.mark.parametrize("call", ["put_blob", "put_blob_file", "write_shard", "index_lines"])
def test_a_worker_that_dies_on_the_way_leaves_no_version_and_begins_anew(
    house: House, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    dataset_id, ingest_id = queued(house)
    with monkeypatch.context() as patch:
        patch.setattr(storing, call, die)
        with pytest.raises(Died):
            house.worker.step()
    assert house.store.keys("versions/") == []

    house.worker.step()

    assert state_of(house, ingest_id)["state"] == "SUCCEEDED"
    assert house.call("GET", f"/v1/datasets/{dataset_id}/versions/latest", 200)["version"] == 1


def test_a_replica_that_was_overtaken_while_it_published_adds_no_second_version(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset_id, ingest_id = queued(house)
    publish = house.worker._versions.publish

    def overtaken(owner_id: str, make_manifest: Any) -> Any:
        # Between its last look at the lease and the claim, another replica does the whole ingest.
        Lease(Documents(house.store), ingest_id, "holder", 30).release()
        other_worker(house, tmp_path).step()
        return publish(owner_id, make_manifest)

    monkeypatch.setattr(house.worker._versions, "publish", overtaken)
    house.worker.step()

    assert len(house.store.keys(keys.versions_prefix("datasets", dataset_id))) == 1
    assert (state_of(house, ingest_id)["state"], state_of(house, ingest_id)["version"]) == ("SUCCEEDED", 1)


def test_an_ingest_that_another_replica_ended_stays_as_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ingest_id = queued(house)
    ended = {"state": "SUCCEEDED", "version": 7}

    def meanwhile(*_: object) -> None:
        Documents(house.store).update(INGESTS, ingest_id, lambda body: body | ended)

    monkeypatch.setattr(worker, "make_version", meanwhile)
    house.worker.step()

    assert state_of(house, ingest_id)["version"] == 7
    assert state_of(house, ingest_id)["state"] == "SUCCEEDED"


def test_a_replica_without_the_lease_waits(house: House, tmp_path: Path) -> None:
    _, ingest_id = queued(house)
    Lease(Documents(house.store), ingest_id, "another", 30).acquire()

    assert house.worker.step() == 10
    assert state_of(house, ingest_id)["state"] == "QUEUED"


def test_an_ingest_that_keeps_failing_holds_up_no_other_and_is_given_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bad = queued(house)
    other_dataset = house.dataset("other")
    good = house.finalize(other_dataset, house.upload(other_dataset, as_zip(sound_files())))
    make_version = worker.make_version

    def failing(bench: Any, source: Any, *rest: Any) -> Any:
        if source.key == keys.upload(bad):
            raise OSError(28, "No space left on device")
        return make_version(bench, source, *rest)

    monkeypatch.setattr(worker, "make_version", failing)
    with pytest.raises(OSError, match="space"):
        house.worker.step()
    house.worker.step()
    assert state_of(house, good)["state"] == "SUCCEEDED"

    for _ in range(worker.MAX_ATTEMPTS - 1):
        with pytest.raises(OSError, match="space"):
            house.worker.step()
    house.worker.step()

    assert state_of(house, bad)["state"] == "FAILED"
    assert state_of(house, bad)["errors"][0]["code"] == "given_up"


def test_a_store_that_goes_away_fails_no_ingest(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ingest_id = queued(house)

    def away(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(house.store, "iterate", away)
        with pytest.raises(StoreUnavailable):
            house.worker.step()
    house.worker.step()

    assert state_of(house, ingest_id)["state"] == "SUCCEEDED"


def test_an_upload_that_the_store_lost_is_told(house: House) -> None:
    _, ingest_id = queued(house)
    house.store.delete(keys.upload(ingest_id))

    house.worker.step()

    assert state_of(house, ingest_id)["errors"][0]["code"] == "upload_missing"


def test_a_service_that_is_told_to_end_leaves_its_ingest_to_the_next(house: House, tmp_path: Path) -> None:
    _, ingest_id = queued(house)
    house.worker.stop()

    house.worker.step()

    assert state_of(house, ingest_id)["state"] == "RUNNING"
    assert other_worker(house, tmp_path).step() == 0.0
    assert state_of(house, ingest_id)["state"] == "SUCCEEDED"


def test_nothing_is_left_on_the_disk(house: House, tmp_path: Path) -> None:
    queued(house)

    house.worker.step()

    assert list(tmp_path.rglob("*")) == []


def test_uploads_that_nobody_will_use_are_removed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, ingest_id = queued(house)
    with monkeypatch.context() as patch:
        patch.setattr(house.worker._uploads, "discard", die)
        with pytest.raises(Died):
            house.worker.step()
    assert house.store.keys("uploads/") == [keys.upload(ingest_id)]

    house.worker.step()

    assert house.store.keys("uploads/") == []
    assert house.store.keys("documents/uploads/") == []


@pytest.mark.parametrize(
    ("owner", "state", "hours", "expected"),
    [
        ("datasets", "SUCCEEDED", 1, True), ("datasets", "FAILED", 1, True), ("datasets", "RUNNING", -1, False),
        ("datasets", None, 1, False), ("datasets", None, -1, True), ("models", None, -1, False),
    ],
)  # fmt: skip
def test_an_upload_is_kept_while_it_may_be_used(
    owner: str, state: str | None, hours: int, expected: bool
) -> None:
    upload = {"owner_kind": owner, "expires_at": to_rfc3339(utc_now() + timedelta(hours=hours))}

    assert is_of_no_more_use(upload, {"state": state} if state else None, utc_now()) is expected


def lease_of(store: MemoryStore, holder: str, ttl_s: float) -> Lease:
    return Lease(Documents(store), "work", holder, ttl_s)


@pytest.mark.slow
def test_a_held_lease_is_renewed_while_the_work_lasts(memory_store: MemoryStore) -> None:
    held = HeldLease.take(lease_of(memory_store, "one", 0.4), 0.4)
    assert held is not None
    with held:
        for _ in range(10):
            time.sleep(0.1)
            held.require()
            assert not lease_of(memory_store, "two", 0.4).acquire()

    assert lease_of(memory_store, "two", 0.4).acquire(), "it is given up at once"


def test_a_lease_that_another_took_is_lost(memory_store: MemoryStore) -> None:
    lease = lease_of(memory_store, "one", 0.3)
    held = HeldLease.take(lease, 0.3)
    assert held is not None
    with held:
        lease.release()
        assert lease_of(memory_store, "two", 60).acquire()
        time.sleep(0.2)

        with pytest.raises(LeaseLost):
            held.require()
    assert not lease_of(memory_store, "one", 1).acquire(), "the other keeps it"


def test_a_lease_that_cannot_be_renewed_is_believed_no_longer_than_it_lasts(
    memory_store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldLease.take(lease_of(memory_store, "one", 0.3), 0.3)
    assert held is not None

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(memory_store, "get", away)
    with held:
        held.require()
        time.sleep(0.4)
        with pytest.raises(LeaseLost):
            held.require()


def test_a_work_folder_has_one_process_and_keeps_its_name(tmp_path: Path) -> None:
    first = WorkFolder.claim(tmp_path / "work")
    with pytest.raises(WorkFolderTaken, match="PERISCOPE_WORK_DIR"):
        WorkFolder.claim(tmp_path / "work", timeout_s=0)
    name = first.holder
    first.close()

    second = WorkFolder.claim(tmp_path / "work", timeout_s=0)

    assert second.holder == name
    second.close()


def test_a_work_folder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "CLAIM_POLL_S", 0.01)
    first = WorkFolder.claim(tmp_path)
    threading.Timer(0.1, first.close).start()

    WorkFolder.claim(tmp_path, timeout_s=20).close()
