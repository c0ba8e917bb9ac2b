"""The seam to the object store: what every adapter promises, and how it fails.

Two adapters exist: :class:`periscope.s3.S3Store` for any S3 server, and the in-memory double in
``tests/fakes.py``; one test suite runs on both. Nothing else in the project talks to S3.

Failures, cut by what the caller can do next::

    StoreError
    ├── ObjectMissing         nothing is stored under this key
    ├── PreconditionFailed    someone else was first: read again, then decide
    ├── InvalidUpload         a multipart upload is unknown, incomplete or damaged: upload again
    └── StoreUnavailable      no answer, or a 5xx answer: the outcome of a write is unknown
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


class StoreError(Exception):
    """Base of every failure of the object store."""


class ObjectMissing(StoreError):
    """Nothing is stored under the key."""


class PreconditionFailed(StoreError):
    """The object exists already, or is no longer the one that was read."""


class InvalidUpload(StoreError):
    """The multipart upload is unknown, incomplete or has a damaged part."""


class StoreUnavailable(StoreError):
    """The store gave no usable answer; whether a write took effect is unknown."""


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing or a HEAD tells of one object."""

    key: str
    etag: str
    """As the store gives it, without quotes. Not a hash: multipart uploads have another form."""
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class StoredObject:
    """One object's body with the ETag it was read at."""

    body: bytes
    etag: str


@dataclass(frozen=True)
class UploadedPart:
    """One part of a multipart upload that the store has received."""

    number: int
    etag: str
    size_bytes: int


class ObjectStore(Protocol):
    """One bucket. Every method may raise StoreUnavailable."""

    def get(self, key: str) -> StoredObject:
        """Read a small object whole. Raises ObjectMissing."""

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Read ``length`` bytes from ``start``; fewer at the end. Raises ObjectMissing."""

    def iterate(self, key: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Read an object of any size in chunks. Raises ObjectMissing at the first chunk."""

    def head(self, key: str) -> ObjectInfo | None:
        """Tell size and ETag, or None where nothing is stored."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with ``prefix``, in byte order of their keys."""

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> str:
        """Write a small object whole, replacing any other; return its ETag."""

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        """Claim a key. Raises PreconditionFailed when it is taken, StoreUnavailable when in doubt.

        Never retried by the adapter: after StoreUnavailable the caller reads back.
        """

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        """Replace the object read at ``etag``. Raises as ``put_if_absent``; an absent key also fails."""

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """Write a file of any size; nothing is visible before it is complete."""

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is no error."""

    def create_upload(self, key: str, *, content_type: str = "application/octet-stream") -> str:
        """Begin a multipart upload and return its id."""

    def list_parts(self, key: str, upload_id: str) -> Sequence[UploadedPart]:
        """The parts received so far, by number. Raises InvalidUpload when the id is unknown."""

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> str:
        """Make the object visible; return its ETag. Raises InvalidUpload."""

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop a multipart upload; an unknown one is no error."""

    def presign_get(self, key: str, expires_s: int, *, filename: str | None = None) -> str:
        """A URL on the public endpoint that serves the object, with Range, for ``expires_s``."""

    def presign_part(self, key: str, upload_id: str, number: int, expires_s: int) -> str:
        """A URL on the public endpoint that takes one PUT of part ``number`` (from 1)."""


JSONObject = Mapping[str, object]
