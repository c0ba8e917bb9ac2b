"""Immutable bytes under the SHA-256 of their content: equal content is stored once."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from periscope import keys
from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.store import ObjectInfo, ObjectMissing, ObjectStore, StoreUnavailable

CHUNK_BYTES = 1 << 20
FRESH_S = 3600.0
"""An older blob is not relied on, but written again: a collection of garbage may be after it."""
WAIT_S = 60.0
POLL_S = 0.2
WRITE_ATTEMPTS = 3


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
    _ensure(store, ref, lambda: store.put(ref.key, body, content_type=content_type))
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
    _ensure(store, ref, lambda: store.put_file(ref.key, path, content_type=content_type))
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


def condemn(store: ObjectStore, sha256s: Sequence[str], until: datetime) -> None:
    """Announce that blobs are about to be removed, by ``until``; nobody else may announce meanwhile."""
    told = {"until": to_rfc3339(until), "sha256": list(sha256s)}
    store.put(keys.CONDEMNED_BLOBS, json.dumps(told).encode(), content_type="application/json")


def reprieve(store: ObjectStore) -> None:
    """Say that the removal is over."""
    store.delete(keys.CONDEMNED_BLOBS)


def condemned(store: ObjectStore) -> tuple[frozenset[str], datetime] | None:
    """Which blobs are being removed, and until when; None where none are, or the time is over."""
    try:
        told = json.loads(store.get(keys.CONDEMNED_BLOBS).body)
    except ObjectMissing:
        return None
    until = from_rfc3339(told["until"])
    return (frozenset(told["sha256"]), until) if until > utc_now() else None


def _ensure(store: ObjectStore, ref: BlobRef, write: Callable[[], object]) -> None:
    """Have the blob in the store in such a way that no collection of garbage takes it before it is named.

    A collection takes old blobs only. So an old one is written anew; and one that was about to be removed
    when it was written is looked at again when that is over.
    """
    if _is_fresh(_stored(store, ref)):
        return
    for _ in range(WRITE_ATTEMPTS):
        write()
        was_condemned = _wait_for_removal(store, ref.sha256)
        if _stored(store, ref) is not None:
            return
        if not was_condemned:
            break
    raise StoreUnavailable(f"{ref.key} was written, and is not there with its {ref.size_bytes} bytes")


def _stored(store: ObjectStore, ref: BlobRef) -> ObjectInfo | None:
    info = store.head(ref.key)
    return info if info is not None and info.size_bytes == ref.size_bytes else None


def _is_fresh(info: ObjectInfo | None) -> bool:
    return info is not None and info.modified_at > utc_now() - timedelta(seconds=FRESH_S)


def _wait_for_removal(store: ObjectStore, sha256: str) -> bool:
    """Wait while the blob is condemned; tell whether it was. Raises StoreUnavailable when it takes long."""
    for attempt in range(math.ceil(WAIT_S / POLL_S) + 1):
        removal = condemned(store)
        if removal is None or sha256 not in removal[0]:
            return attempt > 0
        time.sleep(POLL_S)
    raise StoreUnavailable(f"the blob {sha256} is being removed; try again")
