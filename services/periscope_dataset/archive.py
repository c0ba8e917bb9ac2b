"""Reads uploaded archives (zip, tar, tar.gz): no member reaches outside, none unpacks without bound."""

from __future__ import annotations

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from detectnet.images import IMAGE_SUFFIXES
from periscope_dataset.findings import Finding, IngestRefused

MAX_MEMBERS = 2_000_000
MAX_MEMBER_BYTES = 256 << 20
MAX_TOTAL_BYTES = 1 << 40
MAX_RATIO = 200
"""Unpacked to packed, over the whole archive; pictures hardly compress."""
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""What Python's readers raise for a file that is cut off, damaged, encrypted or something else."""
JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
SPLITS = ("train", "val")


@dataclass(frozen=True)
class Place:
    """Where a member belongs in a KITTI folder."""

    split: str
    kind: str
    """``images`` or ``labels``."""
    key: str
    """The file's stem, which joins a picture with its label."""


@dataclass(frozen=True)
class Member:
    """A file of the archive that belongs to the data set."""

    path: str
    place: Place
    size_bytes: int


def place_of(path: str) -> Place | None:
    """Where a member belongs, whatever folder the data set lies in; None for what is no part of it."""
    parts = PurePosixPath(path).parts
    if any(part in JUNK or part.startswith("._") for part in parts):
        return None
    for index in range(len(parts) - 2):
        if parts[index] in SPLITS and parts[index + 1] in ("images", "labels"):
            return _place(parts[index], parts[index + 1], parts[index + 2 :])
    return None


@contextmanager
def open_archive(path: Path) -> Iterator[Iterator[tuple[Member, IO[bytes]]]]:
    """All members that belong to the data set, with their contents, in archive order.

    Raises:
        IngestRefused: the file is no archive, is cut off, or has a member that is not safe.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _zip_members(archive, path.stat().st_size)
        else:
            with tarfile.open(path, "r:*") as tar:
                yield _tar_members(tar, path.stat().st_size)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        zlib.error,
        OSError,
        NotImplementedError,
    ) as error:
        raise IngestRefused(
            Finding(
                "archive_damaged",
                f"the archive cannot be read: {error}",
                "send a whole .zip, .tar or .tar.gz file; if it is one, it was cut off on its way",
            )
        ) from error


def _zip_members(archive: zipfile.ZipFile, packed_bytes: int) -> Iterator[tuple[Member, IO[bytes]]]:
    guard = _Guard(packed_bytes)
    for info in archive.infolist():
        mode = info.external_attr >> 16
        guard.check(info.filename, info.file_size, is_link=stat.S_ISLNK(mode))
        place = None if info.is_dir() else place_of(info.filename)
        if place is not None:
            with archive.open(info) as file:
                yield Member(info.filename, place, info.file_size), file


def _tar_members(tar: tarfile.TarFile, packed_bytes: int) -> Iterator[tuple[Member, IO[bytes]]]:
    guard = _Guard(packed_bytes)
    for info in tar:
        guard.check(info.name, info.size, is_link=not (info.isfile() or info.isdir()))
        place = place_of(info.name) if info.isfile() else None
        file = tar.extractfile(info) if place is not None else None
        if place is not None and file is not None:
            yield Member(info.name, place, info.size), file
    _require_end_mark(tar)


def _require_end_mark(tar: tarfile.TarFile) -> None:
    # Python takes a tar that ends at a member's edge for whole; a whole one ends in a block of zeros.
    # A compressed one is guarded by its own checksum.
    if isinstance(tar.fileobj, io.BufferedReader):
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("the tar file has no end mark")


class _Guard:
    """Refuses members that are not safe, before anything of them is read."""

    def __init__(self, packed_bytes: int) -> None:
        self._packed_bytes = packed_bytes
        self._members = 0
        self._bytes = 0
        self._seen: set[str] = set()

    def check(self, name: str, size_bytes: int, *, is_link: bool) -> None:
        path = PurePosixPath(name)
        self._members += 1
        self._bytes += size_bytes
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            _refuse("unsafe_path", name, f"the member {name!r} points outside the archive")
        if is_link:
            _refuse("link", name, f"the member {name!r} is a link or device; only plain files are taken")
        if name in self._seen:
            _refuse("duplicate_member", name, f"the member {name!r} occurs twice")
        if size_bytes > MAX_MEMBER_BYTES:
            _refuse(
                "member_too_big",
                name,
                f"{name!r} has {size_bytes} bytes; at most {MAX_MEMBER_BYTES} are taken",
            )
        if self._members > MAX_MEMBERS or self._bytes > MAX_TOTAL_BYTES:
            _refuse("archive_too_big", None, "the archive unpacks to more than a version may hold")
        if self._bytes > MAX_RATIO * max(self._packed_bytes, 1):
            _refuse("bomb", None, f"the archive unpacks to more than {MAX_RATIO} times its size")
        self._seen.add(name)


def _refuse(code: str, file: str | None, message: str) -> None:
    raise IngestRefused(Finding(code, message, "pack plain folders and files again, without links", file))


def _place(split: str, kind: str, rest: tuple[str, ...]) -> Place | None:
    name = PurePosixPath(rest[-1])
    if kind == "images":
        # Pictures may lie in folders of their own; labels may not, as in DIGITS.
        return Place(split, kind, name.stem) if name.suffix.lower() in IMAGE_SUFFIXES else None
    return Place(split, kind, name.stem) if len(rest) == 1 and name.suffix == ".txt" else None
