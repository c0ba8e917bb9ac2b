"""Sends a big file in parts, several at once, to where presigned URLs say; goes on where it was left."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

AT_ONCE = 4
CHUNK_BYTES = 1 << 20

OnProgress = Callable[[int, int], None]
"""Told the bytes done and the bytes in all."""
PutPart = Callable[[str, "PartOfFile"], None]
"""Sends a part's bytes to a URL; raises when that is in vain."""


class PartOfFile(io.RawIOBase):
    """Some bytes of a file, read as they are sent; each holds a file of its own."""

    def __init__(
        self, path: Path, start: int, size_bytes: int, on_read: Callable[[int], None] | None = None
    ) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._start = start
        self._size_bytes = size_bytes
        self._on_read = on_read
        self.seek(0)

    def __len__(self) -> int:
        return self._size_bytes

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always; a part that failed is sent again from its beginning."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Only from the beginning."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a part is read from its beginning")
        self._file.seek(self._start + offset)
        self._place = offset
        return offset

    def tell(self) -> int:
        """The place in the part."""
        return self._place

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; all that is left where it is negative."""
        left = self._size_bytes - self._place
        body = self._file.read(left if size < 0 else min(size, left))
        self._place += len(body)
        if self._on_read is not None:
            self._on_read(self._place)
        return body

    def close(self) -> None:
        """The file too."""
        self._file.close()
        super().close()


@dataclass
class Sending:
    """One file on its way."""

    path: Path
    size_bytes: int
    on_progress: OnProgress | None
    _done: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def missing(
        self, parts: Sequence[Mapping[str, Any]], received: Sequence[Mapping[str, Any]]
    ) -> list[tuple[int, Mapping[str, Any]]]:
        """Starts and parts that are still to be sent; what has arrived counts if it is byte for byte ours."""
        there = {part["number"]: part for part in received}
        found, start = [], 0
        for part in parts:
            arrived = there.get(part["number"])
            if arrived is not None and self._is_ours(start, part, arrived):
                self._tell(part["number"], part["size_bytes"])
            else:
                found.append((start, part))
            start += part["size_bytes"]
        return found

    def send(self, missing: Sequence[tuple[int, Mapping[str, Any]]], put_part: PutPart) -> None:
        """Send parts, several at once. Raises what ``put_part`` raises, of the first that fails."""

        def one(item: tuple[int, Mapping[str, Any]]) -> None:
            start, part = item
            number = part["number"]
            with PartOfFile(
                self.path, start, part["size_bytes"], lambda done: self._tell(number, done)
            ) as body:
                put_part(part["url"], body)
            self._tell(number, part["size_bytes"])

        with ThreadPool(AT_ONCE) as pool:
            for _ in pool.imap_unordered(one, missing):
                pass

    def _is_ours(self, start: int, part: Mapping[str, Any], arrived: Mapping[str, Any]) -> bool:
        if arrived["size_bytes"] != part["size_bytes"]:
            return False
        digest = hashlib.md5(usedforsecurity=False)
        with PartOfFile(self.path, start, part["size_bytes"]) as body:
            while chunk := body.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest() == str(arrived["etag"]).strip('"')

    def _tell(self, number: int, done: int) -> None:
        with self._lock:
            if self._done.get(number) == done:
                return
            self._done[number] = done
            if self.on_progress is not None:
                self.on_progress(sum(self._done.values()), self.size_bytes)
