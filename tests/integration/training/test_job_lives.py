"""Jobs under the real service: gunicorn, the real store, real processes and real signals."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator

import pytest
import requests

from periscope.client import ServiceProblem
from periscope_embedded.seaweedfs import SeaweedFS
from periscope_training import processes
from tests.integration.training.running_service import RunningTraining, dataset_stub
from tests.integration.training.test_process_launcher import children_of

pytestmark = pytest.mark.real_store


@pytest.fixture(scope="module")
def shared_service(
    seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningTraining]:
    bucket = f"test-{secrets.token_hex(6)}"
    seaweedfs.make_bucket(bucket)
    with dataset_stub() as dataset_url:
        work_dir = tmp_path_factory.mktemp("training")
        service = RunningTraining(seaweedfs.environ(bucket), work_dir, dataset_url)
        try:
            yield service
        finally:
            service.close()


@pytest.fixture
def service(shared_service: RunningTraining) -> Iterator[RunningTraining]:
    """The service, up and without work, whatever the test before did to it."""
    shared_service.ensure_running()
    yield shared_service
    shared_service.ensure_running()
    shared_service.cancel_all()


def log_of(service: RunningTraining, job_id: str, attempt: int = 1) -> str:
    return str(service.client.get(f"/v1/jobs/{job_id}/log", params={"attempt": attempt}))


def test_a_job_is_trained_and_tells_how_it_goes(service: RunningTraining) -> None:
    job_id = service.create_job("steps=10 pace=0.1")
    service.wait_for_step(job_id, 3)
    service.wait_for(lambda: f'periscope_train_loss_bbox{{run="{job_id}"}}' in service.metrics())
    job = service.wait_for_state(job_id, "SUCCEEDED")

    assert [entry["state"] for entry in job["history"]] == ["QUEUED", "STARTING", "RUNNING", "SUCCEEDED"]
    assert (job["best_epoch"]["epoch"], job["progress"]["ratio"]) == (2, 1.0)
    assert log_of(service, job_id).splitlines() == ["attempt 1 begins at step 0", "complete"]
    history = service.client.get(f"/v1/jobs/{job_id}/history")
    assert [record["step"] for record in history["progress"]] == list(range(1, 11))
    assert service.pids() == [], "nothing of an ended attempt stays in the work folder"


def test_a_killed_service_adopts_its_run_and_the_job_ends_with_one_attempt(service: RunningTraining) -> None:
    job_id = service.create_job("steps=40 pace=0.1")
    service.wait_for_step(job_id, 3)
    (supervisor,) = service.pids()
    started = processes.start_time(supervisor)
    service.kill()
    assert processes.start_time(supervisor) == started, "the run goes on alone"

    service.start()
    service.wait_for_step(job_id, 30)
    assert service.pids() == [supervisor]
    job = service.wait_for_state(job_id, "SUCCEEDED")
    assert [attempt["exit_code"] for attempt in job["attempts"]] == [0]
    assert "begins at step 0" in log_of(service, job_id)
    assert "complete" in log_of(service, job_id)


def test_a_run_that_ends_while_the_service_is_away_is_found_complete(service: RunningTraining) -> None:
    job_id = service.create_job("steps=10 pace=0.1")
    service.wait_for_step(job_id, 2)
    (supervisor,) = service.pids()
    service.kill()
    service.process = None
    service.wait_for(lambda: processes.start_time(supervisor) is None)
    service.start()

    job = service.wait_for_state(job_id, "SUCCEEDED")
    assert [attempt["exit_code"] for attempt in job["attempts"]] == [0]


def test_a_killed_training_program_is_followed_by_an_attempt_that_resumes(service: RunningTraining) -> None:
    job_id = service.create_job("steps=20 pace=0.1")
    service.wait_for_step(job_id, 7)
    (supervisor,) = service.pids()
    (program,) = children_of(supervisor)
    os.kill(program, signal.SIGKILL)

    job = service.wait_for_state(job_id, "SUCCEEDED")
    first, second = job["attempts"]
    assert (first["exit_code"], first["counted"], second["exit_code"]) == (137, True, 0)
    assert "attempt 2 begins at step 5" in log_of(service, job_id, 2)
    assert [epoch["epoch"] for epoch in service.client.get(f"/v1/jobs/{job_id}/epochs")["items"]] == [
        1,
        2,
        3,
        4,
    ]


def test_a_killed_supervisor_takes_its_program_along_and_the_job_goes_on(service: RunningTraining) -> None:
    job_id = service.create_job("steps=20 pace=0.1")
    service.wait_for_step(job_id, 7)
    (supervisor,) = service.pids()
    (program,) = children_of(supervisor)
    os.kill(supervisor, signal.SIGKILL)

    job = service.wait_for_state(job_id, "SUCCEEDED")
    assert [attempt["exit_code"] for attempt in job["attempts"]] == [None, 0]
    assert processes.start_time(program) is None


def test_a_program_that_dies_by_itself_is_started_again(service: RunningTraining) -> None:
    job = service.wait_for_state(service.create_job("steps=10 crash=8"), "SUCCEEDED")

    assert [attempt["exit_code"] for attempt in job["attempts"]] == [137, 0]


def test_a_cancelled_job_checkpoints_first(service: RunningTraining) -> None:
    job_id = service.create_job("steps=1000 pace=0.1")
    service.wait_for_step(job_id, 3)
    service.client.post(f"/v1/jobs/{job_id}:cancel")
    job = service.wait_for_state(job_id, "CANCELLED")

    assert [attempt["exit_code"] for attempt in job["attempts"]] == [143]
    assert "begins at step 0" in log_of(service, job_id)
    assert service.pids() == []


def test_a_program_that_does_not_listen_is_killed_after_the_grace_period(service: RunningTraining) -> None:
    job_id = service.create_job("steps=1000 pace=0.1 deaf")
    service.wait_for_step(job_id, 3)
    service.client.post(f"/v1/jobs/{job_id}:cancel")
    job = service.wait_for_state(job_id, "CANCELLED")

    assert [attempt["exit_code"] for attempt in job["attempts"]] == [137]


def test_bad_data_fails_the_job_at_once_with_the_programs_words(service: RunningTraining) -> None:
    job = service.wait_for_state(service.create_job("data"), "FAILED")

    assert job["reason"] == "img.png does not decode. Replace it."
    assert [attempt["exit_code"] for attempt in job["attempts"]] == [65]


def test_a_service_that_stops_in_good_order_leaves_no_process_and_resumes_later(
    service: RunningTraining,
) -> None:
    job_id = service.create_job("steps=30 pace=0.1")
    service.wait_for_step(job_id, 7)
    (supervisor,) = service.pids()
    service.stop()
    assert processes.start_time(supervisor) is None

    service.start()
    job = service.wait_for_state(job_id, "SUCCEEDED")
    first, second = job["attempts"]
    assert (first["exit_code"], first["counted"], second["exit_code"]) == (143, False, 0)
    assert "begins at step 0" not in log_of(service, job_id, 2)


def test_one_job_at_a_time_in_the_order_they_came(service: RunningTraining) -> None:
    first, second = service.create_job("steps=15 pace=0.1"), service.create_job("steps=5")
    service.wait_for_step(first, 5)
    assert service.job(second)["state"] == "QUEUED"

    ended = [service.wait_for_state(job_id, "SUCCEEDED") for job_id in (second, first)]
    assert ended[0]["attempts"][0]["created_at"] >= ended[1]["attempts"][0]["ended_at"]


def test_a_dataset_that_does_not_exist_is_named(service: RunningTraining) -> None:
    with pytest.raises(ServiceProblem, match="There is no dataset 'sea'") as refused:
        service.client.post("/v1/jobs", json={"name": "a", "dataset": "sea"})

    assert refused.value.status == 422


def test_the_probes_answer_on_their_own_port(service: RunningTraining) -> None:
    assert requests.get(f"{service.probe_url}/livez", timeout=5).status_code == 200
    assert "periscope_training_leader 1.0" in service.metrics()
