"""A training job as a process on the real store, ended by signals at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from periscope.documents import Documents
from periscope.s3 import S3Store
from tests.unit.detectnet_trainer.small_data import options, store_job

PATIENCE_S = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.real_store]


def started(environ: Mapping[str, str], work: Path, job_id: str, attempt: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "detectnet_trainer", "job", "--job", job_id, "--attempt", str(attempt)]
    own = {**os.environ, **environ, "PERISCOPE_WORK_DIR": str(work), "OMP_NUM_THREADS": "1"}
    with (work / f"{job_id}-{attempt}.log").open("wb") as log:
        return subprocess.Popen(command, env=own, stdout=log, stderr=subprocess.STDOUT)


def committed_step(store: S3Store, job_id: str) -> int:
    latest = Documents(store).get("checkpoints", job_id).body["latest"]
    return 0 if latest is None else int(latest["step"])


def caffemodel(store: S3Store, job_id: str) -> bytes:
    body = Documents(store).get("checkpoints", job_id).body
    assert body["complete"]
    files = body["epochs"][-1]["files"]
    return b"".join(
        store.iterate(next(file["key"] for name, file in files.items() if name.endswith(".caffemodel")))
    )


@pytest.mark.parametrize(
    ("ending", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], ids=["TERM", "KILL"]
)
def test_a_job_ended_at_random_moments_ends_in_the_same_bytes(
    s3_store: S3Store, s3_environ: dict[str, str], tmp_path: Path, ending: signal.Signals, status: int
) -> None:
    training = options(epochs=5, augmentation={})
    whole, ended = store_job(s3_store, training), store_job(s3_store, training)
    unbroken = started(s3_environ, tmp_path, whole, 1)
    chance = random.Random(int(ending))
    attempt, endings = 1, 0
    for attempt in (1, 2):
        process = started(s3_environ, tmp_path, ended, attempt)
        wait_for_a_commit(s3_store, ended, process)
        time.sleep(chance.uniform(0, 0.7))
        process.send_signal(ending)
        endings += process.wait(PATIENCE_S) == status
    last = started(s3_environ, tmp_path, ended, attempt + 1)

    assert endings > 0
    assert last.wait(PATIENCE_S) == 0
    assert unbroken.wait(PATIENCE_S) == 0
    assert caffemodel(s3_store, ended) == caffemodel(s3_store, whole)


def test_two_live_attempts_end_as_one(s3_store: S3Store, s3_environ: dict[str, str], tmp_path: Path) -> None:
    job_id = store_job(s3_store, options(epochs=8))
    older = started(s3_environ, tmp_path, job_id, 1)
    wait_for_a_commit(s3_store, job_id, older)
    newer = started(s3_environ, tmp_path, job_id, 2)

    assert newer.wait(PATIENCE_S) == 0
    assert older.wait(PATIENCE_S) == 73
    body = Documents(s3_store).get("checkpoints", job_id).body
    steps = [epoch["step"] for epoch in body["epochs"]]
    assert steps == [3 * epoch for epoch in range(1, 9)]
    assert body["epochs"][-1]["attempt"] == 2
    assert b'"code": "superseded"' in (tmp_path / f"{job_id}-1.log").read_bytes().splitlines()[-1]


def wait_for_a_commit(store: S3Store, job_id: str, process: subprocess.Popen[bytes]) -> None:
    """Until the job has gone further than it was, or the process has ended."""
    before, deadline = committed_step(store, job_id), time.monotonic() + PATIENCE_S
    while process.poll() is None and committed_step(store, job_id) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
