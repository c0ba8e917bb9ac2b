"""The folder of the embedded default, ``.periscope``: one supervisor at a time, and secrets made once.

Everything that the embedded default writes lies in it; removing it (``make clean``) forgets all.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SERVICES = ("dataset", "training", "registry")
DEFAULT_FOLDER = ".periscope"
DOWN_TIMEOUT_S = 120.0
MAX_LOG_BYTES = 10 << 20


class AlreadyRunning(Exception):
    """Another supervisor holds the folder; the text says which and how to end it."""


@dataclass(frozen=True)
class Secrets:
    """Made at the first start and kept with mode 0600."""

    admin_token: str
    job_token_secret: str


class Home:
    """One ``.periscope`` folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def make(self) -> None:
        """Make the folder, for its owner only."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, *names: str) -> Path:
        """A folder of its own in here, made when it is missing."""
        path = self.folder.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log_path(self, name: str) -> Path:
        """Where a process writes; a log that has grown too long is set aside once."""
        path = self.path("logs") / f"{name}.log"
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def secrets(self) -> Secrets:
        """The secrets, made now if there are none."""
        known = self.load("secrets.json")
        if known is None:
            known = asdict(Secrets(secrets.token_urlsafe(32), secrets.token_urlsafe(32)))
            self.save("secrets.json", known)
        return Secrets(**known)

    def load(self, name: str) -> dict[str, Any] | None:
        """A JSON file, or None where there is none."""
        try:
            document = json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return None
        return document if isinstance(document, dict) else None

    def save(self, name: str, document: dict[str, Any]) -> None:
        """Write a JSON file whole, readable by its owner only."""
        draft = self.folder / f"{name}.new"
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(document, indent=2) + "\n")
        draft.replace(self.folder / name)

    def forget(self, name: str) -> None:
        """Remove a file; an absent one is no error."""
        (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def held(self, mode: str) -> Iterator[None]:
        """Hold the folder as its one supervisor; ``mode`` (``run``, ``serve``) is told to others.

        Raises:
            AlreadyRunning: somebody else holds it.
        """
        self.make()
        with (self.folder / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlreadyRunning(self._holder_text()) from error
            lock.truncate(0)
            lock.write(json.dumps({"pid": os.getpid(), "mode": mode}))
            lock.flush()
            yield

    def holder(self) -> dict[str, Any] | None:
        """``pid`` and ``mode`` of the supervisor, or None where none is at work."""
        try:
            with (self.folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            # Its words follow its lock at once.
            time.sleep(0.05)
            try:
                told = json.loads((self.folder / "lock").read_text())
            except ValueError:
                return {}
            return told if isinstance(told, dict) else {}
        return None

    def end_holder(self) -> bool:
        """End the supervisor and what it started; False where none was at work."""
        holder = self.holder()
        if not holder:
            return False
        os.kill(holder["pid"], signal.SIGTERM)
        deadline = time.monotonic() + DOWN_TIMEOUT_S
        while self.holder() is not None:
            if time.monotonic() > deadline:
                # Its watchdog then ends the rest.
                os.kill(holder["pid"], signal.SIGKILL)
            time.sleep(0.1)
        return True

    def _holder_text(self) -> str:
        told = self.holder() or {}
        return (
            f"{self.folder} is in use by process {told.get('pid', '(starting)')} ({told.get('mode', '?')}). "
            "`make down` ends it; `make status` tells what runs"
        )
