"""Reads a version's pictures one after another, by key, with little memory and few requests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from periscope import keys
from periscope.store import ObjectStore

WINDOW_BYTES = 8 << 20
"""Read at once. No request stays open while a slow client takes its time."""


@dataclass(frozen=True)
class StoredPicture:
    """One picture with its label, as the shards hold them."""

    key: str
    suffix: str
    """Of the picture's file, with its dot, lower-cased."""
    width: int
    height: int
    image: bytes
    label: str
    """In KITTI's form."""

    @property
    def filename(self) -> str:
        """Key and suffix."""
        return self.key + self.suffix


def read_split(store: ObjectStore, split: Mapping[str, Any]) -> Iterator[StoredPicture]:
    """All pictures of a split, which is told as in the version's manifest.

    Raises:
        ObjectMissing, StoreUnavailable: see the store.
    """
    for number, entries in itertools.groupby(_index(store, split["index"]), itemgetter("shard")):
        window = _Window(store, split["shards"][number])
        yield from (_picture(entry, window) for entry in entries)


def _picture(entry: Mapping[str, Any], window: _Window) -> StoredPicture:
    suffix = "." + entry["filename"].rpartition(".")[2].lower()
    return StoredPicture(
        entry["key"], suffix, entry["width"], entry["height"],
        window.read(entry["image_offset"], entry["image_size"]),
        window.read(entry["label_offset"], entry["label_size"]).decode(),
    )  # fmt: skip


class _Window:
    """A blob that is read in order of its bytes."""

    def __init__(self, store: ObjectStore, ref: Mapping[str, Any]) -> None:
        self._store = store
        self._key = keys.blob(ref["sha256"])
        self._size_bytes = int(ref["size_bytes"])
        self._start = 0
        self._body = b""

    def read(self, offset: int, size: int) -> bytes:
        place = offset - self._start
        if place + size > len(self._body):
            wanted = min(max(size, WINDOW_BYTES), self._size_bytes - offset)
            self._body = self._store.get_range(self._key, offset, wanted) if wanted > 0 else b""
            self._start, place = offset, 0
        return self._body[place : place + size]


def _index(store: ObjectStore, ref: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    rest = b""
    for chunk in store.iterate(keys.blob(ref["sha256"])):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(json.loads, lines)
