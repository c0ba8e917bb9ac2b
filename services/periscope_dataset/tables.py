"""A split as columns: keys, sizes, hashes and all boxes, read with two requests and kept."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from periscope import keys
from periscope.store import ObjectStore
from periscope_dataset.boxes import BOX, Table, load_table

CACHE_BYTES = 128 << 20
ROW_BYTES = 200
"""What a picture's key and hash take in memory, about."""

Manifest = Mapping[str, Any]


class NotDescribed(Exception):
    """The version is of a time when no table of boxes was kept."""


@dataclass(frozen=True)
class SplitTable:
    """All pictures of a split in order of their keys, and their boxes by picture and line."""

    keys: list[str]
    sha256: list[str]
    sizes: npt.NDArray[np.int32]
    """[n,2]: width and height in pixels."""
    boxes: Table
    content: tuple[str, str]
    """Hashes of what it was read from: equal ones are equal tables."""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about."""
        return ROW_BYTES * len(self.keys) + self.sizes.nbytes + self.boxes.nbytes


class Tables:
    """The tables of all versions. They are immutable, so those used last are kept."""

    def __init__(self, store: ObjectStore, cache_bytes: int = CACHE_BYTES) -> None:
        self._store = store
        self._cache_bytes = cache_bytes
        self._kept: OrderedDict[tuple[str, str], SplitTable] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, manifest: Manifest, split: str) -> SplitTable:
        """A split of a version; one without pictures where the version has no such split.

        Raises:
            NotDescribed: the version is too old.
        """
        told = manifest["splits"].get(split)
        if told is None:
            return _table(("", ""), b"", np.zeros(0, BOX))
        if "boxes_table" not in told:
            raise NotDescribed("this version has no table of its boxes; ingest the archive again to have one")
        name = told["index"]["sha256"], told["boxes_table"]["sha256"]
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        index, boxes = (self._store.get(keys.blob(sha256)).body for sha256 in name)
        table = _table(name, index, load_table(boxes))
        with self._lock:
            self._kept[name] = table
            while len(self._kept) > 1 and self._taken_bytes() > self._cache_bytes:
                self._kept.popitem(last=False)
        return table

    def all_of(self, manifest: Manifest) -> dict[str, SplitTable]:
        """All splits of a version. Raises NotDescribed."""
        return {split: self.of(manifest, split) for split in manifest["splits"]}

    def _taken_bytes(self) -> int:
        return sum(table.size_bytes for table in self._kept.values())


def without_small(table: Table, smallest_px: float) -> tuple[Table, npt.NDArray[np.bool_]]:
    """Boxes narrower or lower become don't care, as validation has it; and which ones did."""
    sides = table["xyxy"][:, 2:] - table["xyxy"][:, :2]
    small = (sides.min(axis=1, initial=np.inf) < smallest_px) & (table["class"] >= 0)
    changed = table.copy()
    changed["class"][small] = -1
    return changed, small


def _table(content: tuple[str, str], index: bytes, boxes: Table) -> SplitTable:
    entries = [json.loads(line) for line in index.splitlines()]
    sizes = np.array([(entry["width"], entry["height"]) for entry in entries], np.int32).reshape(-1, 2)
    names, hashes = ([entry[name] for entry in entries] for name in ("key", "sha256"))
    return SplitTable(names, hashes, sizes, boxes, content)
