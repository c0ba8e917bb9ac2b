"""A hundred clients who want live curves, and everybody else still served."""

from __future__ import annotations

import secrets
import statistics
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from periscope_embedded.seaweedfs import SeaweedFS
from tests.integration.training.running_service import TOKEN, RunningTraining, dataset_stub

pytestmark = pytest.mark.real_store
CLIENTS = 100


@pytest.fixture
def service(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTraining]:
    bucket = f"test-{secrets.token_hex(6)}"
    seaweedfs.make_bucket(bucket)
    with dataset_stub() as dataset_url:
        running = RunningTraining(seaweedfs.environ(bucket), tmp_path_factory.mktemp("streams"), dataset_url)
        try:
            running.start()
            yield running
        finally:
            running.close()


def test_open_streams_leave_room_for_everybody_else(service: RunningTraining) -> None:
    job_id = service.create_job("steps=200 pace=0.1")
    service.wait_for_step(job_id, 2)
    url = f"{service.url}/v1/jobs/{job_id}/events"
    answers: list[requests.Response] = []

    def open_stream() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answers.append(requests.get(url, headers=headers, stream=True, timeout=30))

    threads = [threading.Thread(target=open_stream) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    statuses = [response.status_code for response in answers]
    served = [response for response in answers if response.status_code == 200]
    assert (len(statuses), set(statuses)) == (CLIENTS, {200, 503})
    assert len(served) == 8
    assert all(response.headers["Retry-After"] for response in answers if response.status_code == 503)
    lines = served[0].iter_lines(decode_unicode=True)
    assert "event: progress" in (line for line in lines)
    # Not how fast the machine is, but that nobody waits for a stream to end: those last for minutes.
    waits = []
    for _ in range(15):
        begun = time.monotonic()
        assert requests.get(f"{service.probe_url}/livez", timeout=5).status_code == 200
        waits.append(time.monotonic() - begun)
        assert service.job(job_id)["state"] == "RUNNING"
    assert statistics.median(waits) < 0.1
    for response in answers:
        response.close()

    service.client.post(f"/v1/jobs/{job_id}:cancel")
    service.wait_for_state(job_id, "CANCELLED")


def test_a_paused_job_goes_on_where_it_stopped(service: RunningTraining) -> None:
    job_id = service.create_job("steps=60 pace=0.1")
    service.wait_for_step(job_id, 8)
    service.client.post(f"/v1/jobs/{job_id}:pause")
    paused = service.wait_for_state(job_id, "PAUSED")
    assert service.pids() == []

    service.client.post(f"/v1/jobs/{job_id}:resume")
    job = service.wait_for_state(job_id, "SUCCEEDED")

    assert [attempt["exit_code"] for attempt in job["attempts"]] == [143, 0]
    assert paused["progress"]["step"] >= 8
    log = str(service.client.get(f"/v1/jobs/{job_id}/log", params={"attempt": 2}))
    assert "begins at step 0" not in log
