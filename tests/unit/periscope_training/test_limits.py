from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from periscope_training.actions import State
from periscope_training.limits import gpu_hours, reached_limit
from tests.unit.periscope_training.service import Service, committed_epoch

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def body(limits: dict[str, Any], *attempts: tuple[float, float | None]) -> dict[str, Any]:
    """Attempts as hours before NOW: begun, ended."""

    def at(hours: float | None) -> str | None:
        return None if hours is None else (NOW - timedelta(hours=hours)).isoformat()

    runs = [{"started_at": at(begun), "ended_at": at(over)} for begun, over in attempts]
    return {"limits": limits, "attempts": runs}


def epochs(*maps: float) -> list[dict[str, Any]]:
    return [committed_epoch(number, value) for number, value in enumerate(maps, start=1)]


def test_gpu_hours_count_every_attempt_and_every_gpu() -> None:
    job = body({}, (5, 4), (3, None))
    job["attempts"].append({"started_at": None, "ended_at": None})

    assert gpu_hours(job, 2, NOW) == pytest.approx(8.0)
    assert gpu_hours(job, 0, NOW) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("limits", "state"),
    [
        ({}, None),
        ({"deadline": "2026-11-01T12:00:00Z"}, State.CANCELLED),
        ({"deadline": "2026-11-01T13:00:01+01:00"}, None),
        ({"deadline": "2026-11-01T13:00:00+01:00"}, State.CANCELLED),
        ({"max_gpu_hours": 3}, State.CANCELLED),
        ({"max_gpu_hours": 3.01}, None),
        ({"early_stop_epochs": 3}, None),
        ({"early_stop_epochs": 2}, State.SUCCEEDED),
    ],
)
def test_the_first_limit_that_is_reached_ends_the_job(limits: dict[str, Any], state: State | None) -> None:
    stop = reached_limit(body(limits, (3, None)), epochs(0.1, 0.4, 0.4, 0.3), 1, NOW)

    assert (None if stop is None else stop.state) == state


def test_without_any_epoch_nothing_is_stopped_early() -> None:
    assert reached_limit(body({"early_stop_epochs": 1}), [], 1, NOW) is None


def test_an_early_stop_is_a_success_that_says_why(tmp_path: Path) -> None:
    service = Service(tmp_path)
    job_id = service.create_job(limits={"early_stop_epochs": 2})
    service.house.loop()
    service.commit(job_id, *epochs(0.2, 0.6))
    service.house.loop()
    assert service.get(f"/v1/jobs/{job_id}").json["state"] == "RUNNING"

    service.commit(job_id, *epochs(0.2, 0.6, 0.5, 0.6))
    service.house.loop()

    job = service.get(f"/v1/jobs/{job_id}").json
    assert job["state"] == "SUCCEEDED"
    assert "0.6000 of epoch 2 for 2 epochs" in job["reason"]


def test_a_deadline_ends_a_job_that_still_waits(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.create_job()
    waiting = service.create_job(limits={"deadline": "2026-11-01T12:30:00Z"})
    service.house.loop()
    service.house.clock.advance(3600)
    service.house.loop()

    job = service.get(f"/v1/jobs/{waiting}").json
    assert (job["state"], "deadline" in job["reason"]) == ("CANCELLED", True)
