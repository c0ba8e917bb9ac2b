"""A job's log for somebody who follows it: what the newest attempt and all after it write, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from periscope import keys
from periscope.store import ObjectMissing, ObjectStore
from periscope_training.job_document import job_of
from periscope_training.launcher import Launcher, LogTail, Run
from periscope_training.lifecycle import Attempt

CHUNK_BYTES = 1 << 20


class FollowedLog:
    """The log of one job as one follower reads it."""

    def __init__(
        self, store: ObjectStore, launcher: Launcher, job_id: str, attempt: int | None, offset: int
    ) -> None:
        """``attempt`` None follows the newest and all that come after it; ``offset`` bytes are left out."""
        self._store = store
        self._launcher = launcher
        self._job_id = job_id
        self._number = attempt
        self._alone = attempt is not None
        self._offset = offset
        self._tail: LogTail | None = None
        self._is_told = False

    def more(self, job: Mapping[str, Any]) -> Iterator[bytes]:
        """What is new, given the job document as it is now. Raises LauncherUnavailable, StoreUnavailable."""
        attempts = job_of(job).attempts
        if self._number is None and attempts:
            self._number = attempts[-1].number
        for attempt in attempts:
            if attempt.number > (self._number or 0) and not self._alone:
                self._begin(attempt.number)
            if attempt.number == self._number:
                yield from self._news_of(attempt)

    def close(self) -> None:
        """Nobody follows any more."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _begin(self, number: int) -> None:
        self.close()
        self._number, self._offset, self._is_told = number, 0, False

    def _news_of(self, attempt: Attempt) -> Iterator[bytes]:
        if self._tail is None and attempt.ended:
            yield from self._archived(attempt.number)
        elif self._tail is None and attempt.handle is not None:
            self._tail = self._launcher.follow(Run(self._job_id, attempt.number, attempt.handle))
        if self._tail is not None:
            text = self._tail.more()
            yield text[self._offset :]
            self._offset = max(0, self._offset - len(text))

    def _archived(self, number: int) -> Iterator[bytes]:
        if self._is_told:
            return
        self._is_told = True
        try:
            while chunk := self._store.get_range(
                keys.attempt_log(self._job_id, number), self._offset, CHUNK_BYTES
            ):
                yield chunk
                self._offset += len(chunk)
        except ObjectMissing:
            return
