"""Documents that were read a moment ago, for readers who are asked the same very often.

What this process wrote is never missed; another process's write is seen after ``max_age_s`` at the latest. So
whoever acts on what is read here looks again at the store itself before the act.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from periscope.documents import Document, Documents
from periscope.store import ObjectStore

MAX_AGE_S = 2.0
MAX_KEPT = 10_000


class RecentDocuments(Documents):
    """Reads as ``written`` does, by id and from memory where it can. Writes go to ``written``."""

    def __init__(
        self,
        store: ObjectStore,
        written: Documents,
        max_age_s: float = MAX_AGE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(store)
        self._written = written
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._kept: dict[tuple[str, str], tuple[float, int, Document]] = {}
        self._kept_lock = threading.Lock()

    def get(self, kind: str, document_id: str) -> Document:
        """Read a document; the body is shared and must be left as it is. Raises DocumentMissing."""
        now, writes = self._monotonic(), self._written.writes(kind)
        with self._kept_lock:
            kept = self._kept.get((kind, document_id))
        if kept is not None and now - kept[0] < self._max_age_s and kept[1] == writes:
            return kept[2]
        document = self._written.get(kind, document_id)
        with self._kept_lock:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[kind, document_id] = now, writes, document
        return document

    def id_of_name(self, kind: str, name: str) -> str | None:
        """The id that owns a name, or None."""
        return self._written.id_of_name(kind, name)
