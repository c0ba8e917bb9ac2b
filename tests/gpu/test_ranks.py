"""A job on two GPUs, NCCL between them: it ends, and goes on after a SIGTERM."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from periscope_embedded.seaweedfs import SeaweedFS
from tests.integration.training.test_ranks import PATIENCE_S, TwoRanks, until
from tests.unit.detectnet_trainer.small_data import options, store_job

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]


@pytest.fixture
def ranks(device: torch.device, seaweedfs: SeaweedFS, s3_bucket: str, tmp_path: Path) -> TwoRanks:
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("one GPU only")
    return TwoRanks(seaweedfs, s3_bucket, tmp_path)


def test_a_job_on_two_gpus_is_stopped_and_goes_on_to_its_end(ranks: TwoRanks) -> None:
    job_id = store_job(ranks.store, options(epochs=6))
    first = ranks.start(job_id)
    until(lambda: ranks.epochs(job_id) >= 1, first)
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 143, said

    code, said = ranks.run(job_id, attempt=2)

    assert code == 0, said
    assert ranks.epochs(job_id) == 6
