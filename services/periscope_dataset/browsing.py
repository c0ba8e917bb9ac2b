"""Reads single pictures out of a version's shards, without fetching the shards."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from detectnet.classes import ClassMap, UnknownClass
from detectnet.drawing import draw_boxes, encode_png, shrink_to_jpeg
from detectnet.images import decode_image
from detectnet.kitti import KittiObject, parse_label
from detectnet.samples import SourceImage
from periscope import keys
from periscope.store import ObjectStore
from periscope_dataset.index import Index

CACHE_BYTES = 128 << 20
THUMBNAIL_BYTES = 32 << 20
DRAWN_AT_ONCE = 2
"""A large picture takes hundreds of megabytes while it is drawn on."""
FAR_PX = 30_000

Entry = Mapping[str, Any]
Manifest = Mapping[str, Any]


class UnknownImage(Exception):
    """The split has no picture of this name."""


class Gallery:
    """The pictures of all versions. Indexes are immutable, so those used last are kept in memory."""

    def __init__(self, store: ObjectStore, cache_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._cache_bytes = cache_bytes
        self._indexes: OrderedDict[str, Index] = OrderedDict()
        self._lock = threading.Lock()
        self._thumbnails: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._drawing = threading.BoundedSemaphore(DRAWN_AT_ONCE)

    def index(self, manifest: Manifest, split: str) -> Index:
        """The index of a split. Raises UnknownImage where the version has no such split."""
        if split not in manifest["splits"]:
            raise UnknownImage(f"the version has no split {split}")
        sha256 = manifest["splits"][split]["index"]["sha256"]
        with self._lock:
            if sha256 in self._indexes:
                self._indexes.move_to_end(sha256)
                return self._indexes[sha256]
        index = Index(self._store.get(keys.blob(sha256)).body)
        with self._lock:
            self._indexes[sha256] = index
            while sum(kept.size_bytes for kept in self._indexes.values()) > self._cache_bytes:
                self._indexes.popitem(last=False)
        return index

    def entry(self, manifest: Manifest, split: str, key: str) -> Entry:
        """One picture's index entry. Raises UnknownImage."""
        entry = self.index(manifest, split).find(key)
        if entry is None:
            raise UnknownImage(f"{split} has no picture {key!r}")
        return entry

    def original(self, manifest: Manifest, split: str, entry: Entry) -> bytes:
        """The picture's file, byte for byte as it was uploaded."""
        return self._read(manifest, split, entry, "image")

    def objects(self, manifest: Manifest, split: str, entry: Entry) -> list[KittiObject]:
        """The picture's labelled objects, in file order."""
        return parse_label(self.label(manifest, split, entry), f"{entry['key']}.txt")

    def label(self, manifest: Manifest, split: str, entry: Entry) -> str:
        """The picture's KITTI label file."""
        return self._read(manifest, split, entry, "label").decode()

    def drawn(self, manifest: Manifest, split: str, entry: Entry) -> bytes:
        """The picture with its boxes, as PNG."""
        objects, classes = (
            self.objects(manifest, split, entry),
            ClassMap(manifest["classes"], may_be_empty=True),
        )
        # Labels may hold any number; far outside is far enough.
        boxes = np.clip([item.xyxy for item in objects], -FAR_PX, FAR_PX).astype(np.float32).reshape(-1, 4)
        indices = [class_index(item, classes) for item in objects]
        shown = [len(classes.names) if index is None else index for index in indices]
        with self._drawing:
            image = decode_image(self.original(manifest, split, entry))
            return encode_png(draw_boxes(image, boxes, [item.type for item in objects], class_indices=shown))

    def thumbnail(self, manifest: Manifest, split: str, entry: Entry, side: int) -> bytes:
        """The picture as JPEG within a square of ``side`` pixels; those made last are kept."""
        name = entry["sha256"], side
        with self._lock:
            if name in self._thumbnails:
                self._thumbnails.move_to_end(name)
                return self._thumbnails[name]
        with self._drawing:
            made = shrink_to_jpeg(decode_image(self.original(manifest, split, entry)), side)
        with self._lock:
            self._thumbnails[name] = made
            while sum(map(len, self._thumbnails.values())) > THUMBNAIL_BYTES:
                self._thumbnails.popitem(last=False)
        return made

    def source(self, manifest: Manifest, split: str, entry: Entry) -> SourceImage:
        """The picture and label as training takes them."""
        image, label = self.original(manifest, split, entry), self.label(manifest, split, entry)
        return SourceImage(entry["filename"], image, label)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Wait for one's turn to hold a large picture."""
        with self._drawing:
            yield

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
