"""The one in-memory double of each seam. The same suite runs on the double and on the real thing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from periscope.clock import utc_now
from periscope.store import (
    InvalidUpload,
    ObjectInfo,
    ObjectMissing,
    PreconditionFailed,
    StoredObject,
    UploadedPart,
)


@dataclass
class _Object:
    body: bytes
    etag: str
    modified_at: datetime


@dataclass
class _Upload:
    key: str
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryStore:
    """An ObjectStore in memory; ``calls`` counts what was asked of it."""

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.RLock()
        self._writes = 0
        self.calls: dict[str, int] = {}

    def get(self, key: str) -> StoredObject:
        self._count("get")
        found = self._find(key)
        return StoredObject(found.body, found.etag)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        self._count("get_range")
        return self._find(key).body[start : start + max(length, 0)]

    def iterate(self, key: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        self._count("iterate")
        body = self._find(key).body
        for start in range(0, len(body), chunk_bytes):
            yield body[start : start + chunk_bytes]

    def head(self, key: str) -> ObjectInfo | None:
        self._count("head")
        with self._lock:
            return self._info(key) if key in self._objects else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._count("list")
        with self._lock:
            found = sorted(
                (key for key in self._objects if key.startswith(prefix)), key=lambda key: key.encode()
            )
            return iter([self._info(key) for key in found])

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> str:
        self._count("put")
        return self._write(key, body)

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        self._count("put_if_absent")
        with self._lock:
            if key in self._objects:
                raise PreconditionFailed(key)
            return self._write(key, body)

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        self._count("put_if_match")
        with self._lock:
            found = self._objects.get(key)
            if found is None or found.etag != etag:
                raise PreconditionFailed(key)
            return self._write(key, body)

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        self._count("put_file")
        self._write(key, path.read_bytes())

    def delete(self, key: str) -> None:
        self._count("delete")
        with self._lock:
            self._objects.pop(key, None)

    def create_upload(self, key: str, *, content_type: str = "application/octet-stream") -> str:
        with self._lock:
            self._writes += 1
            upload_id = f"upload-{self._writes}"
            self._uploads[upload_id] = _Upload(key)
            return upload_id

    def put_part(self, key: str, upload_id: str, number: int, body: bytes) -> None:
        """What a client does with a presigned URL."""
        self._upload(key, upload_id).parts[number] = body

    def list_parts(self, key: str, upload_id: str) -> Sequence[UploadedPart]:
        parts = self._upload(key, upload_id).parts
        return [UploadedPart(number, _etag(parts[number]), len(parts[number])) for number in sorted(parts)]

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> str:
        with self._lock:
            received = self._upload(key, upload_id).parts
            if not parts or any(
                part.number not in received or part.etag != _etag(received[part.number]) for part in parts
            ):
                raise InvalidUpload(key)
            del self._uploads[upload_id]
            return self._write(key, b"".join(received[part.number] for part in parts))

    def abort_upload(self, key: str, upload_id: str) -> None:
        with self._lock:
            self._uploads.pop(upload_id, None)

    def presign_get(self, key: str, expires_s: int, *, filename: str | None = None) -> str:
        return f"memory://{key}"

    def presign_part(self, key: str, upload_id: str, number: int, expires_s: int) -> str:
        return f"memory://{key}?upload={upload_id}&part={number}"

    def keys(self, prefix: str = "") -> Sequence[str]:
        """All keys, for assertions."""
        return sorted(key for key in self._objects if key.startswith(prefix))

    def _info(self, key: str) -> ObjectInfo:
        found = self._objects[key]
        return ObjectInfo(key, found.etag, len(found.body), found.modified_at)

    def _find(self, key: str) -> _Object:
        found = self._objects.get(key)
        if found is None:
            raise ObjectMissing(key)
        return found

    def _upload(self, key: str, upload_id: str) -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise InvalidUpload(upload_id)
        return upload

    def _write(self, key: str, body: bytes) -> str:
        with self._lock:
            etag = _etag(body)
            self._objects[key] = _Object(bytes(body), etag, utc_now())
            return etag

    def _count(self, call: str) -> None:
        with self._lock:
            self.calls[call] = self.calls.get(call, 0) + 1


def _etag(body: bytes) -> str:
    # As S3 does it: of the content, so that equal bodies have equal ETags.
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
