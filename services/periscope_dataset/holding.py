"""Holds a lease for as long as a piece of work takes, and knows when it was lost."""

from __future__ import annotations

import fcntl
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from periscope.lease import Lease
from periscope.store import StoreUnavailable

CLAIM_TIMEOUT_S = 30.0
CLAIM_POLL_S = 0.2


class LeaseLost(Exception):
    """Another replica may have taken over; it begins the work anew."""


class WorkFolderTaken(Exception):
    """Another process of the service works in the same folder."""


class HeldLease:
    """Renews a lease from a thread of its own while it is entered; gives it up in the end."""

    def __init__(self, lease: Lease, ttl_s: float, sure_until: float) -> None:
        self._lease = lease
        self._ttl_s = ttl_s
        self._sure_until = sure_until
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    @classmethod
    def take(cls, lease: Lease, ttl_s: float) -> HeldLease | None:
        """Acquire the lease, or None while another has it. Raises StoreUnavailable."""
        # The clock is read before the request: the lease begins no earlier.
        begun = time.monotonic()
        return cls(lease, ttl_s, begun + ttl_s) if lease.acquire() else None

    def __enter__(self) -> HeldLease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        try:
            self._lease.release()
        except StoreUnavailable:
            return  # It runs out by itself.

    def require(self) -> None:
        """Raises LeaseLost unless nobody else can have it."""
        if time.monotonic() >= self._sure_until:
            raise LeaseLost("the lease was not renewed in time")

    def _renew(self) -> None:
        while not self._done.wait(self._ttl_s / 3):
            begun = time.monotonic()
            try:
                held = self._lease.acquire()
            except StoreUnavailable:
                continue  # Ours until it runs out.
            self._sure_until = begun + self._ttl_s if held else begun


class WorkFolder:
    """The folder of one process. Whoever restarts in it has the same name, and goes on at once."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        """Kept open: the lock ends with the process, however that ends."""

    @classmethod
    def claim(cls, path: Path, timeout_s: float = CLAIM_TIMEOUT_S) -> WorkFolder:
        """Wait for a predecessor to end. Raises WorkFolderTaken."""
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.close()
                    raise WorkFolderTaken(
                        f"another process works in {path}; give each a PERISCOPE_WORK_DIR of its own"
                    ) from None
                time.sleep(CLAIM_POLL_S)
            else:
                return cls(path, lock)

    @property
    def holder(self) -> str:
        """The name under which this process holds leases, the same after a restart."""
        file = self.path / "holder"
        if not file.exists():
            draft = file.with_suffix(".new")
            draft.write_text(secrets.token_hex(8))
            draft.replace(file)
        return file.read_text()

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()
