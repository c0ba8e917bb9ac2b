"""The registry under gunicorn on the real store, as a process that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from periscope.client import ServiceClient

ROOT = Path(__file__).resolve().parents[3]
ADMIN = "admin-token-of-the-tests"
START_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Registry:
    """One replica."""

    def __init__(self, store_environ: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = ServiceClient(self.url, ADMIN, timeout_s=120)
        self._log = (folder / f"registry-{self.port}.log").open("ab")
        self._environ = {
            **os.environ,
            **store_environ,
            "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT / 'services'}",
            "PERISCOPE_BIND": f"127.0.0.1:{self.port}",
            "PERISCOPE_ADMIN_TOKEN": ADMIN,
            "PERISCOPE_WORK_DIR": str(folder),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it is ready."""
        command = [sys.executable, "-m", "gunicorn", "-c", "python:periscope.web.gunicorn_conf"]
        self.process = subprocess.Popen(
            [*command, "periscope_registry.app:create_app_from_environ()"],
            env=self._environ,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_S
        while not self._is_ready():
            assert self.process.poll() is None, "the registry ended; its log tells why"
            assert time.monotonic() < deadline, "the registry is not ready in time"
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to gunicorn and its worker."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        self._log.close()

    def worker_pid(self) -> int:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def publish(self, model: str, path: Path, **notes: Any) -> dict[str, Any]:
        """Upload and finalize, as a publisher does."""
        self.client.put(f"/v1/models/{model}", json={})
        upload = self.client.upload_file(f"/v1/models/{model}/uploads", path)
        answer: dict[str, Any] = self.client.post(
            f"/v1/models/{model}/uploads/{upload['upload_id']}:finalize", json=notes
        )
        return answer

    def versions(self, model: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.client.get(
            f"/v1/models/{model}/versions", params={"page_size": 200}
        )["items"]
        return items

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.RequestException:
            return False
