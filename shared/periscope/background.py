"""A thread that does one step again and again; a failing step is logged and tried again later."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

MAX_BACKOFF_S = 30.0

log = structlog.get_logger()


class Worker:
    """Calls ``step`` repeatedly, resting for the seconds it returns."""

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self._name = name
        self._step = step
        self._stopping = threading.Event()
        self._waking = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Do the next step now."""
        self._waking.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the step at hand, or leave it behind after ``timeout_s``."""
        self._stopping.set()
        self._waking.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._waking.clear()
            try:
                rest_s = self._step()
                failures = 0
            except Exception:
                # The edge of the thread: one bad step must not end the work for good.
                failures += 1
                rest_s = min(MAX_BACKOFF_S, 0.5 * 2**failures)
                log.exception("background_step_failed", worker=self._name, retry_in_s=rest_s)
            self._waking.wait(rest_s)
