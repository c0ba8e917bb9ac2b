"""The double in memory keeps the store's promises."""

from __future__ import annotations

import pytest

from periscope.store import ObjectStore
from tests.fakes import MemoryStore
from tests.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def send_part(self, store: ObjectStore, key: str, upload_id: str, number: int, body: bytes) -> None:
        assert isinstance(store, MemoryStore)
        store.put_part(key, upload_id, number, body)
