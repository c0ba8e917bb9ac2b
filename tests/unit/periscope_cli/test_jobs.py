"""``periscope train``, ``jobs`` and ``publish``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from periscope_cli.client import calls
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices, epoch, ulid

Periscope = Callable[..., Ran]

PROGRESS = {
    "step": 30, "max_step": 120, "epoch": 0.5, "epochs": 2, "ratio": 0.25, "eta_s": 95.0,
    "learning_rate": 3e-4, "images_per_second": 12.4, "train": {"loss_bbox": 3.0, "loss_coverage": 0.7}, "val": None, "at": "",
}  # fmt: skip


def finished(**fields: Any) -> dict[str, Any]:
    return {"state": "SUCCEEDED", "latest_epoch": epoch(2, 0.6), "best_epoch": epoch(2, 0.6), **fields}


def test_train_sends_what_was_given_and_nothing_else(periscope: Periscope, services: FakeServices) -> None:
    ran = periscope(
        "train", "first", "--dataset", "dive", "--size", "640x480", "--epochs", 9, "--learning-rate", "3e-4"
    )

    assert (ran.code, ran.out) == (0, f"{ulid(500)}\n")
    assert services.bodies("POST", "/v1/jobs") == [
        {"name": "first", "dataset": "dive", "input": {"width": 640, "height": 480}, "epochs": 9,
         "learning_rate": 3e-4}
    ]  # fmt: skip


def test_a_job_is_asked_for_with_an_idempotency_key(periscope: Periscope, services: FakeServices) -> None:
    periscope("train", "first", "--dataset", "dive")

    (headers,) = [headers for method, path, _, headers in services.requests if path == "/v1/jobs"]
    assert len(headers["Idempotency-Key"]) >= 16


def test_a_refused_size_is_told_with_the_nearest_ones(periscope: Periscope) -> None:
    ran = periscope("train", "first", "--dataset", "dive", "--size", "311x320")

    assert ran.code == 4
    assert "/input/width: the nearest are 304 and 320" in ran.err


def test_watching_shows_progress_and_each_epoch_once(periscope: Periscope, services: FakeServices) -> None:
    running = {"state": "RUNNING", "progress": PROGRESS}
    job_id = services.add_job(
        7, "first", {}, running, running, {**running, "latest_epoch": epoch(1, 0.4)},
        {**running, "latest_epoch": epoch(1, 0.4)}, finished(),
    )  # fmt: skip
    ran = periscope("jobs", "wait", job_id)

    assert ran.code == 0
    assert ran.err.count("epoch 1/2") == 1
    assert "mAP 40.0 % (buoy 40.0 %)" in ran.err
    assert "epoch 2/2" in ran.err
    assert "best epoch 2: mAP 60.0 %" in ran.out


def test_a_terminal_gets_one_moving_line_with_losses_and_eta(
    periscope: Periscope, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    job_id = services.add_job(7, "first", {"state": "RUNNING", "progress": PROGRESS}, finished())
    monkeypatch.setattr("periscope_cli.progress.REDRAW_EVERY_S", 0)
    ran = periscope("jobs", "wait", job_id)

    assert "\r\x1b[K" in ran.err
    assert "[######..................]  25 %  epoch 0.5/2  loss bbox 3.000 coverage 0.700" in ran.err
    assert "12.4 img/s  ETA 1:35" in ran.err


def test_a_failed_job_ends_with_its_error_and_advice(periscope: Periscope, services: FakeServices) -> None:
    error = {"error": "no such class", "code": "x", "advice": "push again"}
    services.add_job(7, "first", {"state": "FAILED", "reason": "exit 65", "error": error})
    ran = periscope("jobs", "wait", "first")

    assert ran.code == 1
    assert "no such class" in ran.err
    assert "push again" in ran.err


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(
    periscope: Periscope, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(_: float) -> None:
        raise KeyboardInterrupt

    job_id = services.add_job(7, "first", {"state": "RUNNING"})
    monkeypatch.setattr(calls.time, "sleep", press_ctrl_c)
    ran = periscope("jobs", "wait", job_id)

    assert ran.code == 130
    assert f"periscope watch {job_id}" in ran.err
    assert f"periscope jobs cancel {job_id}" in ran.err
    assert services.bodies("POST", f"/v1/jobs/{job_id}:cancel") == []


def test_watching_outlasts_a_service_that_is_away(periscope: Periscope, services: FakeServices) -> None:
    job_id = services.add_job(7, "first", finished())
    services.answer_503 = 6
    ran = periscope("jobs", "wait", job_id)

    assert ran.code == 0
    assert "no answer, trying on" in ran.err


def test_all_pages_of_jobs_are_listed(periscope: Periscope, services: FakeServices) -> None:
    for number in range(5):
        services.add_job(number, f"job-{number}")
    ran = periscope("jobs", "--json")

    assert [job["name"] for job in ran.document["items"]] == [f"job-{number}" for number in range(5)]


def test_a_name_means_its_newest_job(periscope: Periscope, services: FakeServices) -> None:
    services.add_job(1, "first")
    services.add_job(3, "first")
    services.add_job(4, "other")
    ran = periscope("jobs", "cancel", "first", "--json")

    assert ran.document["id"] == ulid(3)


def test_the_log_is_printed_as_it_is(periscope: Periscope, services: FakeServices) -> None:
    services.add_job(1, "first")

    assert periscope("jobs", "log", "first").out == "first line\nlast line\n"
    assert periscope("jobs", "log", "first", "--json").document["log"] == "first line\nlast line\n"


def test_publish_waits_for_the_version(periscope: Periscope, services: FakeServices) -> None:
    services.add_job(1, "first", finished())
    services.publication_states = [{"state": "QUEUED"}, {"state": "RUNNING"}, {"state": "SUCCEEDED"}]
    ran = periscope("publish", "first", "--model", "m", "--wait")

    assert (ran.code, ran.out) == (0, "m version 3 (latest)\n")
    assert services.bodies("POST", f"/v1/jobs/{ulid(1)}/epochs/best:publish") == [
        {"model": "m", "aliases": ["latest"]}
    ]


def test_a_failed_publication_says_why(periscope: Periscope, services: FakeServices) -> None:
    services.add_job(1, "first", finished())
    services.publication_states = [{"state": "FAILED", "reason": "coverage differs by 0.2"}]
    ran = periscope("publish", "first", "--model", "m", "--epoch", 4, "--alias", "stable", "--wait")

    assert ran.code == 1
    assert "coverage differs by 0.2" in ran.err


def test_pictures_that_would_be_written_to_one_file_are_refused(
    periscope: Periscope, services: FakeServices, tmp_path: Path
) -> None:
    for folder in ("dive", "lake"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"")
    ran = periscope("predict", "first", "dive/1.png", "lake/1.png")

    assert ran.code == 2
    assert "1.boxes.png" in ran.err
    assert services.requests == []
