"""A job sent while its data set is still taken in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from periscope.wire.jobs import JobRequest
from periscope_training import waiting
from periscope_training.awaiting import DatasetWaits
from periscope_training.datasets import Ingest
from tests.unit.periscope_training.fate import Killed
from tests.unit.periscope_training.house import MANIFEST, House
from tests.unit.periscope_training.service import Service

INGEST = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
UNDER_WAY = Ingest("01DATASET", "pool", "RUNNING", 0.42, None, "")
ASKED = {"name": "dive", "dataset": "pool", "dataset_ingest": INGEST}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path)
    service.house.datasets.ingests[INGEST] = UNDER_WAY
    service.service.job_loop.step()  # It leads from here on.
    return service


def create(service: Service, **more: Any) -> str:
    answered = service.post("/v1/jobs", json=ASKED | more)
    assert answered.status_code == 202, answered.json
    return str(answered.json["id"])


def pass_time(service: Service) -> None:
    service.service.wait_loop.step()
    service.house.loop()


def change_ingest(service: Service, **more: Any) -> None:
    ingests = service.house.datasets.ingests
    ingests[INGEST] = replace(ingests[INGEST], **more)


def test_a_job_waits_for_the_ingest_tells_how_far_it_is_and_begins_when_the_version_is_there(
    service: Service,
) -> None:
    job_id = create(service)
    seen = service.get(f"/v1/jobs/{job_id}").json
    assert (seen["state"], seen["queue_position"], seen["dataset"]["version"]) == ("WAITING", None, 0)
    assert "is at 42%" in seen["reason"]

    change_ingest(service, progress=0.9)
    pass_time(service)
    assert "is at 90%" in service.get(f"/v1/jobs/{job_id}").json["reason"]
    assert service.house.world.runs == {}

    change_ingest(service, state="SUCCEEDED", progress=1.0, version=3)
    pass_time(service)
    begun = service.get(f"/v1/jobs/{job_id}").json
    assert begun["state"] == "RUNNING"
    assert begun["dataset"]["version"] == 3
    assert begun["network"]["classes"] == MANIFEST["classes"]
    assert [entry["state"] for entry in begun["history"]][:2] == ["WAITING", "QUEUED"]
    assert service.house.documents.list(waiting.KIND) == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_a_job_whose_ingest_comes_to_nothing_fails_with_the_ingests_own_reason(
    service: Service, state: str
) -> None:
    job_id = create(service)
    change_ingest(service, state=state, trouble="train/labels/7.txt, line 2: there are 3 columns.")
    pass_time(service)

    ended = service.get(f"/v1/jobs/{job_id}").json
    assert ended["state"] == "FAILED"
    assert state in ended["reason"]
    assert "line 2" in ended["reason"]
    assert service.house.documents.list(waiting.KIND) == []


def test_a_version_that_would_waste_the_training_fails_the_waiting_job_as_it_would_have_been_refused(
    service: Service,
) -> None:
    job_id = create(service)
    service.house.datasets.manifests.append({**MANIFEST, "splits": {"train": {"images": 300, "boxes": 0}}})
    change_ingest(service, state="SUCCEEDED", version=3)
    pass_time(service)

    ended = service.get(f"/v1/jobs/{job_id}").json
    assert (ended["state"], "label some objects" in ended["reason"]) == ("FAILED", True)


def test_what_cannot_be_right_is_refused_before_the_job_waits(service: Service) -> None:
    def pointer(**more: Any) -> str:
        refused = service.post("/v1/jobs", json=ASKED | more)
        assert refused.status_code == 422
        return str(refused.json["errors"][0]["pointer"])

    assert pointer(recipe="none such") == "/recipe"
    assert pointer(pretrained="none such") == "/pretrained"
    assert pointer(dataset_version=3) == "/dataset_version"
    assert pointer(dataset_ingest="0" * 26) == "/dataset"
    assert pointer(epochs=2, validation_interval_epochs=3) == "/validation_interval_epochs"
    change_ingest(service, state="FAILED", trouble="no labels")
    assert pointer() == "/dataset_ingest"
    assert service.get("/v1/jobs").json["items"] == []


def test_an_ingest_that_has_ended_well_already_is_not_waited_for(service: Service) -> None:
    change_ingest(service, state="SUCCEEDED", version=3)

    assert service.get(f"/v1/jobs/{create(service)}").json["state"] == "QUEUED"


def test_a_waiting_job_can_be_cancelled_paused_resumed_and_cloned(service: Service) -> None:
    cancelled, paused = create(service), create(service)
    service.post(f"/v1/jobs/{cancelled}:cancel")
    service.post(f"/v1/jobs/{paused}:pause")
    pass_time(service)
    clone = service.post(f"/v1/jobs/{paused}:clone", json={"overrides": {"name": "again"}}).json["job"]
    assert service.get(f"/v1/jobs/{cancelled}").json["state"] == "CANCELLED"
    assert service.get(f"/v1/jobs/{paused}").json["state"] == "PAUSED"
    assert clone["state"] == "WAITING"

    change_ingest(service, state="SUCCEEDED", version=3)
    pass_time(service)
    assert service.get(f"/v1/jobs/{paused}").json["state"] == "PAUSED"
    service.post(f"/v1/jobs/{paused}:resume")
    assert service.get(f"/v1/jobs/{paused}").json["state"] == "WAITING"
    pass_time(service)
    assert service.get(f"/v1/jobs/{paused}").json["dataset"]["version"] == 3
    assert service.post(f"/v1/jobs/{paused}:clone", json={}).status_code == 202


def test_a_sweep_waits_as_one_job_does(service: Service) -> None:
    body = {"job": ASKED, "learning_rates": [1e-3, 1e-4]}
    made = service.post("/v1/sweeps", json=body)

    assert [job["state"] for job in made.json["jobs"]] == ["WAITING", "WAITING"]
    assert service.post("/v1/sweeps", json=body | {"job": ASKED | {"recipe": "none such"}}).status_code == 422


def test_a_plan_cannot_be_told_before_the_version_is_there(service: Service) -> None:
    refused = service.post("/v1/jobs?dry_run=true", json=ASKED)

    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == "/dataset_ingest"


def test_a_dataset_service_that_is_away_changes_nothing(service: Service) -> None:
    job_id = create(service)
    service.house.datasets.is_away = True
    pass_time(service)
    assert service.get(f"/v1/jobs/{job_id}").json["state"] == "WAITING"

    service.house.datasets.is_away = False
    change_ingest(service, state="SUCCEEDED", version=3)
    pass_time(service)
    assert service.get(f"/v1/jobs/{job_id}").json["state"] == "RUNNING"


def test_a_note_without_its_job_is_dropped_once_no_request_can_be_making_it(service: Service) -> None:
    job_id = create(service)
    service.house.documents.delete("jobs", job_id)
    pass_time(service)
    assert len(service.house.documents.list(waiting.KIND)) == 1

    service.house.clock.advance(timedelta(hours=2).total_seconds())
    pass_time(service)
    assert service.house.documents.list(waiting.KIND) == []


def life_with(house: House) -> None:
    """From the request to the queue; a killed service begins anew and is asked again with the same key."""
    house.datasets.ingests.setdefault(INGEST, UNDER_WAY)

    def waits() -> DatasetWaits:
        return DatasetWaits(house.documents, house.datasets, house.submissions, house.clock, lambda: None)

    house.submissions.submit_job(JobRequest.model_validate(ASKED), "key")
    waits().advance_all(lambda: True)
    house.datasets.ingests[INGEST] = replace(UNDER_WAY, state="SUCCEEDED", version=3)
    waits().advance_all(lambda: True)


@pytest.mark.slow
def test_a_service_that_is_killed_at_any_write_queues_the_job_once() -> None:
    undisturbed = House()
    life_with(undisturbed)
    assert undisturbed.fate.points >= 10
    for point in range(1, undisturbed.fate.points + 1):
        house = House()
        house.fate.appointed = point
        try:
            life_with(house)
        except Killed:
            house.fate.appointed = None
            house.restart()
            life_with(house)
        (job,) = house.documents.list("jobs")
        assert job.body["state"] == "QUEUED", point
        assert job.body["dataset"]["version"] == 3, point
        assert house.documents.list(waiting.KIND) == [], point
