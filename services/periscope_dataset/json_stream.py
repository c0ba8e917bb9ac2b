"""Entries of the big lists of a JSON object, one at a time: the whole would take ten times its size."""

from __future__ import annotations

import codecs
import json
from collections.abc import Collection, Iterator
from typing import IO, Any

CHUNK_BYTES = 1 << 20
MAX_VALUE_CHARS = 64 << 20
"""One entry, or one value outside the lists."""
NUMBER_GOES_ON = ("", *".eE+-0123456789")


class BadJson(ValueError):
    """The file is no JSON object, or is cut off."""


def entries(file: IO[bytes], lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Pairs of a list's name and an entry, for the named lists at the top of the object. Raises BadJson."""
    reader = _Reader(file)
    try:
        yield from _top(reader, lists)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadJson):
            raise
        raise BadJson(str(error)) from error


def _top(reader: _Reader, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    reader.require("{")
    while not reader.skip("}"):
        name = reader.value()
        reader.require(":")
        if name in lists and reader.skip("["):
            while not reader.skip("]"):
                yield name, reader.value()
                reader.skip(",")
        else:
            reader.value()
        reader.skip(",")


class _Reader:
    """A text that is read on when it does not suffice."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoded = codecs.getincrementaldecoder("utf-8-sig")()
        self._scanner = json.JSONDecoder()
        self._text = ""
        self._place = 0
        self._ended = False

    def skip(self, mark: str) -> bool:
        """Go behind white space, and behind the mark if it is next; tell whether it was."""
        while True:
            while self._text[self._place : self._place + 1].isspace():
                self._place += 1
            if self._place < len(self._text) or not self._read_on():
                break
        found = self._text[self._place : self._place + 1] == mark
        self._place += found
        if not found and self._ended and self._place >= len(self._text):
            raise BadJson("it ends too early")
        return found

    def require(self, mark: str) -> None:
        """Go behind the mark."""
        if not self.skip(mark):
            raise BadJson(f"{mark} is missing")

    def value(self) -> Any:
        """The value that is next."""
        self.skip("\0")
        while True:
            try:
                value, place = self._scanner.raw_decode(self._text, self._place)
            except json.JSONDecodeError:
                if len(self._text) - self._place > MAX_VALUE_CHARS:
                    raise BadJson("a value is too long") from None
                if not self._read_on():
                    raise
                continue
            # A number at the edge of what was read may go on behind it.
            if self._text[place : place + 1] not in NUMBER_GOES_ON or not self._read_on():
                self._place = place
                return value

    def _read_on(self) -> bool:
        if self._ended:
            return False
        body = self._file.read(max(CHUNK_BYTES, len(self._text) - self._place))
        self._ended = not body
        self._text = self._text[self._place :] + self._decoded.decode(body, final=self._ended)
        self._place = 0
        return True
