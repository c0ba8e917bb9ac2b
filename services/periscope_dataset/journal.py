"""What an ingest has done already, in the store: whoever goes on, on whatever machine, does not do it again.

Records count for one source, one set of options and one form of this program's notes; others are passed over.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

from periscope import keys
from periscope.store import ObjectMissing, ObjectStore

FORM = 2
"""Raised when what is noted changes its meaning."""

Record = dict[str, Any]


class Journal:
    """The records of one ingest."""

    def __init__(self, store: ObjectStore, ingest_id: str, *facts: object) -> None:
        self._store = store
        self._ingest_id = ingest_id
        told = json.dumps([FORM, *facts], sort_keys=True).encode()
        self._fingerprint = hashlib.sha256(told).hexdigest()
        self.noted = 0
        """Records that this process has added."""

    def load(self, name: str) -> Record | None:
        """What was noted under a name, or None. Raises StoreUnavailable."""
        try:
            body = self._store.get(self._key(name)).body
        except ObjectMissing:
            return None
        # What was read half is done again: notes save work and decide nothing.
        try:
            noted: Mapping[str, Any] = json.loads(zlib.decompress(body))
        except (zlib.error, ValueError):
            return None
        return dict(noted["record"]) if noted["fingerprint"] == self._fingerprint else None

    def note(self, name: str, record: Record) -> None:
        """Keep a record. Raises StoreUnavailable."""
        noted = {"fingerprint": self._fingerprint, "record": record}
        self._store.put(self._key(name), zlib.compress(json.dumps(noted).encode(), 1))
        self.noted += 1

    def _key(self, name: str) -> str:
        return keys.ingest_record(self._ingest_id, name)


def forget(store: ObjectStore, ingest_id: str) -> None:
    """Remove all records of an ingest that has ended."""
    for info in store.list(keys.ingest_prefix(ingest_id)):
        store.delete(info.key)
