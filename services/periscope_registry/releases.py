"""Signed releases: for each device the one document that says what it should run.

A release is kept with its signature and given out unchanged until what the device should run changes.
Its counter then grows: past the last one, and to the present in Unix milliseconds, so that a store
restored from a backup soon signs counters above all that robots have seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from periscope.clock import to_rfc3339
from periscope.documents import Body, Conflict, DocumentMissing, Documents
from periscope.signing import PrivateKey, canonical
from periscope_registry.rules import version_numbers

KIND = "releases"
FORMAT = "periscope-release/1"
VARYING = ("counter", "issued_at")
"""Fields that say when, not what."""


class Releases:
    """All releases of one store; without a key none is signed."""

    def __init__(
        self,
        documents: Documents,
        key: PrivateKey | None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._documents = documents
        self._key = key
        self._now_ms = now_ms

    @property
    def can_sign(self) -> bool:
        """Whether there is a release key."""
        return self._key is not None

    def kept(self, device_id: str, content: Mapping[str, Any]) -> Body | None:
        """The signed release, if it is of this content."""
        present = None if self._key is None else self._find(device_id)
        if present is None or self._key is None or not is_current(present, content, self._key.key_id):
            return None
        return _told(present)

    def release(self, device_id: str, content: Mapping[str, Any]) -> Body | None:
        """The signed release of this content: the one of before, or a new one; None without a key.

        Raises:
            Conflict: others kept changing it.
        """
        if self._key is None:
            return None
        present = self._find(device_id)
        if present is not None and is_current(present, content, self._key.key_id):
            return _told(present)
        if present is None:
            with suppress(Conflict):  # Another replica was faster; what it signed is looked at below.
                first = sign_release(self._key, content, 0, self._now_ms())
                return _told(self._documents.create(KIND, first, device_id).body)
        return _told(self._documents.update(KIND, device_id, lambda body: self._renewed(body, content)).body)

    def renew(self, device_id: str) -> None:
        """Have the next release signed anew: the device has seen a higher counter than ours.

        So it is after a backup was restored, or where another registry looked after the device.
        """
        if self._find(device_id) is not None:
            self._documents.update(KIND, device_id, lambda body: body | {"is_stale": True})

    def _renewed(self, body: Body, content: Mapping[str, Any]) -> Body:
        if self._key is None or is_current(body, content, self._key.key_id):
            return body
        return sign_release(self._key, content, counter_of(body), self._now_ms())

    def _find(self, device_id: str) -> Body | None:
        try:
            return self._documents.get(KIND, device_id).body
        except DocumentMissing:
            return None


def is_current(kept: Mapping[str, Any], content: Mapping[str, Any], key_id: str) -> bool:
    """Whether a kept release says this content under this key."""
    told = json.loads(kept["document"])
    same = {name: value for name, value in told.items() if name not in VARYING} == dict(content)
    return same and kept["key_id"] == key_id and not kept.get("is_stale")


def counter_of(kept: Mapping[str, Any]) -> int:
    """The counter of a kept release."""
    return int(json.loads(kept["document"])["counter"])


def sign_release(key: PrivateKey, content: Mapping[str, Any], previous: int, now_ms: int) -> Body:
    """A release whose counter is above the one before."""
    issued_at = to_rfc3339(datetime.fromtimestamp(now_ms / 1000, UTC))
    document = canonical({**content, "counter": max(previous + 1, now_ms), "issued_at": issued_at})
    return {"document": document, "signature": key.sign(document), "key_id": key.key_id}


def release_content(device: str, manifest: Mapping[str, Any], flavour: str | None, activation: str) -> Body:
    """What a release says, except when."""
    bounds = manifest.get("flavours", {}).get(flavour, {})
    return {
        "format": FORMAT,
        "device": device,
        "group": None,
        "model": manifest["model"],
        "version": manifest["version"],
        "zip": {name: manifest["zip"][name] for name in ("sha256", "size_bytes")},
        "members": [dict(member) for member in manifest["members"]],
        "flavour": flavour,
        "constraints": {"min_tensorrt": bounds.get("from"), "max_tensorrt": _highest(bounds.get("below"))},
        "activation": activation,
    }


def _highest(below: str | None) -> str | None:
    """The highest version below a major one, as the document writes it: ``10`` is ``9.99``."""
    return None if below is None else f"{version_numbers(below)[0] - 1}.99"


def _told(kept: Mapping[str, Any]) -> Body:
    return {name: kept[name] for name in ("document", "signature", "key_id")}
