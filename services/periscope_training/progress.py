"""Progress records of jobs in the store: save one, read the newest, read a curve's worth of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from periscope import keys
from periscope.store import ObjectInfo, ObjectMissing, ObjectStore
from periscope_training.curves import thin

Record = dict[str, Any]

LOOKED_AT = 32
"""Newest records that are compared; more than an attempt reports between two checkpoints."""
MAX_CACHED_RECORDS = 20_000
"""Records are some hundred bytes; a full cache is dropped whole."""


class ProgressRecords:
    """What training programs have said, by job and step. A record never changes but may be replaced."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, str], Record] = {}

    def save(self, job_id: str, step: int, record: Mapping[str, Any]) -> None:
        """Keep a record; an attempt that repeats a step replaces what was said before."""
        body = json.dumps(record, allow_nan=False).encode()
        self._store.put(keys.progress_record(job_id, step), body, content_type="application/json")

    def latest(self, job_id: str) -> Record | None:
        """The newest attempt's record with the highest step.

        An attempt that went on from a checkpoint reports lower steps than the one before did at its end.
        """
        loaded = [self._load(info) for info in self._list(job_id)[-LOOKED_AT:]]
        records = [record for record in loaded if record is not None]
        return max(records, key=lambda record: (record["attempt"], record["step"]), default=None)

    def curve(self, job_id: str, points: int) -> list[Record]:
        """At most ``points`` records, evenly spread over the steps, the newest among them."""
        loaded = [self._load(info) for info in thin(self._list(job_id), points)]
        return [record for record in loaded if record is not None]

    def since(self, job_id: str, step: int) -> list[Record]:
        """The records of higher steps than ``step``, by step."""
        after = keys.progress_record(job_id, step) if step >= 0 else ""
        loaded = [self._load(info) for info in self._list(job_id) if info.key > after]
        return [record for record in loaded if record is not None]

    def _list(self, job_id: str) -> list[ObjectInfo]:
        return list(self._store.list(keys.progress_prefix(job_id)))

    def _load(self, info: ObjectInfo) -> Record | None:
        with self._lock:
            cached = self._cache.get((info.key, info.etag))
        if cached is not None:
            return cached
        try:
            stored = self._store.get(info.key)
        except ObjectMissing:
            return None
        record: Record = json.loads(stored.body)
        with self._lock:
            if len(self._cache) >= MAX_CACHED_RECORDS:
                self._cache.clear()
            self._cache[info.key, stored.etag] = record
        return record
