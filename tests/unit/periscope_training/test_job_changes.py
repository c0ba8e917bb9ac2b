"""What a DIGITS user did with trainings, over HTTP: pause, resume, clone, rename, sweep, remove."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from detectnet.recipes import resolve_training
from detectnet.training_prototxt import train_val_prototxt
from tests.unit.periscope_training.service import PROGRESS, Service, committed_epoch

NO_JOB = "01HZZZZZZZZZZZZZZZZZZZZZZZ"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def state(service: Service, job_id: str) -> str:
    return str(service.get(f"/v1/jobs/{job_id}").json["state"])


def running(service: Service, **more: Any) -> str:
    """A job whose first attempt runs and has committed an epoch."""
    job_id = service.create_job(**more)
    service.house.loop()
    service.commit(job_id, committed_epoch(1, 0.5))
    return job_id


def ended(service: Service, **more: Any) -> str:
    job_id = service.create_job(**more)
    service.post(f"/v1/jobs/{job_id}:cancel")
    service.house.loop()
    assert state(service, job_id) == "CANCELLED"
    return job_id


def test_a_running_job_is_paused_frees_its_place_and_goes_on_when_resumed(service: Service) -> None:
    job_id, next_one = running(service), service.create_job(name="next")
    asked = service.post(f"/v1/jobs/{job_id}:pause")
    assert (asked.status_code, asked.json["desired"]) == (202, "paused")
    service.house.loop()

    assert state(service, job_id) == "PAUSED"
    assert state(service, next_one) in ("STARTING", "PENDING", "RUNNING")
    service.house.loop(5)
    assert state(service, job_id) == "PAUSED"

    service.post(f"/v1/jobs/{next_one}:cancel")
    service.house.loop()
    assert service.post(f"/v1/jobs/{job_id}:resume").json["state"] == "QUEUED"
    service.house.loop()
    attempts = service.get(f"/v1/jobs/{job_id}").json["attempts"]
    assert [attempt["number"] for attempt in attempts] == [1, 2]
    assert not attempts[0]["counted"]


def test_a_job_that_waits_is_paused_at_once_and_keeps_its_turn_from_others(service: Service) -> None:
    first = running(service)
    waiting = service.create_job()
    service.post(f"/v1/jobs/{waiting}:pause")
    service.house.loop()

    assert (state(service, first), state(service, waiting)) == ("RUNNING", "PAUSED")
    service.post(f"/v1/jobs/{waiting}:cancel")
    service.house.loop()
    assert state(service, waiting) == "CANCELLED"


def test_pause_and_resume_say_why_not(service: Service) -> None:
    job_id, over = service.create_job(), ended(service)

    not_paused = service.post(f"/v1/jobs/{job_id}:resume")
    assert (not_paused.status_code, ":clone" in not_paused.json["detail"]) == (409, True)
    assert service.post(f"/v1/jobs/{over}:pause").status_code == 409
    assert service.post(f"/v1/jobs/{NO_JOB}:pause").status_code == 404
    assert service.call("POST", f"/v1/jobs/{job_id}:pause", "viewer").status_code == 403


def test_a_clone_asks_for_the_same_and_tells_what_differs(service: Service) -> None:
    old = service.create_job(epochs=3, group="pool", learning_rate=1e-4)
    service.house.datasets.manifests.append({**service.house.datasets.manifests[0], "version": 4})

    made = service.post(
        f"/v1/jobs/{old}:clone", json={"overrides": {"name": "again", "epochs": 5, "augmentation": {}}}
    )

    assert made.status_code == 202
    assert service.house.datasets.asked[-1] == ("pool", 3)
    job, differences = made.json["job"], made.json["differences"]
    assert (job["name"], job["group"], job["training"]["epochs"]) == ("again", "pool", 5)
    assert job["training"]["learning_rate"] == 1e-4
    changed = {item["field"]: (item["before"], item["after"]) for item in differences}
    assert changed["training.epochs"] == (3, 5)
    assert changed["name"] == ("dive", "again")
    assert {field.partition(".")[0] for field in changed} <= {"name", "training", "dataset"}


def test_a_clone_with_a_wrong_field_is_refused_by_name(service: Service) -> None:
    old = service.create_job()

    wrong = service.post(f"/v1/jobs/{old}:clone", json={"overrides": {"epohcs": 3}})

    assert wrong.status_code == 422
    assert wrong.json["errors"][0]["pointer"] == "/epohcs"
    assert len(service.get("/v1/jobs").json["items"]) == 1


def test_names_groups_notes_and_labels_can_be_changed_at_any_time(service: Service) -> None:
    job_id = ended(service)
    path = f"/v1/jobs/{job_id}"
    read = service.get(path)

    changed = service.call(
        "PATCH", path, json={"name": "new", "group": "g", "notes": "wet", "labels": {"pool": "3"}},
        headers={"If-Match": read.headers["ETag"]},
    )  # fmt: skip
    stale = service.call("PATCH", path, json={"name": "x"}, headers={"If-Match": read.headers["ETag"]})

    assert changed.status_code == 200
    job = service.get(path).json
    assert (job["name"], job["group"], job["notes"], job["labels"]) == ("new", "g", "wet", {"pool": "3"})
    assert stale.status_code == 412
    assert service.call("PATCH", path, json={"state": "RUNNING"}).status_code == 422
    assert service.call("PATCH", path, json={"name": ""}).status_code == 422


def test_jobs_are_found_by_group_label_and_dataset(service: Service) -> None:
    first = service.create_job(group="g", labels={"pool": "3", "by": "ann"})
    second = service.create_job(labels={"pool": "3"})

    def found(query: str) -> list[str]:
        return [job["id"] for job in service.get(f"/v1/jobs?{query}").json["items"]]

    assert found("group=g") == [first]
    assert found("label=pool%3D3") == [first, second]
    assert found("label=pool%3D3&label=by%3Dann") == [first]
    assert found("dataset=pool") == found("dataset=01DATASET") == [first, second]
    assert found("dataset=sea") == []


def test_waiting_jobs_know_their_place_in_the_queue(service: Service) -> None:
    ids = [service.create_job() for _ in range(3)]
    service.house.loop(1)

    listed = {job["id"]: job["queue_position"] for job in service.get("/v1/jobs").json["items"]}

    assert listed == {ids[0]: None, ids[1]: 1, ids[2]: 2}
    assert service.get(f"/v1/jobs/{ids[2]}").json["queue_position"] == 2


def test_a_dry_run_tells_everything_and_makes_nothing(service: Service) -> None:
    asked = {"name": "dive", "dataset": "pool", "epochs": 2, "batch_size": 10}
    told = service.post("/v1/jobs?dry_run=true", json=asked)

    assert told.status_code == 200
    assert service.get("/v1/jobs").json["items"] == []
    assert told.json["spec"]["training"]["epochs"] == 2
    assert told.json["steps"] == {
        "total": 60, "epoch": 30, "between_validations": 30, "between_points": 3,
    }  # fmt: skip
    assert told.json["memory"]["host"] > 360 * 320 * 192 * 3
    assert told.json["manifest"] is None
    refused = service.post("/v1/jobs?dry_run=true", json={**asked, "recipe": "digitz"})
    assert refused.status_code == 422


def test_a_sweep_is_one_job_for_each_rate_and_size_named_as_digits_did(service: Service) -> None:
    body = {
        "job": {"name": "dive", "dataset": "pool"},
        "learning_rates": [1e-3, 1e-4],
        "batch_sizes": [5, 10],
    }
    made = service.post("/v1/sweeps", json=body, headers={"Idempotency-Key": "s"})
    again = service.post("/v1/sweeps", json=body, headers={"Idempotency-Key": "s"})

    jobs = made.json["jobs"]
    assert [job["name"] for job in jobs] == [
        "dive learning_rate:0.001 batch_size:5", "dive learning_rate:0.001 batch_size:10",
        "dive learning_rate:0.0001 batch_size:5", "dive learning_rate:0.0001 batch_size:10",
    ]  # fmt: skip
    assert [(job["training"]["learning_rate"], job["training"]["batch_size"]) for job in jobs] == [
        (1e-3, 5), (1e-3, 10), (1e-4, 5), (1e-4, 10),
    ]  # fmt: skip
    assert again.json == made.json
    assert len(service.get("/v1/jobs").json["items"]) == 4


def test_of_a_sweep_with_a_wrong_job_none_is_made(service: Service) -> None:
    body = {"job": {"name": "dive", "dataset": "pool", "recipe": "no"}, "batch_sizes": [5, 10]}

    assert service.post("/v1/sweeps", json=body).status_code == 422
    assert service.get("/v1/jobs").json["items"] == []


def test_an_ended_job_is_removed_with_all_that_is_its_own(service: Service) -> None:
    kept, job_id = service.create_job(), ended(service)

    assert service.call("DELETE", f"/v1/jobs/{kept}").status_code == 409
    assert service.call("DELETE", f"/v1/jobs/{job_id}").status_code == 204

    left = [info.key for info in service.house.store.list("") if job_id in info.key]
    assert left == []
    assert service.get(f"/v1/jobs/{job_id}").status_code == 404
    assert [job["id"] for job in service.get("/v1/jobs").json["items"]] == [kept]
    assert service.call("DELETE", f"/v1/jobs/{job_id}").status_code == 404


def test_a_job_whose_epoch_is_being_published_stays(service: Service) -> None:
    job_id = ended(service)
    service.commit(job_id, committed_epoch(1, 0.5))
    service.post(f"/v1/jobs/{job_id}/epochs/1:publish", json={"model": "buoys"})

    refused = service.call("DELETE", f"/v1/jobs/{job_id}")

    assert refused.status_code == 409
    assert "'buoys'" in refused.json["detail"]


def test_a_removal_that_stopped_in_between_is_finished_by_the_loop(service: Service) -> None:
    job_id = ended(service)
    service.house.documents.update("jobs", job_id, lambda body: {**body, "leaving": True})
    assert service.get(f"/v1/jobs/{job_id}").status_code == 404
    assert service.get("/v1/jobs").json["items"] == []

    service.lead()

    assert [info.key for info in service.house.store.list("") if job_id in info.key] == []


def test_one_thing_is_done_for_many_jobs_and_each_says_how_it_went(service: Service) -> None:
    first, over = service.create_job(), ended(service)

    paused = service.post("/v1/jobs:batch", json={"ids": [first, over, "nonsense"], "action": "pause"}).json
    grouped = service.post(
        "/v1/jobs:batch", json={"ids": [first, over], "action": "regroup", "group": "old"}
    ).json
    service.post("/v1/jobs:batch", json={"ids": [over], "action": "delete"})

    assert [item["done"] for item in paused["items"]] == [True, False, False]
    assert all(item["detail"] for item in paused["items"][1:])
    assert [item["done"] for item in grouped["items"]] == [True, True]
    assert [job["id"] for job in service.get("/v1/jobs?group=old").json["items"]] == [first]


def test_progress_tells_the_time_that_is_left(service: Service) -> None:
    job_id = running(service)
    service.report(job_id, 1, {**PROGRESS, "at": "2026-11-01T12:00:00.000000Z"})

    assert service.get(f"/v1/jobs/{job_id}").json["progress"]["eta_s"] == 90.0


def test_a_network_comes_as_a_prototxt_and_is_refused_by_layer_and_line(service: Service) -> None:
    given = resolve_training("digits", {"batch_size": 7}, threads=1)
    text = train_val_prototxt(320, 192, 2, given)
    asked = {"name": "dive", "dataset": "pool", "network": text}

    job = service.get(f"/v1/jobs/{service.create_job(network=text, val_batch_size=3)}").json
    wrong = service.post("/v1/jobs", json={**asked, "network": text.replace("LRN", "BatchNorm", 1)})
    one_class = train_val_prototxt(320, 192, 1, given)
    other = service.post("/v1/jobs", json={**asked, "network": one_class})

    assert (job["training"]["batch_size"], job["training"]["val_batch_size"]) == (7, 3)
    assert job["training"]["augmentation"]["shift_x"] == 32
    assert (job["network"]["width"], job["network"]["height"]) == (320, 192)
    (error,) = wrong.json["errors"]
    assert (wrong.status_code, error["pointer"]) == (422, "/network")
    assert re.search(r"line \d+: layer 'pool1/norm1'.*BatchNorm", error["message"])
    assert (other.status_code, "1 class(es)" in other.json["detail"]) == (422, True)
