"""A split's index in memory, as the store has it: only the lines asked for are parsed."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, overload


class Index(Sequence[dict[str, Any]]):
    """The entries of a split, in order of their keys."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._starts = list(_line_starts(content))

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about."""
        return len(self._content) + 40 * len(self._starts)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, number: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, number: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, number: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(number, slice):
            return [self[index] for index in range(*number.indices(len(self)))]
        start = self._starts[number]
        entry: dict[str, Any] = json.loads(self._content[start : self._content.index(b"\n", start)])
        return entry

    def find(self, key: str) -> dict[str, Any] | None:
        """The entry of a picture, or None."""
        place = bisect_left(self, key, key=_key_of)
        entry = self[place] if place < len(self) else None
        return entry if entry is not None and entry["key"] == key else None

    def after(self, key: str | None, count: int) -> list[dict[str, Any]]:
        """At most ``count`` entries behind a key, or from the beginning."""
        begin = 0 if key is None else bisect_right(self, key, key=_key_of)
        return self[begin : begin + count]


def _key_of(entry: dict[str, Any]) -> str:
    return str(entry["key"])


def _line_starts(content: bytes) -> Iterator[int]:
    start = 0
    while start < len(content):
        yield start
        start = content.index(b"\n", start) + 1
