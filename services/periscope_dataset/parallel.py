"""Work on several cores, its results in the order of what was worked on."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """So many threads can work at once; decoding and hashing let go of Python's lock."""
    return len(os.sched_getaffinity(0))


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int
) -> Iterator[Result]:
    """Results in the order of ``items``, at most ``ahead`` of them under way; whatever ``work`` raises.

    ``items`` are drawn in the caller's thread, while others work.
    """
    # Not a ThreadPoolExecutor: that one refuses work, as if it were wrong, once the process is told to end.
    pool = ThreadPool(threads)
    try:
        pending: deque[AsyncResult[Result]] = deque()
        for item in items:
            pending.append(pool.apply_async(work, (item,)))
            if len(pending) >= ahead:
                yield pending.popleft().get()
        while pending:
            yield pending.popleft().get()
    finally:
        # Whoever comes next may remove the files that a thread is still at.
        pool.terminate()
        pool.join()


class MemoryBudget:
    """Bytes that threads may hold together."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._free_bytes = size_bytes
        self._freed = threading.Condition()

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Wait until there is room; who wants more than there is gets all of it."""
        taken = min(size_bytes, self._size_bytes)
        with self._freed:
            self._freed.wait_for(lambda: self._free_bytes >= taken)
            self._free_bytes -= taken
        try:
            yield
        finally:
            with self._freed:
                self._free_bytes += taken
                self._freed.notify_all()
