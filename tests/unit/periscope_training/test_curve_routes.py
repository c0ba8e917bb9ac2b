from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from periscope.web.long_poll import MAX_WAITING
from periscope_training.live import LiveCurves
from tests.unit.periscope_training.service import PROGRESS, Service, committed_epoch


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


@pytest.fixture
def job_id(service: Service) -> str:
    """A running job with three progress records and two epochs."""
    job_id = service.create_job()
    service.house.loop()
    for step, loss in ((30, 3.0), (60, 2.0), (90, 1.0)):
        record = {
            **PROGRESS,
            "step": step,
            "epoch": step / 60,
            "train": {"loss_bbox": loss, "loss_coverage": 0.5},
        }
        assert service.report(job_id, 1, record).status_code == 204
    service.commit(job_id, committed_epoch(1, 0.5), committed_epoch(1.5, 0.25))
    return job_id


def image_of(answered: Any) -> np.ndarray:
    assert (answered.status_code, answered.mimetype) == (200, "image/png")
    return cv2.imdecode(np.frombuffer(answered.data, np.uint8), cv2.IMREAD_COLOR)


def test_curves_come_as_a_table(service: Service, job_id: str) -> None:
    answered = service.get(f"/v1/jobs/{job_id}/history.csv")

    assert answered.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answered.text)))
    assert [(row["phase"], row["step"]) for row in rows] == [
        ("train", "30"), ("train", "60"), ("val", "60"), ("train", "90"), ("val", "90"),
    ]  # fmt: skip
    assert [row["loss_bbox"] for row in rows] == ["3.0", "2.0", "1.0", "1.0", "1.0"]
    assert (rows[2]["digits_map"], rows[2]["precision:gate"], rows[0]["digits_map"]) == ("0.5", "0.5", "")


@pytest.mark.slow
def test_curves_come_as_a_picture_that_changes_with_them(service: Service, job_id: str) -> None:
    before = image_of(service.get(f"/v1/jobs/{job_id}/history.png"))
    service.commit(job_id, committed_epoch(1, 0.5), committed_epoch(1.5, 0.25), committed_epoch(2, 0.9))
    after = image_of(service.get(f"/v1/jobs/{job_id}/history.png"))

    assert before.shape == after.shape == (800, 900, 3)
    assert (before != after).any()
    assert image_of(service.get(f"/v1/jobs/{service.create_job()}/history.png")).shape == (800, 900, 3)


@pytest.mark.slow
def test_several_jobs_are_compared_in_one_picture(service: Service, job_id: str) -> None:
    other = service.create_job(name="other")
    one = image_of(service.get(f"/v1/history.png?job={job_id}"))
    both = image_of(service.get(f"/v1/history.png?job={job_id}&job={other}&metric=loss_bbox"))

    assert one.shape == both.shape
    assert (one != both).any()
    assert service.get("/v1/history.png").status_code == 422
    assert service.get("/v1/history.png?job=nonsense").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize("name", ["$\\frac$", "_hidden", "mer é", "\U0001f600", "$x^", "a\tb"])
def test_any_name_can_be_drawn(service: Service, name: str) -> None:
    job_id = service.create_job(name=name)
    service.commit(job_id, committed_epoch(1, 0.5), committed_epoch(2, 0.7))

    assert image_of(service.get(f"/v1/jobs/{job_id}/history.png")).shape == (800, 900, 3)
    named = image_of(service.get(f"/v1/history.png?job={job_id}"))
    service.call("PATCH", f"/v1/jobs/{job_id}", json={"name": "other"})
    assert (named != image_of(service.get(f"/v1/history.png?job={job_id}"))).any(), "the name is shown"


def events_of(text: str) -> list[tuple[str, dict[str, Any], str]]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"]), fields.get("id", "")))
    return found


def test_live_curves_tell_everything_once_and_end_with_the_job(service: Service, job_id: str) -> None:
    """While the client waits, a record and an epoch come, then the job is cancelled."""
    steps = iter(
        [
            lambda: service.report(job_id, 1, {**PROGRESS, "step": 120, "epoch": 2}),
            lambda: service.commit(
                job_id, committed_epoch(1, 0.5), committed_epoch(1.5, 0.25), committed_epoch(2, 0.9)
            ),
            lambda: (service.post(f"/v1/jobs/{job_id}:cancel"), service.house.loop()),
        ]
    )
    live = LiveCurves(service.house.documents, service.service_progress, sleep=lambda _: next(steps)())

    told = events_of("".join(live.events(job_id)))

    assert [(name, data.get("step", data.get("state"))) for name, data, _ in told] == [
        ("state", "RUNNING"),
        ("progress", 30), ("progress", 60), ("epoch", 60), ("progress", 90), ("epoch", 90),
        ("progress", 120),
        ("epoch", 120),
        ("state", "CANCELLED"), ("end", "CANCELLED"),
    ]  # fmt: skip
    assert [identity for name, _, identity in told if name == "progress"] == ["30", "60", "90", "120"]


def test_a_client_that_comes_again_goes_on_where_it_was(service: Service, job_id: str) -> None:
    service.post(f"/v1/jobs/{job_id}:cancel")
    service.house.loop()

    answered = service.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "60"})

    assert (answered.status_code, answered.mimetype) == (200, "text/event-stream")
    told = [(name, data.get("step")) for name, data, _ in events_of(answered.text)]
    assert told == [("state", None), ("epoch", 60), ("progress", 90), ("epoch", 90), ("end", None)]


def test_wherever_a_stream_breaks_nothing_is_lost(service: Service, job_id: str) -> None:
    service.post(f"/v1/jobs/{job_id}:cancel")
    service.house.loop()
    whole = events_of(service.get(f"/v1/jobs/{job_id}/events").text)

    for cut in range(1, len(whole)):
        seen = whole[:cut]
        last = next((identity for *_, identity in reversed(seen) if identity), "-1")
        seen += events_of(service.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last}).text)
        steps = {(name, data["step"]) for name, data, _ in seen if "step" in data}
        assert steps == {("progress", 30), ("progress", 60), ("progress", 90), ("epoch", 60), ("epoch", 90)}


def test_a_quiet_stream_says_that_it_lives_and_ends_after_a_while(service: Service, job_id: str) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    live = LiveCurves(service.house.documents, service.service_progress, sleep, lambda: now[0])
    text = "".join(live.events(job_id))

    assert 50 <= text.count(": still here") <= 60
    assert "event: end" not in text
    assert now[0] == pytest.approx(900, abs=2)


def test_streams_hold_at_most_half_the_threads_and_give_their_place_back(
    service: Service, job_id: str
) -> None:
    streams = [service.get(f"/v1/jobs/{job_id}/events", buffered=False) for _ in range(MAX_WAITING)]
    refused = service.get(f"/v1/jobs/{job_id}/events")

    assert [stream.status_code for stream in streams] == [200] * MAX_WAITING
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    for stream in streams:
        stream.close()
    again = service.get(f"/v1/jobs/{job_id}/events", buffered=False)
    assert again.status_code == 200
    again.close()
    assert service.get("/v1/jobs/01HZZZZZZZZZZZZZZZZZZZZZZZ/events").status_code == 404


def test_epochs_are_listed_newest_first_and_found_by_name(service: Service, job_id: str) -> None:
    first = service.get(f"/v1/jobs/{job_id}/epochs?order=newest&page_size=1").json
    second = service.get(
        f"/v1/jobs/{job_id}/epochs?order=newest&page_size=1&page_token={first['next_page_token']}"
    ).json

    assert [item["epoch"] for item in first["items"] + second["items"]] == [1.5, 1.0]
    assert second["next_page_token"] is None
    assert service.get(f"/v1/jobs/{job_id}/epochs/best").json["epoch"] == 1.0
    assert service.get(f"/v1/jobs/{job_id}/epochs/latest").json["epoch"] == 1.5
    assert service.get(f"/v1/jobs/{job_id}/epochs/1.5").json["best"] is False
    assert service.get(f"/v1/jobs/{job_id}/epochs/7").status_code == 404


@pytest.mark.slow
def test_a_part_of_the_log_can_be_read_and_the_rest_be_followed(service: Service, job_id: str) -> None:
    whole = service.get(f"/v1/jobs/{job_id}/log").data
    assert whole == b"running\n"
    assert service.get(f"/v1/jobs/{job_id}/log?offset=3&limit=2").data == whole[3:5]

    stream = service.get(f"/v1/jobs/{job_id}/log?follow=true&offset=2", buffered=False)
    parts = iter(stream.response)
    assert next(parts) == b"nning\n"
    service.house.launcher.only_run().log += b"more\n"
    assert b"more\n" in (next(parts), next(parts))
    service.post(f"/v1/jobs/{job_id}:cancel")
    service.house.loop()
    assert b"".join(parts) == b""
    stream.close()
