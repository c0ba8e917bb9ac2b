"""The bucket is copied, lost, and brought back: nothing is missing, and robots go on as if nothing had been."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope_embedded.seaweedfs import BUCKET, SeaweedFS
from tests.system.loop import Stack, persist, publish, push, train
from tests.system.robot import DEVICE, Robot

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]


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
        robot.run("once")
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
        robot.run("once")
        assert robot.version() == 1
        publish(stack, "dive", job, "2")  # What training left of an older epoch is there as well.
        robot.run("once")
        assert robot.version() == 2
        device = persist(lambda: stack.client("registry").get(f"/v1/devices/{DEVICE}"))
        assert device["last_report"]["version"] == 2
