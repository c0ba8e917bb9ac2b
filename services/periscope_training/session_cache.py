"""Loaded networks, kept while there is room: what was used last stays, measured in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """What a load gives, and the memory that it holds."""

    value: T
    size_bytes: int


class SessionCache(Generic[T]):
    """A least-recently-used cache. One loads, others who want the same wait for it; different ones do not."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, Loaded[T]] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[Hashable, threading.Lock] = {}

    @property
    def size_bytes(self) -> int:
        """What is kept now."""
        with self._lock:
            return sum(kept.size_bytes for kept in self._kept.values())

    def get(self, key: Hashable, load: Callable[[], Loaded[T]]) -> T:
        """The value under ``key``, loaded where it is not here. What ``load`` raises is not kept.

        One that is larger than the whole limit is used and not kept.
        """
        found = self._find(key)
        if found is not None:
            return found.value
        with self._lock:
            own = self._loading.setdefault(key, threading.Lock())
        with own:
            found = self._find(key)
            if found is None:
                found = load()
                self._keep(key, found)
        return found.value

    def _find(self, key: Hashable) -> Loaded[T] | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: Hashable, loaded: Loaded[T]) -> None:
        with self._lock:
            self._loading.pop(key, None)
            self._kept[key] = loaded
            while self._kept and sum(kept.size_bytes for kept in self._kept.values()) > self._limit_bytes:
                self._kept.popitem(last=False)
