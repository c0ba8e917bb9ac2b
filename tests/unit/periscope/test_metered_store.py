"""The metered store is a store like any other, and counts what passes through it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from periscope.metered_store import MeteredStore
from periscope.store import ObjectMissing, ObjectStore, PreconditionFailed, StoreUnavailable
from tests.fakes import MemoryStore
from tests.store_contract import StoreContract


class TestMeteredStore(StoreContract):
    @pytest.fixture
    def inner(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def store(self, inner: MemoryStore) -> MeteredStore:
        self.inner = inner
        return MeteredStore(inner, "test", CollectorRegistry())

    def send_part(self, store: ObjectStore, key: str, upload_id: str, number: int, body: bytes) -> None:
        self.inner.put_part(key, upload_id, number, body)


class Away(MemoryStore):
    def head(self, key: str) -> None:
        raise StoreUnavailable("no answer")


def test_calls_are_counted_by_their_outcome_and_timed() -> None:
    registry = CollectorRegistry()
    store = MeteredStore(Away(), "dataset", registry)

    def count(operation: str, outcome: str) -> float | None:
        labels = {"service": "dataset", "operation": operation, "outcome": outcome}
        return registry.get_sample_value("periscope_store_requests_total", labels)

    store.put_if_absent("a", b"1")
    with pytest.raises(PreconditionFailed):
        store.put_if_absent("a", b"2")
    with pytest.raises(ObjectMissing):
        store.get("b")
    with pytest.raises(StoreUnavailable):
        store.head("a")
    assert b"".join(store.iterate("a")) == b"1"
    assert [info.key for info in store.list("")] == ["a"]

    assert (count("put_if_absent", "ok"), count("put_if_absent", "refused")) == (1, 1)
    assert (count("get", "refused"), count("head", "unavailable")) == (1, 1)
    assert (count("iterate", "ok"), count("list", "ok")) == (1, 1)
    timed = {"service": "dataset", "operation": "put_if_absent"}
    assert registry.get_sample_value("periscope_store_request_duration_seconds_count", timed) == 2
