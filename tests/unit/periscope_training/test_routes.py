from __future__ import annotations

from pathlib import Path

import pytest

from periscope.web.auth import unprotected_routes
from periscope_training import job_document
from tests.unit.periscope_training.service import PROGRESS, Service, committed_epoch

NO_JOB = "01HZZZZZZZZZZZZZZZZZZZZZZZ"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_every_route_says_who_may_call_it(service: Service) -> None:
    assert unprotected_routes(service.service.app) == []


def test_a_job_is_created_queued_and_can_be_looked_at(service: Service) -> None:
    created = service.post("/v1/jobs", json={"name": "dive", "dataset": "pool", "epochs": 2})

    assert created.status_code == 202
    assert created.headers["Location"] == f"/v1/jobs/{created.json['id']}"
    job = service.get(created.headers["Location"]).json
    assert (job["state"], job["training"]["epochs"], job["progress"]) == ("QUEUED", 2, None)
    assert job["dataset"] == {"id": "01DATASET", "version": 3, "name": "pool", "findings": []}


def test_a_viewer_may_look_and_not_create(service: Service) -> None:
    assert service.call("POST", "/v1/jobs", "viewer", json={}).status_code == 403
    assert service.client.get("/v1/jobs").status_code == 401


def test_an_idempotency_key_belongs_to_its_caller(service: Service) -> None:
    body, headers = {"name": "dive", "dataset": "pool"}, {"Idempotency-Key": "k"}
    first, again = (service.post("/v1/jobs", json=body, headers=headers).json["id"] for _ in range(2))
    others = service.call("POST", "/v1/jobs", "admin", json=body, headers=headers).json["id"]

    assert first == again
    assert others != first
    reused = service.post("/v1/jobs", json={**body, "name": "other"}, headers=headers)
    assert (reused.status_code, reused.mimetype) == (422, "application/problem+json")
    too_long = service.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k" * 201})
    assert too_long.status_code == 400


@pytest.mark.parametrize(
    ("field", "pointer", "words"),
    [
        ({"input": {"width": 600, "height": 480}}, "/input", "592x480 and 608x480"),
        ({"recipe": "digitz"}, "/recipe", "default, digits"),
        ({"epochs": 0}, "/epochs", "greater than or equal to 1"),
        ({"epoch": 3}, "/epoch", "not permitted"),
    ],
)
def test_a_wrong_field_is_named_with_what_would_do(
    service: Service, field: dict, pointer: str, words: str
) -> None:
    refused = service.post("/v1/jobs", json={"name": "dive", "dataset": "pool", **field})

    assert (refused.status_code, refused.mimetype) == (422, "application/problem+json")
    (error,) = refused.json["errors"]
    assert error["pointer"].endswith(pointer)
    assert words in error["message"]
    assert service.get("/v1/jobs").json["items"] == []


def test_jobs_are_listed_page_by_page_and_by_name_and_state(service: Service) -> None:
    made = [service.create_job(name=name) for name in ("a", "b", "a")]
    service.house.loop(1)
    first = service.get("/v1/jobs?page_size=2").json
    second = service.get(f"/v1/jobs?page_size=2&page_token={first['next_page_token']}").json

    assert [job["id"] for job in first["items"] + second["items"]] == made
    assert second["next_page_token"] is None
    assert [job["id"] for job in service.get("/v1/jobs?name=a").json["items"]] == [made[0], made[2]]
    assert [job["id"] for job in service.get("/v1/jobs?state=QUEUED&name=a").json["items"]] == [made[2]]


@pytest.mark.parametrize("job_id", [NO_JOB, "x", "..", "x" * 26])
@pytest.mark.parametrize("rest", ["", "/history", "/epochs", "/log"])
def test_a_job_that_does_not_exist_is_404(service: Service, job_id: str, rest: str) -> None:
    answer = service.get(f"/v1/jobs/{job_id}{rest}")

    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_cancelling_is_answered_with_the_job_and_may_be_repeated(service: Service) -> None:
    job_id = service.create_job()
    first = service.post(f"/v1/jobs/{job_id}:cancel")
    service.house.loop()

    assert (first.status_code, first.json["desired"]) == (202, "cancelled")
    assert service.post(f"/v1/jobs/{job_id}:cancel").json["state"] == "CANCELLED"
    assert service.post(f"/v1/jobs/{NO_JOB}:cancel").status_code == 404


def test_progress_is_kept_and_shown(service: Service) -> None:
    job_id = service.create_job()
    service.house.loop()
    assert service.report(job_id, 1, PROGRESS).status_code == 204
    assert service.report(job_id, 1, {**PROGRESS, "step": 60}).status_code == 204
    service.house.clock.advance(30)

    progress = service.get(f"/v1/jobs/{job_id}").json["progress"]
    assert (progress["step"], progress["ratio"], progress["eta_s"]) == (60, 0.5, 60.0)
    assert [record["step"] for record in service.get(f"/v1/jobs/{job_id}/history").json["progress"]] == [
        30,
        60,
    ]


def test_only_the_attempt_itself_may_report(service: Service) -> None:
    job_id = service.create_job()
    service.house.loop()

    assert service.report(job_id, 1, PROGRESS, token="admin").status_code == 401
    assert service.report(job_id, 1, PROGRESS, token=service.tokens["editor"]).status_code == 401
    assert service.report(job_id, 2, PROGRESS).status_code == 409
    assert service.report(NO_JOB, 1, PROGRESS).status_code == 404
    service.house.launcher.end(1)
    service.house.loop()
    assert service.report(job_id, 1, PROGRESS).status_code == 409
    assert service.house.store.keys(f"jobs/{job_id}/progress/") == []


def test_a_token_that_has_expired_is_no_token(service: Service) -> None:
    job_id = service.create_job()
    service.house.loop()
    token = service.house.world.runs[job_id, 1, 1].launch.progress_token
    assert token == f"{job_id}-1-02", "the house's loop issues a token of its own"

    service.house.clock.advance(-7200)
    early = service.report(job_id, 1, PROGRESS)
    service.house.clock.advance(7200)
    assert early.status_code == 204


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"step": -1}, 422),
        ({"mood": "good"}, 422),
        ({"train": {"loss_bbox": float("nan"), "loss_coverage": 1}}, 400),  # NaN is no JSON.
    ],
)
def test_progress_without_sense_is_refused(service: Service, wrong: dict, status: int) -> None:
    job_id = service.create_job()
    service.house.loop()

    assert service.report(job_id, 1, {**PROGRESS, **wrong}).status_code == status


def test_the_epochs_are_listed_with_the_best_one_marked(service: Service) -> None:
    job_id = service.create_job()
    service.house.loop()
    service.commit(job_id, committed_epoch(1, 0.1), committed_epoch(2, 0.6), committed_epoch(3, 0.3))

    job = service.get(f"/v1/jobs/{job_id}").json
    epochs = service.get(f"/v1/jobs/{job_id}/epochs").json["items"]
    assert (job["best_epoch"]["epoch"], job["latest_epoch"]["epoch"]) == (2, 3)
    assert [epoch["best"] for epoch in epochs] == [False, True, False]
    assert service.get(f"/v1/jobs/{job_id}/history").json["epochs"] == epochs
    assert service.get(f"/v1/jobs/{job_id}/epochs?page_size=2").json["items"] == epochs[:2]


def test_the_log_is_readable_while_the_run_lasts_and_after_it(service: Service) -> None:
    job_id = service.create_job()
    assert service.get(f"/v1/jobs/{job_id}/log").status_code == 404
    service.house.loop()
    running = service.get(f"/v1/jobs/{job_id}/log")
    assert (running.text, running.mimetype) == ("running\n", "text/plain")

    service.house.launcher.end(1, log=b"boom\n")
    service.house.loop()
    assert service.get(f"/v1/jobs/{job_id}/log").text == "running\nboom\n"
    assert service.get(f"/v1/jobs/{job_id}/log?attempt=1").text == "running\nboom\n"
    assert service.get(f"/v1/jobs/{job_id}/log?attempt=2").status_code == 404


def test_waiting_for_a_job_that_has_ended_takes_no_time(service: Service) -> None:
    job_id = service.create_job()
    service.house.documents.update(
        "jobs", job_id, lambda body: job_document.ask_cancel(body, service.house.clock())
    )
    service.house.loop()

    assert service.get(f"/v1/jobs/{job_id}?wait=60s").json["state"] == "CANCELLED"
    assert service.get(f"/v1/jobs/{job_id}?wait=61s").status_code == 422


def test_an_epoch_is_published_and_followed(service: Service) -> None:
    job_id = service.create_job()
    service.commit(job_id, committed_epoch(1, 0.1), committed_epoch(2, 0.6))
    asked = service.post(f"/v1/jobs/{job_id}/epochs/best:publish", json={"model": "buoys"})

    assert asked.status_code == 202
    publication = service.get(asked.headers["Location"]).json
    assert (publication["state"], publication["epoch"], publication["aliases"]) == ("QUEUED", 2, ["latest"])
    listed = service.get(f"/v1/publications?job_id={job_id}").json["items"]
    assert [entry["id"] for entry in listed] == [publication["id"]]
    assert service.get(f"/v1/publications?job_id={NO_JOB}").json["items"] == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("epochs/9:publish", {"model": "buoys"}, 404),
        ("epochs/best:publish", {"model": "Not A Name"}, 422),
        ("epochs/best:publish", {}, 422),
        ("epochs/best:publish", {"model": "buoys", "aliases": ["../x"]}, 422),
    ],
)
def test_what_cannot_be_published_is_refused(service: Service, path: str, body: dict, status: int) -> None:
    job_id = service.create_job()
    service.commit(job_id, committed_epoch(1, 0.1))

    refused = service.post(f"/v1/jobs/{job_id}/{path}", json=body)
    assert (refused.status_code, refused.mimetype) == (status, "application/problem+json")


@pytest.mark.parametrize("path", [f"/v1/publications/{NO_JOB}", "/v1/publications/x", "/v1/nothing"])
def test_what_does_not_exist_is_404(service: Service, path: str) -> None:
    assert service.get(path).status_code == 404


def test_the_recipes_can_be_read(service: Service) -> None:
    assert {recipe["name"] for recipe in service.get("/v1/recipes").json["items"]} == {"default", "digits"}


def test_the_api_describes_itself(service: Service) -> None:
    document = service.client.get("/openapi.json").json

    assert {"/v1/jobs/{job_id}:cancel", "/v1/jobs/{job_id}/epochs/{epoch}:publish"} <= set(document["paths"])
    assert document["openapi"] == "3.1.0"
