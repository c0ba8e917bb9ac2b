"""What happens to a running stack: sudden ends, pauses, a store that fails, clocks that jump; by a seeded generator.

Faults are dealt like cards: every one of them comes before any comes again.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tests.chaos.proxy import MODES, Mode
from tests.chaos.replicas import ReplicatedStack

REPLICAS = ("dataset", "training", "registry", "dataset-2", "training-2", "registry-2")
VICTIMS = ("store", "trainer", "agent", *REPLICAS)
CALM_S = (3.0, 12.0)
"""Between two faults."""
PAUSE_S = (1.0, 12.0)
"""How long a process is stopped: below and above the time-outs of those who wait for it."""
FAULTY_S = (2.0, 15.0)
"""How long the store fails, and longer where nobody has met it yet."""
UNMET_S = 60.0
SHOWS_UP_S = 30.0
"""How long a process that comes and goes, a trainer or a robot's agent, is waited for."""
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
        self._deck: dict[str, Callable[[], bool]] = {
            **{f"{victim} killed": partial(self._kill, victim) for victim in VICTIMS},
            **{f"{victim} paused": partial(self._pause, victim) for victim in VICTIMS},
            **{f"store {mode}": partial(self._fail_store, mode) for mode in MODES},
            **{f"clock moved by {jump} s": partial(self._move_clock, jump) for jump in JUMPS_S},
            "supervisor killed": self._kill_supervisor,
        }

    @property
    def missed(self) -> list[str]:
        """Faults that have not happened yet."""
        return [name for name in self._deck if not self.done[name]]

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
        hand: list[str] = []
        while not self._ending.wait(self._random.uniform(*CALM_S)):
            if not hand:
                hand = self._random.sample(list(self._deck), len(self._deck))
            name = hand.pop()
            # A process may have ended by itself since.
            with suppress(ProcessLookupError):
                if self._deck[name]():
                    self.done[name] += 1

    def _seen(self, victim: str) -> int | None:
        """The victim's process, waited for."""
        deadline = time.monotonic() + SHOWS_UP_S
        while (pid := self._stack.pid(victim)) is None and time.monotonic() < deadline:
            if self._ending.wait(0.02):
                return None
        return pid

    def _kill(self, victim: str) -> bool:
        pid = self._seen(victim)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid is not None

    def _pause(self, victim: str) -> bool:
        pid = self._seen(victim)
        if pid is None:
            return False
        os.kill(pid, signal.SIGSTOP)
        try:
            self._ending.wait(self._random.uniform(*PAUSE_S))
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return True

    def _fail_store(self, mode: Mode) -> bool:
        """The store fails until somebody has met it, for some seconds at least."""
        proxy = self._stack.proxy
        before, deadline = proxy.met[mode], time.monotonic() + UNMET_S
        proxy.mode = mode
        try:
            self._ending.wait(self._random.uniform(*FAULTY_S))
            while proxy.met[mode] == before and time.monotonic() < deadline:
                if self._ending.wait(0.1):
                    break
        finally:
            proxy.mode = "sound"
        return proxy.met[mode] > before

    def _move_clock(self, jump_s: int) -> bool:
        self._stack.replicas[self._random.choice(sorted(self._stack.replicas))].set_clock(jump_s)
        return True

    def _kill_supervisor(self) -> bool:
        self._stack.kill_supervisor()
        return True
