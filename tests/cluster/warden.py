"""Owns every process, cgroup and folder of one test cluster, and leaves nothing when it ends.

Started by :mod:`tests.cluster.sandbox`, in a session of its own, so that Ctrl-C does not reach it. It reads
orders as JSON lines on standard input; end of input, however it came about (also by the death of the test
run), is the order to take everything down. Should the warden itself be killed, its processes die with it,
and the next warden in the same place removes the rest. It uses the standard library only, and refuses to go on
after an order it does not know.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

CGROUP_ROOT = Path("/sys/fs/cgroup")
FOLDER_PREFIX = "periscope-cluster-"
LOCK = "warden.lock"
UNDO = "undo.json"
END_TIMEOUT_S = 30.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Run in each new child: no process of the cluster outlives its warden."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def cgroup_hierarchies() -> list[Path]:
    """Where cgroups can be made: each v1 hierarchy, or the one of v2."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return [CGROUP_ROOT]
    return sorted(path for path in CGROUP_ROOT.iterdir() if path.is_dir() and not path.is_symlink())


class Warden:
    """What was started and made so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = hold(folder)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: list[list[str]] = []

    def start(self, name: str, argv: list[str], environ: dict[str, str]) -> dict[str, int]:
        """Start a process whose output goes to ``<folder>/<name>.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv,
                env=environ,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        return {"pid": self.processes[name].pid}

    def stop(self, name: str, signal_number: int, timeout_s: float) -> dict[str, int | None]:
        """Signal one process and wait for it; ``exit`` is None when it did not end in time."""
        process = self.processes[name]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal_number)
        try:
            return {"exit": process.wait(timeout_s)}
        except subprocess.TimeoutExpired:
            return {"exit": None}

    def poll(self, name: str) -> dict[str, int | None]:
        """The exit code of a process, or None while it runs."""
        return {"exit": self.processes[name].poll()}

    def cgroup(self) -> dict[str, str]:
        """Make a cgroup with the folder's name in every hierarchy."""
        for hierarchy in cgroup_hierarchies():
            (hierarchy / self.folder.name).mkdir()
        return {"name": self.folder.name}

    def at_end(self, argv: list[str]) -> dict[str, int]:
        """Keep a command to run when the processes are gone, the last kept first."""
        self.commands.append(argv)
        (self.folder / UNDO).write_text(json.dumps(self.commands))
        return {"kept": len(self.commands)}

    def end(self) -> None:
        """Kill what runs, wait until it is gone, and remove what was made."""
        deadline = time.monotonic() + END_TIMEOUT_S
        kill_all_children(deadline)
        remove_remains(self.folder, deadline)


def hold(folder: Path) -> IO[str]:
    """Lock a folder for as long as this process lives; the lock appears under its name only when it is held."""
    unnamed = folder / f".{LOCK}"
    lock = unnamed.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    unnamed.rename(folder / LOCK)
    return lock


def sweep(parent: Path) -> None:
    """Remove what wardens left that were killed: folders whose lock nobody holds any more."""
    for path in parent.glob(f"{FOLDER_PREFIX}*/{LOCK}"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_remains(path.parent, time.monotonic() + END_TIMEOUT_S)


def remove_remains(folder: Path, deadline: float) -> None:
    """Remove what a cluster without processes still has: what commands undo, its cgroups and its folder."""
    undo = folder / UNDO
    for argv in reversed(json.loads(undo.read_text()) if undo.exists() else []):
        subprocess.run(argv, check=False, timeout=END_TIMEOUT_S, capture_output=True)
    for hierarchy in cgroup_hierarchies():
        remove_cgroup(hierarchy / folder.name, deadline)
    shutil.rmtree(folder)


def kill_all_children(deadline: float) -> None:
    """Kill until no child is left; the children of a dead child become ours, and are next.

    Raises:
        TimeoutError: some process would not die.
    """
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        for child in children.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            if time.monotonic() > deadline:
                raise TimeoutError("a process of the cluster does not end")
            time.sleep(0.02)


def remove_cgroup(cgroup: Path, deadline: float) -> None:
    """Remove a cgroup and those inside it; the kernel lets go of a dead process's cgroup a moment late."""
    for path, _, _ in os.walk(cgroup, topdown=False):
        while True:
            try:
                Path(path).rmdir()
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                break


def serve(warden: Warden) -> None:
    """Carry out orders until there are no more."""
    orders: dict[str, Callable[..., Any]] = {
        "start": warden.start,
        "stop": warden.stop,
        "poll": warden.poll,
        "cgroup": warden.cgroup,
        "at_end": warden.at_end,
    }
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = orders[order.pop("do")](**order)
        except OSError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve one sandbox: the folder is the only argument."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    folder = Path(sys.argv[1])
    warden = Warden(folder)
    sweep(folder.parent)
    try:
        serve(warden)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        warden.end()


if __name__ == "__main__":
    main()
