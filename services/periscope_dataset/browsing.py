"""Reads single pictures out of a version's shards, without fetching the shards."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from detectnet.classes import ClassMap, UnknownClass
from detectnet.drawing import draw_boxes, encode_png
from detectnet.images import decode_image
from detectnet.kitti import KittiObject, parse_label
from periscope import keys
from periscope.store import ObjectStore
from periscope_dataset.shards import parse_index

CACHED_INDEXES = 8

Entry = Mapping[str, Any]
Manifest = Mapping[str, Any]


class UnknownImage(Exception):
    """The split has no picture of this name."""


class Gallery:
    """The pictures of all versions. Indexes are immutable, so a few are kept in memory."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._indexes: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def entries(self, manifest: Manifest, split: str) -> list[dict[str, Any]]:
        """The index of a split, by key."""
        sha256 = manifest["splits"][split]["index"]["sha256"]
        with self._lock:
            if sha256 in self._indexes:
                self._indexes.move_to_end(sha256)
                return self._indexes[sha256]
        entries = sorted(parse_index(self._store.get(keys.blob(sha256)).body), key=lambda entry: entry["key"])
        with self._lock:
            self._indexes[sha256] = entries
            while len(self._indexes) > CACHED_INDEXES:
                self._indexes.popitem(last=False)
        return entries

    def entry(self, manifest: Manifest, split: str, key: str) -> Entry:
        """One picture's index entry. Raises UnknownImage."""
        for entry in self.entries(manifest, split):
            if entry["key"] == key:
                return entry
        raise UnknownImage(f"{split} has no picture {key!r}")

    def original(self, manifest: Manifest, split: str, entry: Entry) -> bytes:
        """The picture's file, byte for byte as it was uploaded."""
        return self._read(manifest, split, entry, "image")

    def objects(self, manifest: Manifest, split: str, entry: Entry) -> list[KittiObject]:
        """The picture's labelled objects, in file order."""
        label = self._read(manifest, split, entry, "label").decode()
        return parse_label(label, f"{entry['key']}.txt")

    def drawn(self, manifest: Manifest, split: str, entry: Entry) -> bytes:
        """The picture with its boxes, as PNG."""
        image = decode_image(self.original(manifest, split, entry))
        objects, classes = self.objects(manifest, split, entry), ClassMap(manifest["classes"])
        boxes = np.array([item.xyxy for item in objects], np.float32).reshape(-1, 4)
        indices = [class_index(item, classes) for item in objects]
        shown = [len(classes.names) if index is None else index for index in indices]
        return encode_png(draw_boxes(image, boxes, [item.type for item in objects], class_indices=shown))

    def _read(self, manifest: Manifest, split: str, entry: Entry, what: str) -> bytes:
        shard = manifest["splits"][split]["shards"][entry["shard"]]
        return self._store.get_range(
            keys.blob(shard["sha256"]), entry[f"{what}_offset"], entry[f"{what}_size"]
        )


def class_index(item: KittiObject, classes: ClassMap) -> int | None:
    """The coverage channel of an object; None for don't care."""
    try:
        return classes.index_of(item.type)
    except UnknownClass:
        return None
