"""The small process between the training service and one run of the training program.

It outlives the service, so that a restarted service can still learn how the run ended: it waits for the
service's word to begin, passes SIGTERM on, forces the end after a grace period, and writes the exit status
to a file as its last act. When the service dies before giving its word, nothing is run.

Started by :mod:`periscope_training.process_launcher` as a program of its own; it needs the standard library
only. Its standard input is the pipe for the word, its output is the run's log.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

RELEASE = b"go\n"
STARTED_FILE = "started"
EXIT_FILE = "exit.json"
EXIT_CANNOT_START = 78

_PR_SET_PDEATHSIG = 1
_HEARD = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_LOOK_EVERY_S = 1.0


def main(arguments: Sequence[str]) -> int:
    """Run ``DIRECTORY GRACE_S COMMAND...``; files go to the directory."""
    directory, grace_s, command = Path(arguments[0]), float(arguments[1]), arguments[2:]
    if sys.stdin.buffer.readline() != RELEASE:
        return 0
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    save_atomically(directory / STARTED_FILE, b"")
    exit_code = run_to_the_end(command, grace_s)
    save_atomically(directory / EXIT_FILE, json.dumps({"exit_code": exit_code}).encode())
    return 0


def run_to_the_end(command: Sequence[str], grace_s: float) -> int:
    """Run the command and return its exit status, 128 + n after signal n."""
    libc = ctypes.CDLL(None)
    become_child = functools.partial(_become_child, libc, os.getpid())
    try:
        # Safe here: this process has one thread.
        child = subprocess.Popen(  # noqa: S603 - the command is the service's own configuration
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=become_child,
        )
    except OSError as error:
        report = {
            "error": f"Cannot start the training program: {error}",
            "code": "cannot_start",
            "advice": "",
        }
        print(json.dumps(report), file=sys.stderr, flush=True)
        return EXIT_CANNOT_START
    _watch(child.pid, grace_s)
    # The program's own children must not outlive it: they would hold its GPU.
    _kill_group(child.pid)
    status = child.wait()
    return status if status >= 0 else 128 - status


def _become_child(libc: ctypes.CDLL, parent: int) -> None:
    """In the child before the program: hear signals again, and die with the supervisor."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _watch(pid: int, grace_s: float) -> None:
    """Return when the child has ended; it is not reaped yet, so its number is still its own."""
    deadline: float | None = None
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        heard = signal.sigtimedwait(_HEARD, _LOOK_EVERY_S)
        if heard is not None and heard.si_signo != signal.SIGCHLD and deadline is None:
            deadline = time.monotonic() + grace_s
            os.kill(pid, signal.SIGTERM)
        if deadline is not None and time.monotonic() >= deadline:
            _kill_group(pid)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def save_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, also after a power cut."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
