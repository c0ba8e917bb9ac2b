"""``?wait=30s``: an answer that is held back until there is something to tell, for a while.

Polls hold a thread each, so only half the threads may be held; further ones are told to come back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MAX_WAITING = 8
LOOK_EVERY_S = 0.5


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


def _look_until(look: Callable[[], T], is_done: Callable[[T], bool], seen: T, deadline: float) -> T:
    while not is_done(seen) and (left_s := deadline - time.monotonic()) > 0:
        time.sleep(min(LOOK_EVERY_S, left_s))
        seen = look()
    return seen
