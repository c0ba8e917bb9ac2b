"""A file that gives a careless reader no more than a bounded piece at once."""

from __future__ import annotations

import io
import tarfile
from typing import Protocol

from periscope_dataset.findings import Finding, IngestRefused


class Readable(Protocol):
    """What a bounded file reads from."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class Bounded:
    """A file of which a careless reader gets no more than ``limit`` bytes at once."""

    def __init__(self, file: Readable, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._last = b""

    def read(self, size: int = -1) -> bytes:
        if size > self._limit:
            raise directory_too_big(self._limit)
        self._last = self._file.read(self._limit + 1 if size < 0 else size)
        if len(self._last) > self._limit:
            raise directory_too_big(self._limit)
        return self._last

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """The file belongs to the caller."""

    def write(self, _: bytes) -> int:
        raise io.UnsupportedOperation("this file is for reading")

    def require_end_mark(self) -> None:
        """Python takes a tar for whole that ends at a member's edge; a whole one ends in a block of zeros."""
        if self._last != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("the tar file has no end mark")


def directory_too_big(limit: int) -> IngestRefused:
    message = f"the archive's table of contents has more than {limit} bytes"
    return IngestRefused(Finding("archive_too_big", message, "pack it as .tar.gz, or split the data set"))
