"""Keeps a group of processes up, and takes every one of them down with itself, however it ends itself."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from periscope_embedded.child import Child, ChildSpec
from periscope_embedded.marked import MARK, end_marked, mark_of

TEND_EVERY_S = 0.2
GRACE_S = 20.0
"""For what the children have started themselves, a training run above all: it writes a checkpoint."""
WATCHDOG_TIMEOUT_S = 30.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal, named by the text, asked to end. No Exception, lest it be taken for a failure on the way."""


class Supervisor:
    """Children in the order they were added; they are stopped in the reverse order."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        tell: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        """``tell`` hears of ended and restarted children; ``on_change`` follows each."""
        self._folder = folder
        self._mark = mark_of(folder, secrets.token_hex(8))
        self._environ = dict(environ)
        self._tell = tell
        self._on_change = on_change
        self._children: list[Child] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._tending: threading.Thread | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def marked_environ(self) -> dict[str, str]:
        """The environment for children: with the mark by which they are found at the end."""
        return {**self._environ, MARK: self._mark}

    def begin(self) -> None:
        """End what a killed supervisor may have left in this folder, and set the watchdog."""
        end_marked(mark_of(self._folder), GRACE_S)
        self._watchdog = subprocess.Popen(  # noqa: S603 - our own argument list
            [sys.executable, "-m", "periscope_embedded.watchdog", self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environ,
            start_new_session=True,
        )

    def start(self, *specs: ChildSpec) -> None:
        """Start children side by side and return when all work. Raises child.NotReady."""
        started = [Child(spec) for spec in specs]
        with self._lock:
            self._children += started
        for child in started:
            child.start()
        for child in started:
            child.wait_ready()

    def keep_up(self) -> None:
        """From now on, start children again when they end."""
        self._tending = threading.Thread(target=self._tend, name="supervisor", daemon=True)
        self._tending.start()

    def pids(self) -> dict[str, int | None]:
        """The children's process numbers by name."""
        with self._lock:
            return {child.spec.name: child.pid for child in self._children}

    def stop(self) -> None:
        """End all children, the last first, and what they have started; then let the watchdog go."""
        self._stopping.set()
        if self._tending is not None:
            self._tending.join()
        for position, child in reversed(list(enumerate(self._children))):
            if position == 0:
                # What a service has left running may still want to write to the store, the first child.
                end_marked(self._mark, GRACE_S, spared=[pid for pid in [child.pid] if pid is not None])
            child.stop()
        end_marked(self._mark, 0)
        if self._watchdog is not None and self._watchdog.stdin is not None:
            with suppress(BrokenPipeError):
                self._watchdog.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._watchdog.wait(WATCHDOG_TIMEOUT_S)

    def _tend(self) -> None:
        while not self._stopping.wait(TEND_EVERY_S):
            with self._lock:
                told = [text for child in self._children if (text := child.tend()) is not None]
            for text in told:
                self._tell(text)
            if told:
                self._on_change()


@contextmanager
def signals_stop() -> Iterator[None]:
    """Within, SIGINT, SIGTERM and SIGHUP raise Stopped in the main thread, once; further ones are ignored.

    What was ignored before (SIGHUP under ``nohup``) stays ignored.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        ignore_signals()
        raise Stopped(signal.Signals(number).name)

    heard = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """From now on nothing interrupts what is being tidied up."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
