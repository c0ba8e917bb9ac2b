"""The members of a zip from elsewhere. Nothing is unpacked before names, kinds and sizes are found safe.

Refused: names that climb out or hide, links and devices, names that occur twice or stand in each other's way,
methods that a robot's Python cannot unpack, and whatever unpacks to far more than it is.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_MEMBERS = 200
MAX_MEMBER_BYTES = 256 << 20
MAX_TOTAL_BYTES = 1 << 30
MAX_RATIO = 100
MAX_NAME_LENGTH = 200

_CHUNK_BYTES = 1 << 20
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    UnicodeError,
    OverflowError,
    NotImplementedError,
    RuntimeError,  # An encrypted member.
)


class BundleError(ValueError):
    """The zip is refused; ``reasons`` says everything that is wrong with it."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Member:
    """One file of the zip."""

    name: str
    sha256: str
    size_bytes: int


def is_safe_name(name: str) -> bool:
    """Whether a name stays inside the folder it is unpacked in: plain letters, no leading dot or slash."""
    return len(name) <= MAX_NAME_LENGTH and _SAFE_NAME.fullmatch(name) is not None


def read_members(path: Path, is_wanted: Callable[[str], bool]) -> tuple[tuple[Member, ...], dict[str, bytes]]:
    """Hash every member, sorted by name, and give the contents of the wanted ones.

    Raises:
        BundleError: the zip is cut off, damaged or unsafe.
    """
    members, contents = [], {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in sorted(_safe_files(archive), key=lambda info: info.filename):
                member, content = _read(archive, info, keep=is_wanted(info.filename))
                members.append(member)
                if content is not None:
                    contents[info.filename] = content
    except _UNREADABLE as error:
        raise BundleError([f"the zip cannot be read: {error}; copy or upload it again"]) from error
    return tuple(members), contents


def require(reasons: list[str]) -> None:
    """Raises BundleError if there is a reason to."""
    if reasons:
        raise BundleError(reasons)


def _safe_files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise BundleError([f"{len(infos)} members; at most {MAX_MEMBERS} are taken"])
    files = [info for info in infos if not _is_folder(info)]
    total = sum(info.file_size for info in files)
    reasons = [f"{total} bytes when unpacked; at most {MAX_TOTAL_BYTES} are taken"] * (
        total > MAX_TOTAL_BYTES
    )
    for info in infos:
        reasons += [*_name_reasons(info), *_kind_reasons(info), *_size_reasons(info)]
    require(reasons + _clash_reasons([info.filename for info in files]))
    return files


def _is_folder(info: zipfile.ZipInfo) -> bool:
    # ZipInfo.is_dir fails on an empty name, which is what a leading NUL byte leaves.
    return info.filename.endswith("/")


def _name_reasons(info: zipfile.ZipInfo) -> list[str]:
    # zipfile shortens a name at a NUL byte; what the archive really says must be safe.
    if is_safe_name(info.orig_filename.removesuffix("/")):
        return []
    return [f"{info.orig_filename!r} is no safe member name (no '..', no leading '/' or '.', plain letters)"]


def _kind_reasons(info: zipfile.ZipInfo) -> list[str]:
    reasons = []
    plain = stat.S_IFDIR if _is_folder(info) else stat.S_IFREG
    if stat.S_IFMT(info.external_attr >> 16) not in (0, plain):
        reasons.append(f"{info.filename!r} is a link or a device; only plain files are taken")
    if info.compress_type not in _PACKINGS:
        reasons.append(f"{info.filename!r} is packed in a way that robots do not read; store or deflate it")
    return reasons


def _size_reasons(info: zipfile.ZipInfo) -> list[str]:
    reasons = []
    if info.file_size > MAX_MEMBER_BYTES:
        reasons.append(f"{info.filename!r} has {info.file_size} bytes; at most {MAX_MEMBER_BYTES} are taken")
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        reasons.append(f"{info.filename!r} unpacks to more than {MAX_RATIO} times its size")
    return reasons


def _clash_reasons(names: list[str]) -> list[str]:
    counts = Counter(names)
    reasons = [f"{name!r} occurs {count} times" for name, count in sorted(counts.items()) if count > 1]
    folders = {str(parent) for name in counts for parent in PurePosixPath(name).parents}
    return reasons + [f"{name!r} is a file and a folder" for name in sorted(folders & counts.keys())]


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, keep: bool) -> tuple[Member, bytes | None]:
    digest = hashlib.sha256()
    kept: list[bytes] = []
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            if keep:
                kept.append(chunk)
    member = Member(info.filename, digest.hexdigest(), info.file_size)
    return member, b"".join(kept) if keep else None
