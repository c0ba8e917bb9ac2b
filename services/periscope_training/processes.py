"""Recognising a Linux process again: by number, start time and boot, never by number alone.

Numbers are used again; the same number with the same start time in the same boot is the same process.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = frozenset("ZX")
_STATE, _SESSION, _START_TIME = 0, 3, 19  # Positions after the name in /proc/<pid>/stat.


def boot_id() -> str:
    """Differs after each boot of the machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which the process began; None when there is none or only its remains."""
    fields = _stat(pid)
    return None if fields is None or fields[_STATE] in _DEAD_STATES else int(fields[_START_TIME])


def send_signal(pid: int, started: int, number: signal.Signals) -> bool:
    """Signal the process that began at ``started``; False when it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # The handle pins the process, so what is compared is what is signalled.
        if start_time(pid) != started:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def end_session(leader: int, started: int) -> None:
    """Kill what a session has left behind after its leader, begun at ``started``, has gone or is to go."""
    now_leading = start_time(leader)
    if now_leading is not None and now_leading != started:
        return  # The number leads another session: ours was empty before it could be given out again.
    for pid in _session_members(leader):
        member_started = start_time(pid)
        if member_started is not None and member_started >= started:
            send_signal(pid, member_started, signal.SIGKILL)


def _session_members(session: int) -> list[int]:
    members = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields is not None and int(fields[_SESSION]) == session:
                members.append(int(entry.name))
    return members


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may hold blanks and parentheses itself.
    return text.rpartition(")")[2].split()
