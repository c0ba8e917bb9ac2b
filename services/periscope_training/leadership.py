"""Whether this replica leads: a lease that is renewed in good time and believed no longer than it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Renewable(Protocol):
    """A lease, such as :class:`periscope.lease.Lease`."""

    def acquire(self) -> bool:
        """Take or renew it; False when another holds it."""

    def release(self) -> None:
        """Give it up."""


class Leadership:
    """Only the leader acts on jobs and shows their figures; every replica answers requests."""

    def __init__(
        self, lease: Renewable, ttl_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease = lease
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._renewed_at: float | None = None

    @property
    def retry_s(self) -> float:
        """How long a replica that does not lead waits before it asks again."""
        return self._ttl_s / 3

    def hold(self) -> bool:
        """Renew the lease when a third of it is over, and say whether this replica leads."""
        now = self._monotonic()
        if self._renewed_at is not None and now - self._renewed_at < self._ttl_s / 3:
            return True
        # The clock is read before the request: the lease began no earlier.
        self._renewed_at = now if self._lease.acquire() else None
        return self._renewed_at is not None

    def is_held(self) -> bool:
        """Whether this replica leads now, without asking the store."""
        renewed_at = self._renewed_at
        return renewed_at is not None and self._monotonic() - renewed_at < self._ttl_s

    def release(self) -> None:
        """Let another replica lead at once."""
        if self._renewed_at is not None:
            self._renewed_at = None
            self._lease.release()
