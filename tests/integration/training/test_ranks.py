"""A job in two real processes under torchrun, with gloo: how it ends, and that it goes on as if nothing had been."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from periscope.documents import Documents
from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS, free_ports
from tests.unit.detectnet_trainer.small_data import options, pictures, store_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PATIENCE_S = 120.0


class TwoRanks:
    """Starts attempts of jobs in a work folder of their own."""

    def __init__(self, seaweedfs: SeaweedFS, bucket: str, folder: Path) -> None:
        self.store = S3Store(seaweedfs.settings(bucket))
        self.folder = folder
        known = {**os.environ, **seaweedfs.environ(), "S3_BUCKET": bucket}
        self._environ = known | {
            "PERISCOPE_WORK_DIR": str(folder), "PERISCOPE_TRAINER_RANKS": "2", "PERISCOPE_STOP_GRACE_S": "60",
        }  # fmt: skip

    def start(self, job_id: str, attempt: int = 1, **environ: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "detectnet_trainer",
            "job",
            "--job",
            job_id,
            "--attempt",
            str(attempt),
        ]
        return subprocess.Popen(
            command, env=self._environ | environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, job_id: str, attempt: int = 1) -> tuple[int, str]:
        process = self.start(job_id, attempt)
        said, _ = process.communicate(timeout=PATIENCE_S)
        return process.returncode, said

    def epochs(self, job_id: str) -> int:
        return len(Documents(self.store).get("checkpoints", job_id).body["epochs"])

    def weights(self, job_id: str) -> str:
        files = Documents(self.store).get("checkpoints", job_id).body["epochs"][-1]["files"]
        key = next(file["key"] for name, file in files.items() if name.endswith(".caffemodel"))
        return hashlib.sha256(self.store.get(key).body).hexdigest()

    def pid(self, job_id: str, rank: int) -> int:
        return int((self.folder / "jobs" / job_id / "ranks" / f"{rank}.pid").read_text())


@pytest.fixture
def ranks(seaweedfs: SeaweedFS, s3_bucket: str, tmp_path: Path) -> TwoRanks:
    return TwoRanks(seaweedfs, s3_bucket, tmp_path)


def until(look: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_stopped_job_goes_on_to_the_bits_of_one_that_never_stopped(ranks: TwoRanks) -> None:
    training = options(epochs=6)
    undisturbed, stopped = store_job(ranks.store, training), store_job(ranks.store, training)

    code, said = ranks.run(undisturbed)
    assert code == 0, said
    first = ranks.start(stopped)
    until(lambda: ranks.epochs(stopped) >= 1, first)
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 143, said
    assert ranks.epochs(stopped) < 6
    code, said = ranks.run(stopped, attempt=2)

    assert code == 0, said
    assert ranks.weights(stopped) == ranks.weights(undisturbed)


def test_bad_data_in_one_process_is_bad_data_of_the_job(ranks: TwoRanks) -> None:
    broken = pictures(4)
    broken[1] = type(broken[1])(broken[1].name, b"no picture", broken[1].label)
    job_id = store_job(ranks.store, options(), train=broken)

    code, said = ranks.run(job_id)

    assert code == 65, said
    assert "0001.png" in said


def test_two_machines_train_the_bits_of_two_processes_on_one(ranks: TwoRanks) -> None:
    training = options(epochs=2)
    together, apart = store_job(ranks.store, training), store_job(ranks.store, training)
    code, said = ranks.run(together)
    assert code == 0, said
    (port,) = free_ports(1)
    machines = [
        ranks.start(
            apart,
            PERISCOPE_TRAINER_RANKS="1",
            PERISCOPE_TRAINER_NODES="2",
            PERISCOPE_NODE_RANK=str(number),
            PERISCOPE_FIRST_NODE=f"127.0.0.1:{port}",
            PERISCOPE_WORK_DIR=str(ranks.folder / f"machine-{number}"),
        )
        for number in (0, 1)
    ]
    for machine in machines:
        said, _ = machine.communicate(timeout=PATIENCE_S)
        assert machine.returncode == 0, said

    assert ranks.weights(apart) == ranks.weights(together)


def test_a_killed_process_takes_the_others_with_it_and_the_job_is_worth_another_try(ranks: TwoRanks) -> None:
    job_id = store_job(ranks.store, options(epochs=200))
    process = ranks.start(job_id)
    until(lambda: ranks.epochs(job_id) >= 1, process)
    pids = [ranks.pid(job_id, rank) for rank in (0, 1)]

    os.kill(pids[1], signal.SIGKILL)
    said, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 70, said
    assert not any(is_alive(pid) for pid in pids)
    # What counted before still does.
    assert ranks.epochs(job_id) >= 1
