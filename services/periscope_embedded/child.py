"""One supervised process: started, waited for until it is ready, started again when it ends, stopped.

It leads a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY_S = 0.1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
STEADY_AFTER_S = 30.0
"""A process that has lived this long has started well: the next pause is a short one again."""
LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 1 << 16


class NotReady(Exception):
    """A process did not come up; the text holds the end of its log."""


@dataclass(frozen=True)
class ChildSpec:
    """What to start and how to tell that it works."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path
    log_path: Path
    is_ready: Callable[[], bool]
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 12.0


class Child:
    """One process at a time by a spec. Not safe for use by several threads at once."""

    def __init__(self, spec: ChildSpec, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.restarts = 0
        self._monotonic = monotonic
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._start_again_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process; its output goes to the end of its log."""
        spec = self.spec
        with spec.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own argument list
                spec.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(spec.environ),
                cwd=spec.folder,
                start_new_session=True,
            )
        self._started_at = self._monotonic()
        self._start_again_at = None

    def wait_ready(self) -> None:
        """Return when it works. Raises NotReady."""
        deadline = self._monotonic() + self.spec.ready_timeout_s
        while not self.spec.is_ready():
            if self.pid is None:
                raise NotReady(f"{self.spec.name} ended while it started; {self._log_text()}")
            if self._monotonic() > deadline:
                waited = f"{self.spec.ready_timeout_s:.0f} s"
                raise NotReady(f"{self.spec.name} is not ready after {waited}; {self._log_text()}")
            time.sleep(LOOK_EVERY_S)

    def tend(self) -> str | None:
        """Start it again when it has ended and its pause is over; tell what was done, or None.

        Each early end doubles the pause.
        """
        if self._process is None or self.pid is not None:
            return None
        now = self._monotonic()
        if self._start_again_at is None:
            code = self._process.wait()
            self._end_session(signal.SIGKILL)
            if now - self._started_at > STEADY_AFTER_S:
                self._pause_s = FIRST_PAUSE_S
            self._start_again_at = now + self._pause_s
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
            return f"{self.spec.name} ended ({_ending(code)}); starting it again in {pause_s:g} s"
        if now < self._start_again_at:
            return None
        self.start()
        self.restarts += 1
        return f"{self.spec.name} is started again"

    def stop(self) -> None:
        """SIGTERM and, after a while, SIGKILL; return when it is gone, and its workers too."""
        if self._process is None:
            return
        if self.pid is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self.spec.stop_timeout_s)
        self._end_session(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def log_tail(self) -> str:
        """The last lines of its log."""
        try:
            with self.spec.log_path.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _log_text(self) -> str:
        return f"its log {self.spec.log_path} ends:\n{self.log_tail() or '(nothing)'}"

    def _end_session(self, number: signal.Signals) -> None:
        """A worker that outlives its master would keep the port."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
