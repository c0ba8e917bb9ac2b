"""Immutable bytes under the SHA-256 of their content: equal content is stored once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from periscope import keys
from periscope.store import ObjectStore, StoreUnavailable

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class BlobRef:
    """What a manifest says of a blob."""

    sha256: str
    size_bytes: int

    @property
    def key(self) -> str:
        """Where the blob lives."""
        return keys.blob(self.sha256)


def put_blob(store: ObjectStore, body: bytes, *, content_type: str = "application/octet-stream") -> BlobRef:
    """Store a small body, unless it is there already.

    Raises:
        StoreUnavailable: no usable answer, or not all of it arrived.
    """
    ref = BlobRef(hashlib.sha256(body).hexdigest(), len(body))
    if not _is_stored(store, ref):
        store.put(ref.key, body, content_type=content_type)
        _require_stored(store, ref)
    return ref


def put_blob_file(
    store: ObjectStore,
    path: Path,
    *,
    content_type: str = "application/octet-stream",
    known: BlobRef | None = None,
) -> BlobRef:
    """Store a file of any size, unless its content is there already; ``known`` saves hashing it again.

    Raises as ``put_blob``.
    """
    ref = known or hash_file(path)
    if not _is_stored(store, ref):
        store.put_file(ref.key, path, content_type=content_type)
        _require_stored(store, ref)
    return ref


def hash_file(path: Path) -> BlobRef:
    """The reference a file's content has."""
    digest = hashlib.sha256()
    size_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    return BlobRef(digest.hexdigest(), size_bytes)


def _require_stored(store: ObjectStore, ref: BlobRef) -> None:
    if not _is_stored(store, ref):
        raise StoreUnavailable(f"{ref.key} was written, and is not there with its {ref.size_bytes} bytes")


def _is_stored(store: ObjectStore, ref: BlobRef) -> bool:
    info = store.head(ref.key)
    return info is not None and info.size_bytes == ref.size_bytes
