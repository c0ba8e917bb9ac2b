"""What every ObjectStore promises: one suite, run on the double in memory and on the real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from periscope import keys
from periscope.documents import Documents
from periscope.probe import prove_conditional_writes
from periscope.store import InvalidUpload, ObjectMissing, ObjectStore, PreconditionFailed, UploadedPart
from periscope.uploads import IncompleteUpload, Uploads

PART = 5 << 20


class StoreContract:
    """Subclassed with a ``store`` fixture and a way to send a part."""

    def send_part(self, store: ObjectStore, key: str, upload_id: str, number: int, body: bytes) -> None:
        raise NotImplementedError

    def test_what_is_put_is_read_back(self, store: ObjectStore) -> None:
        etag = store.put("a/b", b"hello")

        found = store.get("a/b")
        info = store.head("a/b")

        assert (found.body, found.etag) == (b"hello", etag)
        assert info is not None
        assert (info.key, info.size_bytes, info.etag) == ("a/b", 5, etag)

    def test_what_is_absent_is_missing(self, store: ObjectStore) -> None:
        assert store.head("nothing") is None
        with pytest.raises(ObjectMissing):
            store.get("nothing")
        with pytest.raises(ObjectMissing):
            store.get_range("nothing", 0, 1)
        with pytest.raises(ObjectMissing):
            next(store.iterate("nothing"))

    def test_a_range_may_reach_beyond_the_end(self, store: ObjectStore) -> None:
        store.put("a", b"0123456789")

        assert store.get_range("a", 2, 3) == b"234"
        assert store.get_range("a", 8, 100) == b"89"
        assert store.get_range("a", 100, 5) == b""
        assert store.get_range("a", 3, 0) == b""

    def test_a_claimed_key_is_refused_to_others(self, store: ObjectStore) -> None:
        store.put_if_absent("claim", b"mine")

        with pytest.raises(PreconditionFailed):
            store.put_if_absent("claim", b"theirs")
        assert store.get("claim").body == b"mine"

    def test_a_replacement_needs_the_present_etag(self, store: ObjectStore) -> None:
        first = store.put_if_absent("doc", b"one")
        store.put_if_match("doc", b"two", first)

        with pytest.raises(PreconditionFailed):
            store.put_if_match("doc", b"three", first)
        with pytest.raises(PreconditionFailed):
            store.put_if_match("absent", b"x", first)
        assert store.get("doc").body == b"two"

    def test_of_many_claimers_one_wins(self, store: ObjectStore) -> None:
        def claim(number: int) -> bool:
            try:
                store.put_if_absent("race", str(number).encode())
            except PreconditionFailed:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            winners = [number for number, won in enumerate(pool.map(claim, range(8))) if won]

        assert len(winners) == 1
        assert store.get("race").body == str(winners[0]).encode()

    def test_of_many_replacers_of_one_state_one_wins(self, store: ObjectStore) -> None:
        etag = store.put_if_absent("race", b"start")

        def replace(number: int) -> bool:
            try:
                store.put_if_match("race", f"by {number}".encode(), etag)
            except PreconditionFailed:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            winners = [number for number, won in enumerate(pool.map(replace, range(8))) if won]

        assert len(winners) == 1
        assert store.get("race").body == f"by {winners[0]}".encode()

    def test_counting_by_many_loses_nothing(self, store: ObjectStore) -> None:
        made = Documents(store).create("counters", {"n": 0})

        def count(_: int) -> None:
            Documents(store).update("counters", made.id, lambda body: body | {"n": body["n"] + 1})

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(count, range(9)))

        assert Documents(store).get("counters", made.id).body["n"] == 9

    def test_an_unconditional_write_ends_what_was_read_before(self, store: ObjectStore) -> None:
        etag = store.put_if_absent("doc", b"one")
        store.put("doc", b"two")

        with pytest.raises(PreconditionFailed):
            store.put_if_match("doc", b"three", etag)

    def test_a_removed_key_can_be_claimed_again(self, store: ObjectStore) -> None:
        store.put_if_absent("claim", b"one")
        store.delete("claim")
        store.put_if_absent("claim", b"two")

        assert store.get("claim").body == b"two"

    def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        store.put("empty", b"")

        info = store.head("empty")
        assert info is not None
        assert info.size_bytes == 0
        assert store.get("empty").body == b""
        assert b"".join(store.iterate("empty")) == b""
        assert store.get_range("empty", 0, 10) == b""

    def test_chunks_are_of_the_size_that_was_asked_for(self, store: ObjectStore) -> None:
        store.put("a", b"0123456789")

        assert [len(chunk) for chunk in store.iterate("a", 4)] == [4, 4, 2]

    def test_the_start_up_probe_passes_and_cleans_up(self, store: ObjectStore) -> None:
        prove_conditional_writes(store)

        assert list(store.list("probe/")) == []

    def test_a_listing_is_in_byte_order_and_keeps_to_its_prefix(self, store: ObjectStore) -> None:
        for key in ("o/a/b", "o/a-b", "o/a.b", "o/b", "p/a", "o"):
            store.put(key, b"x")

        assert [info.key for info in store.list("o/")] == ["o/a-b", "o/a.b", "o/a/b", "o/b"]

    def test_deleting_what_is_absent_is_no_error(self, store: ObjectStore) -> None:
        store.put("a", b"x")
        store.delete("a")
        store.delete("a")

        assert store.head("a") is None

    def test_a_file_is_stored_whole(self, store: ObjectStore, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(range(256)) * 80_000)

        store.put_file("file", path)

        assert b"".join(store.iterate("file", 1 << 20)) == path.read_bytes()

    def test_an_upload_is_invisible_until_it_is_complete(self, store: ObjectStore) -> None:
        upload_id = store.create_upload("big")
        self.send_part(store, "big", upload_id, 1, b"a" * PART)
        self.send_part(store, "big", upload_id, 2, b"b")
        assert store.head("big") is None

        parts = store.list_parts("big", upload_id)
        etag = store.complete_upload("big", upload_id, parts)

        assert [(part.number, part.size_bytes) for part in parts] == [(1, PART), (2, 1)]
        info = store.head("big")
        assert info is not None
        assert (info.size_bytes, info.etag) == (PART + 1, etag)
        assert store.get_range("big", PART - 1, 2) == b"ab"

    def test_an_upload_without_parts_cannot_be_completed(self, store: ObjectStore) -> None:
        upload_id = store.create_upload("empty")

        with pytest.raises(InvalidUpload):
            store.complete_upload("empty", upload_id, [])

    def test_an_aborted_upload_is_unknown(self, store: ObjectStore) -> None:
        upload_id = store.create_upload("gone")
        store.abort_upload("gone", upload_id)
        store.abort_upload("gone", upload_id)

        with pytest.raises(InvalidUpload):
            store.list_parts("gone", upload_id)

    def test_a_part_that_is_sent_again_replaces_the_first(self, store: ObjectStore) -> None:
        upload_id = store.create_upload("big")
        self.send_part(store, "big", upload_id, 1, b"first")
        self.send_part(store, "big", upload_id, 1, b"again and longer")

        store.complete_upload("big", upload_id, store.list_parts("big", upload_id))

        assert store.get("big").body == b"again and longer"

    def test_parts_arrive_in_any_order_and_are_joined_by_number(self, store: ObjectStore) -> None:
        upload_id = store.create_upload("big")
        self.send_part(store, "big", upload_id, 2, b"b")
        self.send_part(store, "big", upload_id, 1, b"a" * PART)

        parts = store.list_parts("big", upload_id)
        store.complete_upload("big", upload_id, parts)

        assert [part.number for part in parts] == [1, 2]
        assert store.get("big").body == b"a" * PART + b"b"

    def test_a_part_that_is_not_the_one_named_cannot_be_completed(self, store: ObjectStore) -> None:
        upload_id = store.create_upload("big")
        self.send_part(store, "big", upload_id, 1, b"one")
        (part,) = store.list_parts("big", upload_id)

        for wrong in (replace(part, etag="0" * 32), replace(part, number=2)):
            with pytest.raises(InvalidUpload):
                store.complete_upload("big", upload_id, [wrong])
        assert store.head("big") is None

    def test_an_upload_that_never_was_is_unknown(self, store: ObjectStore) -> None:
        with pytest.raises(InvalidUpload):
            store.list_parts("big", "0" * 32)
        with pytest.raises(InvalidUpload):
            store.complete_upload("big", "0" * 32, [UploadedPart(1, "0" * 32, 1)])

    def test_completing_a_second_time_changes_nothing(self, store: ObjectStore) -> None:
        upload_id = store.create_upload("big")
        self.send_part(store, "big", upload_id, 1, b"one")
        parts = store.list_parts("big", upload_id)
        etag = store.complete_upload("big", upload_id, parts)

        with suppress(InvalidUpload):  # Some servers repeat their first answer.
            assert store.complete_upload("big", upload_id, parts) == etag
        assert store.get("big").body == b"one"

    def test_an_upload_goes_its_whole_way(self, store: ObjectStore) -> None:
        uploads = Uploads(store, Documents(store))
        upload = uploads.create("datasets", "D", "a.zip", PART)
        key, store_id = store_upload_of(upload)
        with pytest.raises(IncompleteUpload, match="part 1"):
            uploads.finish(upload["upload_id"], "D")
        self.send_part(store, key, store_id, 1, b"z" * PART)

        first, second = uploads.finish(upload["upload_id"], "D"), uploads.finish(upload["upload_id"], "D")
        size_bytes = sum(len(chunk) for chunk in store.iterate(first.key))
        uploads.discard(upload["upload_id"])

        assert first == second
        assert size_bytes == PART
        assert store.head(first.key) is None


def store_upload_of(upload: dict[str, Any]) -> tuple[str, str]:
    """The key and the store's own id, which stand in each part's URL."""
    query = dict(parse_qsl(urlsplit(upload["parts"][0]["url"]).query))
    return keys.upload(upload["upload_id"]), query.get("uploadId") or query["upload"]
