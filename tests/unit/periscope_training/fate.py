"""A service that is killed at its n-th outward step: before or after the step took effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from periscope.store import StoreUnavailable
from tests.fakes import MemoryStore

T = TypeVar("T")


class Killed(BaseException):
    """Nothing in the service may catch this, as nothing catches SIGKILL."""


class Fate:
    """Counts points at which the service may die; without an appointed one it lives."""

    def __init__(self) -> None:
        self.points = 0
        self.appointed: int | None = None

    def point(self) -> None:
        self.points += 1
        if self.points == self.appointed:
            raise Killed

    def around(self, act: Callable[[], T]) -> T:
        self.point()
        result = act()
        self.point()
        return result


class MortalStore(MemoryStore):
    """The store of a service that may be killed at each write; or one that does not answer for a while."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self.fate = fate
        self.unavailable = False

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> str:
        return self.fate.around(lambda: super(MortalStore, self).put(key, body, content_type=content_type))

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        return self.fate.around(lambda: super(MortalStore, self).put_if_absent(key, body))

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        return self.fate.around(lambda: super(MortalStore, self).put_if_match(key, body, etag))

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        self.fate.around(lambda: super(MortalStore, self).put_file(key, path))

    def list(self, prefix: str):
        if self.unavailable:
            raise StoreUnavailable("no answer")
        return super().list(prefix)
