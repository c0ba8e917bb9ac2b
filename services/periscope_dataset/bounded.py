"""A file that gives a careless reader no more than a bounded piece at once."""

from __future__ import annotations

import io
import tarfile
from typing import Protocol

from periscope_dataset.findings import Finding, IngestRefused


class Readable(Protocol):
    """What a bounded file reads from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes; all that is left where it is negative."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, in bytes; return it."""

    def tell(self) -> int:
        """The place, in bytes."""


class Bounded:
    """A file of which a careless reader gets no more than ``limit`` bytes at once."""

    def __init__(self, file: Readable, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._last = b""

    def read(self, size: int = -1) -> bytes:
        """Read on. Raises IngestRefused for more than the limit."""
        if size > self._limit:
            raise directory_too_big(self._limit)
        self._last = self._file.read(self._limit + 1 if size < 0 else size)
        if len(self._last) > self._limit:
            raise directory_too_big(self._limit)
        return self._last

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, in bytes; return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place, in bytes."""
        return self._file.tell()

    def seekable(self) -> bool:
        """The readers of archives ask."""
        return True

    def close(self) -> None:
        """The file belongs to the caller."""

    def write(self, _: bytes) -> int:
        """Never. Raises UnsupportedOperation."""
        raise io.UnsupportedOperation("this file is for reading")

    def require_end_mark(self) -> None:
        """Python takes a tar for whole that ends at a member's edge; a whole one ends in a block of zeros."""
        if self._last != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("the tar file has no end mark")


def directory_too_big(limit: int) -> IngestRefused:
    """What is told when a table of contents alone would fill the memory."""
    message = f"the archive's table of contents has more than {limit} bytes"
    return IngestRefused(Finding("archive_too_big", message, "pack it as .tar.gz, or split the data set"))
