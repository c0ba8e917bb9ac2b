"""The web plumbing under the real server: its own port for probes, logs, odd requests, an orderly end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from periscope.web import gunicorn_conf
from tests.integration.web.slow_service import SLOW_S

TOKEN = {"Authorization": "Bearer x"}


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    url: str
    probe_url: str
    log_path: Path

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    port, probe_port = free_port(), free_port()
    log_path = tmp_path / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "python:periscope.web.gunicorn_conf", "--no-control-socket", "tests.integration.web.slow_service:create_app()"],
            env={**os.environ, "PERISCOPE_BIND": f"127.0.0.1:{port}", "PERISCOPE_PROBE_BIND": f"127.0.0.1:{probe_port}", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=log,
            stderr=log,
        )  # fmt: skip
    running = Running(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{probe_port}", log_path)
    try:
        wait_until_up(running)
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(running: Running) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(f"{running.probe_url}/livez", timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(running.log_path.read_text())


def test_probes_answer_while_every_thread_is_busy(service: Running) -> None:
    def slow(_: int) -> int:
        return requests.get(f"{service.url}/v1/slow", headers=TOKEN, timeout=30).status_code

    with ThreadPoolExecutor(gunicorn_conf.threads) as pool:
        answers = pool.map(slow, range(gunicorn_conf.threads))
        time.sleep(1.0)
        begun = time.monotonic()
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{service.url}/livez", timeout=0.5)
        statuses = [
            requests.get(f"{service.probe_url}{path}", timeout=2).status_code
            for path in ("/livez", "/readyz", "/metrics")
        ]
        took_s = time.monotonic() - begun

        assert statuses == [200, 200, 200]
        assert took_s < SLOW_S - 1.0
        assert list(answers) == [200] * gunicorn_conf.threads


def test_the_second_port_serves_nothing_else(service: Running) -> None:
    assert requests.get(f"{service.probe_url}/openapi.json", timeout=5).status_code == 404


def test_every_line_of_the_log_is_json_and_names_the_service(service: Running) -> None:
    requests.get(f"{service.url}/v1/nothing", headers={"X-Request-Id": "r1"}, timeout=5)
    requests.get(f"{service.probe_url}/livez", timeout=5)

    (line,) = service.logged()
    assert line["event"] == "request"
    assert (line["service"], line["request_id"], line["status"]) == ("slow", "r1", 404)


def test_a_body_in_chunks_is_taken_and_limited(service: Running) -> None:
    headers = {**TOKEN, "Content-Type": "application/json"}
    url = f"{service.url}/v1/things"

    taken = requests.post(url, data=iter([b'{"name":', b'"a"}']), headers=headers, timeout=5)
    broken = requests.post(url, data=iter([b'{"name":']), headers=headers, timeout=5)
    other = requests.post(
        url, data=iter([b"name=a"]), headers={**TOKEN, "Content-Type": "text/plain"}, timeout=5
    )
    large = requests.post(url, data=iter([b" " * 65_536] * 20), headers=headers, timeout=5)

    assert [answer.status_code for answer in (taken, broken, other, large)] == [200, 400, 415, 413]


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(service: Running) -> None:
    head = "POST /v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    host, _, port = service.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode())

        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_requests_under_way_are_answered_before_the_end(service: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(requests.get, f"{service.url}/v1/slow", headers=TOKEN, timeout=30)
        time.sleep(1.0)
        service.process.send_signal(signal.SIGTERM)

        assert answer.result().status_code == 200
    assert service.process.wait(15) == 0
