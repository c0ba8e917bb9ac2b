"""What happens to the processes of a running stack: sudden ends and pauses, chosen by a seeded generator."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from contextlib import suppress

from tests.system.loop import Stack

VICTIMS = ("store", "dataset", "training", "registry", "trainer")
CALM_S = (3.0, 15.0)
"""Between two faults."""
PAUSE_S = (1.0, 12.0)
"""How long a process is stopped: below and above the time-outs of those who wait for it."""


class Faults:
    """Runs in a thread of its own until told to end; leaves everything running."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._stack = stack
        self._random = random.Random(seed)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        """From now on things break."""
        self._thread.start()

    def end(self) -> None:
        """Break nothing more; return when nothing is paused any longer."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._random.uniform(*CALM_S)):
            victim = self._random.choice(VICTIMS)
            act = self._random.choice((self._kill, self._pause))
            pid = self._stack.pid(victim)
            if pid is not None:
                # It may have ended by itself since.
                with suppress(ProcessLookupError):
                    act(victim, pid)

    def _kill(self, victim: str, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.done[f"{victim} killed"] += 1

    def _pause(self, victim: str, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            self._ending.wait(self._random.uniform(*PAUSE_S))
        finally:
            os.kill(pid, signal.SIGCONT)
        self.done[f"{victim} paused"] += 1
