"""Numbered, immutable versions. A version's complete manifest is its claim, so numbers have no gaps."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from periscope import keys
from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Conflict, claim
from periscope.store import ObjectMissing, ObjectStore

Manifest = dict[str, Any]


class Versions:
    """The versions of all owners of one kind: ``datasets`` or ``models``."""

    def __init__(self, store: ObjectStore, kind: str) -> None:
        self._store = store
        self._kind = kind

    def publish(self, owner_id: str, make_manifest: Callable[[int], Manifest]) -> tuple[int, Manifest]:
        """Claim the next number with the manifest made for it; return both.

        Whatever the manifest names must be in the store already: it is visible from here on.

        Raises:
            StoreUnavailable: the store does not say whether the write took effect.
        """
        number = self._highest(owner_id) + 1
        while True:
            manifest = make_manifest(number) | {"version": number, "write_id": secrets.token_hex(8)}
            try:
                claim(self._store, keys.version(self._kind, owner_id, number), manifest)
            except Conflict:
                number += 1
                continue
            if not self.is_removed(owner_id, number):
                return number, manifest
            # Since this one looked, the number was given and taken back: it is never given twice.
            self._store.delete(keys.version(self._kind, owner_id, number))
            number += 1

    def get(self, owner_id: str, number: int) -> Manifest | None:
        """A version's manifest, or None."""
        try:
            stored = self._store.get(keys.version(self._kind, owner_id, number))
        except ObjectMissing:
            return None
        manifest: Manifest = json.loads(stored.body)
        return manifest

    def latest(self, owner_id: str) -> int | None:
        """The highest number, or None where there is no version."""
        numbers = self.numbers(owner_id)
        return numbers[-1] if numbers else None

    def list(self, owner_id: str) -> list[Manifest]:
        """All manifests, oldest first."""
        manifests = (self.get(owner_id, number) for number in self.numbers(owner_id))
        return [manifest for manifest in manifests if manifest is not None]

    def remove(self, owner_id: str, number: int) -> None:
        """Take a version away; its number is never given again. An absent one is no error.

        Its blobs stay, until a collection of garbage finds that nothing names them.
        """
        if self.get(owner_id, number) is None:
            return
        # The mark first: whoever publishes lists versions, then marks, and so sees one of both.
        if not self.is_removed(owner_id, number):
            self.mark(owner_id, number)
        self._store.delete(keys.version(self._kind, owner_id, number))

    def mark(self, owner_id: str, number: int) -> None:
        """Say that a version is to be removed; its manifest stays for now."""
        mark = json.dumps({"version": number, "removed_at": to_rfc3339(utc_now())}).encode()
        self._store.put(keys.removed_version(self._kind, owner_id, number), mark)

    def unmark(self, owner_id: str, number: int) -> None:
        """Take that back; only for a version whose manifest is there."""
        self._store.delete(keys.removed_version(self._kind, owner_id, number))

    def is_removed(self, owner_id: str, number: int) -> bool:
        """Whether a version was removed or is marked for it."""
        return self._store.head(keys.removed_version(self._kind, owner_id, number)) is not None

    def removed(self, owner_id: str) -> Mapping[int, datetime]:
        """Numbers that were removed or are marked for it, and since when."""
        marks = self._store.list(keys.removed_versions_prefix(self._kind, owner_id))
        return {int(info.key.rpartition("/")[2]): info.modified_at for info in marks}

    def numbers(self, owner_id: str) -> tuple[int, ...]:
        """The numbers of all manifests, those of marked versions too."""
        prefix = keys.versions_prefix(self._kind, owner_id)
        return tuple(int(info.key.removeprefix(prefix)) for info in self._store.list(prefix))

    def _highest(self, owner_id: str) -> int:
        """The highest number that was ever given, or 0."""
        return max([self.latest(owner_id) or 0, *self.removed(owner_id)])
