"""A service under gunicorn on the real store, as a process that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import requests

from periscope.client import ServiceClient

ROOT = Path(__file__).resolve().parents[2]
ADMIN = "admin-token-of-the-tests"
START_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class GunicornService:
    """One replica of ``<package>.app``."""

    def __init__(self, package: str, store_environ: Mapping[str, str], folder: Path, **environ: str) -> None:
        self._package = package
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = ServiceClient(self.url, ADMIN, timeout_s=120)
        self._log = (folder / f"{package}-{self.port}.log").open("ab")
        self._environ = {
            **os.environ,
            **store_environ,
            "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'services'}",
            "PERISCOPE_BIND": f"127.0.0.1:{self.port}",
            "PERISCOPE_ADMIN_TOKEN": ADMIN,
            "PERISCOPE_WORK_DIR": str(folder),
            **environ,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it is ready."""
        command = [sys.executable, "-m", "gunicorn", "-c", "python:periscope.web.gunicorn_conf"]
        self.process = subprocess.Popen(
            [*command, f"{self._package}.app:create_app_from_environ()"],
            env=self._environ,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            assert self.process.poll() is None, f"the service ended:\n{self._log_tail()}"
            assert time.monotonic() < deadline, "the service is not ready in time"
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to gunicorn and its worker."""
        if self.process is not None:
            # It may have ended by itself.
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        self._log.close()

    def _log_tail(self) -> str:
        return Path(self._log.name).read_text()[-2000:]

    def worker_pid(self) -> int:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.RequestException:
            return False
