"""Whether a running attempt still gives signs of life: progress reports and commits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from periscope import keys
from periscope.store import ObjectStore
from periscope_training.progress import ProgressRecords

LOOK_EVERY = timedelta(seconds=30)


class VitalSigns:
    """Tells which attempts are silent; looks into the store now and then only.

    Times are this service's and the store's, never the training program's own: its clock may be wrong.
    """

    def __init__(
        self,
        store: ObjectStore,
        progress: ProgressRecords,
        silent_after_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._progress = progress
        self._silent_after = timedelta(seconds=silent_after_s)
        self._now = now
        self._looked: dict[str, tuple[datetime, datetime | None]] = {}

    def is_silent(self, job_id: str, running_since: datetime | None) -> bool:
        """Whether nothing was heard for too long since the attempt began to run. Raises StoreUnavailable."""
        now = self._now()
        if running_since is None or now - running_since < self._silent_after:
            return False
        looked_at, heard_at = self._looked.get(job_id, (None, None))
        if looked_at is None or now - looked_at >= min(LOOK_EVERY, self._silent_after):
            heard_at = self._heard_at(job_id)
            self._looked[job_id] = (now, heard_at)
        return heard_at is None or now - heard_at >= self._silent_after

    def _heard_at(self, job_id: str) -> datetime | None:
        commit = self._store.head(keys.checkpoint_document(job_id))
        record = self._progress.latest(job_id)
        received = None if record is None else record.get("received_at")
        times = [datetime.fromisoformat(received)] if received else []
        return max([*times, *([commit.modified_at] if commit is not None else [])], default=None)
