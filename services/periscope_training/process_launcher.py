"""The launcher for one machine: each run is a process of its own session, under a supervisor.

The supervisor outlives this service; number, start time and boot of it are the handle, so a restarted service
adopts the run, or finds that it has ended and how. Files of an attempt lie under
``<work_dir>/attempts/<job>/<attempt>/<random>/``, what a job's attempts hand on to each other (the training
program's copy of the data) under ``<work_dir>/scratch/<job>/``. One service at a time uses a work folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path

from periscope_training import processes, supervisor
from periscope_training.gpus import chosen_gpus
from periscope_training.launcher import (
    Handle,
    Launch,
    LauncherUnavailable,
    LogTail,
    Observation,
    Phase,
    Run,
)

MAX_LOG_BYTES = 16 << 20
"""Of a longer log, the end is what one reads."""
HANDLE_FILE = "handle.json"
LOG_FILE = "log.txt"
KILLED_WITHIN_S = 5.0
CLOSE_MARGIN_S = 5.0
"""Added to the grace period when the service stops: time for the supervisor's own work."""

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "PERISCOPE_INSTANCE",
)
PASSED_ON_PREFIXES = (
    "S3_",
    "AWS_",
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "OMP_",
    "MKL_",
    "TORCH",
    "PYTORCH_",
)
"""What a run sees of the service's environment: the store and the machine, none of the service's tokens."""


class ProcessLauncher:
    """See :class:`periscope_training.launcher.Launcher`."""

    def __init__(
        self,
        work_dir: Path,
        command: tuple[str, ...],
        grace_s: float,
        environ: Mapping[str, str],
        gpus: Mapping[int, str] | None = None,
    ) -> None:
        """``gpus`` are this machine's, from index to UUID; without any, runs see what the machine has."""
        self._gpus = dict(gpus or {})
        self._attempts = work_dir / "attempts"
        self._scratch = work_dir / "scratch"
        self._command = command
        self._grace_s = grace_s
        self._environ = {name: value for name, value in environ.items() if _is_passed_on(name)}
        self._lock = threading.Lock()
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def create(self, launch: Launch) -> Handle:
        """Start a supervisor that waits for its release."""
        # What an earlier call for this attempt left was never recorded, so never released.
        self.delete(launch.job_id, launch.attempt)
        gpus = chosen_gpus(launch.resources, list(self._gpus), self._taken_gpus())
        directory = self._folder(launch.job_id, launch.attempt) / secrets.token_hex(8)
        try:
            directory.mkdir(parents=True)
            (self._scratch / launch.job_id).mkdir(parents=True, exist_ok=True)
            child = self._spawn(directory, launch, gpus)
            with self._lock:
                self._children[child.pid] = child
            handle = {**_handle_of(child.pid, directory), "gpus": gpus}
            supervisor.save_atomically(directory / HANDLE_FILE, json.dumps(handle).encode())
        except OSError as error:
            raise LauncherUnavailable(f"cannot start a process: {error}") from error
        return handle

    def _spawn(self, directory: Path, launch: Launch, gpus: Sequence[int]) -> subprocess.Popen[bytes]:
        environment = {
            **self._environ,
            "PERISCOPE_PROGRESS_URL": launch.progress_url,
            "PERISCOPE_PROGRESS_TOKEN": launch.progress_token,
            "PERISCOPE_WORK_DIR": str(self._scratch / launch.job_id),
        }
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._gpus[index] for index in gpus)
            environment["PERISCOPE_TRAINER_RANKS"] = str(max(1, len(gpus)))
        command = [*self._command, *launch.arguments()]
        wrapped = [sys.executable, supervisor.__file__, str(directory), str(self._grace_s), *command]
        with (directory / LOG_FILE).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the command is the service's own configuration
                wrapped,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=directory,
                start_new_session=True,
            )

    def release(self, run: Run) -> None:
        """Give the supervisor the word; after a restart it is gone, and :meth:`observe` says so."""
        with self._lock:
            child = self._children.get(run.handle["pid"])
        if child is None or child.stdin is None or child.stdin.closed:
            return
        try:
            with child.stdin as word:
                word.write(supervisor.RELEASE)
        except BrokenPipeError:
            return

    def observe(self, run: Run) -> Observation:
        """Look at the supervisor and at the files it leaves."""
        self._reap()
        directory = self._directory(run)
        exit_code = _load_exit_code(directory)
        started = (directory / supervisor.STARTED_FILE).exists()
        if exit_code is None and self._is_alive(run.handle):
            return Observation(Phase.RUNNING if started else Phase.CREATED, started=started)
        self._end(run.handle)
        # The supervisor may have written its last words between the two looks.
        exit_code = _load_exit_code(directory) if exit_code is None else exit_code
        started = (directory / supervisor.STARTED_FILE).exists()
        return Observation(Phase.ENDED, exit_code, started)

    def stop(self, run: Run) -> None:
        """SIGTERM to the supervisor, which passes it on once and then counts the grace period."""
        self._stop(run.handle)

    def log(self, run: Run) -> bytes:
        """The last MAX_LOG_BYTES of the run's standard output and error."""
        tail = self.follow(run)
        try:
            return tail.more()
        finally:
            tail.close()

    def follow(self, run: Run) -> LogTail:
        """The same, and what comes after it."""
        return FileTail(self._directory(run) / LOG_FILE)

    def delete(self, job_id: str, attempt: int) -> None:
        """End the attempt's processes and remove its files."""
        folder = self._folder(job_id, attempt)
        handles = _load_handles(folder)
        for handle in handles:
            self._end(handle)
        self._wait_for_the_end(handles, KILLED_WITHIN_S)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.parent.rmdir()
        except OSError:
            return  # Another attempt's files are still there, or nothing was.

    def runs(self) -> list[tuple[str, int]]:
        """What has files in the work folder."""
        return sorted(
            (path.parent.name, int(path.name)) for path in self._attempts.glob("*/*") if path.is_dir()
        )

    def forget(self, job_id: str) -> None:
        """Remove the job's scratch folder."""
        shutil.rmtree(self._scratch / job_id, ignore_errors=True)

    def kept_jobs(self) -> list[str]:
        """Jobs that have a scratch folder."""
        return sorted(path.name for path in self._scratch.glob("*") if path.is_dir())

    def close(self) -> None:
        """Ask every run to checkpoint and end, and wait until they have."""
        handles = _load_handles(self._attempts)
        for handle in handles:
            self._stop(handle)
        self._wait_for_the_end(handles, self._grace_s + CLOSE_MARGIN_S)

    def _folder(self, job_id: str, attempt: int) -> Path:
        return self._attempts / job_id / f"{attempt:04d}"

    def _directory(self, run: Run) -> Path:
        return self._folder(run.job_id, run.attempt) / str(run.handle["directory"])

    def _taken_gpus(self) -> set[int]:
        living = (handle for handle in _load_handles(self._attempts) if self._is_alive(handle))
        return {index for handle in living for index in handle.get("gpus", ())}

    def _is_alive(self, handle: Handle) -> bool:
        same_boot = handle["boot_id"] == processes.boot_id()
        return bool(same_boot and processes.start_time(handle["pid"]) == handle["start_time"])

    def _stop(self, handle: Handle) -> None:
        if handle["boot_id"] == processes.boot_id():
            processes.send_signal(handle["pid"], handle["start_time"], signal.SIGTERM)

    def _end(self, handle: Handle) -> None:
        if handle["boot_id"] == processes.boot_id():
            processes.end_session(handle["pid"], handle["start_time"])

    def _wait_for_the_end(self, handles: list[Handle], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while any(self._is_alive(handle) for handle in handles) and time.monotonic() < deadline:
            time.sleep(0.02)
        self._reap()

    def _reap(self) -> None:
        with self._lock:
            for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
                child = self._children.pop(pid)
                if child.stdin is not None:
                    child.stdin.close()


class FileTail:
    """See :class:`periscope_training.launcher.LogTail`; an open file can be read after it was removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BufferedReader | None = None

    def more(self) -> bytes:
        """At most MAX_LOG_BYTES, at the first call the last of them."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return b""
            size = self._file.seek(0, os.SEEK_END)
            self._file.seek(max(0, size - MAX_LOG_BYTES))
        return self._file.read(MAX_LOG_BYTES)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _is_passed_on(name: str) -> bool:
    return name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)


def _handle_of(pid: int, directory: Path) -> Handle:
    started = processes.start_time(pid)
    if started is None:
        raise LauncherUnavailable("the supervisor ended at once")
    return {"pid": pid, "start_time": started, "boot_id": processes.boot_id(), "directory": directory.name}


def _load_handles(folder: Path) -> list[Handle]:
    return [json.loads(path.read_bytes()) for path in folder.rglob(HANDLE_FILE)]


def _load_exit_code(directory: Path) -> int | None:
    try:
        return int(json.loads((directory / supervisor.EXIT_FILE).read_bytes())["exit_code"])
    except FileNotFoundError:
        return None
