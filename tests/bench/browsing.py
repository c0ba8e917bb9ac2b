"""Browsing at 1,000, 10,000 and 100,000 pictures: a page, statistics, a difference; indexes are made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from periscope.blobs import put_blob
from periscope_dataset.boxes import BOX, pack_table
from periscope_dataset.browsing import Gallery
from periscope_dataset.choosing import choose
from periscope_dataset.differences import Side, difference
from periscope_dataset.figures import statistics
from periscope_dataset.looking import Looks
from periscope_dataset.preview import preview
from periscope_dataset.tables import Tables
from tests.bench.measure import Row, in_turns
from tests.fakes import MemoryStore

COUNTS = (1_000, 10_000, 100_000)
CLASSES = ["buoy", "gate", "pole"]
BOXES = 4
"""A picture."""
PAGE = 50

Manifest = dict[str, Any]


def rows(_: int) -> list[Row]:
    """Each call cold (read from the store in memory and parsed) beside warm (tables kept)."""
    return [row for count in COUNTS for row in _rows(count)]


def _rows(count: int) -> list[Row]:
    store = MemoryStore()
    old, new = made_up(store, count, seed=1), made_up(store, count, seed=1, changed=count // 100)
    kept = Tables(store), Gallery(store), Looks()
    found: list[Row] = []
    for name, call in calls(old, new).items():
        found += in_turns(
            f"{name}, {count:,} pictures",
            {
                "cold": partial(lambda call: call(Tables(store), Gallery(store), Looks()), call),
                "warm": partial(call, *kept),
            },
        )
    return found


def calls(old: Manifest, new: Manifest) -> dict[str, Callable[[Tables, Gallery, Looks], object]]:
    """What a client asks for."""

    def changes(tables: Tables, _: Gallery, __: Looks) -> object:
        return difference(*(Side(one["classes"], tables.all_of(one)) for one in (old, new)))

    return {
        "gallery page": lambda _, gallery, __: gallery.index(old, "train").after("5", PAGE),
        "pictures with a class": lambda tables, _, looks: choose(
            old, tables.all_of(old), "train", looks, "gate", None
        ),
        "pictures with box_hidden": lambda tables, _, looks: choose(
            old, tables.all_of(old), "train", looks, None, "box_hidden"
        ),
        "statistics": lambda tables, _, __: statistics(old["classes"], tables.all_of(old)),
        "preview": lambda tables, _, looks: preview(old, tables.all_of(old), looks),
        "difference": changes,
    }


def made_up(store: MemoryStore, count: int, seed: int, changed: int = 0) -> Manifest:
    """A version of ``count`` training pictures, ``changed`` of them unlike those of the same seed."""
    rng = np.random.default_rng(seed)
    lines = [
        {
            "key": f"{number:07d}", "filename": f"{number:07d}.jpg", "width": 1280, "height": 720,
            "shard": 0, "image_offset": 0, "image_size": 0, "label_offset": 0, "label_size": 0,
            "boxes": BOXES, "sha256": f"{number + (number < changed) * 10**9:064x}",
        }
        for number in range(count)
    ]  # fmt: skip
    table = np.zeros(count * BOXES, BOX)
    table["picture"] = np.repeat(np.arange(count), BOXES)
    table["line"] = np.tile(np.arange(1, BOXES + 1), count)
    table["class"] = rng.integers(0, len(CLASSES), count * BOXES)
    corners = rng.uniform(0, 600, (count * BOXES, 2))
    table["xyxy"] = np.hstack([corners, corners + rng.uniform(10, 100, (count * BOXES, 2))])
    table["xyxy"][: changed * BOXES] += 1
    index = b"".join(json.dumps(line, sort_keys=True).encode() + b"\n" for line in lines)
    blobs = {"index": put_blob(store, index), "boxes_table": put_blob(store, pack_table(table))}
    told = {name: {"sha256": ref.sha256, "size_bytes": ref.size_bytes} for name, ref in blobs.items()}
    return {
        "classes": CLASSES,
        "splits": {"train": {"images": count, "shards": [], **told}},
        "image_sizes": [{"width": 1280, "height": 720, "images": count}],
        "options": {"pad": None, "resize": None, "val_min_box_size": 25},
    }
