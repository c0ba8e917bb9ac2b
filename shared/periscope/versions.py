"""Numbered, immutable versions. A version's complete manifest is its claim, so numbers have no gaps."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
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
            return number, manifest

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
        numbers = self._numbers(owner_id)
        return numbers[-1] if numbers else None

    def list(self, owner_id: str) -> list[Manifest]:
        """All manifests, oldest first."""
        manifests = (self.get(owner_id, number) for number in self._numbers(owner_id))
        return [manifest for manifest in manifests if manifest is not None]

    def remove(self, owner_id: str, number: int) -> None:
        """Take a version away; its number is never given again. An absent one is no error.

        Its blobs stay, until a collection of garbage finds that nothing names them.
        """
        manifest = self.get(owner_id, number)
        if manifest is None:
            return
        # The mark first: whoever publishes lists versions, then marks, and so sees one of both.
        mark = json.dumps({"version": number, "removed_at": to_rfc3339(utc_now())}).encode()
        self._store.put(keys.removed_version(self._kind, owner_id, number), mark)
        self._store.delete(keys.version(self._kind, owner_id, number))

    def _highest(self, owner_id: str) -> int:
        """The highest number that was ever given, or 0."""
        present = self.latest(owner_id) or 0
        removed = self._store.list(keys.removed_versions_prefix(self._kind, owner_id))
        return max([present, *(int(info.key.rpartition("/")[2]) for info in removed)])

    def _numbers(self, owner_id: str) -> tuple[int, ...]:
        prefix = keys.versions_prefix(self._kind, owner_id)
        return tuple(int(info.key.removeprefix(prefix)) for info in self._store.list(prefix))
