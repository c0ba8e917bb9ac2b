"""What happens to a running stack: sudden ends, pauses, a store that fails, clocks that jump; by a seeded generator."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from tests.chaos.proxy import MODES
from tests.chaos.replicas import ReplicatedStack

VICTIMS = ("store", "dataset", "training", "registry", "trainer", "dataset-2", "training-2", "registry-2")
CALM_S = (3.0, 12.0)
"""Between two faults."""
PAUSE_S = (1.0, 12.0)
"""How long a process is stopped: below and above the time-outs of those who wait for it."""
FAULTY_S = (2.0, 15.0)
"""How long the store fails."""
JUMPS_S = (-90, -20, 20, 90)
"""How far a clock jumps: below and above the life of a lease."""


class Faults:
    """Runs in a thread of its own until told to end; leaves everything running and sound."""

    def __init__(self, stack: ReplicatedStack, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._stack = stack
        self._random = random.Random(seed)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        """From now on things break."""
        self._thread.start()

    def end(self) -> None:
        """Break nothing more; return when nothing is paused and all clocks are right."""
        self._ending.set()
        self._thread.join()
        for replica in self._stack.replicas.values():
            replica.set_clock(0)

    def _run(self) -> None:
        acts: tuple[tuple[Callable[[], None], int], ...] = (
            (self._kill, 4),
            (self._pause, 3),
            (self._fail_store, 4),
            (self._move_clock, 2),
        )
        while not self._ending.wait(self._random.uniform(*CALM_S)):
            act = self._random.choices([one for one, _ in acts], [weight for _, weight in acts])[0]
            # A process may have ended by itself since.
            with suppress(ProcessLookupError):
                act()

    def _victim(self) -> tuple[str, int | None]:
        victim = self._random.choice(VICTIMS)
        return victim, self._stack.pid(victim)

    def _kill(self) -> None:
        victim, pid = self._victim()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self.done[f"{victim} killed"] += 1

    def _pause(self) -> None:
        victim, pid = self._victim()
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        try:
            self._ending.wait(self._random.uniform(*PAUSE_S))
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.done[f"{victim} paused"] += 1

    def _fail_store(self) -> None:
        mode = self._random.choice(MODES)
        self._stack.proxy.mode = mode
        try:
            self._ending.wait(self._random.uniform(*FAULTY_S))
        finally:
            self._stack.proxy.mode = "sound"
        self.done[f"store {mode}"] += 1

    def _move_clock(self) -> None:
        replica = self._stack.replicas[self._random.choice(sorted(self._stack.replicas))]
        replica.set_clock(self._random.choice(JUMPS_S))
        self.done["clock of a replica moved"] += 1
