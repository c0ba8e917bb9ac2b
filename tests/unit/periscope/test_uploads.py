"""Uploads: parts go into the store, the service completes and judges."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from periscope import keys
from periscope.documents import Documents
from periscope.store import InvalidUpload
from periscope.uploads import IncompleteUpload, UnknownUpload, Uploads, plan_parts
from tests.fakes import MemoryStore


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


class CompletesUnheard(MemoryStore):
    """Completes an upload whose answer is lost; the library's second try is told that it is unknown."""

    def complete_upload(self, key: str, upload_id: str, parts: Any) -> str:
        super().complete_upload(key, upload_id, parts)
        raise InvalidUpload("NoSuchUpload")


def test_a_completion_whose_answer_is_lost_is_found() -> None:
    store = CompletesUnheard()
    uploads = Uploads(store, Documents(store))
    upload = uploads.create("datasets", "D", "a.zip", 5)
    send(store, upload, 1, b"hello")

    assert store.get(uploads.finish(upload["upload_id"], "D").key).body == b"hello"


def test_an_upload_that_was_begun_can_be_gone_on_with(uploads: Uploads) -> None:
    upload = uploads.create("datasets", "D", "a.zip", 40 << 20)

    again = uploads.get(upload["upload_id"], "D")

    assert again["parts"] == upload["parts"]
    assert [part["size_bytes"] for part in again["parts"]] == [16 << 20, 16 << 20, 8 << 20]


def test_uploads_that_nobody_finished_expire(
    uploads: Uploads, memory_store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = uploads.create("datasets", "D", "a.zip", 5)
    send(memory_store, finished, 1, b"hello")
    uploads.finish(finished["upload_id"], "D")
    forgotten = uploads.create("datasets", "D", "b.zip", 5)
    assert uploads.expired() == []

    monkeypatch.setattr("periscope.uploads.utc_now", lambda: datetime(2999, 1, 1, tzinfo=UTC))

    assert uploads.expired() == [forgotten["upload_id"]]
