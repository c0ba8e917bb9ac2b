"""How much the data sets of this store may take together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from periscope import keys
from periscope.documents import Documents
from periscope.store import ObjectStore
from periscope.uploads import KIND as UPLOADS
from periscope.versions import Versions
from periscope_dataset.rules import DATASETS


class QuotaExceeded(Exception):
    """There is no room; the text tells how much there is, and what to do."""


class Quota:
    """The limit, and what is taken: blobs of all versions, each once, and uploads under way."""

    def __init__(self, store: ObjectStore, documents: Documents, limit_bytes: int | None) -> None:
        """None sets no limit, and costs nothing."""
        self._store = store
        self._documents = documents
        self._versions = Versions(store, DATASETS)
        self._limit_bytes = limit_bytes
        self._known: dict[tuple[str, int], dict[str, int]] = {}
        """Blobs with their sizes by version: a version never changes."""

    def require_room(self, size_bytes: int) -> None:
        """Raises QuotaExceeded."""
        if self._limit_bytes is None:
            return
        used = self.used_bytes()
        if used + size_bytes > self._limit_bytes:
            raise QuotaExceeded(
                f"datasets take {used} of {self._limit_bytes} bytes, and this would add {size_bytes}; "
                "remove versions that are needed no more, or ask who runs the service for more room"
            )

    def used_bytes(self) -> int:
        """Bytes that count."""
        blobs: dict[str, int] = {}
        seen = {}
        for owner_id, number in self._published():
            known = self._known.get((owner_id, number))
            seen[owner_id, number] = _blobs_of(self._versions, owner_id, number) if known is None else known
            blobs |= seen[owner_id, number]
        self._known = seen
        under_way = (
            int(document.body["size_bytes"])
            for document in self._documents.list(UPLOADS)
            if document.body["owner_kind"] == DATASETS
        )
        return sum(blobs.values()) + sum(under_way)

    def size_of_prefix(self, prefix: str) -> int:
        """Bytes below a prefix of the bucket; 0 where nobody counts."""
        if self._limit_bytes is None:
            return 0
        return sum(info.size_bytes for info in self._store.list(prefix))

    def _published(self) -> Iterator[tuple[str, int]]:
        for info in self._store.list(keys.all_versions_prefix(DATASETS)):
            owner_id, number = info.key.split("/")[-2:]
            yield owner_id, int(number)


def _blobs_of(versions: Versions, owner_id: str, number: int) -> dict[str, int]:
    manifest = versions.get(owner_id, number) or {}
    return dict(_refs(manifest.get("splits")))


def _refs(told: Any) -> Iterator[tuple[str, int]]:
    """Every blob that is named anywhere, with its size."""
    if isinstance(told, dict):
        if "sha256" in told and "size_bytes" in told:
            yield told["sha256"], told["size_bytes"]
        for inner in told.values():
            yield from _refs(inner)
    elif isinstance(told, list):
        for inner in told:
            yield from _refs(inner)
