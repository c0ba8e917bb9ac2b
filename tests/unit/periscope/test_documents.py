"""Documents, versions, blobs, leases and uploads over a store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope.blobs import put_blob, put_blob_file
from periscope.documents import Conflict, DocumentMissing, Documents
from periscope.lease import Lease
from periscope.probe import StoreNotTrusted, prove_conditional_writes
from periscope.store import StoreUnavailable
from periscope.uploads import IncompleteUpload, UnknownUpload, Uploads, plan_parts
from periscope.versions import Versions
from tests.fakes import MemoryStore


class LosesAnswers(MemoryStore):
    """Does the next conditional write and then fails to say so."""

    def __init__(self) -> None:
        super().__init__()
        self.lose_next = False

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        return self._lost(super().put_if_absent(key, body))

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        return self._lost(super().put_if_match(key, body, etag))

    def _lost(self, etag: str) -> str:
        if self.lose_next:
            self.lose_next = False
            raise StoreUnavailable("the answer is lost")
        return etag


class IgnoresConditions(MemoryStore):
    """A store that takes every conditional write."""

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        return self.put(key, body)


class IgnoresMatches(MemoryStore):
    """A store that takes every replacement."""

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        return self.put(key, body)


@pytest.fixture
def documents(memory_store: MemoryStore) -> Documents:
    return Documents(memory_store)


def test_a_document_is_made_read_and_changed(documents: Documents) -> None:
    made = documents.create("jobs", {"state": "QUEUED"})

    changed = documents.update("jobs", made.id, lambda body: body | {"state": "RUNNING"})

    assert documents.get("jobs", made.id).body["state"] == "RUNNING"
    assert changed.body["write_id"] != made.body["write_id"]


def test_a_taken_id_is_a_conflict(documents: Documents) -> None:
    made = documents.create("jobs", {"n": 1})

    with pytest.raises(Conflict):
        documents.create("jobs", {"n": 2}, made.id)
    assert documents.get("jobs", made.id).body["n"] == 1


def test_a_document_that_is_not_there_is_missing(documents: Documents) -> None:
    with pytest.raises(DocumentMissing):
        documents.update("jobs", "01ARZ3NDEKTSV4RRFFQ69G5FAV", lambda body: body)


def test_a_change_may_be_abandoned(documents: Documents) -> None:
    made = documents.create("jobs", {"n": 1})

    def refuse(body: dict[str, Any]) -> dict[str, Any]:
        body["n"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        documents.update("jobs", made.id, refuse)
    assert documents.get("jobs", made.id).body == made.body


def test_no_change_of_many_writers_is_lost(documents: Documents) -> None:
    made = documents.create("counters", {"n": 0})

    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda _: documents.update("counters", made.id, lambda body: body | {"n": body["n"] + 1}),
                range(20),
            )
        )

    assert documents.get("counters", made.id).body["n"] == 20


def test_a_stale_document_cannot_replace_a_newer_one(documents: Documents) -> None:
    stale = documents.create("jobs", {"n": 1})
    documents.update("jobs", stale.id, lambda body: body | {"n": 2})

    with pytest.raises(Conflict):
        documents.replace(stale, {"n": 3})


def test_a_write_whose_answer_is_lost_is_found_again() -> None:
    store = LosesAnswers()
    documents = Documents(store)
    store.lose_next = True
    made = documents.create("jobs", {"n": 1})
    store.lose_next = True
    changed = documents.replace(made, {"n": 2})

    assert documents.get("jobs", made.id).body["n"] == 2
    assert documents.replace(changed, {"n": 3}).body["n"] == 3


def test_a_write_that_never_arrived_stays_in_doubt(
    memory_store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> str:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(memory_store, "put_if_absent", away)

    with pytest.raises(StoreUnavailable):
        Documents(memory_store).create("jobs", {"n": 1})


def test_an_unchanged_list_costs_one_listing_and_no_reads(
    documents: Documents, memory_store: MemoryStore
) -> None:
    for number in range(300):
        documents.create("jobs", {"n": number})
    documents.list("jobs")
    memory_store.calls.clear()

    found = documents.list("jobs")

    assert [document.body["n"] for document in found] == list(range(300))
    assert memory_store.calls.get("get", 0) == 0
    assert memory_store.calls["list"] == 1


def test_a_list_reads_only_what_changed(documents: Documents, memory_store: MemoryStore) -> None:
    made = [documents.create("jobs", {"n": number}) for number in range(10)]
    documents.list("jobs")
    documents.update("jobs", made[3].id, lambda body: body | {"n": 33})
    documents.delete("jobs", made[4].id)
    memory_store.calls.clear()

    found = documents.list("jobs")

    assert [document.body["n"] for document in found] == [0, 1, 2, 33, 5, 6, 7, 8, 9]
    assert memory_store.calls["get"] == 1


def test_what_a_list_returns_can_be_changed_without_harm(documents: Documents) -> None:
    documents.create("jobs", {"list": [1]})
    documents.list("jobs")[0].body["list"].append(2)

    assert documents.list("jobs")[0].body["list"] == [1]


def test_a_name_belongs_to_who_claims_it_first(documents: Documents) -> None:
    assert documents.claim_name("datasets", "dive", "A") == "A"
    assert documents.claim_name("datasets", "dive", "B") == "A"
    assert documents.claim_name("models", "dive", "B") == "B"
    assert documents.id_of_name("datasets", "dive") == "A"
    assert documents.id_of_name("datasets", "other") is None


def test_versions_of_many_publishers_have_no_gap(memory_store: MemoryStore) -> None:
    versions = Versions(memory_store, "models")

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda who: versions.publish("m", lambda _: {"who": who})[0], range(30)))

    assert sorted(numbers) == list(range(1, 31))
    assert [manifest["version"] for manifest in versions.list("m")] == list(range(1, 31))
    assert sorted(manifest["who"] for manifest in versions.list("m")) == list(range(30))


def test_a_publisher_whose_answer_is_lost_does_not_publish_twice() -> None:
    store = LosesAnswers()
    store.lose_next = True

    number, _ = Versions(store, "models").publish("m", lambda _: {"who": "me"})

    assert number == 1
    assert Versions(store, "models").latest("m") == 1


def test_equal_content_is_stored_once(memory_store: MemoryStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"same")

    first, second = put_blob(memory_store, b"same"), put_blob_file(memory_store, path)

    assert first == second
    assert memory_store.get(first.key).body == b"same"
    assert memory_store.calls.get("put_file", 0) == 0


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


def test_a_lease_has_one_holder_until_it_expires(documents: Documents) -> None:
    clock = Clock()
    mine = Lease(documents, "leader", "me", 10, clock)
    yours = Lease(documents, "leader", "you", 10, clock)

    assert mine.acquire()
    assert mine.acquire()
    assert not yours.acquire()
    clock.moment += timedelta(seconds=11)
    assert yours.acquire()
    assert not mine.acquire()


def test_a_released_lease_is_free_at_once(documents: Documents) -> None:
    mine, yours = Lease(documents, "leader", "me", 10), Lease(documents, "leader", "you", 10)
    mine.acquire()
    yours.release()
    assert not yours.acquire()
    mine.release()

    assert yours.acquire()


def test_of_many_that_want_a_lease_one_gets_it(documents: Documents) -> None:
    barrier = threading.Barrier(6)

    def acquire(number: int) -> bool:
        lease = Lease(documents, "leader", str(number), 10)
        barrier.wait()
        return lease.acquire()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(acquire, range(6))) == 1


@pytest.mark.parametrize("store", [IgnoresConditions(), IgnoresMatches()], ids=["If-None-Match", "If-Match"])
def test_a_store_that_ignores_conditions_is_not_trusted(store: MemoryStore) -> None:
    with pytest.raises(StoreNotTrusted, match=r"conditional writes|holds nothing"):
        prove_conditional_writes(store)


@pytest.fixture
def uploads(memory_store: MemoryStore, documents: Documents) -> Uploads:
    return Uploads(memory_store, documents)


def send(store: MemoryStore, upload: dict[str, Any], number: int, body: bytes) -> None:
    store_id = upload["parts"][0]["url"].split("upload=")[1].split("&")[0]
    store.put_part(keys.upload(upload["upload_id"]), store_id, number, body)


def test_an_upload_is_finished_once_and_answers_again(uploads: Uploads, memory_store: MemoryStore) -> None:
    upload = uploads.create("datasets", "D", "a.zip", 5)
    send(memory_store, upload, 1, b"hello")

    first, second = uploads.finish(upload["upload_id"], "D"), uploads.finish(upload["upload_id"], "D")

    assert first == second
    assert memory_store.get(first.key).body == b"hello"


def test_a_finish_that_died_after_completing_is_made_good(
    uploads: Uploads, memory_store: MemoryStore
) -> None:
    upload = uploads.create("datasets", "D", "a.zip", 5)
    send(memory_store, upload, 1, b"hello")
    store_id = upload["parts"][0]["url"].split("upload=")[1].split("&")[0]
    key = keys.upload(upload["upload_id"])
    memory_store.complete_upload(key, store_id, memory_store.list_parts(key, store_id))

    assert uploads.finish(upload["upload_id"], "D").size_bytes == 5


def test_a_part_of_the_wrong_size_is_named(uploads: Uploads, memory_store: MemoryStore) -> None:
    upload = uploads.create("datasets", "D", "a.zip", 5)
    send(memory_store, upload, 1, b"hell")

    with pytest.raises(IncompleteUpload, match="part 1"):
        uploads.finish(upload["upload_id"], "D")
    send(memory_store, upload, 1, b"hello")
    assert uploads.finish(upload["upload_id"], "D").size_bytes == 5


def test_a_discarded_or_foreign_upload_is_unknown(uploads: Uploads, memory_store: MemoryStore) -> None:
    upload = uploads.create("datasets", "D", "a.zip", 5)
    with pytest.raises(UnknownUpload):
        uploads.finish(upload["upload_id"], "E")
    uploads.discard(upload["upload_id"])
    uploads.discard(upload["upload_id"])

    with pytest.raises(UnknownUpload):
        uploads.finish(upload["upload_id"], "D")
    with pytest.raises(UnknownUpload):
        uploads.finish("../../etc", "D")


def test_parts_are_few_and_cover_the_file() -> None:
    for size_bytes in (0, 1, 16 << 20, (16 << 20) + 1, 100 << 30):
        parts = plan_parts(size_bytes)

        assert sum(part["size_bytes"] for part in parts) == size_bytes
        assert 1 <= len(parts) <= 1000
        assert [part["number"] for part in parts] == list(range(1, len(parts) + 1))
