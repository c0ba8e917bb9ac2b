"""Writes a zip while its members come, without knowing how many: nothing is kept but its table of contents.

Members are stored as they are: pictures are compressed already. Python's own writer keeps every member's
description in memory, and half a million of them would take hundreds of megabytes.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

CHUNK_BYTES = 1 << 20
SPOOLED_BYTES = 4 << 20
"""A longer table of contents goes to the disk."""
_UTF8 = 0x0800
_NEW_YEAR_1980 = (0, (1 << 5) | 1)
"""Equal content gives equal bytes, so there is one time for all."""
_BIG, _MANY = 0xFFFFFFFF, 0xFFFF
_ZIP64_VERSION = 45


class ZipStream:
    """One zip; ask for its bytes member by member, then for its ``end``, and close it.

    A long table of contents goes to a file in ``scratch``.
    """

    def __init__(self, scratch: Path | None = None) -> None:
        self._written_bytes = 0
        self._members = 0
        self._directory = spool(SPOOLED_BYTES, scratch)

    def close(self) -> None:
        """Give up what is on the disk."""
        self._directory.close()

    def member(self, name: str, content: bytes) -> Iterator[bytes]:
        """The bytes of a member that is in memory."""
        yield self._header(name, len(content), zlib.crc32(content))
        yield content
        self._written_bytes += len(content)

    def member_file(self, name: str, file: IO[bytes]) -> Iterator[bytes]:
        """The bytes of a member that lies in a file; it is read twice."""
        checksum = size_bytes = 0
        for chunk in _chunks(file):
            checksum, size_bytes = zlib.crc32(chunk, checksum), size_bytes + len(chunk)
        yield self._header(name, size_bytes, checksum)
        yield from _chunks(file)
        self._written_bytes += size_bytes

    def end(self) -> Iterator[bytes]:
        """The table of contents, and where it is."""
        size_bytes = self._directory.tell()
        yield from _chunks(self._directory)
        start, count = self._written_bytes, self._members
        if start >= _BIG or size_bytes >= _BIG or count >= _MANY:
            versions = (_ZIP64_VERSION, _ZIP64_VERSION)
            yield struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, *versions, 0, 0, count, count, size_bytes, start)
            yield struct.pack("<IIQI", 0x07064B50, 0, start + size_bytes, 1)
        counted = min(count, _MANY)
        yield struct.pack(
            "<IHHHHIIH", 0x06054B50, 0, 0, counted, counted, min(size_bytes, _BIG), min(start, _BIG), 0
        )

    def _header(self, name: str, size_bytes: int, checksum: int) -> bytes:
        """Enter a member in the table of contents; return what stands before its content."""
        encoded, offset = name.encode(), self._written_bytes
        is_big = size_bytes >= _BIG
        local_extra = struct.pack("<HHQQ", 1, 16, size_bytes, size_bytes) if is_big else b""
        wide = [size_bytes, size_bytes] if is_big else []
        wide += [offset] if offset >= _BIG else []
        extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        shown, version = min(size_bytes, _BIG), _ZIP64_VERSION if wide else 20
        described = struct.pack("<HHHHIII", _UTF8, 0, *_NEW_YEAR_1980, checksum, shown, shown)
        self._directory.write(
            struct.pack("<IHH", 0x02014B50, version, version) + described
            + struct.pack("<HHHHHII", len(encoded), len(extra), 0, 0, 0, 0, min(offset, _BIG))
            + encoded + extra
        )  # fmt: skip
        self._members += 1
        header = struct.pack("<IH", 0x04034B50, version) + described
        header += struct.pack("<HH", len(encoded), len(local_extra)) + encoded + local_extra
        self._written_bytes += len(header)
        return header


def spool(size_bytes: int, folder: Path | None) -> IO[bytes]:
    """A file in memory that goes to the disk when it grows beyond ``size_bytes``."""
    place = None if folder is None else str(folder)
    file: IO[bytes] = tempfile.SpooledTemporaryFile(size_bytes, dir=place)  # noqa: SIM115 # The caller's.
    return file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
