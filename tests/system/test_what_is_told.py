"""What a running system tells of itself: logs that no caller can write lines into, and secrets nowhere."""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from periscope_embedded.home import SERVICES, Home
from periscope_embedded.seaweedfs import SeaweedFS
from tests.system.loop import Stack, run_loop
from tests.system.robot import DEVICE, Robot

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
FORGED = '{"event": "forged", "level": "info"}'
ESCAPE = "\x1b"
PRESIGNED = re.compile(rb"X-Amz-Signature=[0-9a-f]{64}", re.IGNORECASE)


@dataclass
class Used:
    """A system in which everything has been done once, by good callers and by one who means ill."""

    stack: Stack
    scratch: Path
    secrets: dict[str, str] = field(default_factory=dict)
    told: dict[str, bytes] = field(default_factory=dict)
    """By its place: everything that it has written or shows."""

    def use(self) -> None:
        home = Home(self.stack.home)
        identity = SeaweedFS(self.stack.home / "store").identity
        self.secrets |= {
            "bootstrap token": home.secrets().admin_token,
            "key of the job tokens": home.secrets().job_token_secret,
            "secret key of the store": identity.secret_access_key,
            "encryption key of the store": identity.encryption_key,
            "release key": _key_body(self.stack.home / "keys"),
            "token of a stranger": "a-token-that-nobody-here-has-given",
        }
        run_loop(self.stack, "dive", self.scratch)
        self._enrol_a_robot()
        self._call_with_ill_will()
        self._gather()

    def _enrol_a_robot(self) -> None:
        robot = Robot.enrolled(self.stack, self.scratch, "dive")
        registry = self.stack.client("registry")
        self.secrets |= {
            "token of a robot": (self.scratch / "token").read_text(),
            "enrolment code": registry.post(f"/v1/devices/{DEVICE}:code", json={})["code"],
            "token of a viewer": registry.post("/v1/tokens", json={"role": "viewer", "name": "x"})["token"],
        }
        done = robot.run("once")
        self.told["the robot's agent"] = (done.stdout + done.stderr).encode()

    def _call_with_ill_will(self) -> None:
        """New lines, colours and other programs' words wherever a caller may put a word."""
        hostile = f"x\n{FORGED}\r\n{ESCAPE}[2J"
        quoted = requests.utils.quote(hostile, safe="")
        body = dict.fromkeys(("name", "dataset", "notes", "model", "description"), hostile)
        administrator = {"Authorization": f"Bearer {self.secrets['bootstrap token']}"}
        stranger = {
            "Authorization": f"Bearer {self.secrets['token of a stranger']}",
            "X-Request-Id": "x" * 300,
            "User-Agent": FORGED,
        }
        for service in SERVICES:
            url = self.stack.client(service).base_url
            for method, path, headers in (
                ("GET", f"/v1/{quoted}", administrator),
                ("GET", f"/v1/models/{quoted}", administrator),
                ("GET", f"/v1/jobs/{quoted}/log", administrator),
                ("GET", f"/v1/datasets/{quoted}?page_token={quoted}", administrator),
                ("PUT", f"/v1/models/{quoted}", administrator),
                ("PUT", f"/v1/devices/{quoted}", administrator),
                ("POST", "/v1/datasets", administrator),
                ("POST", "/v1/jobs", administrator),
                ("POST", "/v1/tokens", administrator),
                ("GET", "/v1/jobs", stranger),
            ):
                requests.request(method, url + path, headers=headers, json=body, timeout=30)
            _raw_request(url, f"GET /v1/{ESCAPE}[31m{FORGED} HTTP/1.1\r\nX: \x00\r\n\r\n")

    def _gather(self) -> None:
        for path in (self.stack.home / "logs").iterdir():
            self.told[f"the log {path.name}"] = path.read_bytes()
        store = self.stack.store()
        for info in store.list(""):
            if not info.key.startswith("blobs/") and not info.key.endswith((".caffemodel", ".pt")):
                self.told[f"the object {info.key}"] = store.get(info.key).body
        for service in SERVICES:
            url = self.stack.client(service).base_url
            for path in ("/metrics", "/openapi.json", "/readyz"):
                self.told[f"{path} of {service}"] = requests.get(url + path, timeout=30).content


def _key_body(folder: Path) -> str:
    """The middle of the private key's text."""
    pem = next(path.read_text() for path in sorted(folder.iterdir()) if "PRIVATE" in path.read_text())
    return max(pem.splitlines(), key=len)


def _raw_request(url: str, text: str) -> None:
    """What no client library sends."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.connect()
    connection.sock.sendall(text.encode())
    connection.sock.recv(1 << 16)
    connection.close()


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    scratch = tmp_path_factory.mktemp("told")
    with Stack.serving(scratch / "home") as stack:
        used = Used(stack, scratch)
        used.use()
        yield used


@pytest.mark.parametrize("service", SERVICES)
def test_every_line_of_a_services_log_is_one_event_of_its_own(used: Used, service: str) -> None:
    log = used.told[f"the log {service}.log"]

    events = [json.loads(line) for line in log.splitlines()]

    assert any(FORGED in event.get("path", "") for event in events), "the ill-meant calls are not in the log"
    assert not [event for event in events if event["event"] == "forged"]
    assert ESCAPE.encode() not in log


def test_no_secret_is_told_anywhere(used: Used) -> None:
    found = [
        f"the {name} stands in {place}"
        for name, secret in used.secrets.items()
        for place, content in used.told.items()
        for form in (secret, base64.b64encode(secret.encode()).decode())
        if form.encode() in content
    ]

    assert not found
    assert len(used.told) > 30


def test_no_log_holds_an_address_that_opens_the_store(used: Used) -> None:
    logs = {place: content for place, content in used.told.items() if "log" in place}

    assert not [place for place, content in logs.items() if PRESIGNED.search(content)]
    assert len(logs) > len(SERVICES)
