"""A version as a zip in another tool's folders, made while it is sent: memory does not grow with it."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from periscope.store import ObjectStore
from periscope_dataset.export_labels import coco_annotations, coco_categories, voc_text, yolo_text
from periscope_dataset.reading import StoredPicture, read_split
from periscope_dataset.zip_stream import ZipStream, spool

Format = Literal["kitti", "coco", "yolo", "voc"]
AT_ONCE = 4
"""Exports of one process; each holds a thread of the server for as long as its client reads."""
SPOOLED_BYTES = 4 << 20

Chunks = Iterator[bytes]
Manifest = Mapping[str, Any]


class TooManyExports(Exception):
    """All that may be sent at once are being sent."""


@dataclass
class Exporter:
    """Exports versions of one store."""

    store: ObjectStore
    scratch: Path
    """An existing folder for what does not fit the memory."""

    def __post_init__(self) -> None:
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def begin(self, manifest: Manifest, form: Format) -> tuple[Chunks, Callable[[], None]]:
        """The zip's bytes, and what to call in the end. Raises TooManyExports, and as ``export``."""
        if not self._free.acquire(blocking=False):
            raise TooManyExports(f"{AT_ONCE} exports are being sent; try again when one has ended")
        chunks = export(self.store, manifest, form, self.scratch)

        def close() -> None:
            chunks.close()
            self._free.release()

        try:
            # What is lost from the beginning is told with a status; later only an early end can tell.
            first = next(chunks, b"")
        except BaseException:
            close()
            raise
        return itertools.chain([first], chunks), close


def export(
    store: ObjectStore, manifest: Manifest, form: Format, scratch: Path
) -> Generator[bytes, None, None]:
    """The zip's bytes; equal versions give equal bytes. Raises as ``read_split``."""
    with closing(ZipStream(scratch)) as zipped:
        target = _Target(zipped, manifest["classes"], scratch)
        for name, split in manifest["splits"].items():
            yield from _WRITERS[form](target, name, read_split(store, split))
        if form == "yolo":
            yield from zipped.member("data.yaml", _data_yaml(manifest))
        yield from zipped.end()


@dataclass(frozen=True)
class _Target:
    zipped: ZipStream
    classes: list[str]
    scratch: Path

    def open_spool(self) -> IO[bytes]:
        return spool(SPOOLED_BYTES, self.scratch)


def _kitti(target: _Target, split: str, pictures: Iterator[StoredPicture]) -> Chunks:
    for picture in pictures:
        yield from target.zipped.member(f"{split}/images/{picture.filename}", picture.image)
        yield from target.zipped.member(f"{split}/labels/{picture.key}.txt", picture.label.encode())


def _yolo(target: _Target, split: str, pictures: Iterator[StoredPicture]) -> Chunks:
    for picture in pictures:
        yield from target.zipped.member(f"images/{split}/{picture.filename}", picture.image)
        yield from target.zipped.member(
            f"labels/{split}/{picture.key}.txt", yolo_text(picture, target.classes).encode()
        )


def _voc(target: _Target, split: str, pictures: Iterator[StoredPicture]) -> Chunks:
    # A tree for each split: pictures of two splits may have one name, which VOC's lists cannot tell apart.
    for picture in pictures:
        yield from target.zipped.member(f"{split}/JPEGImages/{picture.filename}", picture.image)
        yield from target.zipped.member(f"{split}/Annotations/{picture.key}.xml", voc_text(picture).encode())


def _coco(target: _Target, split: str, pictures: Iterator[StoredPicture]) -> Chunks:
    categories = coco_categories(target.classes)
    ids = {category["name"]: category["id"] for category in categories}
    with target.open_spool() as images, target.open_spool() as annotations, target.open_spool() as whole:
        annotation_id = 1
        for image_id, picture in enumerate(pictures, start=1):
            yield from target.zipped.member(f"{split}/{picture.filename}", picture.image)
            size = {"width": picture.width, "height": picture.height}
            _enter(images, {"id": image_id, "file_name": picture.filename, **size})
            for annotation in coco_annotations(picture, image_id, annotation_id, ids):
                _enter(annotations, annotation)
                annotation_id += 1
        whole.write(b'{"info": {}, "licenses": [], "categories": ' + json.dumps(categories).encode())
        for name, entries in (("images", images), ("annotations", annotations)):
            whole.write(f',\n"{name}": ['.encode())
            _copy(entries, whole)
            whole.write(b"]")
        whole.write(b"}\n")
        yield from target.zipped.member_file(f"annotations/instances_{split}.json", whole)


_WRITERS: Mapping[str, Callable[[_Target, str, Iterator[StoredPicture]], Chunks]] = {
    "kitti": _kitti, "coco": _coco, "yolo": _yolo, "voc": _voc,
}  # fmt: skip


def _data_yaml(manifest: Manifest) -> bytes:
    folders = {name: f"images/{name}" for name in manifest["splits"]}
    told = {"path": ".", **folders, "names": dict(enumerate(manifest["classes"]))}
    return yaml.safe_dump(told, sort_keys=False, allow_unicode=True).encode()


def _enter(spool: IO[bytes], entry: Mapping[str, Any]) -> None:
    """Add an entry of a JSON list."""
    spool.write((b",\n" if spool.tell() else b"\n") + json.dumps(entry).encode())


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    source.seek(0)
    while chunk := source.read(SPOOLED_BYTES):
        target.write(chunk)
