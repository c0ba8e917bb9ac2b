"""The start-up probe refuses a store that would lose versions."""

from __future__ import annotations

import pytest

from periscope.probe import StoreNotTrusted, prove_conditional_writes
from periscope.store import PreconditionFailed
from tests.fakes import MemoryStore
from tests.unit.periscope.troubled_stores import IgnoresConditions, IgnoresMatches


class ForgetsAbsence(MemoryStore):
    """Takes If-Match on a key that holds nothing."""

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        return self.put(key, body) if self.head(key) is None else super().put_if_match(key, body, etag)


class RefusesAll(MemoryStore):
    """Lets nobody win."""

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        raise PreconditionFailed(key)


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (IgnoresConditions(), "16 of 16 writers that raced with If-None-Match"),
        (IgnoresMatches(), "16 of 16 writers that raced with If-Match"),
        (ForgetsAbsence(), "If-Match on a key that holds nothing"),
        (RefusesAll(), "0 of 16 writers"),
    ],
)
def test_a_store_that_breaks_its_promise_is_not_trusted(store: MemoryStore, reason: str) -> None:
    with pytest.raises(StoreNotTrusted, match=reason):
        prove_conditional_writes(store)
    assert store.keys() == []


def test_a_sound_store_is_trusted_and_left_clean(memory_store: MemoryStore) -> None:
    prove_conditional_writes(memory_store)

    assert memory_store.keys() == []
