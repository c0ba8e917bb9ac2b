"""Finds and ends processes by a mark in their environment, which all their children inherit.

Process groups and parents do not do: a training run has a session of its own and outlives the service that
started it. A handle pins each process while it is looked at, so that a reused number is never signalled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

MARK = "PERISCOPE_INSTANCE"
LOOK_EVERY_S = 0.05
KILL_TIMEOUT_S = 10.0


def mark_of(folder: Path, instance: str = "") -> str:
    """The mark's value; without an instance, the beginning of all marks of this folder."""
    return f"{folder}:{instance}"


def find_marked(mark: str, spared: Collection[int] = ()) -> list[int]:
    """Numbers of live processes whose mark begins so, without our own and the ``spared``."""
    others = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    return sorted(pid for pid in others - {os.getpid(), *spared} if _has_mark(pid, mark))


def end_marked(mark: str, grace_s: float, spared: Collection[int] = ()) -> None:
    """SIGTERM, then SIGKILL to what is still there after ``grace_s``; return when all are gone."""
    _signal_all(mark, signal.SIGTERM, spared)
    deadline = time.monotonic() + grace_s
    while find_marked(mark, spared) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while find_marked(mark, spared) and time.monotonic() < deadline:
        # Again each time: a process may just be starting another.
        _signal_all(mark, signal.SIGKILL, spared)
        time.sleep(LOOK_EVERY_S)


def _signal_all(mark: str, number: signal.Signals, spared: Collection[int]) -> None:
    for pid in find_marked(mark, spared):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if _has_mark(pid, mark):
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
        finally:
            os.close(handle)


def _has_mark(pid: int, mark: str) -> bool:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False  # Gone, or another user's.
    wanted = f"{MARK}={mark}".encode()
    return any(variable.startswith(wanted) for variable in environ.split(b"\0"))
