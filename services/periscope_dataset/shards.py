"""Shards: pictures and labels of a split as uncompressed tar files, so that training reads few big objects.

The layout is WebDataset's: ``<key>.<ext>`` followed by ``<key>.txt``. Equal content gives equal bytes, so a
repeated ingest stores nothing twice. An index tells where each file's bytes lie, to read one picture alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from periscope.blobs import BlobRef

SHARD_BYTES = 256 << 20
NAMES_OF_ONE_BEGINNING = 32
"""One name of so many may begin a shard."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a split on local disk, checked."""

    key: str
    filename: str
    image_path: Path
    label_path: Path
    width: int
    height: int
    boxes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where one picture's bytes lie; offsets count from the shard's beginning."""

    key: str
    filename: str
    width: int
    height: int
    shard: int
    image_offset: int
    image_size: int
    label_offset: int
    label_size: int
    boxes: int
    sha256: str


@dataclass(frozen=True)
class ShardFile:
    """A finished shard on local disk, and where in it everything lies."""

    path: Path
    ref: BlobRef
    entries: list[IndexEntry]


def plan_shards(sizes: Iterable[int], names: Sequence[str], shard_bytes: int = SHARD_BYTES) -> list[range]:
    """Which pictures go into which shard: as many as it takes to fill ``shard_bytes``, at least one.

    ``sizes`` are what each picture takes, see ``shard_member_bytes``. One name of 32 begins a new shard
    where the one before is half full: behind a picture that came or went, shards are soon those there were.
    """
    plan, start, filled, end = [], 0, 0, 0
    for number, (size_bytes, name) in enumerate(zip(sizes, names, strict=True)):
        if filled >= shard_bytes or (filled >= shard_bytes / 2 and _begins_shard(name)):
            plan.append(range(start, number))
            start, filled = number, 0
        filled += size_bytes
        end = number + 1
    return [*plan, range(start, end)] if end else []


def _begins_shard(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % NAMES_OF_ONE_BEGINNING == 0


def shard_member_bytes(picture: Picture) -> int:
    """What a picture and its label take in a shard."""
    return sum(_member_bytes(name, path.stat().st_size) for name, path in _members(picture))


def write_shard(pictures: Sequence[Picture], path: Path, number: int) -> ShardFile:
    """Write one shard; its hash is made on the way."""
    entries = []
    with path.open("wb") as raw:
        hashed = _Hashed(raw)
        with tarfile.open(fileobj=hashed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for picture in pictures:
                entries.append(_add(tar, hashed, picture, number))
                tar.members.clear()  # type: ignore[attr-defined] # It would keep them all; untyped.
    return ShardFile(path, BlobRef(hashed.sha256.hexdigest(), hashed.tell()), entries)


def index_lines(entries: Iterable[IndexEntry]) -> bytes:
    """The index: one JSON object a line, in the shards' order."""
    return b"".join(json.dumps(asdict(entry), sort_keys=True).encode() + b"\n" for entry in entries)


class _Hashed(io.RawIOBase):
    """A file that is written from its beginning to its end."""

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self._raw = raw
        self._written_bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, body: Any) -> int:
        self.sha256.update(body)
        self._written_bytes += len(body)
        return self._raw.write(body)

    def tell(self) -> int:
        return self._written_bytes


def _members(picture: Picture) -> Iterator[tuple[str, Path]]:
    yield f"{picture.key}{Path(picture.filename).suffix.lower()}", picture.image_path
    yield f"{picture.key}.txt", picture.label_path


def _add(tar: tarfile.TarFile, file: _Hashed, picture: Picture, shard: int) -> IndexEntry:
    (image_offset, image_size), (label_offset, label_size) = (
        _add_file(tar, file, name, path) for name, path in _members(picture)
    )
    return IndexEntry(
        picture.key, picture.filename, picture.width, picture.height, shard,
        image_offset, image_size, label_offset, label_size, picture.boxes, picture.sha256,
    )  # fmt: skip


def _add_file(tar: tarfile.TarFile, file: _Hashed, name: str, path: Path) -> tuple[int, int]:
    """Add a member with a fixed header; return where its content begins, and its size."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = path.stat().st_size, 0o644
    with path.open("rb") as content:
        tar.addfile(info, content)
    return file.tell() - _padded(info.size), info.size


def _member_bytes(name: str, size_bytes: int) -> int:
    """What a file takes in a shard: a longer name takes blocks of its own."""
    header = tarfile.BLOCKSIZE
    if len(name.encode()) > tarfile.LENGTH_NAME:
        header = len(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    return header + _padded(size_bytes)


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
