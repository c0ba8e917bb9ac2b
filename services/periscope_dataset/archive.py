"""Unpacks uploaded archives: zip, tar and tar.gz. Names of members never become paths on the disk.

Refused before anything of it is unpacked: a member that points outside, a link, a device, a name that
occurs twice, and whatever would unpack without bound. A file that is cut off or damaged is told as such.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from periscope_dataset.bounded import Bounded, Readable
from periscope_dataset.findings import Finding, IngestRefused
from periscope_dataset.layout import Place, place_of

MAX_MEMBERS = 360_000
"""What is known of them is kept in memory, about a kilobyte a picture and its label."""
MAX_MEMBER_BYTES = 128 << 20
MAX_LABEL_BYTES = 4 << 20
MAX_JSON_BYTES = 4 << 30
"""COCO's own annotations have half a gigabyte; they are read entry by entry."""
MAX_TOTAL_BYTES = 1 << 40
MAX_RATIO = 200
"""Unpacked to packed, over the whole archive; pictures hardly compress."""
HARMLESS_BYTES = 256 << 20
"""Whatever unpacks to less than this is no bomb."""
MAX_NAME_LENGTH = 1000
MAX_ZIP_DIRECTORY_BYTES = 24 << 20
"""Python's reader takes some seven times as much."""
MAX_TAR_HEADER_BYTES = 1 << 20
MAX_TAR_TAIL_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20

DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RuntimeError,
)  # fmt: skip
"""What Python's readers raise for a file that is cut off, damaged, encrypted or packed in a way they lack."""


@dataclass(frozen=True)
class Member:
    """A file of the archive that lies in a folder of the data set."""

    path: str
    """As the archive names it; good for messages only."""
    place: Place
    size_bytes: int


@dataclass(frozen=True)
class Entry:
    """Anything that an archive or a folder holds."""

    name: str
    size_bytes: int
    is_file: bool
    is_folder: bool
    open: Callable[[], IO[bytes]]


def list_names(archive: Path) -> list[str]:
    """Names of all files as far as ``unpack`` would take them, unchecked.

    Raises IngestRefused for what is no archive, or cut off.
    """
    names, left = [], _limit_bytes(archive.stat().st_size)
    with archive.open("rb") as file:
        for entry in _entries(file):
            left -= entry.size_bytes
            names += [entry.name] if entry.is_file else []
            if left < 0 or len(names) > MAX_MEMBERS:
                break
    return names


def unpack(
    archive: Path, folder: Path, placed: Callable[[str], Place | None] = place_of
) -> Iterator[tuple[Member, Path]]:
    """Write members one at a time into ``folder``, in archive order, and tell where.

    ``placed`` says where a member belongs. Members of the data set's folders that are neither picture nor
    label are told and not written.

    Raises:
        IngestRefused: the file is no archive, is cut off, or has a member that is not safe.
    """
    guard = Guard(archive.stat().st_size)
    with archive.open("rb") as file:
        for number, entry in enumerate(_entries(file)):
            place = None if entry.is_folder else placed(entry.name)
            guard.check(entry, place)
            if place is None:
                continue
            member, path = Member(entry.name, place, entry.size_bytes), folder / f"member-{number}"
            if place.key is not None:
                _write(entry, path)
            yield member, path


def _entries(file: IO[bytes]) -> Iterator[Entry]:
    return _told_damage(_zip_entries(file) if _starts_with(file, b"PK") else _tar_entries(file))


def _write(entry: Entry, path: Path) -> None:
    # Reading and writing are apart: a full disk is no fault of the archive.
    with _damage_told():
        content = entry.open()
    with content, path.open("wb") as target:
        while True:
            with _damage_told():
                chunk = content.read(CHUNK_BYTES)
            if not chunk:
                break
            target.write(chunk)


def _zip_entries(file: IO[bytes]) -> Iterator[Entry]:
    with zipfile.ZipFile(Bounded(file, MAX_ZIP_DIRECTORY_BYTES)) as archive:
        for info in archive.infolist():
            if not info.is_dir() and info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f"{info.filename} is packed by a method other than deflate")
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
            yield Entry(info.filename, info.file_size, is_file, info.is_dir(), partial(archive.open, info))


def _tar_entries(file: IO[bytes]) -> Iterator[Entry]:
    if not _starts_with(file, b"\x1f\x8b"):
        yield from _plain_tar_entries(file)
        return
    with gzip.open(file, "rb") as content:
        yield from _plain_tar_entries(content)
        _read_to_end(content)


def _plain_tar_entries(file: Readable) -> Iterator[Entry]:
    bounded = Bounded(file, MAX_TAR_HEADER_BYTES)
    with tarfile.TarFile(fileobj=bounded, mode="r") as tar:
        while (info := tar.next()) is not None:
            yield Entry(info.name, info.size, info.isreg(), info.isdir(), partial(_open_tar, tar, info))
            tar.members.clear()  # type: ignore[attr-defined] # It would keep them all; untyped.
        bounded.require_end_mark()


def _open_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(info)
    if content is None:
        raise tarfile.ReadError(f"{info.name} has no content")
    return content


def _read_to_end(content: Readable) -> None:
    """The checksum of a gzip file comes last, and is looked at by who gets there."""
    left = MAX_TAR_TAIL_BYTES
    while chunk := content.read(CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            _refuse("bomb", None, "the archive goes on without end behind its last file", "pack it again")


def _limit_bytes(packed_bytes: int) -> int:
    return min(max(MAX_RATIO * packed_bytes, HARMLESS_BYTES), MAX_TOTAL_BYTES)


class Guard:
    """Refuses members that are not safe, before anything of them is read."""

    def __init__(self, packed_bytes: int) -> None:
        self._limit_bytes = _limit_bytes(packed_bytes)
        self._members = 0
        self._bytes = 0
        self._seen: set[str] = set()

    def check(self, entry: Entry, place: Place | None) -> None:
        """Look at the next member; ``place`` is None for what is not used. Raises IngestRefused."""
        name = entry.name
        self._members += 1
        self._bytes += entry.size_bytes
        _check_name(name, is_used=place is not None)
        if not (entry.is_file or entry.is_folder):
            advice = "pack the files themselves: tar --dereference --hard-dereference"
            _refuse("link", name, f"{_shown(name)} is a link or a device", advice)
        if place is not None:
            self._check_member(entry, place)
        if self._members > MAX_MEMBERS:
            advice = "split it into several data sets"
            _refuse("archive_too_big", None, f"the archive has more than {MAX_MEMBERS} members", advice)
        if self._bytes > self._limit_bytes:
            message = (
                f"the archive unpacks to more than {self._limit_bytes} bytes, far more than its own size"
            )
            _refuse("bomb", None, message, "pack pictures as PNG or JPEG")

    def _check_member(self, entry: Entry, place: Place) -> None:
        name, limit = entry.name, MAX_LABEL_BYTES if place.kind == "labels" else MAX_MEMBER_BYTES
        limit = MAX_JSON_BYTES if name.lower().endswith(".json") else limit
        if name in self._seen:
            _refuse("duplicate_member", name, f"{_shown(name)} is in the archive twice", "pack it once")
        if entry.size_bytes > limit and place.key is not None:
            message = f"{_shown(name)} has {entry.size_bytes} bytes; at most {limit} are taken"
            _refuse("member_too_big", name, message, "make the file smaller, or leave it out")
        self._seen.add(name)


def _check_name(name: str, *, is_used: bool) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        advice = "pack the data set's folder itself, with relative names"
        _refuse("unsafe_path", name, f"{_shown(name)} points outside the archive", advice)
    if "\\" in name:
        advice = "pack it with a program that puts / between folders"
        _refuse("unsafe_path", name, f"{_shown(name)} has a backslash in its name", advice)
    if is_used and (len(name) > MAX_NAME_LENGTH or not _is_text(name)):
        advice = "give the file a short name of plain letters"
        _refuse("unsafe_name", name, f"{_shown(name)} is no usable name", advice)


def _is_text(name: str) -> bool:
    """Whether it has no control characters, and no bytes that are no UTF-8."""
    with suppress(UnicodeEncodeError):
        name.encode()
        return not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
    return False


def _shown(name: str) -> str:
    return repr(name if len(name) <= 200 else name[:200] + "...")


def _refuse(code: str, file: str | None, message: str, advice: str) -> None:
    raise IngestRefused(Finding(code, message, advice, file))


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        message = f"the archive cannot be read: {error}"
        advice = (
            "send a whole .zip, .tar or .tar.gz file without a password; if it is one, pack and send it anew"
        )
        raise IngestRefused(Finding("archive_damaged", message, advice)) from error


def _told_damage(entries: Iterator[Entry]) -> Iterator[Entry]:
    while True:
        with _damage_told():
            entry = next(entries, None)
        if entry is None:
            return
        yield entry


def _starts_with(file: IO[bytes], mark: bytes) -> bool:
    file.seek(0)
    start = file.read(len(mark))
    file.seek(0)
    return start == mark
