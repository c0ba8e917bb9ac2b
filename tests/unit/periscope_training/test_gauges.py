from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from periscope.clock import to_rfc3339
from periscope_training.gauges import MAX_CLASSES, Picture, RunGauges, RunPicture, is_shown, run_values

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
JOB = {
    "name": "first dive",
    "state": "RUNNING",
    "dataset": {"id": "01D", "version": 2, "name": "pool"},
    "network": {"classes": ["buoy", "gate"]},
    "training": {"epochs": 9},
    "attempts": [{"number": 1}, {"number": 2}],
    "updated_at": to_rfc3339(NOW - timedelta(minutes=3)),
    "ended_at": None,
}
PROGRESS = {
    "step": 30,
    "max_step": 120,
    "epoch": 2.25,
    "learning_rate": 0.0003,
    "train": {"loss_bbox": 1.5, "loss_coverage": 0.25},
    "images_per_second": 11.5,
    "eta_s": 100.0,
    "at": to_rfc3339(NOW - timedelta(seconds=10)),
}


def figures(value: float) -> dict:
    return {"precision": value, "recall": value / 2, "digits_map": value / 4, "pooled_map": value / 5}


VALIDATION = {
    "loss_bbox": 2.5,
    "loss_coverage": 0.5,
    "classes": {"gate": figures(0.8), "buoy": figures(0.4)},
}
CHECKPOINT = {"epochs": [{"metrics": {"val": {}}}, {"metrics": {"val": VALIDATION}}]}
RUN = RunPicture("01JOB", JOB, CHECKPOINT, PROGRESS)


def scraped(picture: Picture, *, leads: bool = True) -> dict[str, float]:
    registry, gauges = CollectorRegistry(), RunGauges(lambda: leads)
    registry.register(gauges)
    gauges.show(picture)
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if x[0] != "#")}


def of_waiting(shown: dict[str, float]) -> dict[str, float]:
    """Series that are there whatever waits."""
    names = ("periscope_jobs_pending", "periscope_job_oldest_wait_seconds")
    return {name: value for name, value in shown.items() if name.startswith(names)}


def test_the_newest_figures_of_a_run_are_shown() -> None:
    shown = scraped(Picture(NOW, {"RUNNING": 1}, [RUN]))

    assert set(of_waiting(shown).values()) == {0}
    assert {name: value for name, value in shown.items() if name not in of_waiting(shown)} == {
        "periscope_training_leader": 1,
        'periscope_jobs{state="RUNNING"}': 1,
        'periscope_run_info{dataset="pool",name="first dive",run="01JOB"}': 1,
        'periscope_train_loss_bbox{run="01JOB"}': 1.5,
        'periscope_train_loss_coverage{run="01JOB"}': 0.25,
        'periscope_val_loss_bbox{run="01JOB"}': 2.5,
        'periscope_val_loss_coverage{run="01JOB"}': 0.5,
        'periscope_train_learning_rate{run="01JOB"}': 0.0003,
        'periscope_train_epoch{run="01JOB"}': 2.25,
        'periscope_train_epochs{run="01JOB"}': 9,
        'periscope_train_progress_ratio{run="01JOB"}': 0.25,
        'periscope_train_eta_seconds{run="01JOB"}': 90,
        'periscope_train_images_per_second{run="01JOB"}': 11.5,
        'periscope_train_attempts{run="01JOB"}': 2,
        'periscope_train_last_event_timestamp_seconds{run="01JOB"}': NOW.timestamp() - 10,
        'periscope_val_precision_ratio{class="buoy",run="01JOB"}': 0.4,
        'periscope_val_precision_ratio{class="gate",run="01JOB"}': 0.8,
        'periscope_val_recall_ratio{class="buoy",run="01JOB"}': 0.2,
        'periscope_val_recall_ratio{class="gate",run="01JOB"}': 0.4,
        'periscope_val_digits_map_ratio{class="buoy",run="01JOB"}': 0.1,
        'periscope_val_digits_map_ratio{class="gate",run="01JOB"}': 0.2,
        'periscope_val_pooled_map_ratio{class="buoy",run="01JOB"}': 0.08,
        'periscope_val_pooled_map_ratio{class="gate",run="01JOB"}': 0.16,
    }


def test_a_replica_that_leads_no_more_shows_no_runs() -> None:
    shown = scraped(Picture(NOW, {"RUNNING": 1}, [RUN]), leads=False)

    assert shown == {"periscope_training_leader": 0}


def test_a_run_without_progress_shows_what_is_known() -> None:
    run = RunPicture("01JOB", JOB, None, None)

    assert set(run_values(run, NOW)) == {
        "periscope_train_attempts",
        "periscope_train_epochs",
        "periscope_train_last_event_timestamp_seconds",
    }


@pytest.mark.parametrize(("state", "ratio"), [("SUCCEEDED", 1.0), ("CANCELLED", 0.25)])
def test_an_ended_run_has_no_expected_end(state: str, ratio: float) -> None:
    values = run_values(RunPicture("01JOB", {**JOB, "state": state}, CHECKPOINT, PROGRESS), NOW)

    assert "periscope_train_eta_seconds" not in values
    assert values["periscope_train_progress_ratio"] == ratio


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, True),
        ({"state": "QUEUED", "attempts": []}, False),
        ({"state": "CANCELLED", "attempts": [], "ended_at": to_rfc3339(NOW)}, False),
        ({"state": "FAILED", "ended_at": to_rfc3339(NOW - timedelta(minutes=14))}, True),
        ({"state": "FAILED", "ended_at": to_rfc3339(NOW - timedelta(minutes=15))}, False),
    ],
)
def test_series_last_from_the_first_attempt_to_15_minutes_after_the_end(changes: dict, shown: bool) -> None:
    assert is_shown({**JOB, **changes}, NOW) is shown


def test_a_run_with_very_many_classes_shows_the_first_ones() -> None:
    names = [f"fish{n}" for n in range(100)]
    job = {**JOB, "network": {"classes": names}}
    validation = {**VALIDATION, "classes": {name: figures(0.5) for name in names}}
    run = RunPicture("01JOB", job, {"epochs": [{"metrics": {"val": validation}}]}, None)
    shown = scraped(Picture(NOW, {}, [run]))

    assert sum(name.startswith("periscope_val_recall_ratio") for name in shown) == MAX_CLASSES


def test_what_waits_is_counted_by_cause_and_its_age_told() -> None:
    shown = scraped(Picture(NOW, {"PENDING": 2}, [], {"gpu": 2}, {"PENDING": 600.0}))

    assert shown['periscope_jobs_pending{cause="gpu"}'] == 2
    assert shown['periscope_jobs_pending{cause="image"}'] == 0
    assert shown['periscope_job_oldest_wait_seconds{state="PENDING"}'] == 600
    assert shown['periscope_job_oldest_wait_seconds{state="QUEUED"}'] == 0
