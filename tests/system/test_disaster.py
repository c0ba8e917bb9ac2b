"""The bucket is copied, lost, and brought back: nothing is missing, and robots go on as if nothing had been."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope_embedded.robot import AGENT
from periscope_embedded.seaweedfs import BUCKET, SeaweedFS
from tests.system.loop import Stack, persist, publish, push, train

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]
DEVICE = "submarine"


@dataclass
class Robot:
    """The real agent, in a folder that outlives the disaster."""

    folder: Path

    @classmethod
    def enrolled(cls, stack: Stack, folder: Path, model: str) -> Robot:
        registry = stack.client("registry")
        registry.put(f"/v1/devices/{DEVICE}", json={"model": model, "alias": "latest"})
        made = registry.post("/v1/tokens", json={"role": "device", "name": DEVICE, "device_id": DEVICE})
        (folder / "token").write_text(made["token"])
        config = {
            "registry_url": stack.addresses()["registry_url"], "device": DEVICE,
            "token_file": str(folder / "token"), "root": str(folder / "root"), "spare_bytes": 0,
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        return cls(folder)

    def agent(self, *arguments: str) -> str:
        command = [sys.executable, str(AGENT), "--config", str(self.folder / "config.json"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def version(self) -> int:
        return int(json.loads(self.agent("status"))["version"])


def upkeep(store: SeaweedFS, command: str, folder: Path) -> None:
    """The program as the guide runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "periscope_upkeep", command, str(folder)],
        env={**os.environ, **store.environ(BUCKET)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@contextmanager
def running(store: SeaweedFS) -> Iterator[None]:
    """The store alone, without services; a crash ends it sooner than it ends by itself, and loses nothing."""
    store.start()
    try:
        store.wait_ready()
        yield
    finally:
        store.kill()


def contents(stack: Stack) -> dict[str, bytes]:
    """Every object that means something, whole."""
    store = stack.store()
    return {info.key: store.get(info.key).body for info in store.list("") if not keys.is_passing(info.key)}


def shown(stack: Stack) -> dict[str, Any]:
    """What users see."""
    job = persist(lambda: stack.client("training").get("/v1/jobs"))["items"][0]
    return {
        "datasets": persist(lambda: stack.client("dataset").get("/v1/datasets"))["items"],
        "jobs": persist(lambda: stack.client("training").get("/v1/jobs"))["items"],
        "curves": persist(lambda: stack.client("training").get(f"/v1/jobs/{job['id']}/history")),
        "models": persist(lambda: stack.client("registry").get("/v1/models"))["items"],
        "versions": persist(lambda: stack.client("registry").get("/v1/models/dive/versions"))["items"],
        "tokens": persist(lambda: stack.client("registry").get("/v1/tokens"))["items"],
    }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    subprocess.run(
        [sys.executable, "-m", "periscope_embedded", "down"],
        env={**os.environ, "PERISCOPE_HOME": str(tmp_path / "home")}, check=False, capture_output=True,
    )  # fmt: skip


def test_after_the_loss_of_the_bucket_nothing_is_missing_and_robots_go_on(home: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    with Stack.serving(home) as stack:
        pushed = push(stack, "dive", tmp_path)
        job = train(stack, "dive", pushed["version"])
        publish(stack, "dive", job)
        robot = Robot.enrolled(stack, tmp_path, "dive")
        robot.agent("once")
        before = shown(stack)
        upkeep(SeaweedFS(home / "store"), "backup", copies)
        held = contents(stack)

    lost = SeaweedFS(home / "store")
    shutil.rmtree(home / "store" / "data")
    assert robot.version() == 1  # Without a registry it keeps what it has.
    with running(lost):
        assert contents(stack) == {}
        upkeep(lost, "restore", copies)
        assert contents(stack) == held

    with Stack.serving(home) as stack:
        assert shown(stack) == before
        robot.agent("once")
        assert robot.version() == 1
        publish(stack, "dive", job, "2")  # What training left of an older epoch is there as well.
        robot.agent("once")
        assert robot.version() == 2
        device = persist(lambda: stack.client("registry").get(f"/v1/devices/{DEVICE}"))
        assert device["last_report"]["version"] == 2
