"""Shards: pictures and labels of a split as uncompressed tar files, so that training reads few big objects.

The layout is WebDataset's: ``<key>.<ext>`` followed by ``<key>.txt``. Equal content gives equal bytes, so a
repeated ingest stores nothing twice. An index tells where each file's bytes lie, to read one picture alone.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SHARD_BYTES = 256 << 20


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
    """A finished shard on local disk."""

    path: Path
    images: int


def write_shards(
    pictures: list[Picture],
    folder: Path,
    name: str,
    entries: list[IndexEntry],
    shard_bytes: int = SHARD_BYTES,
) -> Iterator[ShardFile]:
    """Write shards one after another, filling ``entries``; the caller may remove each before the next."""
    number, start = 0, 0
    while start < len(pictures):
        path = folder / f"{name}-{number:05d}.tar"
        begun = len(entries)
        with path.open("wb") as raw, tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
            while start < len(pictures) and (len(entries) == begun or raw.tell() < shard_bytes):
                entries.append(_add(tar, raw, pictures[start], number))
                start += 1
        yield ShardFile(path, len(entries) - begun)
        number += 1


def index_lines(entries: list[IndexEntry]) -> bytes:
    """The index: one JSON object a line, in the shards' order."""
    return b"".join(json.dumps(asdict(entry), sort_keys=True).encode() + b"\n" for entry in entries)


def _add(tar: tarfile.TarFile, raw: io.BufferedWriter, picture: Picture, shard: int) -> IndexEntry:
    image, label = picture.image_path.read_bytes(), picture.label_path.read_bytes()
    suffix = Path(picture.filename).suffix.lower()
    image_offset = _add_file(tar, raw, f"{picture.key}{suffix}", image)
    label_offset = _add_file(tar, raw, f"{picture.key}.txt", label)
    return IndexEntry(
        picture.key, picture.filename, picture.width, picture.height, shard,
        image_offset, len(image), label_offset, len(label), picture.boxes, picture.sha256,
    )  # fmt: skip


def _add_file(tar: tarfile.TarFile, raw: io.BufferedWriter, name: str, content: bytes) -> int:
    """Add a member with a fixed header; return where its content begins."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))
    padded = -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return raw.tell() - padded
