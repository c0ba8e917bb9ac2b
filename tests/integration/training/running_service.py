"""Services as their users run them: gunicorn in a process of its own, that tests may kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from periscope.client import ServiceClient
from periscope_embedded.seaweedfs import free_ports
from tests.integration.training import pretend_trainer
from tests.unit.periscope_training.house import MANIFEST

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "admin-token-of-the-test"
PATIENCE_S = 40.0


class RunningGunicorn:
    """A service under gunicorn, restartable on the same port."""

    def __init__(self, package: str, environ: dict[str, str], folder: Path) -> None:
        port, probe_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self.probe_url = f"http://127.0.0.1:{probe_port}"
        self.client = ServiceClient(self.url, TOKEN, timeout_s=10)
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = folder / f"{package}.log"
        self._package = package
        self.environ = {
            **os.environ,
            **environ,
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("shared", "services", ".")),
            "PERISCOPE_BIND": f"127.0.0.1:{port}",
            "PERISCOPE_PROBE_BIND": f"127.0.0.1:{probe_port}",
            "PERISCOPE_ADMIN_TOKEN": TOKEN,
        }

    def start(self) -> None:
        command = [
            sys.executable, "-m", "gunicorn", "-c", "python:periscope.web.gunicorn_conf",
            "--no-control-socket", f"{self._package}.app:create_app_from_environ()",
        ]  # fmt: skip
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environ, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self.wait_for(self._is_ready)

    def ensure_running(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """SIGKILL to all of gunicorn at once; the runs have sessions of their own."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def wait_for(self, condition: Callable[[], bool], told: Callable[[], str] = str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            log = self.log_path.read_text()[-3000:]
            assert time.monotonic() < deadline, f"{told()}\n{log}"
            assert self.process is None or self.process.poll() is None, log
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.probe_url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False


class RunningTraining(RunningGunicorn):
    """The training service; its work folder and the store stay over restarts."""

    def __init__(
        self, s3_environ: dict[str, str], work_dir: Path, dataset_url: str, registry_url: str | None = None
    ) -> None:
        environ = {
            "PERISCOPE_WORK_DIR": str(work_dir / "work"),
            "PERISCOPE_DATASET_URL": dataset_url,
            "PERISCOPE_REGISTRY_URL": registry_url or dataset_url,
            "PERISCOPE_SERVICE_TOKEN": TOKEN,
            "PERISCOPE_JOB_TOKEN_SECRET": "secret",
            "PERISCOPE_TRAINER_COMMAND": f"{sys.executable} {pretend_trainer.__file__}",
            "PERISCOPE_STOP_GRACE_S": "2",
            "PERISCOPE_RETRY_BACKOFF_S": "0.2",
            "PERISCOPE_LEASE_TTL_S": "2",
            "PERISCOPE_POLL_S": "0.1",
        }
        super().__init__("periscope_training", {**s3_environ, **environ}, work_dir)
        self.environ["PERISCOPE_TRAINING_URL"] = self.url
        self.work_dir = work_dir

    def close(self) -> None:
        super().close()
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def cancel_all(self) -> None:
        """Leave no job behind that would hold the slot in the next test."""
        for job in self.client.get("/v1/jobs", params={"page_size": 200})["items"]:
            if job["ended_at"] is None:
                self.client.post(f"/v1/jobs/{job['id']}:cancel")
                self.wait_for_job(job["id"], lambda seen: seen["ended_at"] is not None)

    def create_job(self, name: str) -> str:
        body = {"name": name, "dataset": "pool", "input": {"width": 64, "height": 64}}
        return str(self.client.post("/v1/jobs", json=body)["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}")
        return found

    def wait_for_step(self, job_id: str, step: int) -> dict[str, Any]:
        """Until the training program has reported the step."""
        return self.wait_for_job(job_id, lambda job: (job["progress"] or {"step": 0})["step"] >= step)

    def wait_for_state(self, job_id: str, state: str) -> dict[str, Any]:
        return self.wait_for_job(job_id, lambda job: job["state"] == state)

    def wait_for_job(self, job_id: str, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            seen.append(self.job(job_id))
            return is_it(seen[-1])

        self.wait_for(look, lambda: f"last seen: {seen[-1:]}")
        return seen[-1]

    def pids(self) -> list[int]:
        """The supervisors that have files in the work folder."""
        files = (self.work_dir / "work" / "attempts").rglob("handle.json")
        return [json.loads(file.read_text())["pid"] for file in files]

    def metrics(self) -> str:
        return requests.get(f"{self.probe_url}/metrics", timeout=10).text


class DatasetStub(BaseHTTPRequestHandler):
    """Answers what the training service asks of the dataset service, for one dataset."""

    def do_GET(self) -> None:
        known = {
            "/v1/datasets?name=pool": {
                "items": [{"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}],
                "next_page_token": None,
            },
            "/v1/datasets/01ARZ3NDEKTSV4RRFFQ69G5FAV/versions/latest": MANIFEST,
        }
        body = json.dumps(known.get(self.path, {"title": "Not found", "detail": self.path})).encode()
        self.send_response(200 if self.path in known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests need no access log."""


@contextlib.contextmanager
def dataset_stub() -> Iterator[str]:
    """The stub's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), DatasetStub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
