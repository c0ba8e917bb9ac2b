from __future__ import annotations

import pytest

from periscope.documents import DocumentMissing, Documents
from periscope.recent_documents import RecentDocuments
from tests.fakes import MemoryStore


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_was_read_a_moment_ago_is_not_read_again(memory_store: MemoryStore, clock: Clock) -> None:
    mine = Documents(memory_store)
    recent = RecentDocuments(memory_store, mine, 2.0, clock)
    made = mine.create("groups", {"model": "buoys"})
    first = recent.get("groups", made.id)
    calls = dict(memory_store.calls)

    assert recent.get("groups", made.id) == first
    assert memory_store.calls == calls


def test_ones_own_write_is_seen_at_once(memory_store: MemoryStore, clock: Clock) -> None:
    mine = Documents(memory_store)
    recent = RecentDocuments(memory_store, mine, 2.0, clock)
    made = mine.create("groups", {"model": "buoys"})
    recent.get("groups", made.id)

    mine.update("groups", made.id, lambda body: body | {"model": "gates"})
    assert recent.get("groups", made.id).body["model"] == "gates"
    mine.delete("groups", made.id)
    with pytest.raises(DocumentMissing):
        recent.get("groups", made.id)


def test_anothers_write_is_seen_after_the_age(memory_store: MemoryStore, clock: Clock) -> None:
    mine, theirs = Documents(memory_store), Documents(memory_store)
    recent = RecentDocuments(memory_store, mine, 2.0, clock)
    made = mine.create("groups", {"model": "buoys"})
    recent.get("groups", made.id)
    theirs.update("groups", made.id, lambda body: body | {"model": "gates"})

    clock.now += 1.9
    assert recent.get("groups", made.id).body["model"] == "buoys"
    clock.now += 0.2
    assert recent.get("groups", made.id).body["model"] == "gates"
