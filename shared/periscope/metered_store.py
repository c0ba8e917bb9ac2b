"""The object store with a clock beside it: how many calls of each kind, how long they take, how they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from periscope.store import ObjectInfo, ObjectStore, StoredObject, StoreError, StoreUnavailable, UploadedPart

Result = TypeVar("Result")


class MeteredStore:
    """See :class:`periscope.store.ObjectStore`; every call goes on to ``store``.

    An outcome is ``ok``, ``refused`` (missing, or somebody else was first: an answer like any other) or
    ``unavailable``. What is read in chunks counts until its first chunk.
    """

    def __init__(self, store: ObjectStore, service: str, registry: CollectorRegistry) -> None:
        self._store = store
        self._service = service
        self._seconds = Histogram(
            "periscope_store_request_duration_seconds",
            "Time that the object store takes to answer",
            ("service", "operation"),
            registry=registry,
        )
        self._requests = Counter(
            "periscope_store_requests",
            "Calls to the object store",
            ("service", "operation", "outcome"),
            registry=registry,
        )

    def get(self, key: str) -> StoredObject:
        """See ObjectStore."""
        return self._timed("get", lambda: self._store.get(key))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ObjectStore."""
        return self._timed("get_range", lambda: self._store.get_range(key, start, length))

    def iterate(self, key: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """See ObjectStore."""
        chunks = self._store.iterate(key, chunk_bytes)
        first = self._timed("iterate", lambda: next(chunks, b""))
        if first:
            yield first
        yield from chunks

    def head(self, key: str) -> ObjectInfo | None:
        """See ObjectStore."""
        return self._timed("head", lambda: self._store.head(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See ObjectStore."""
        return self._timed("list", lambda: iter(tuple(self._store.list(prefix))))

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> str:
        """See ObjectStore."""
        return self._timed("put", lambda: self._store.put(key, body, content_type=content_type))

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        """See ObjectStore."""
        put = self._store.put_if_absent
        return self._timed("put_if_absent", lambda: put(key, body, content_type=content_type))

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        """See ObjectStore."""
        put = self._store.put_if_match
        return self._timed("put_if_match", lambda: put(key, body, etag, content_type=content_type))

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """See ObjectStore."""
        self._timed("put_file", lambda: self._store.put_file(key, path, content_type=content_type))

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        self._timed("delete", lambda: self._store.delete(key))

    def create_upload(self, key: str, *, content_type: str = "application/octet-stream") -> str:
        """See ObjectStore."""
        return self._timed("create_upload", lambda: self._store.create_upload(key, content_type=content_type))

    def list_parts(self, key: str, upload_id: str) -> Sequence[UploadedPart]:
        """See ObjectStore."""
        return self._timed("list_parts", lambda: self._store.list_parts(key, upload_id))

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> str:
        """See ObjectStore."""
        return self._timed("complete_upload", lambda: self._store.complete_upload(key, upload_id, parts))

    def abort_upload(self, key: str, upload_id: str) -> None:
        """See ObjectStore."""
        self._timed("abort_upload", lambda: self._store.abort_upload(key, upload_id))

    def presign_get(self, key: str, expires_s: int, *, filename: str | None = None) -> str:
        """See ObjectStore. Nothing is asked for it, so nothing is counted."""
        return self._store.presign_get(key, expires_s, filename=filename)

    def presign_part(self, key: str, upload_id: str, number: int, expires_s: int) -> str:
        """See ObjectStore. Nothing is asked for it, so nothing is counted."""
        return self._store.presign_part(key, upload_id, number, expires_s)

    def _timed(self, operation: str, call: Callable[[], Result]) -> Result:
        began, outcome = time.monotonic(), "ok"
        try:
            return call()
        except StoreError as error:
            outcome = "unavailable" if isinstance(error, StoreUnavailable) else "refused"
            raise
        finally:
            self._seconds.labels(self._service, operation).observe(time.monotonic() - began)
            self._requests.labels(self._service, operation, outcome).inc()
