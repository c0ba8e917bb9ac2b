"""Numbered versions without gaps, and blobs under their hash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from periscope.blobs import hash_file, put_blob, put_blob_file
from periscope.store import StoreUnavailable
from periscope.versions import Versions
from tests.fakes import MemoryStore
from tests.unit.periscope.troubled_stores import LosesAnswers, LosesBodies, LosesRequests, RefusesOnce


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


def test_a_spurious_refusal_leaves_no_gap() -> None:
    store = RefusesOnce()

    number, _ = Versions(store, "models").publish("m", lambda _: {})

    assert number == 1


def test_a_number_that_was_given_and_taken_back_meanwhile_is_not_given_again(
    memory_store: MemoryStore,
) -> None:
    mine, theirs = Versions(memory_store, "models"), Versions(memory_store, "models")
    mine.publish("m", lambda _: {"who": "me"})

    def held_up(number: int) -> dict[str, str]:
        if number == 2:
            theirs.publish("m", lambda _: {"who": "they"})
            theirs.remove("m", 2)
        return {"who": "me again"}

    assert mine.publish("m", held_up)[0] == 3
    assert [manifest["version"] for manifest in mine.list("m")] == [1, 3]


def test_a_publisher_in_doubt_shows_nothing() -> None:
    store = LosesRequests()
    store.lose_next = True

    with pytest.raises(StoreUnavailable):
        Versions(store, "models").publish("m", lambda _: {})
    assert Versions(store, "models").list("m") == []


def test_a_manifest_tells_the_number_it_was_made_for(memory_store: MemoryStore) -> None:
    versions = Versions(memory_store, "models")
    versions.publish("m", lambda number: {"label": f"m:{number}"})
    versions.publish("m", lambda number: {"label": f"m:{number}"})

    second = versions.get("m", 2)
    assert second is not None
    assert second["label"] == "m:2"
    assert versions.get("m", 3) is None
    assert versions.latest("other") is None


def test_a_blob_that_did_not_arrive_whole_is_noticed() -> None:
    with pytest.raises(StoreUnavailable, match="4 bytes"):
        put_blob(LosesBodies(), b"half")


def test_a_blob_that_was_cut_off_is_written_again(memory_store: MemoryStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"whole")
    key = hash_file(path).key
    memory_store.put(key, b"who")

    put_blob_file(memory_store, path)

    assert memory_store.get(key).body == b"whole"
