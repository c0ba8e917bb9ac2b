"""Writes a version's shards, indexes and tables to the store; finished shards are passed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detectnet.classes import ClassMap
from periscope.blobs import put_blob, put_blob_file
from periscope.store import ObjectStore
from periscope_dataset.boxes import pack_table
from periscope_dataset.grid import Judged
from periscope_dataset.journal import Journal
from periscope_dataset.layout import SPLITS
from periscope_dataset.parallel import in_order
from periscope_dataset.shards import (
    SHARD_BYTES,
    Picture,
    index_lines,
    plan_shards,
    shard_member_bytes,
    write_shard,
)
from periscope_dataset.splits import image_sizes_of, pictures_of, statistics_of

AT_ONCE = 2
"""Shards under way: one is written while another is sent."""

OnProgress = Callable[[float], None]


def store_content(
    store: ObjectStore,
    journal: Journal,
    scratch: Path,
    splits: Mapping[str, Judged],
    classes: ClassMap | None,
    *,
    on_progress: OnProgress,
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, Any]:
    """Store all splits; return what the manifest tells of them. Raises StoreUnavailable."""
    files = {name: split.files for name, split in splits.items()}
    kept = [name for name in splits if name in SPLITS or files[name].images]
    stored = {}
    for number, name in enumerate(kept):

        def told(done: float, number: int = number) -> None:
            on_progress((number + done) / len(kept))

        stored[name] = _Writing(store, journal, scratch, name, told, shard_bytes).split(splits[name])
    return {
        "classes": [] if classes is None else list(classes.names),
        "splits": stored,
        "image_sizes": image_sizes_of(files),
        "statistics": statistics_of({name: files[name] for name in kept}, classes),
    }


@dataclass(frozen=True)
class _Writing:
    store: ObjectStore
    journal: Journal
    scratch: Path
    name: str
    on_progress: OnProgress
    shard_bytes: int

    def split(self, split: Judged) -> dict[str, Any]:
        """A split's entry in the manifest."""
        # A picture's paths take more room than all that is known of it: they are made when they are needed.
        sizes = (
            shard_member_bytes(picture)
            for key in split.keys
            for picture in pictures_of(split.files, [key], self.scratch)
        )
        parts = enumerate(
            split.keys[part.start : part.stop] for part in plan_shards(sizes, split.keys, self.shard_bytes)
        )
        index_path, shards, done = self.scratch / f"{self.name}.index", [], 0
        with index_path.open("wb") as index:
            for record in in_order(partial(self._shard, split), parts, AT_ONCE, AT_ONCE):
                index.write(record.pop("index").encode())
                shards.append(record)
                done += record["images"]
                self.on_progress(done / len(split.keys))
        stored_index = put_blob_file(self.store, index_path, content_type="application/x-ndjson")
        table = put_blob(self.store, pack_table(split.table), content_type="application/octet-stream")
        told = {
            "images": len(split.keys),
            "boxes": sum(label.boxes for label in split.files.labels.values()),
            "shards": shards,
            "index": asdict(stored_index),
            "boxes_table": asdict(table),
        }
        return told | ({"unlabelled": len(split.files.unlabelled)} if split.files.unlabelled else {})

    def _shard(self, split: Judged, part: tuple[int, Sequence[str]]) -> dict[str, Any]:
        """What is to be noted of a shard, which is in the store when this returns."""
        number, keys = part
        record = f"shards/{self.name}-{number:05d}"
        noted = self.journal.load(record)
        if noted is None:
            noted = self._written(number, pictures_of(split.files, keys, self.scratch))
            self.journal.note(record, noted)
        return noted

    def _written(self, number: int, pictures: list[Picture]) -> dict[str, Any]:
        path = self.scratch / f"{self.name}-{number:05d}.tar"
        shard = write_shard(pictures, path, number)
        ref = put_blob_file(self.store, path, content_type="application/x-tar", known=shard.ref)
        path.unlink()
        return {**asdict(ref), "images": len(pictures), "index": index_lines(shard.entries).decode()}
