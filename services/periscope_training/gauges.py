"""Prometheus gauges of training runs, built from what the store holds, shown by the leader alone.

A scrape reads the last picture that the leader's loop took; it never waits for the store, and a replica whose
lease ran out shows nothing more. A new leader takes the same picture from the same documents. A run's series
end 15 minutes after the run. The names and their meaning stand in ``docs/metrics.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from periscope_training.actions import State
from periscope_training.curves import progress_ratio, remaining_s
from periscope_training.job_document import is_final
from periscope_training.waiting_reasons import CAUSES, OTHER_CAUSE

SHOWN_AFTER_END = timedelta(minutes=15)
MAX_CLASSES = 32
"""Per run; further classes have no series."""

RUN, CLASS = "run", "class"

RUN_INFO = "periscope_run_info"
JOBS = "periscope_jobs"
WAITING_STATES = (State.WAITING, State.QUEUED, State.PENDING)
PENDING = "periscope_jobs_pending"
OLDEST_WAIT = "periscope_job_oldest_wait_seconds"
LEADER = "periscope_training_leader"

RUN_GAUGES = {
    "periscope_train_loss_bbox": "Box loss of training, newest",
    "periscope_train_loss_coverage": "Coverage loss of training, newest",
    "periscope_val_loss_bbox": "Box loss of the newest validation",
    "periscope_val_loss_coverage": "Coverage loss of the newest validation",
    "periscope_train_learning_rate": "Learning rate, newest",
    "periscope_train_epoch": "Epochs trained, in fractions",
    "periscope_train_epochs": "Epochs asked for",
    "periscope_train_progress_ratio": "How much of training is done, 0-1",
    "periscope_train_eta_seconds": "Seconds until training ends, as expected now",
    "periscope_train_images_per_second": "Images trained per second, newest",
    "periscope_train_attempts": "Times the training program was started",
    "periscope_train_last_event_timestamp_seconds": "Unix time of the newest sign of life",
}
CLASS_GAUGES = {
    "periscope_val_precision_ratio": "Precision at IoU 0.7, newest validation, 0-1",
    "periscope_val_recall_ratio": "Recall at IoU 0.7, newest validation, 0-1",
    "periscope_val_digits_map_ratio": "DIGITS's mAP, mean over batches of 6, newest validation, 0-1",
    "periscope_val_pooled_map_ratio": "DIGITS's mAP over the whole validation set, newest validation, 0-1",
}


@dataclass(frozen=True)
class RunPicture:
    """What is known of one run."""

    job_id: str
    job: Mapping[str, Any]
    checkpoint: Mapping[str, Any] | None
    progress: Mapping[str, Any] | None


@dataclass(frozen=True)
class Picture:
    """What the leader saw last."""

    taken_at: datetime
    jobs_by_state: Mapping[str, int] = field(default_factory=dict)
    runs: Sequence[RunPicture] = ()
    pending_by_cause: Mapping[str, int] = field(default_factory=dict)
    oldest_wait_s: Mapping[str, float] = field(default_factory=dict)
    """By state, of the job that has been in it longest."""


def is_shown(job: Mapping[str, Any], now: datetime) -> bool:
    """Whether a job has series: it has started, and not ended long ago."""
    if not job["attempts"]:
        return False
    return not is_final(job) or now - datetime.fromisoformat(job["ended_at"]) < SHOWN_AFTER_END


def run_values(run: RunPicture, now: datetime) -> dict[str, float]:
    """The run's figures by metric name; what is not known yet is left out."""
    values: dict[str, float | None] = {
        "periscope_train_attempts": len(run.job["attempts"]),
        "periscope_train_epochs": run.job["training"]["epochs"],
        "periscope_train_last_event_timestamp_seconds": _last_event(run),
        **_progress_values(run, now),
    }
    validation = _newest_validation(run)
    if validation is not None:
        values["periscope_val_loss_bbox"] = validation["loss_bbox"]
        values["periscope_val_loss_coverage"] = validation["loss_coverage"]
    return {name: float(value) for name, value in values.items() if value is not None}


def class_values(run: RunPicture) -> dict[str, dict[str, float]]:
    """The run's figures of each class by metric name."""
    validation = _newest_validation(run)
    if validation is None:
        return {}
    classes = [name for name in run.job["network"]["classes"] if name in validation["classes"]][:MAX_CLASSES]
    return {
        metric: {name: float(validation["classes"][name][_field_of(metric)]) for name in classes}
        for metric in CLASS_GAUGES
    }


def _field_of(metric: str) -> str:
    return metric.removeprefix("periscope_val_").removesuffix("_ratio")


def _progress_values(run: RunPicture, now: datetime) -> dict[str, float | None]:
    record, ended = run.progress, is_final(run.job)
    if run.job["state"] == State.SUCCEEDED:
        done: float | None = 1.0
    else:
        done = None if record is None else progress_ratio(record["step"], record["max_step"])
    if record is None:
        return {"periscope_train_progress_ratio": done}
    return {
        "periscope_train_progress_ratio": done,
        "periscope_train_loss_bbox": record["train"]["loss_bbox"],
        "periscope_train_loss_coverage": record["train"]["loss_coverage"],
        "periscope_train_learning_rate": record["learning_rate"],
        "periscope_train_epoch": record["epoch"],
        "periscope_train_images_per_second": record["images_per_second"],
        "periscope_train_eta_seconds": None if ended else remaining_s(record, now),
    }


def _newest_validation(run: RunPicture) -> Mapping[str, Any] | None:
    epochs = run.checkpoint["epochs"] if run.checkpoint is not None else []
    newest: Mapping[str, Any] | None = epochs[-1]["metrics"]["val"] if epochs else None
    return newest


def _last_event(run: RunPicture) -> float:
    times = [run.job["updated_at"], *([run.progress["at"]] if run.progress is not None else [])]
    return max(datetime.fromisoformat(time).timestamp() for time in times)


class RunGauges(Collector):
    """Shows the last picture on ``/metrics``, as long as ``leads`` says so."""

    def __init__(self, leads: Callable[[], bool]) -> None:
        self._leads = leads
        self._picture: Picture | None = None

    def show(self, picture: Picture) -> None:
        """Replace what is shown."""
        self._picture = picture

    def collect(self) -> Iterator[Metric]:
        """The families in the order of their names' tables."""
        leads, picture = self._leads(), self._picture
        leader = GaugeMetricFamily(LEADER, "1 on the replica that leads")
        leader.add_metric([], 1.0 if leads else 0.0)
        yield leader
        if not leads or picture is None:
            return
        jobs = GaugeMetricFamily(JOBS, "Jobs by state, on the leader", labels=["state"])
        for state, count in sorted(picture.jobs_by_state.items()):
            jobs.add_metric([state], count)
        yield jobs
        pending = GaugeMetricFamily(PENDING, "PENDING jobs by what they wait for", labels=["cause"])
        for cause in (*CAUSES.values(), OTHER_CAUSE):
            pending.add_metric([cause], picture.pending_by_cause.get(cause, 0))
        yield pending
        waits = GaugeMetricFamily(OLDEST_WAIT, "How long the oldest job of a state waits", labels=["state"])
        for state in WAITING_STATES:
            waits.add_metric([state], picture.oldest_wait_s.get(state, 0.0))
        yield waits
        yield from _run_families(picture.runs, picture.taken_at)


def _run_families(runs: Sequence[RunPicture], now: datetime) -> Iterator[Metric]:
    info = GaugeMetricFamily(RUN_INFO, "1 for each run, with its names", labels=[RUN, "name", "dataset"])
    families = {name: GaugeMetricFamily(name, text, labels=[RUN]) for name, text in RUN_GAUGES.items()}
    families |= {
        name: GaugeMetricFamily(name, text, labels=[RUN, CLASS]) for name, text in CLASS_GAUGES.items()
    }
    for run in runs:
        info.add_metric([run.job_id, run.job["name"], run.job["dataset"]["name"]], 1)
        for name, value in run_values(run, now).items():
            families[name].add_metric([run.job_id], value)
        for name, by_class in class_values(run).items():
            for class_name, value in by_class.items():
                families[name].add_metric([run.job_id, class_name], value)
    yield info
    yield from families.values()
