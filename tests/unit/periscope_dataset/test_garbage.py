"""Removal of versions, and collection of garbage: nothing that is named goes, whatever happens meanwhile."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from periscope import blobs, keys
from periscope.blobs import BlobRef, condemn, put_blob
from periscope.clock import utc_now
from periscope.documents import Documents
from periscope.lease import Lease
from periscope.store import StoreUnavailable
from periscope.versions import Versions
from periscope_dataset.app import create_service
from periscope_dataset.garbage import LEAST_GRACE_S, AlreadyCollecting, Collected, Collector, named_blobs
from periscope_dataset.settings import Settings
from periscope_dataset.worker import IngestWorker
from tests.fakes import MemoryStore
from tests.kitti_archives import as_zip, sound_files
from tests.unit.periscope_dataset.conftest import House, open_house

GRACE = timedelta(seconds=LEAST_GRACE_S)
PLACES = ("dataset", "model", "document", "job", "notes")


class Killed(BaseException):
    """The process is gone; nobody catches this."""


class Rigged(MemoryStore):
    """Does something before one of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.countdown = -1
        self.happens: Callable[[], None] = lambda: None

    def _count(self, call: str) -> None:
        super()._count(call)
        self.countdown -= 1
        if self.countdown == -1:
            self.happens()

    def age(self, key: str, by: timedelta) -> None:
        """Let an object have been written earlier."""
        self._objects[key].modified_at -= by


def old_blob(store: Rigged, content: bytes) -> BlobRef:
    ref = put_blob(store, content)
    store.age(ref.key, 5 * GRACE)
    return ref


def name(store: MemoryStore, place: str, number: int, refs: list[BlobRef]) -> None:
    """Name blobs in the way that one of the services does."""
    told: Any = [{"sha256": ref.sha256, "size_bytes": ref.size_bytes} for ref in refs]
    if place in ("dataset", "model"):
        Versions(store, f"{place}s").publish(f"owner-{number}", lambda _: {"files": told})
    elif place == "document":
        Documents(store).create("pretrained", {"files": told}, f"{number:026d}")
    elif place == "job":
        store.put(keys.job_spec(f"{number:026d}"), json.dumps({"dataset": {"splits": told}}).encode())
    else:
        store.put(keys.ingest_record(f"{number:026d}", "shards/a"), zlib.compress(json.dumps(told).encode()))


def collect(store: MemoryStore, later: timedelta = timedelta(0), *, dry_run: bool = False) -> Collected:
    collector = Collector(store, Documents(store), "test", lambda: utc_now() + later)
    return collector.collect(LEAST_GRACE_S, dry_run=dry_run)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_named_anywhere_stays(place: str) -> None:
    store = Rigged()
    kept, lost = old_blob(store, b"kept"), old_blob(store, b"lost")
    name(store, place, 1, [kept])

    collect(store)
    collect(store, 2 * GRACE)

    assert store.keys(keys.BLOBS) == [kept.key]
    assert lost.key not in store.keys("")


@pytest.mark.slow
@given(
    graph=st.lists(st.tuples(st.sampled_from(PLACES), st.sets(st.integers(0, 11), max_size=5)), max_size=8),
    deaths=st.lists(st.integers(0, 60), max_size=3),
    young=st.sets(st.integers(0, 11), max_size=3),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_after_any_deaths_exactly_what_is_named_or_young_is_left(
    graph: list[tuple[str, set[int]]], deaths: list[int], young: set[int]
) -> None:
    store = Rigged()
    refs = [old_blob(store, bytes([number])) for number in range(12)]
    for number, (place, named) in enumerate(graph):
        name(store, place, number, [refs[index] for index in sorted(named)])
    collect(store, -2 * GRACE)
    for index in young:
        store.age(refs[index].key, -5 * GRACE)
    wanted = {refs[index].key for _, named in graph for index in named} | {refs[i].key for i in young}

    for death in deaths:
        store.countdown, store.happens = death, _die
        try:
            collect(store)
        except Killed:
            assert wanted <= set(store.keys(keys.BLOBS))
        store.countdown = -1
        _let_time_pass(store)
    collect(store)

    assert set(store.keys(keys.BLOBS)) == wanted
    _let_time_pass(store)
    assert collect(store).removed == 0
    assert keys.CONDEMNED_BLOBS not in store.keys("")


def _die() -> None:
    raise Killed


def _let_time_pass(store: MemoryStore) -> None:
    """Until the lease and the announcement of a collection that died have run out."""
    if keys.CONDEMNED_BLOBS in store.keys("garbage"):
        condemn(store, [], utc_now() - timedelta(seconds=1))
    for key in store.keys(keys.documents_prefix("leases")):
        store.delete(key)


@pytest.mark.parametrize("moment", range(40))
def test_a_blob_that_is_used_again_during_a_collection_is_there_when_it_is_named(
    moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "WAIT_S", 0.0)
    store = Rigged()
    ref, other = old_blob(store, b"again"), old_blob(store, b"other")
    collect(store, -2 * GRACE)
    named = []

    def use_again() -> None:
        try:
            put_blob(store, b"again")
        except StoreUnavailable:
            return  # It has to wait, and the test is not two threads: it names nothing.
        name(store, "dataset", 1, [ref])
        named.append(ref.key)

    store.countdown, store.happens = moment, use_again
    collect(store)

    assert set(named) <= set(store.keys(keys.BLOBS))
    assert other.key not in store.keys(keys.BLOBS)


def test_who_writes_a_condemned_blob_waits_and_writes_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Rigged()
    real = put_blob(store, b"x")
    store.age(real.key, GRACE)
    condemn(store, [real.sha256], utc_now() + timedelta(minutes=1))

    def removal_ends(_: float) -> None:
        store.delete(real.key)
        blobs.reprieve(store)

    monkeypatch.setattr("periscope.blobs.time.sleep", removal_ends)

    assert put_blob(store, b"x") == real
    assert real.key in store.keys("")


def test_a_collection_that_died_while_removing_holds_writers_up_for_a_while_only() -> None:
    store = Rigged()
    sha256 = put_blob(MemoryStore(), b"x").sha256
    condemn(store, [sha256], utc_now() - timedelta(seconds=1))

    ref = put_blob(store, b"x")

    assert ref.key in store.keys("")


def test_a_blob_waits_for_the_grace_period_from_when_its_last_name_went() -> None:
    store = Rigged()
    ref = old_blob(store, b"pixels")
    versions = Versions(store, "datasets")
    versions.publish("one", lambda _: {"sha256": ref.sha256})
    collect(store, 10 * GRACE)
    versions.remove("one", 1)

    first = collect(store, 11 * GRACE)
    soon = collect(store, 11 * GRACE + GRACE / 2)
    late = collect(store, 12 * GRACE + timedelta(seconds=1))

    assert [(found.waiting, found.removed) for found in (first, soon, late)] == [(1, 0), (1, 0), (0, 1)]


def test_a_name_that_comes_back_begins_the_grace_anew() -> None:
    store = Rigged()
    ref = old_blob(store, b"pixels")
    collect(store)
    name(store, "model", 1, [ref])
    collect(store, GRACE)
    store.delete(keys.version("models", "owner-1", 1))

    assert collect(store, 2 * GRACE).removed == 0


def test_a_dry_run_changes_nothing() -> None:
    store = Rigged()
    old_blob(store, b"pixels")
    collect(store)
    before = {key: store.get(key).etag for key in store.keys("") if "leases" not in key}

    found = collect(store, 2 * GRACE, dry_run=True)

    assert (found.removed, found.removed_bytes) == (1, 6)
    assert {key: store.get(key).etag for key in store.keys("") if "leases" not in key} == before


def test_a_collection_waits_until_the_removals_of_one_that_died_are_surely_over() -> None:
    store = Rigged()
    old_blob(store, b"pixels")
    condemn(store, ["0" * 64], utc_now() + timedelta(minutes=1))

    with pytest.raises(AlreadyCollecting, match="try again after"):
        collect(store)


def test_two_collections_never_run_together() -> None:
    store = MemoryStore()
    assert Lease(Documents(store), "garbage", "other", 60).acquire()

    with pytest.raises(AlreadyCollecting):
        collect(store)


def test_all_blobs_of_an_ingest_that_is_at_it_stay(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first shard to the manifest, at whatever moment a collection comes."""
    seen: list[set[str]] = []
    original = IngestWorker._require_unpublished

    def look(self: IngestWorker, document: Any) -> None:
        seen.append({ref for ref in named_blobs(house.store) if keys.blob(ref) in house.store.keys("")})
        original(self, document)

    monkeypatch.setattr(IngestWorker, "_require_unpublished", look)
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(sound_files()))
    manifest = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)

    shards = {shard["sha256"] for split in manifest["splits"].values() for shard in split["shards"]}
    assert shards
    assert shards <= seen[-1]


def as_job(house: House, dataset_id: str, version: int) -> str:
    body = {"name": "first-try", "dataset": {"id": dataset_id, "version": version, "name": "dive"}}
    return Documents(house.store).create("jobs", body).id


def test_a_version_that_a_job_uses_is_not_removed_and_the_jobs_are_told(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(sound_files()))
    job_id = as_job(house, dataset_id, 1)
    url = f"/v1/datasets/{dataset_id}"

    problem = house.call("DELETE", f"{url}/versions/1", 409)
    also = house.call("DELETE", url, 409)

    assert job_id in problem["detail"]
    assert problem["users"] == also["users"] == [{"kind": "job", "id": job_id, "name": "first-try"}]
    assert house.call("GET", f"{url}/versions/1", 200)["version"] == 1
    Documents(house.store).delete("jobs", job_id)
    house.call("DELETE", f"{url}/versions/1", 204)
    house.call("GET", f"{url}/versions/1", 404)
    house.call("DELETE", f"{url}/versions/1", 204)


def test_a_job_of_another_version_is_no_hindrance_and_an_evaluation_is_until_it_has_ended(
    house: House,
) -> None:
    dataset_id = house.dataset()
    for train in (3, 4):
        house.ingest(dataset_id, as_zip(sound_files(train)))
    as_job(house, dataset_id, 1)
    documents = Documents(house.store)
    told = {"dataset": {"id": dataset_id, "version": 2}, "state": "RUNNING"}
    evaluation = documents.create("evaluations", told)

    problem = house.call("DELETE", f"/v1/datasets/{dataset_id}/versions/2", 409)
    documents.replace(evaluation, told | {"state": "SUCCEEDED"})

    assert problem["users"] == [{"kind": "evaluation", "id": evaluation.id}]
    house.call("DELETE", f"/v1/datasets/{dataset_id}/versions/2", 204)


def test_a_number_is_never_given_again(house: House) -> None:
    dataset_id = house.dataset()
    house.ingest(dataset_id, as_zip(sound_files()))
    house.call("DELETE", f"/v1/datasets/{dataset_id}/versions/1", 204)

    again = house.ingest(dataset_id, as_zip(sound_files()))

    assert again["version"] == 2
    assert house.call("GET", f"/v1/datasets/{dataset_id}", 200)["latest_version"] == 2


def test_a_removed_data_set_is_gone_and_its_name_free(house: House) -> None:
    dataset_id = house.dataset("dive")
    house.ingest(dataset_id, as_zip(sound_files()))

    house.call("DELETE", f"/v1/datasets/{dataset_id}", 204)

    house.call("GET", f"/v1/datasets/{dataset_id}", 404)
    house.call("DELETE", f"/v1/datasets/{dataset_id}", 404)
    assert house.call("GET", "/v1/datasets", 200)["items"] == []
    again = house.dataset("dive")
    assert house.ingest(again, as_zip(sound_files()))["version"] == 2


def test_a_data_set_with_an_ingest_under_way_is_not_removed(house: House) -> None:
    dataset_id = house.dataset()
    ingest_id = house.finalize(dataset_id, house.upload(dataset_id, as_zip(sound_files())))

    assert house.call("DELETE", f"/v1/datasets/{dataset_id}", 409)["users"][0]["id"] == ingest_id


def test_an_administrator_collects_over_http(tmp_path: Path) -> None:
    store = Rigged()
    house = open_house(store, tmp_path)
    old_blob(store, b"pixels")

    told = house.call("POST", "/v1/datasets:collect-garbage", 200, json={})
    house.call("POST", "/v1/datasets:collect-garbage", 200, json={"dry_run": False, "grace_hours": 6})
    house.call("POST", "/v1/datasets:collect-garbage", 422, json={"grace_hours": 1})

    assert (told["dry_run"], told["blobs"], told["waiting"], told["waiting_bytes"]) == (True, 1, 1, 6)


def test_garbage_is_collected_unasked_where_the_settings_say_so(tmp_path: Path) -> None:
    environ = {"PERISCOPE_WORK_DIR": str(tmp_path), "PERISCOPE_COLLECT_GARBAGE_EVERY_H": "24"}
    settings = Settings.from_environ(environ)
    store = MemoryStore()
    put_blob(store, b"pixels")
    service = create_service(settings, store, "one")

    rest_s = service.workers[-1]._step()

    assert (rest_s, settings.garbage_grace_h) == (24 * 3600, 168)
    assert keys.UNREFERENCED_BLOBS in store.keys("garbage")
    # Another replica is at it: the step does nothing, and comes again.
    assert Lease(Documents(store), "garbage", "other", 60).acquire()
    assert service.workers[-1]._step() == 24 * 3600
    assert len(create_service(Settings(tmp_path, None), store, "two").workers) == len(service.workers) - 1
