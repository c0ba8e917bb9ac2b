"""``?wait=30s``: an answer that is held back until there is something to tell, for a while.

Polls hold a thread each, so only half the threads may be held; further ones are told to come back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

MAX_WAITING = 8
LOOK_EVERY_S = 0.5
LONGEST_STREAM_S = 900.0
"""Then a stream ends and the client, as browsers do by themselves, comes again."""


class TooManyWaiting(Exception):
    """Half the threads wait already."""


class LongPolls:
    """All long polls of one process."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._places = threading.BoundedSemaphore(limit)

    def wait(self, look: Callable[[], T], is_done: Callable[[T], bool], wait_s: float) -> T:
        """Look until ``is_done`` or ``wait_s`` have passed; return what was seen last.

        Raises TooManyWaiting.
        """
        seen = look()
        if wait_s <= 0 or is_done(seen):
            return seen
        if not self._places.acquire(blocking=False):
            raise TooManyWaiting("Too many requests wait already; ask again in a moment, or without wait.")
        try:
            return _look_until(look, is_done, seen, time.monotonic() + wait_s)
        finally:
            self._places.release()

    def hold(self, parts: Iterator[bytes]) -> Held:
        """Keep a place while an answer is sent part by part. Raises TooManyWaiting."""
        if not self._places.acquire(blocking=False):
            raise TooManyWaiting("Too many streams are open already; try again in a moment.")
        return Held(parts, self._places.release)

    def looks(self, look: Callable[[], T], longest_s: float = LONGEST_STREAM_S) -> Iterator[T]:
        """What is seen now and at every further look, for a stream; it ends after ``longest_s``."""
        deadline = time.monotonic() + longest_s
        while time.monotonic() < deadline:
            yield look()
            time.sleep(LOOK_EVERY_S)


class Held:
    """The parts of an answer; its place is given back once, when they end or the client leaves."""

    def __init__(self, parts: Iterator[bytes], release: Callable[[], None]) -> None:
        self._parts = parts
        self._release = release
        self._lock = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        """Itself."""
        return self

    def __next__(self) -> bytes:
        """The next part; whatever ends the parts gives the place back."""
        try:
            return next(self._parts)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the place back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._release()


def _look_until(look: Callable[[], T], is_done: Callable[[T], bool], seen: T, deadline: float) -> T:
    while not is_done(seen) and (left_s := deadline - time.monotonic()) > 0:
        time.sleep(min(LOOK_EVERY_S, left_s))
        seen = look()
    return seen
