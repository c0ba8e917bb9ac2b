"""Writes down now and then how far an ingest is, and when it will be done; ends one that may not go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from periscope.documents import Body
from periscope_dataset.holding import HeldLease
from periscope_dataset.journal import Journal

REPORT_EVERY_S = 1.0
SURE_FROM = 0.02
"""So much must be done before the rest is guessed at."""


class Stopped(Exception):
    """The service ends; the ingest goes on after the next start."""


class Reporter:
    """Called with the progress, 0-1, and the stage."""

    def __init__(
        self,
        tell: Callable[[Body], None],
        stopping: threading.Event,
        held: HeldLease,
        journal: Journal,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._stopping = stopping
        self._held = held
        self._journal = journal
        self._monotonic = monotonic
        self._began_at = self._told_at = monotonic()
        self._began_with: float | None = None
        self._told_that_it_gets_on = False

    def __call__(self, progress: float, stage: str) -> None:
        """Raises Stopped, LeaseLost, and what ``tell`` raises for an ingest that has ended."""
        if self._stopping.is_set():
            raise Stopped("the service ends")
        self._held.require()
        now = self._monotonic()
        if self._began_with is None:
            self._began_with = progress
        gets_on = self._journal.noted > 0 and not self._told_that_it_gets_on
        if now - self._told_at < REPORT_EVERY_S and not gets_on:
            return
        self._told_at = now
        told: Body = {"progress": round(progress, 3), "stage": stage, "eta_s": self._eta_s(progress, now)}
        if gets_on:
            # Whoever gets on, if only by a piece each time, gets there.
            told |= {"attempts": 1}
            self._told_that_it_gets_on = True
        self._tell(told)

    def _eta_s(self, progress: float, now: float) -> float | None:
        done = progress - (self._began_with or 0.0)
        if done < SURE_FROM:
            return None
        return round((now - self._began_at) * (1 - progress) / done, 1)
