"""The files of a DIGITS job: its folder, or a download of it as tar, tar.gz, tar.bz2 or zip.

Nothing is unpacked: the few files that are wanted are read by their names, and no more than they may hold.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_TEXT_BYTES = 4 << 20
MAX_WEIGHTS_BYTES = 256 << 20
MAX_MEMBERS = 10_000
TEXTS = (
    "original.prototxt",
    "train_val.prototxt",
    "deploy.prototxt",
    "solver.prototxt",
    "info.json",
    "labels.txt",
)
SNAPSHOT = re.compile(r"snapshot_iter_([0-9]{1,9})\.caffemodel")
EPOCH_IN_NAME = re.compile(r"_epoch_([0-9]+(?:\.[0-9]+)?)\.")

_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
)


class NotDigits(Exception):
    """The folder or file is no DIGITS job; the text says what is missing or wrong."""


@dataclass(frozen=True)
class DigitsFiles:
    """What was found."""

    texts: Mapping[str, str]
    snapshots: Mapping[int, bytes]
    """One caffemodel by its iteration: the newest, or the one that was asked for."""
    epoch: float | None
    """Of that snapshot, where the download's name tells."""


@dataclass(frozen=True)
class _Entry:
    name: str
    size_bytes: int
    path: Path | None = None
    """In a folder; members of archives are read by name."""


_Reader = Callable[[_Entry], bytes]


def read_digits(path: Path, snapshot: int | None = None) -> DigitsFiles:
    """Read a job; of several snapshots the newest, or the one of an iteration.

    Raises:
        NotDigits: it cannot be read, is damaged, or has no such snapshot.
    """
    try:
        if path.is_dir():
            entries = [
                _Entry(file.name, file.stat().st_size, file)
                for file in sorted(path.iterdir())
                if file.is_file()
            ]
            return _read(entries, lambda entry: _path_of(entry).read_bytes(), path.name, snapshot)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found = [_Entry(info.filename, info.file_size) for info in archive.infolist()[:MAX_MEMBERS]]
                return _read(found, lambda entry: _unzip(archive, entry), path.name, snapshot)
        with tarfile.open(path) as archive:
            members = {member.name: member for member in _files(archive)}
            found = [_Entry(name, member.size) for name, member in members.items()]
            return _read(found, lambda entry: _untar(archive, members[entry.name]), path.name, snapshot)
    except _DAMAGED as error:
        raise NotDigits(f"{path} cannot be read as a folder, tar or zip of a DIGITS job: {error}") from error


def _files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(archive):
        if number >= MAX_MEMBERS:
            return
        if member.isreg():
            yield member


def _path_of(entry: _Entry) -> Path:
    if entry.path is None:
        raise NotDigits(f"{entry.name} is in no folder")
    return entry.path


def _unzip(archive: zipfile.ZipFile, entry: _Entry) -> bytes:
    with archive.open(entry.name) as file:
        return file.read(entry.size_bytes + 1)


def _untar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()


def _read(entries: list[_Entry], read: _Reader, source: str, snapshot: int | None) -> DigitsFiles:
    by_name: dict[str, _Entry] = {}
    for entry in entries:
        by_name.setdefault(PurePosixPath(entry.name).name, entry)
    texts = {}
    for name in TEXTS:
        if name in by_name:
            texts[name] = _text(name, _limited(by_name[name], MAX_TEXT_BYTES, read))
    snapshots = {int(found[1]): name for name in by_name if (found := SNAPSHOT.fullmatch(name))}
    if snapshot is not None and snapshot not in snapshots:
        there = ", ".join(map(str, sorted(snapshots))) or "none"
        raise NotDigits(f"there is no snapshot of iteration {snapshot}; there is {there}")
    chosen = snapshot if snapshot is not None else max(snapshots, default=None)
    weights = (
        {} if chosen is None else {chosen: _limited(by_name[snapshots[chosen]], MAX_WEIGHTS_BYTES, read)}
    )
    told = EPOCH_IN_NAME.search(source) if len(snapshots) == 1 else None
    return DigitsFiles(texts, weights, float(told[1]) if told else None)


def _limited(entry: _Entry, most: int, read: _Reader) -> bytes:
    if entry.size_bytes > most:
        raise NotDigits(f"{entry.name} has {entry.size_bytes} bytes; at most {most} are read")
    content = read(entry)
    if len(content) > most:
        raise NotDigits(f"{entry.name} unpacks to more than it says")
    return content


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise NotDigits(f"{name} is no UTF-8 text: {error}") from error
